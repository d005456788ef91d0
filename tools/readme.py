"""The generated parts of README.md: screenshot, tree, commands and the table of results.

Each stands between `<!-- name -->` and `<!-- /name -->`. The tree is the first line of each
module's docstring, the commands are what `smallm --help` knows, the results are the last line of each case in
benchmarks/results/*.jsonl. `make readme` writes them; tests/test_house_readme.py fails when one is stale.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "smallm"
# The stages in the order in which data flows through them (imports point to the left only).
FOLDERS = [
    *("core", "data", "tokenizer", "model", "plan", "evaluate", "train"),
    *("finetune", "explain", "export", "serve", "publish", "ablate", "commands"),
]


def first_line(path: Path) -> str:
    """The first line of a module's docstring, without its full stop; '' where there is none."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.split("\n", 1)[0].rstrip(".").removeprefix("smallm: ")


def tree() -> str:
    """One line a file of src/smallm, folder by folder in pipeline order."""
    lines = ["src/smallm/"]
    for folder in [PACKAGE / name for name in FOLDERS if (PACKAGE / name).is_dir()]:
        lines += branch(folder, 1)
    lines += leaves(PACKAGE, 1)
    if recipes := sorted(p.stem for p in (PACKAGE / "recipes").glob("*.yaml")):
        lines.append(f"  {'recipes/':<26}{', '.join(recipes)}")
    return "```\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def branch(folder: Path, depth: int) -> list[str]:
    """A folder's line, its files, its subfolders that are packages."""
    init = folder / "__init__.py"
    lines = [f"{'  ' * depth}{folder.name + '/':<{28 - 2 * depth}}{first_line(init) if init.exists() else ''}"]
    lines += leaves(folder, depth + 1)
    for inner in sorted(p for p in folder.iterdir() if (p / "__init__.py").exists()):
        lines += branch(inner, depth + 1)
    return lines


def leaves(folder: Path, depth: int) -> list[str]:
    files = sorted(p for p in folder.glob("*.py") if p.name not in ("__init__.py", "__main__.py"))
    return [f"{'  ' * depth}{p.name:<{28 - 2 * depth}}{first_line(p)}" for p in files]


def commands() -> str:
    """One line a verb, from the help that `smallm --help` prints."""
    from typer.main import get_command

    from smallm.cli import app

    return "```\n" + "\n".join(verbs(get_command(app), "smallm")) + "\n```"


def verbs(group: Any, path: str) -> list[str]:
    """`smallm run RECIPE    what it does` for every command of a (nested) group, in its order."""
    lines = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            lines += verbs(command, f"{path} {name}")
            continue
        arguments = [p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument"]
        usage = " ".join([path, name, *arguments])
        lines.append(f"{usage:<32} {(command.help or '').strip().splitlines()[0].rstrip('.')}")
    return lines


def screenshot() -> str:
    """The report's picture, once it is there."""
    image = "docs/images/report.png"
    return f"![The report of the quickstart run]({image})" if (ROOT / image).exists() else ""


def last_cases(results: Path) -> list[dict[str, Any]]:
    """The last line of each (benchmark, case), in the order of the files and of the cases' first appearance."""
    cases: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(results.glob("*.jsonl")):
        for text in path.read_text("utf-8").splitlines():
            line = json.loads(text)
            cases[line["benchmark"], line["case"]] = line
    return list(cases.values())


def results_table(results: Path = ROOT / "benchmarks" / "results") -> str:
    """Medians of both sides and the ratio with its range; a sentence where nothing is measured yet."""
    cases = last_cases(results)
    if not cases:
        return "Nothing is measured yet."
    rows = ["| benchmark | case | ours | peer | theirs | ratio (least to most) | machine |", "|" + "---|" * 7]
    for line in cases:
        peer = line["peer"]
        theirs = f"{number(statistics.median(line['theirs']))} {line['unit']}" if peer else "–"
        ratio = f"**{line['ratio_median']:.3g}** ({line['ratio_min']:.3g} to {line['ratio_max']:.3g})" if peer else "–"
        script = line["benchmark"]
        name = f"{peer['name']} {peer['version']}" if peer else "–"
        rows.append(
            f"| [{script}](benchmarks/results/{script}.jsonl) | {line['case']} "
            f"| {number(statistics.median(line['ours']))} {line['unit']} "
            f"| {name} | {theirs} | {ratio} | {machine(line['machine'])} |"
        )
    return "\n".join(rows)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def machine(info: dict[str, Any]) -> str:
    """'2 cores Intel Xeon …, bf16' or the GPU's name."""
    if gpu := info.get("gpu"):
        return str(gpu)
    name = re.sub(r"\(R\)|\(TM\)|CPU|Processor|@.*|\d+-Core", "", info["cpu"])
    return f"{info['cores']} cores, {' '.join(name.split())}, {'' if info['bf16'] else 'no '}bf16"


def render(text: str) -> str:
    """README.md with its generated parts renewed."""
    for name, make in (("screenshot", screenshot), ("tree", tree), ("commands", commands), ("results", results_table)):
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n?<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"README.md has no <!-- {name} --> … <!-- /{name} -->")
        block = make()
        text = pattern.sub(lambda m, block=block: f"<!-- {m[1][5:-5]} -->\n{block}\n<!-- /{m[1][5:-5]} -->", text)
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    old = readme.read_text("utf-8")
    new = render(old)
    if new != old and "--check" not in sys.argv:
        readme.write_text(new, "utf-8")
    print("README.md: " + ("fresh" if new == old else "stale" if "--check" in sys.argv else "renewed"))
    sys.exit(1 if new != old and "--check" in sys.argv else 0)
