"""What pages for learners claim of the house, checked: commands, recipe keys, paths, entries of the log.

Commands are held against tests/cli_surface.txt, which a test holds against the command line; keys and their values go
through the recipe's own schema. Each function gives what is wrong, or None.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from smallm.commands.export import FORMATS
from smallm.core.config import Recipe
from smallm.core.errors import UserError
from smallm.core.recipe import load_recipe, packaged_recipes

ROOT = Path(__file__).resolve().parent.parent
SURFACE = ROOT / "tests" / "cli_surface.txt"
FOLDERS = ("src", "docs", "papers", "exercises", "tests", "tools", "benchmarks", "notebooks")
SECTIONS = ("data", "tokenizer", "model", "train", "finetune", "eval", "report")


@dataclass
class Verb:
    """A verb's arguments (name, required?) and its options (flag -> its type)."""

    arguments: list[tuple[str, bool]] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)


@cache
def surface() -> dict[str, Verb]:
    """`smallm recipe check` and its like -> what they take."""
    verbs: dict[str, Verb] = {}
    verb = Verb()
    for line in SURFACE.read_text("utf-8").splitlines():
        if not line.startswith(" "):
            verb = verbs.setdefault(line, Verb())
            continue
        names, kind = line.strip().split(": ", 1)
        if names.startswith("-"):
            verb.options.update({name: kind.split(" = ")[0] for name in names.split("/")})
        else:
            verb.arguments.append((names, kind.endswith(" required")))
    return verbs


def wrong_command(command: str, *, mention: bool = False) -> str | None:
    """What of a `smallm …` line today's command line refuses: verb, options, arguments, recipe, keys, export's form.

    A `mention` in a sentence may leave arguments out: `smallm export --to merged`.
    """
    words = shlex.split(command)
    name = next((n for n in (" ".join(words[:3]), " ".join(words[:2])) if n in surface()), None)
    if name is None:
        return f"{command}: there is no such verb"
    verb, given, rest = surface()[name], [], words[len(name.split()) :]
    settings: list[str] = []
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            given.append(word)
            continue
        if word not in verb.options:
            return f"{command}: {name} has no {word}"
        value = None if verb.options[word] == "bool" else rest.pop(0) if rest else ""
        if value == "" or (word == "--to" and name == "smallm export" and value not in FORMATS):
            return f"{command}: {word} {value}"
        settings += [value] if word == "--set" and value else []
    least = 0 if mention else sum(required for _, required in verb.arguments)
    if not least <= len(given) <= len(verb.arguments):
        return f"{command}: {name} takes {[argument for argument, _ in verb.arguments]}"
    if given and verb.arguments[0][0] in ("RECIPE", "NAME"):
        return wrong_recipe(given[0], tuple(settings))
    return None


@cache
def packaged() -> frozenset[str]:
    return frozenset(packaged_recipes())


@cache
def wrong_recipe(recipe: str, settings: tuple[str, ...]) -> str | None:
    """A recipe is packaged, or a file that the reader writes; its settings are valid."""
    if recipe in packaged():
        base = recipe
    elif recipe.endswith(".yaml") or recipe.isupper():
        base = "quickstart"
    else:
        return f"{recipe}: not a packaged recipe and not a YAML file"
    try:
        load_recipe(base, settings)
    except UserError as error:
        return str(error)
    return None


def wrong_key(text: str) -> str | None:
    """`model.window` or `model.window: 4096`: the key exists, and the value is one of its."""
    name, _, value = text.partition(": ")
    section, key = name.split(".")
    if not hasattr(getattr(Recipe(), section), key):
        return f"{name} is not a key of a recipe"
    return wrong_recipe("quickstart", (f"{name}={value}",)) if value else None


def inline_code(page: str) -> list[str]:
    """What stands between single backticks, outside blocks."""
    text = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


def commands(page: str) -> list[str]:
    """Every `smallm verb …` of a page, inline or in a block that is not Python."""
    blocks = re.findall(r"^```(?!python)[a-z]*\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [c for c in [*inline_code(page), *lines] if re.match(r"smallm [a-z]", c)]


def keys(page: str) -> list[str]:
    """Every `section.key` and `section.key: value` of a page, in its inline code."""
    return [c for c in inline_code(page) if re.match(rf"(?:{'|'.join(SECTIONS)})\.[a-z]\w*(?:: .+)?$", c)]


def dead_paths(page: str, folder: Path) -> list[str]:
    """Relative links and inline paths of the repository that lead nowhere."""
    links = re.findall(r"\]\(([^)#\s]+)", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE))
    dead = [target for target in links if "://" not in target and not (folder / target).exists()]
    inside = rf"(?:{'|'.join(FOLDERS)})/[\w./-]*\w|[A-Z]+\.md"
    named = [code for code in inline_code(page) if re.fullmatch(inside, code)]
    return dead + [path for path in named if not (ROOT / path).exists()]


def missing_entries(page: str) -> list[str]:
    """Titles after `LOG.md` that no heading of the log has."""
    return [title for title in _titles(page) if not any(title in heading for heading, _ in _log())]


def entries_with(page: str, words: str) -> list[str]:
    """Of the entries of the log that the page names, the headings of those in which these words stand."""
    titles = _titles(page)
    return [heading for heading, text in _log() if words in text and any(title in heading for title in titles)]


def _titles(page: str) -> list[str]:
    return re.findall(r"`LOG\.md`, \"([^\"]+)\"", " ".join(page.split()))


@cache
def _log() -> list[tuple[str, str]]:
    """(heading, text) of every entry, with single blanks."""
    entries = re.split(r"^## ", (ROOT / "LOG.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    parts = [entry.partition("\n") for entry in entries]
    return [(" ".join(heading.split()), " ".join(text.split())) for heading, _, text in parts]
