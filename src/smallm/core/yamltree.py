"""YAML as plain data that remembers the file and line of every key.

Reads YAML 1.2's core types (true and false are booleans, on and off are not; 3e-4 is a number;
dates are text), refuses duplicate keys and cycles, merges trees, applies `a.b[0].c=value`.
Knows nothing of recipes; `core/recipe.py` gives the keys their meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from smallm.core.errors import UserError

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a file and its line, or `--set`."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass
class Tree:
    """Nested dicts and lists, and the origin of each path in them. `root` is the whole's origin."""

    root: Origin
    value: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)

    def origin(self, path: Path) -> Origin:
        """Of `path`, or of the nearest part of it that somebody wrote."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return self.root

    def below(self, path: Path) -> Tree:
        """What stands at `path`, a mapping, as a tree of its own."""
        origins = {p[len(path) :]: o for p, o in self.origins.items() if p[: len(path)] == path and len(p) > len(path)}
        return Tree(self.origin(path), _copy(_at(self.value, path)), origins)

    def put(self, path: Path, value: Any, origins: dict[Path, Origin]) -> None:
        """Set `path` (its parents are dicts, made as needed) and the origins below it."""
        place: Any = self.value
        for part in path[:-1]:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
        place[path[-1]] = value
        self.origins = {p: o for p, o in self.origins.items() if p[: len(path)] != path} | origins


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict = {}  # noqa: RUF012  (PyYAML's own attribute)


_INT = r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+|0o[0-7]+"
_FLOAT = r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_RESOLVERS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+0123456789.")),
    ("merge", r"<<", ["<"]),
)
_TAG = "tag:yaml.org,2002:"


class _Dumper(yaml.SafeDumper):
    """Quotes what either this module or a YAML 1.1 reader would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Plain and single-quoted styles fold U+0085 and its kin into spaces; double quotes escape them.
    return dumper.represent_scalar(_TAG + "str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _text)
for _name, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)
    _Dumper.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)


