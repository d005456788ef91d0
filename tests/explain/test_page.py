"""The page and the JSON: whole, small, and no text of a prompt or tokenizer is ever markup."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explain.conftest import make_ours
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from smallm import cli
from smallm.evaluate.local_models import Options
from smallm.explain.difference import difference
from smallm.explain.explain import Explanation, explain
from smallm.explain.pack import direction, halved, to_json, visible
from smallm.explain.page import ordinal, short_names, write_page
from smallm.explain.subject import open_subject
from smallm.model.sampling import SamplingConfig

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> \"'`${alert(3)} </script><!-- {{7*7}} "
    "\u202eabc\u202c\u200f שלום \x00\x07\x1b[31m\u2028\u2029\n\tß🙂\u200d🙂 e\u0301"
)


def unpacked(page: Path) -> tuple[dict[str, Any], bytes]:
    text = re.search(r'<script id="payload" type="text/plain">([^<]*)</script>', page.read_text("utf-8"))
    assert text
    whole = gzip.decompress(base64.b64decode(text.group(1)))
    length = int.from_bytes(whole[:4], "little")
    return json.loads(whole[4 : 4 + length]), whole[4 + length :]


def read(block: bytes, place: list[Any]) -> np.ndarray:
    kind, at, size = place
    return np.frombuffer(block, {"u8": "u1", "i8": "i1", "u32": "<u4", "f32": "<f4"}[kind], size, at)


def test_the_page_holds_what_was_seen(tmp_path: Path, explained: Callable[..., Explanation]):
    a = explained("ours")
    header, block = unpacked(write_page(tmp_path / "x.html", a))
    (model,) = header["models"]
    said, T = a.trace.predictions, len(a.ids)
    assert header["ids"] == a.ids
    np.testing.assert_allclose(read(block, model["p"])[1:], said.probability_T[1:], rtol=1e-6)
    np.testing.assert_array_equal(read(block, model["rank"]), said.rank_T)
    lower = np.tril_indices(T)
    for place, weights in zip(model["attention"], a.trace.attention, strict=True):
        assert weights is not None
        shown = (read(block, place).reshape(len(weights), -1) / 255.0) ** 2
        assert float(np.abs(shown - weights[:, *lower]).max()) < 0.005
    words = [header["words"][i] for i in read(block, model["lens"]["top"])]
    assert words == [visible(a.pieces(int(i))) for i in a.trace.lens.top_ids_LTN.reshape(-1)]  # type: ignore[union-attr]
    assert len(model["ablation"]["heads"]) == 12
    assert [header["words"][s["words"][s["drawn"]]] for s in model["generation"]["steps"]] == [
        visible(a.pieces(s.drawn))
        for s in a.generation.steps  # type: ignore[union-attr]
    ]


def test_the_same_explanation_gives_the_same_bytes(tmp_path: Path, explained: Callable[..., Explanation]):
    pages = [write_page(tmp_path / name, explained("ours")) for name in ("a.html", "b.html")]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_the_json_is_json_and_holds_the_same(explained: Callable[..., Explanation]):
    a = explained("ours")
    found = json.loads(json.dumps(to_json(a, a, difference(a, a)), allow_nan=False))
    assert [t["id"] for t in found["model"]["tokens"]] == a.ids
    assert found["model"]["tokens"][0]["probability"] is None
    for layer in found["model"]["attention"]:
        for head in layer:
            assert [len(row) for row in head] == list(range(1, len(a.ids) + 1))
            assert all(abs(sum(row) - 1) < 1e-4 for row in head)
    assert found["difference"]["divergence_T"] == [0.0] * len(a.ids)
    assert found["model"]["generation"]["steps"][0]["text"] == a.pieces(a.generation.steps[0].drawn)  # type: ignore[union-attr]


def test_no_text_of_a_prompt_is_markup_or_an_unseen_mark(tmp_path: Path):
    subject = open_subject(str(make_ours(tmp_path / "model", context=512)), Options())
    a = explain(subject, HOSTILE, heads=True, sampling=SamplingConfig(max_new_tokens=4))
    page = write_page(tmp_path / "x.html", a)
    text = page.read_text("utf-8")
    assert text.count("<script") == text.count("</script>") == 2
    assert "onerror" not in text
    header, _ = unpacked(page)
    assert all(word == visible(word) for word in header["words"])
    assert not any(mark in word for word in header["words"] for mark in "\u202e\u200f\x00\x1b\u2028\n")
    json.dumps(to_json(a), allow_nan=False)


@given(st.text())
def test_visible_text_has_nothing_unseen_and_is_the_same_when_made_visible_again(text: str):
    shown = visible(text)
    assert visible(shown) == shown
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", shown)


def test_control_characters_and_marks_are_named():
    assert visible("a\n\t\x00\x1b\u202e") == "a⏎⇥␀␛‹U+202E›"
    assert visible("\u0301x") == "◌\u0301x"
    assert visible(" König 東京") == " König 東京"
    assert (direction("שלום a"), direction("1 a שלום"), direction("")) == ("rtl", "ltr", "ltr")


def test_a_byte_of_a_weight_is_at_most_half_a_percentage_point_off():
    weights = np.linspace(0, 1, 10_000)[None, :, None] * np.ones((1, 1, 1))
    square = np.zeros((1, 200, 200))
    square[0][np.tril_indices(200)] = np.resize(weights, 20_100)
    back = (halved(square) / 255.0) ** 2
    assert float(np.abs(back[0] - square[0][np.tril_indices(200)]).max()) < 0.004


def test_names_and_ordinals_are_said_as_people_do():
    assert short_names(["runs/x/tuned/a", "runs/x/base"]) == ["tuned/a", "base"]
    assert short_names(["runs/x/base", "runs/y/base"]) == ["x/base", "y/base"]
    assert [ordinal(n) for n in (1, 2, 3, 11, 21, 1_113)] == ["1st", "2nd", "3rd", "11th", "21st", "1,113th"]


def smallm(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, list(arguments))


def test_the_verb_writes_the_page_and_the_json_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    make_ours(Path("model"))
    done = smallm("explain", "model", "the cat", "--heads", "--steps", "3", "--json", "x.json", "--greedy")
    assert done.exit_code == 0, done.output
    written, page = done.stdout.splitlines()
    assert written == "x.json"
    assert re.fullmatch(r"explain/model-[0-9a-f]{8}\.html", page)
    assert Path(page).is_file()
    assert len(json.loads(Path("x.json").read_text("utf-8"))["model"]["generation"]["steps"]) <= 3
    both = smallm("explain", "model", "the cat", "--against", "model", "--output", "y.html", "--json", "-")
    assert json.loads(both.stdout)["difference"]["missing"] == {}
    header, _ = unpacked(Path("y.html"))
    assert len(header["models"]) == 2


def test_the_example_in_the_docs_runs(tmp_path: Path):
    text = (Path(__file__).resolve().parents[2] / "docs/explain.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    made = make_ours(tmp_path / "model")
    names: dict[str, Any] = {}
    exec(example.replace("runs/quickstart", str(made)), names)
    found = names["found"]
    assert found.trace.attention[0].shape == (4, len(found.ids), len(found.ids))


def test_a_run_keeps_its_explanations_in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from smallm.commands.explain import default_path
    from smallm.core.config import Recipe
    from smallm.core.files import write_text
    from smallm.core.recipe import dump_recipe

    monkeypatch.chdir(tmp_path)
    write_text(Path("runs/x/recipe.yaml"), dump_recipe(Recipe(name="x")))
    assert default_path(Path("runs/x/base"), "a", None).parent == Path("runs/x/explain")
    assert default_path(Path("runs/x/tuned/t"), "a", None).parent == Path("runs/x/explain")
    assert default_path(Path("runs/x/base"), "a", None) != default_path(Path("runs/x/base"), "b", None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("model", ""), "the prompt is empty"),
        (("model", "the cat " * 100), "was made for 64"),
        (("nowhere/at/all", "a"), "there is no such directory"),
        (("model", "a", "--chat"), "has no chat template"),
        (("model", "a", "--temperature", "200"), "temperature"),
    ],
)
def test_a_mistake_is_exit_2_with_a_sentence(
    arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    make_ours(Path("model"))
    done = smallm("explain", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_128_tokens_of_12_layers_and_heads_are_at_most_2_mb_and_4_with_another_model(tmp_path: Path):
    subject = open_subject(
        str(make_ours(tmp_path / "m", layers=12, width=96, heads=12, kv_heads=12, context=128)), Options()
    )
    a = explain(subject, "", ids=list(range(3, 131)), heads=True, sampling=SamplingConfig(max_new_tokens=1))
    assert write_page(tmp_path / "one.html", a).stat().st_size <= 2_000_000
    assert write_page(tmp_path / "two.html", a, a, difference(a, a)).stat().st_size <= 4_000_000
