"""The notebooks run from top to bottom without a Hub and without a card, and install what the package needs."""

from __future__ import annotations

import json
import os
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What a fresh Colab has, new enough for smallm (its own torch and numpy must stay as they are).
COLAB_HAS = {"torch", "numpy", "accelerate", "httpx", "jinja2", "llvmlite", "matplotlib", "numba", "psutil", "pyarrow",
             "pydantic", "pyyaml", "safetensors", "scipy", "sentencepiece"}  # fmt: skip


def cells(path: Path, kind: str) -> list[str]:
    return ["".join(c["source"]) for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_list_that_colab_installs_holds_every_dependency_that_colab_lacks_and_no_torch(path: Path) -> None:
    [install] = [c for c in cells(path, "code") if "REMAINDER =" in c]
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


@pytest.fixture
def one_core() -> Iterator[None]:
    """What is started here computes with one thread: beside other tests, two wait for each other most of the time."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


def executed(name: str, tmp_path: Path, monkeypatch: Any) -> Any:
    """The notebook with its outputs, run without a Hub and without anything that another run left behind."""
    import nbformat
    from nbclient import NotebookClient

    for key, value in (("SMALLM_RUNS", ""), ("SMALLM_CACHE", "cache"), ("HF_HOME", "hub")):
        monkeypatch.setenv(key, str(tmp_path / value))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    began = time.perf_counter()
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    print(f"{name}: {time.perf_counter() - began:.0f} s")
    return notebook


def printed(notebook: Any) -> str:
    """Everything that the cells said, long lines joined."""
    said = [output.get("text", "") for c in notebook.cells for output in c.get("outputs", [])]
    return " ".join("\n".join(said).split())


def shown(notebook: Any, kind: str) -> list[str]:
    """What the cells displayed, of one MIME type."""
    outputs = [output for c in notebook.cells for output in c.get("outputs", [])]
    return [output["data"][kind] for output in outputs if kind in output.get("data", {})]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own machinery
@pytest.mark.usefixtures("one_core")
def test_the_first_notebook_runs_from_top_to_bottom_without_a_network_and_draws_its_figures(
    tmp_path: Path, monkeypatch: Any
) -> None:
    notebook = executed("01_hello_transformer", tmp_path, monkeypatch)
    said = printed(notebook)
    for claim in ("a smaller model is trained", "slow and fast: equal", "in the model: equal", "Phi-3.5-mini-instruct"):
        assert claim in said
    assert said.count("the small model answers instead") == 1
    assert len(shown(notebook, "image/png")) >= 5
    tables = [html for html in shown(notebook, "text/html") if "<table" in html]
    assert len(tables) == 2  # pieces of the tokenizers, the logit lens
    assert (tmp_path / "hello" / "explain" / "hello.html").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own machinery
def test_the_fine_tuning_notebook_runs_from_top_to_bottom_on_a_shrunken_phi(tmp_path: Path, monkeypatch: Any) -> None:
    notebook = executed("02_finetune_phi35_qlora", tmp_path, monkeypatch)
    assert "QLoRA of" in printed(notebook)
    [run] = tmp_path.glob("phi35-qlora-german*")
    assert (run / "report" / "index.html").is_file()
    assert (run / "tuned" / "german" / "adapter_model.safetensors").is_file()
    assert (run / "export" / "merged" / "equivalence.json").is_file()