def dump(value: Any) -> str:
    """Plain data as YAML that `parse` and YAML 1.1 readers read back equal."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100)


def parse(text: str, file: str) -> Tree:
    """The mapping in `text`. Raises UserError with file and line for anything that is not one."""
    node, loader = _compose(text, file)
    if node is None:
        raise UserError(
            f"{file}: is empty; a recipe is a YAML mapping of sections (`smallm recipe list` has examples)."
        )
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{file}:{_line(node)}: the file must be `key: value` lines, this is {_kind(node)}.")
    tree = Tree(Origin(file))
    tree.value = _Builder(loader, file, tree.origins).build(node, ())
    return tree


def parse_value(text: str, what: str) -> Any:
    """One YAML value, as in `--set key=VALUE`; nothing is None."""
    node, loader = _compose(text, what)
    return None if node is None else _Builder(loader, what, {}).build(node, ())


def _compose(text: str, file: str) -> tuple[yaml.Node | None, _Loader]:
    try:
        loader = _Loader(text)
        return loader.get_single_node(), loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        raise UserError(f"{where}: not valid YAML: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not valid YAML: {' '.join(str(error).split())}.") from None
    except RecursionError:
        raise UserError(f"{file}: nested too deeply to be read.") from None


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1 if node.start_mark else 1


def _kind(node: yaml.Node) -> str:
    return "a list" if isinstance(node, yaml.SequenceNode) else f"the text {str(node.value)[:40]!r}"


class _Builder:
    """Nodes to plain data, noting in `origins` the line of each path."""

    def __init__(self, loader: _Loader, file: str, origins: dict[Path, Origin]) -> None:
        self.loader, self.file, self.origins = loader, file, origins
        self.open: list[yaml.Node] = []

    def build(self, node: yaml.Node, path: Path) -> Any:
        if any(node is above for above in self.open):
            raise UserError(f"{self.file}:{_line(node)}: an alias (*name) that holds itself.")
        self.open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._child(child, (*path, i)) for i, child in enumerate(node.value)]
            return self._scalar(node)
        except RecursionError:
            raise UserError(f"{self.file}: nested too deeply to be read.") from None
        finally:
            self.open.pop()

    def _child(self, node: yaml.Node, path: Path, line: int | None = None) -> Any:
        self.origins[path] = Origin(self.file, line or _line(node))
        return self.build(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key_node.tag not in (_TAG + "str", _TAG + "merge", _TAG + "bool", _TAG + "null") or key is None:
                raise UserError(f"{self.file}:{_line(key_node)}: a key must be a word, this is {_kind(key_node)}.")
            if key in seen and key_node.tag != _TAG + "merge":
                raise UserError(
                    f"{self.file}:{_line(key_node)}: `{key}` stands twice (first on line {seen[key]}). Keep one."
                )
            seen[key] = _line(key_node)
        try:
            self.loader.flatten_mapping(node)  # the `<<: *name` of YAML 1.1
        except yaml.MarkedYAMLError as error:
            raise UserError(f"{self.file}:{_line(node)}: not valid YAML: {error.problem}.") from None
        return {k.value: self._child(v, (*path, k.value), _line(k)) for k, v in node.value}

    def _scalar(self, node: yaml.Node) -> Any:
        text, kind = node.value, node.tag.removeprefix(_TAG)
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                digits = text.replace("_", "")
                return int(digits, 0) if digits[:2] in ("0x", "0o") else int(digits)
            if kind == "float":
                return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
            if kind in ("str", "merge"):
                return text
        except (ValueError, KeyError):
            pass
        raise UserError(f"{self.file}:{_line(node)}: cannot read `{text[:40]}` as {node.tag.rsplit(':', 1)[-1]}.")


def merge(base: Tree, over: Tree) -> Tree:
    """`over` on top of `base`: sections merge key by key, anything else (lists too) replaces."""
    merged = Tree(over.root, _copy(base.value), dict(base.origins))

    def lay(value: dict[str, Any], path: Path) -> None:
        for key, new in value.items():
            here = (*path, key)
            if isinstance(new, dict) and isinstance(_at(merged.value, here), dict):
                lay(new, here)
            else:
                below = {p: o for p, o in over.origins.items() if p[: len(here)] == here}
                merged.put(here, _copy(new), below)

    lay(over.value, ())
    return merged


_PART = re.compile(r"([A-Za-z_][\w-]*)((?:\[\d+\])*)")


def parse_key(text: str) -> Path:
    """`data.sources[0].path` -> ("data", "sources", 0, "path"). Raises UserError when it is no key."""
    path: list[str | int] = []
    for part in text.split("."):
        match = _PART.fullmatch(part)
        if not match:
            raise UserError(
                f"--set {text}: `{part}` is not a key. Write it like train.learning_rate or data.sources[0].path."
            )
        path += [match[1], *(int(i) for i in re.findall(r"\d+", match[2]))]
    return tuple(path)


def override(tree: Tree, assignment: str) -> Path:
    """Apply `key=VALUE` to the tree in place; returns the key's path."""
    key, equals, text = assignment.partition("=")
    where = f"--set {key.strip()}"
    if not equals:
        raise UserError(f"--set {assignment}: write KEY=VALUE, for example --set train.learning_rate=3e-4.")
    path = parse_key(key.strip())
    value = parse_value(text, where)
    for end in range(1, len(path)):
        above, part = _at(tree.value, path[:end]), path[end]
        if isinstance(part, int) and not (isinstance(above, list) and part < len(above)):
            size = len(above) if isinstance(above, list) else 0
            raise UserError(f"{where}: there is no [{part}] in a list of {size}. Set the whole list.")
        if isinstance(part, str) and above is not _MISSING and not isinstance(above, dict):
            raise UserError(f"{where}: `{key.rsplit('.', 1)[0]}` is not a section, so nothing can be set in it.")
    fresh = [path[:end] for end in range(1, len(path)) if _at(tree.value, path[:end]) is _MISSING]
    tree.put(path, value, dict.fromkeys([*fresh, path], Origin(where)))
    return path


_MISSING = object()


def _at(value: Any, path: Path) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list) else value
