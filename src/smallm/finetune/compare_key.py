"""What the compare stage's key hangs on beside the run's artefacts: the base and the general text, by content.

Light: a finished run asks this without torch.
"""

from __future__ import annotations

import platform
from pathlib import Path

from smallm.core.config import Recipe
from smallm.core.files import HashCache
from smallm.finetune.base import fingerprint as base_fingerprint


def fingerprint(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """The base, where it is another's, and the general text."""
    return base_fingerprint(recipe, hashes) | _general_text(recipe, hashes)


def _general_text(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """The file's hash, the manifest of the run's data, or the Python whose documentation it is."""
    named = recipe.finetune.general
    if named:
        path = Path(named)
        return {"finetune.general": hashes(path) if path.is_file() else "not there"}
    manifest = hashes.path.parent / "data" / "manifest.json"
    if manifest.is_file():
        return {"finetune.general": hashes(manifest)}
    return {"finetune.general": f"python-docs {platform.python_version()}"}
