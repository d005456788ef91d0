"""What must not stand in the repository: places of one machine, hosts of registries, unsafe loading."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = sorted((ROOT / "src").rglob("*.py"))
# `~` breaks each word, so that this file does not hold what it forbids.
FORBIDDEN = {
    what: pattern.replace("~", "")
    for what, pattern in {
        "an absolute path of one machine": r"(?<![\w.$}])/(?:wo~rk|ro~ot|ho~me/\w+|opt/\w+)(?=[/\s\"'`]|$)",
        "a registry's host": r"files\.python~hosted|pypi\.o~rg|registry\.npm~js|deb\.debian\.o~rg|download\.pytor~ch",
        "who or what wrote it": r"(?i)\b(?:clau~de|anthro~pic|sub-?agen~ts?|(?:this|last|previous|our) sessi~on)\b",
        "an unfinished thought": r"\b(?:TO~DO|FIX~ME|XX~X)\b",
    }.items()
}
# The licence is not ours to edit; the built notebooks and figures would only repeat their sources.
EXEMPT = {"LICENSE"}


def tracked() -> list[Path]:
    """The files of the repository, those not yet added included; the test skips outside git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("needs a git checkout")
    files = [ROOT / name for name in listed.stdout.splitlines() if name not in EXEMPT]
    return [f for f in files if f.is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_repository_does_not_hold(what: str):
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" in data[:4096]:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("an absolute path of one machine", "open('/wo~rk/x')"),
        ("who or what wrote it", "done in this sessi~on"),
        ("an unfinished thought", "# TO~DO: later"),
    ],
)  # fmt: skip
def test_the_patterns_find_what_they_are_for(what: str, line: str):
    assert re.search(FORBIDDEN[what], line.replace("~", ""))


def test_paths_inside_a_repository_and_pytest_scopes_are_not_taken_for_them():
    innocent = 'scope="session" benchmarks/work/x runs/root $HOME/work'
    assert not any(re.search(p, innocent) for p in FORBIDDEN.values())


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Every call of a file as its dotted name and its node."""
    tree = ast.parse(path.read_text("utf-8"))
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_nothing_is_unpickled_and_no_code_of_a_hub_is_run():
    for path in SRC:
        text = path.read_text("utf-8")
        assert not re.search(r"^\s*(import|from) (pickle|dill|joblib|shelve|marshal)\b", text, re.MULTILINE), path
        for name, node in calls(path):
            assert name not in ("torch.load", "torch.save", "eval", "exec"), f"{path}:{node.lineno}: {name}"
            for keyword in node.keywords:
                if keyword.arg == "trust_remote_code":  # False, or what the user said, handed on
                    said = ast.unparse(keyword.value)
                    assert said == "False" or re.search(r"(trust|allow)_remote_code", said), (
                        f"{path}:{node.lineno}: {said}"
                    )

                assert not (keyword.arg == "allow_pickle" and getattr(keyword.value, "value", None)), path
            if name in ("np.load", "numpy.load"):
                assert any(k.arg == "allow_pickle" for k in node.keywords), (
                    f"{path}:{node.lineno}: say allow_pickle=False"
                )


def test_no_network_address_is_fetched_by_the_pages_that_we_write():
    for path in (ROOT / "src").rglob("*.j2"):
        assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']https?:", path.read_text("utf-8")), path


def test_no_function_runs_code_of_a_hub_by_default():
    for path in SRC:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
                continue
            arguments, values = node.args, [*node.args.defaults, *node.args.kw_defaults]
            names = [*arguments.posonlyargs, *arguments.args][-len(arguments.defaults) or len(arguments.args) :]
            for name, value in zip([*names, *arguments.kwonlyargs], values, strict=False):
                if value is not None and re.fullmatch(r"(trust|allow)_remote_code", name.arg):
                    assert ast.unparse(value) in ("False", "None") or path.name == "cli.py", f"{path}:{node.lineno}"
