"""The notebooks run from top to bottom without a Hub and without a card, and install what the package needs."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What a fresh Colab has, new enough for smallm (its own torch and numpy must stay as they are).
COLAB_HAS = {"torch", "numpy", "accelerate", "httpx", "jinja2", "matplotlib", "psutil", "pyarrow", "pydantic", "pyyaml",
             "safetensors", "scipy", "sentencepiece"}  # fmt: skip


def cells(path: Path, kind: str) -> list[str]:
    return ["".join(c["source"]) for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_list_that_colab_installs_holds_every_dependency_that_colab_lacks_and_no_torch() -> None:
    [install] = [c for c in cells(ROOT / "notebooks" / "02_finetune_phi35_qlora.ipynb", "code") if "REMAINDER =" in c]
    listed = dict(re.findall(r'"([a-z0-9-]+)==([^"]+)"', install))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[<>=;\[ ]", line)[0].lower() for line in project["dependencies"]}
    assert needed - COLAB_HAS - listed.keys() == set()
    assert "torch" not in listed
    assert "numpy" not in listed
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    )
    assert {name: pins[name] for name in listed} == listed, "write the notebook's list anew from constraints.txt"
    assert '"--no-deps"' in install


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own machinery
def test_the_fine_tuning_notebook_runs_from_top_to_bottom_on_a_shrunken_phi(tmp_path: Path, monkeypatch: Any) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SMALLM_RUNS", str(tmp_path))
    monkeypatch.setenv("SMALLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(ROOT / "notebooks" / "02_finetune_phi35_qlora.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    said = "\n".join(output.get("text", "") for c in notebook.cells for output in c.get("outputs", []))
    assert "QLoRA of" in said
    [run] = tmp_path.glob("phi35-qlora-german*")
    assert (run / "report" / "index.html").is_file()
    assert (run / "tuned" / "german" / "adapter_model.safetensors").is_file()
    assert (run / "export" / "merged" / "equivalence.json").is_file()
