"""Makes `lm_eval --model smallm` work: called when torch is imported, does nothing unless lm-eval is there.

lm-eval 0.4.13 has no plugins, but it imports torch before it looks a model up, and torch calls the entry points of the
group `torch.backends`. Everything that imports torch pays for this file, so it imports nothing, and it never raises.
"""

from __future__ import annotations

import sys

NAME, TARGET = "smallm", "smallm.evaluate.harness:SmallmLM"


def register() -> None:
    """Add `smallm` to lm-eval's models as a name whose class is imported when it is asked for."""
    if "lm_eval" not in sys.modules:
        return
    try:
        # lm-eval fills its registry when it first finds it empty; our name alone would keep its own models out.
        import lm_eval.models  # noqa: F401
        from lm_eval.api.registry import model_registry

        if NAME not in model_registry:
            model_registry.register(NAME, target=TARGET)
    except Exception:  # raised from here it would break `import torch`; lm-eval itself names the models it knows
        return
