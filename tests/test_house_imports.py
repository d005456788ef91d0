"""The import direction of the house, declared dependencies, and how little training imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import readme

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
# A file imports from its own layer or one to the left: the folders in pipeline order, then what ties them together.
LAYERS = [
    *(f for f in readme.FOLDERS if f not in ("ablate", "commands")),
    "stages",
    "pipeline",
    "ablate",
    "lm_eval_plugin",
    "commands",
    "cli",
    "__main__",
]
FILES = sorted(SRC.rglob("*.py"))
# Import name -> distribution, where they differ.
DISTRIBUTION = {
    "yaml": "pyyaml",
    "huggingface_hub": "huggingface-hub",
    "llama_cpp": "llama-cpp-python",
    "lm_eval": "lm-eval",
    "sklearn": "scikit-learn",
}
# Transformers loads it; nothing of ours names it.
LOADED_BY_OTHERS = {"accelerate"}


def layer(module: str) -> str | None:
    """'smallm.data.synth.stories' -> 'data'; None for the package itself (its version)."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, anywhere in it, with its line; submodules of `from a import b` included."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:  # from . import a: relative to the file's package
                base = module_name(path).split(".") + ([""] if path.name == "__init__.py" else [])
                source = ".".join([*base[: len(base) - node.level], *([node.module] if node.module else [])])
            for alias in node.names:
                inner = SRC.joinpath(*source.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield (f"{source}.{alias.name}" if is_module else source), node.lineno


def test_a_file_imports_only_from_its_own_folder_or_one_to_the_left():
    wrong = []
    for path in FILES:
        own = layer(module_name(path))
        if own is None:
            continue
        assert own in LAYERS, f"{path.name}: folder {own!r} has no place in the order of readme.FOLDERS"
        for name, line in imports(path):
            other = layer(name) if name.split(".")[0] == "smallm" else None
            if other is not None and LAYERS.index(other) > LAYERS.index(own):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {own} imports {name}")
    assert not wrong, "\n".join(wrong)


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_.-]", r)[0].lower() for r in requirements}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def declared() -> set[str]:
    return names(project()["dependencies"])


def third_party(files: list[Path]) -> set[str]:
    """The distributions that the files import."""
    used = {name.split(".")[0] for path in files for name, _ in imports(path)} - sys.stdlib_module_names
    return {DISTRIBUTION.get(name, name) for name in used}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    assert third_party(FILES) - {"smallm"} == declared() - LOADED_BY_OTHERS


def test_what_tests_tools_and_benchmarks_import_is_in_the_extras():
    files = sorted(p for folder in ("tests", "tools", "benchmarks") for p in (ROOT / folder).rglob("*.py"))
    ours = {p.stem for p in files} | {p.parent.name for p in files} | {"smallm"}
    extras = names([r for extra in project()["optional-dependencies"].values() for r in extra])
    # packaging comes with pytest; the peers of the benchmarks are in an environment of their own.
    peers = names([x for x in (ROOT / "benchmarks" / "peers.txt").read_text("utf-8").splitlines() if x[:1] != "#"])
    assert third_party(files) - ours - declared() <= extras | peers | {"packaging"}


def test_every_constraint_is_a_plain_pin_and_every_dependency_has_one():
    lines = [x for x in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if x and not x.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", x) for x in lines), "no local versions, no addresses"
    # psutil is needed on Windows alone, where the constraints were not taken.
    assert declared() - {"psutil"} <= {x.split("==")[0] for x in lines}


BLOCK_AND_IMPORT = """
import sys, importlib
BLOCKED = set({blocked!r})
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{{name}} is blocked: training must not need it", name=name)
sys.meta_path.insert(0, Block())
for name in {modules!r}:
    importlib.import_module(name)
"""
NOT_FOR_TRAINING = [
    *("pydantic", "pyarrow", "datasets", "rich", "typer", "jinja2", "yaml", "matplotlib", "sentencepiece"),
    *("pandas", "numba", "daft", "fastapi", "gradio", "zstandard"),
]
# Of core/, what reads recipes needs pydantic and YAML; training gets the dataclasses.
RECIPE_SIDE = {"smallm.core.recipe", "smallm.core.schema", "smallm.core.yamltree", "smallm.core.formats"}

# The compiled pass of fast decoding: model/fast.py loads it where numba is, and says so where it is not.
COMPILED = {f"smallm.model.compiled.{name}" for name in ("tiles", "rows", "products", "forward")}


@pytest.mark.slow
def test_model_and_training_import_with_torch_transformers_safetensors_and_numpy_alone():
    modules = [
        m for m in map(module_name, FILES) if layer(m) in ("core", "model", "train") and m not in RECIPE_SIDE | COMPILED
    ]
    modules += ["smallm.finetune.stage", "smallm.finetune.api"]  # that they train so: tests/finetune/test_stage.py
    # train/stage.py ties the loop to a run's tokenizer; it may name the tokenizer folder, whose files are as light.
    script = BLOCK_AND_IMPORT.format(blocked=NOT_FOR_TRAINING, modules=modules)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=SRC)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_package_and_the_command_line_import_without_torch():
    script = (
        "import sys, smallm, smallm.cli; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=SRC)
    assert done.stdout.strip() == "[]"
