"""`python-docs`: the prose of the Python standard library, which every machine with Python has.

One document a module: its docstring, then in source order each class and function with a
docstring (its signature, then the text) and each comment of two lines or more that reads as prose.
Tests, IDLE and whatever pip installed are left out. The order is that of the module names.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

from smallm.data.paths import SourceFile

# Not library modules, or not prose: tests, the editor, generated tables, installed packages.
LEFT_OUT = frozenset({
    "test", "tests", "idlelib", "idle_test", "turtledemo", "lib2to3", "site-packages", "dist-packages",
    "__pycache__", "_bundled", "lib-dynload", "pydoc_data",
})  # fmt: skip
LEFT_OUT_FILES = re.compile(
    r"_sysconfigdata|_build_config|sitecustomize|usercustomize|__phello__|antigravity|this\.py|encodings/(cp|iso|mac|koi|kz|ptcp)"
)
COMMENT_LINES = 2
COMMENT_CHARACTERS = 60
LETTERS = 0.78
NOT_COMMENT = re.compile(r"#!|#.*-\*-|#.*coding[:=]")  # for the shell, the editor and the compiler
# Enough of Python's lexer to tell a comment from a # inside a string; an open string eats nothing else.
TOKEN = re.compile(
    r'''#[^\n]*|"""(?:[^\\]|\\.)*?"""|\'{3}(?:[^\\]|\\.)*?\'{3}|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'''', re.DOTALL
)

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def module_files(root: Path | None = None) -> list[SourceFile]:
    """The library's .py files below `root` (default: this Python's), sorted by relative path."""
    root = root or Path(sysconfig.get_paths()["stdlib"])
    names = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in LEFT_OUT]  # site-packages may be large
        base = Path(folder).relative_to(root)
        names += [(base / f).as_posix() for f in files if f.endswith(".py")]
    return [SourceFile(root / n, n, "text") for n in sorted(names) if not LEFT_OUT_FILES.search(n)]


def module_texts(root: Path | None = None) -> Iterator[str]:
    """One text a module that has any prose."""
    for file in module_files(root):
        text = module_prose(file.path, module_name(file.name))
        if text:
            yield text


def module_name(relative: str) -> str:
    """`os/path.py` -> `os.path`; a package's `__init__` carries the package's name."""
    return relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def module_prose(path: Path, name: str) -> str:
    """The prose of one module under its name; empty when there is none or it is not Python of this version."""
    try:
        with tokenize.open(path) as f:  # honours a coding line
            source = f.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in old code are not our user's business
            tree = ast.parse(source)
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return ""
    pieces = [*_docstrings(tree), *_comments(source)]
    prose = [text for _, text in sorted(pieces, key=lambda piece: piece[0])]
    return "\n\n".join([name, *prose]) + "\n" if prose else ""


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, text) of the module's and of each definition's docstring, the latter under its signature."""
    text = ast.get_docstring(tree)
    if text:
        yield 0, text.strip()
    for node in _definitions(tree):
        text = ast.get_docstring(node)
        if text and text.strip():
            yield node.lineno, f"{_signature(node)}\n\n{text.strip()}"


def _definitions(node: ast.AST) -> Iterator[Definition]:
    """Classes and functions at any depth. Visits statements only: expressions are nine tenths of a tree."""
    for part in ("body", "handlers", "orelse", "finalbody"):
        for child in getattr(node, part, ()):
            if isinstance(child, Definition):
                yield child
            yield from _definitions(child)


def _signature(node: Definition) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    return f"{node.name}({ast.unparse(node.args)})"


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of runs of comment lines that read as prose, not as code, rulers or a licence number."""
    block: list[str] = []
    start = line = 0
    done = 0
    for match in TOKEN.finditer(source):
        begin = match.start()
        newlines = source.count("\n", done, begin)
        alone = (
            match[0].startswith("#")
            and not NOT_COMMENT.match(match[0])
            and not source[source.rfind("\n", 0, begin) + 1 : begin].strip()
        )
        follows = alone and newlines == 1 and not source[done:begin].strip()
        line, done = line + newlines, begin
        if block and not follows:
            yield from _prose_block(start, block)
            block = []
        if alone:
            start = start if block else line
            block.append(match[0].lstrip("#").removeprefix(" ").rstrip())
            done = match.end()
    yield from _prose_block(start, block)


def _prose_block(line: int, block: list[str]) -> Iterator[tuple[int, str]]:
    text = inspect.cleandoc("\n".join(line for line in block if not _is_ruler(line)))
    if len(block) >= COMMENT_LINES and _is_prose(text):
        yield line + 1, text


def _is_ruler(line: str) -> bool:
    return bool(line) and not any(c.isalnum() for c in line)


def _is_prose(text: str) -> bool:
    letters = sum(c.isalpha() or c == " " for c in text.replace("\n", " "))
    return len(text) >= COMMENT_CHARACTERS and letters >= LETTERS * len(text)
