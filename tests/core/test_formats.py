"""Laws of the formats: what the stages write fits, what is broken is named, the page is fresh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.config import Recipe
from smallm.core.errors import UserError
from smallm.core.files import write_bytes, write_json, write_text
from smallm.core.formats import FORMATS, format_of, validate, validate_run
from smallm.core.formats_eval import ITEM_COLUMNS
from smallm.core.formats_page import formats_page
from smallm.core.recipe import dump_recipe
from smallm.core.schemas import problems
from smallm.core.tokenfile import INDEX_DTYPE, header, write_shard

ROOT = Path(__file__).resolve().parents[2]
HEX = "ab" * 32
SCHEMAS = [row.schema for row in FORMATS if row.schema]


def example(schema: dict[str, Any], *, full: bool = True) -> Any:
    """A value that fits the schema; with `full`, optional keys too."""
    if "anyOf" in schema:
        return example(schema["anyOf"][0], full=full)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "string":
        return HEX if "pattern" in schema else "word"
    if kind == "array":
        return [example(schema["items"], full=full)]
    if kind == "object":
        found = {
            k: example(v, full=full) for k, v in schema.get("properties", {}).items() if full or k in schema["required"]
        }
        if isinstance(schema.get("additionalProperties"), dict):
            found["key"] = example(schema["additionalProperties"], full=full)
        return found
    return {"integer": 3, "number": 1.5, "boolean": True}.get(kind or "", 7)


@pytest.mark.parametrize("row", [row for row in FORMATS if row.schema], ids=lambda row: row.name)
def test_an_example_of_each_schema_fits_and_every_required_key_is_needed(row: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(row.schema)
    for full in (True, False):
        assert problems(example(row.schema, full=full), row.schema) == []
    for key in row.schema.get("required", []):
        broken = example(row.schema)
        del broken[key]
        assert problems(broken, row.schema) == [f"has no `{key}`"]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([HEX, "x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["step", "loss", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SCHEMAS), VALUES, st.data())
def test_our_checker_agrees_with_jsonschema(schema: dict[str, Any], value: Any, data: st.DataObject) -> None:
    changed = example(schema)
    if isinstance(changed, dict) and changed:  # a right value with one wrong place
        changed[data.draw(st.sampled_from(sorted(changed)))] = value
    for candidate in (value, changed):
        valid = jsonschema.Draft202012Validator(schema).is_valid(candidate)
        assert (problems(candidate, schema) == []) == valid


def write_run(root: Path) -> None:
    """One file of each format that smallm writes itself."""
    for row in FORMATS:
        name = row.patterns[0].replace("????????", "abababab").replace("*", "00000")
        tokens = "tokens/base" if row.name.startswith("token") else "tokens/tuned"  # of the two, base has shards here
        path = root / name.replace("00000/stage.json", "data/stage.json").replace("tokens/00000", tokens)
        if row.kind == "json":
            write_json(path, example(row.schema))
        elif row.kind == "jsonl":
            write_text(path, 2 * (json.dumps(example(row.schema)) + "\n"))
        elif row.kind == "parquet":
            types = {"string": pa.string(), "double": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
            types |= {f"list<{name}>": pa.list_(kind) for name, kind in types.items()}
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({n: pa.array([], types[t]) for n, t in row.columns.items()}), path)
        elif row.kind == "tokens":
            write_bytes(path, header(3, 2, HEX) + np.arange(3, dtype="<u2").tobytes())
        elif row.kind == "index":
            write_bytes(path, np.array([(0, 1, 5, b"i"), (1, 2, 5, b"j")], INDEX_DTYPE).tobytes())
        elif row.kind == "mask":
            write_bytes(path, bytes([0, 1, 1]))
        elif row.kind == "yaml":
            write_text(path, dump_recipe(Recipe(name="x")))
        else:
            write_text(path, "something")


def test_a_run_with_every_format_is_valid(tmp_path: Path) -> None:
    write_run(tmp_path)
    files = validate_run(tmp_path)
    found = {row.name for file in files if (row := format_of(file, tmp_path))}
    assert found == {row.name for row in FORMATS}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data/manifest.json", "{}", "has no `sources`"),
        ("data/manifest.json", "{", "cannot be read"),
        ("data/manifest.json", "\xff", "has no"),
        ("resolved.json", '{"a": NaN}', "NaN is not JSON"),
        (
            "base/metrics.jsonl",
            '{"step": 1, "tokens": 2}\n{"step": -1, "tokens": 2}\n',
            "line 2: `step` is -1, must be at least 0",
        ),
        ("base/metrics.jsonl", '{"step": 1, "tokens": 2, "los": 1}\n', "line 1: has the unknown key `los`"),
        ("base/metrics.jsonl", '{"step": 1, "tokens": 2, "loss": "x"}\n', "`loss` is 'x', must be of type number"),
        ("base/metrics.jsonl", "", "line 1: not JSON"),
        ("base/timing.jsonl", "no\n", "line 1: not JSON"),
        ("tokenizer/report.json", "[]", "must be of type object"),
        ("data/train-0-of-1.parquet", "PAR1", "parquet"),
        ("tokens/base/train-00000.bin", "x", "a shard is a .bin and its .idx"),
        ("tokens/x/train-00000.mask", "x", "a shard is a .bin and its .idx"),
        ("tokens/x/manifest.json", '{"format": "smallm-examples-2"}', "must be one of smallm-examples-1"),
        ("tokens/x/test.jsonl", '{"id": "a"}\n', "line 1: has no `messages`"),
        ("recipe.yaml", "naem: x", "Did you mean `name`?"),
        ("base/README.md", "", "is empty"),
        ("base/a/b/c.txt", "x", "no file of a run has this name"),
        ("strange.txt", "x", "no file of a run has this name"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path: Path, name: str, content: str, said: str) -> None:
    if content == "\xff":
        write_bytes(tmp_path / name, b"\xff")
        said = "cannot be read"
    else:
        write_text(tmp_path / name, content)
    with pytest.raises(UserError) as caught:
        validate(tmp_path / name, tmp_path)
    assert said in str(caught.value)
    assert str(tmp_path / name) in str(caught.value) or "tokens" in name


def test_a_parquet_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data" / "dropped" / "short.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"id": ["x"], "source": [1], "extra": [1]}), path)
    with pytest.raises(UserError, match="column `source` is int64, must be string") as caught:
        validate(path, tmp_path)
    assert "column `extra` is not known" in str(caught.value)
    assert "column `reason` is missing" in str(caught.value)


def test_a_mask_holds_zeros_and_ones_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens" / "tuned" / "train-0-00000.mask"
    path.parent.mkdir(parents=True)
    row = np.array([1, 2, 3], "<u2")
    write_shard(path.with_suffix(".bin"), [row], [b"i" * 16], [3], tokenizer_sha256=HEX, masks=[row > 1])
    validate(path, tmp_path)
    path.write_bytes(b"\0\1\2")
    with pytest.raises(UserError, match="holds 2: only 0 and 1"):
        validate(path, tmp_path)


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_a_list_column_is_known_however_its_writer_names_the_values(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "eval" / "x-abababab-suite.items.parquet"
    path.parent.mkdir()
    types = {"string": pa.large_string(), "double": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
    types |= {f"list<{name}>": kind(pa.field("item", t, nullable=False)) for name, t in types.items()}
    columns = {name: pa.array([], types[t]) for name, t in ITEM_COLUMNS.items()}
    pq.write_table(pa.table(columns | {"f1": pa.array([], pa.float64())}), path)
    validate(path, tmp_path)
    pq.write_table(pa.table(columns | {"tokens": pa.array([], pa.list_(pa.float64()))}), path)
    with pytest.raises(UserError, match="column `tokens` is list<double>, must be list<int64>"):
        validate(path, tmp_path)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("base-0123abcd.json", "evaluation"),
        ("base-0123abcd-smallm.json", "results of a suite"),
        ("gpt2-4bit-0123abcd-my-suite.json", "results of a suite"),
        ("compare-base-0123abcd-base-4567abcd.json", "comparison"),
        ("base-0123abcd.items.parquet", "items"),
        ("base-0123abcd-core.items.parquet", "items"),
        ("items-base-0123abcd-core.html", "evaluation page or figure"),
    ],
)
def test_files_of_evaluation_are_told_apart_by_their_names(tmp_path: Path, name: str, row: str) -> None:
    found = format_of(tmp_path / "eval" / name, tmp_path)
    assert found is not None
    assert found.name == row


def test_the_page_is_fresh() -> None:
    page = ROOT / "docs" / "formats.md"
    if not page.parent.is_dir():
        pytest.skip("not a checkout: there is no docs folder")
    assert page.read_text("utf-8") == formats_page(), "run `python -m smallm.core.formats_page > docs/formats.md`"
