"""`smallm new`: what is found in a folder is true, and the recipe it writes builds as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from smallm.core.errors import UserError
from smallm.core.recipe import recipe_from_text
from smallm.core.run import Run
from smallm.data.build import build_data
from smallm.data.inspect import Findings, inspect_directory, write_recipe
from smallm.data.languages import language
from smallm.data.starter import slug

ENGLISH = "It was the best of times, and he was not at the house that is on the hill with the tree. "
GERMAN = "Es ist nicht das Haus, das auf dem Hügel mit der Linde und den Bänken für die Leute steht. "


def markdown(folder: Path, n: int = 60, words: int = 20) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        text = f"---\ntitle: {i}\n---\n\n# Note {i} on a thing\n\n" + "\n\n".join(
            f"{j} {ENGLISH}" for j in range(words)
        )
        (folder / f"note-{i:03d}.md").write_text(text)
    return folder


def build(folder: Path, recipe_text: str) -> dict[str, Any]:
    """Build the data stage of a written recipe as `smallm run` would read it, then leave a card as a run does."""
    recipe = recipe_from_text(recipe_text, "smallm.yaml", folder)
    build_data(recipe, Run(folder / "runs" / recipe.name))
    (folder / "runs" / recipe.name / "data" / "README.md").write_text("a card")
    return json.loads((folder / "runs" / recipe.name / "data" / "manifest.json").read_text())


def test_a_folder_of_markdown_that_nobody_prepared_builds_and_builds_again(tmp_path: Path) -> None:
    folder = markdown(tmp_path / "My Notes")
    (folder / "img").mkdir()
    (folder / "img" / "a.png").write_bytes(b"\x89PNG\0")
    found = inspect_directory(folder)
    text = write_recipe(found, "My Notes")
    (folder / "smallm.yaml").write_text(text)
    first = build(folder, text)
    assert build(folder, text) == first, "the recipe and runs/ in the folder are not its text"
    assert first["sources"][0]["read"]["documents"] == 60
    said = "\n".join(found.describe())
    assert "60 md" in said
    assert "1 .png" in said
    assert "100.0% of the documents open with front matter" in said
    assert found.languages["en"] > 0.99
    assert yaml.safe_load(text)["name"] == "my-notes"


@pytest.mark.parametrize(("n", "words"), [(1, 600), (1, 5000), (3, 220), (20, 40), (80, 8), (200, 3), (3000, 3)])
def test_the_written_split_holds_out_enough_whatever_the_shape_of_the_corpus(
    tmp_path: Path, n: int, words: int
) -> None:
    folder = markdown(tmp_path / "t", n, words)
    manifest = build(folder, write_recipe(inspect_directory(folder), "t"))
    assert manifest["splits"]["validation"]["bytes"] >= 20_000
    assert manifest["splits"]["train"]["bytes"] >= 20_000


def test_files_with_different_text_fields_become_sources_of_their_own(tmp_path: Path) -> None:
    for name, field in {"a.jsonl": "body", "b.jsonl": "text", "c.json": "story"}.items():
        rows = [{"id": "x" * 3, field: f"{i} {ENGLISH * 8}"} for i in range(200)]
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "package.json").write_text('{"version": 3}')
    (tmp_path / "weights").write_bytes(b"\0\1\2")
    markdown(tmp_path / "notes", 60)
    found = inspect_directory(tmp_path)
    assert found.sources == [
        {"path": "**/*.md"},
        {"path": "a.jsonl", "text": "body"},
        {"path": "b.jsonl", "text": "text"},
        {"path": "c.json", "text": "story"},
    ]
    assert any("weights is a binary file" in line for line in found.odd)
    assert any("package.json: no field holds text" in line for line in found.odd)
    manifest = build(tmp_path, write_recipe(found, "mixed"))
    assert build(tmp_path, write_recipe(found, "mixed")) == manifest, "the first run's cards are not text of the second"
    assert [s["read"]["documents"] for s in manifest["sources"]] == [60, 200, 200, 200]


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    markdown(tmp_path, 30)
    (tmp_path / "empty.md").write_text("")
    (tmp_path / "twin.md").write_text((tmp_path / "note-000.md").read_text())
    (tmp_path / "latin.txt").write_bytes("schön".encode("latin-1"))
    (tmp_path / "long.txt").write_text("x" * 20_000)
    (tmp_path / "page.txt").write_text("<div><p>hello</p><p>you</p><br></div>" * 3)
    (tmp_path / "bad.txt").write_text("schÃ¶n " * 30)
    said = "\n".join(inspect_directory(tmp_path).odd)
    for part in [
        "exact duplicates", "1 empty document", "latin.txt: byte 3 (0xf6) is not UTF-8", "lines of over 10,000",
        "HTML tags", "wrong decoding", "longer lines are repeated", "only",
    ]:  # fmt: skip
        assert part in said, part


def test_a_folder_without_text_or_with_too_little_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a folder"):
        inspect_directory(tmp_path / "none")
    with pytest.raises(UserError, match="it is empty"):
        inspect_directory(tmp_path)
    (tmp_path / "a.json").write_text('{"n": 1}')
    with pytest.raises(UserError, match=r"no text could be read here.*no field holds text"):
        inspect_directory(tmp_path)
    (tmp_path / "a.txt").write_text("tiny")
    with pytest.raises(UserError, match=r"only 4 bytes of text.*Add text"):
        write_recipe(inspect_directory(tmp_path), "t")


def test_the_context_is_not_longer_than_every_document(tmp_path: Path) -> None:
    rows = [{"text": f"{i} {ENGLISH}"} for i in range(3000)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = yaml.safe_load(write_recipe(inspect_directory(tmp_path), "t"))
    assert recipe["model"]["context"] == 32


def test_more_text_than_the_sample_is_scaled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    markdown(tmp_path, 100)
    whole = inspect_directory(tmp_path)
    monkeypatch.setattr("smallm.data.inspect.SAMPLE_BYTES", whole.bytes // 4)
    part = inspect_directory(tmp_path)
    assert part.sampled_share < 0.3
    assert part.documents == pytest.approx(whole.documents, rel=0.1)
    assert part.bytes == pytest.approx(whole.bytes, rel=0.1)
    assert "about" in part.describe()[1]


def test_names_and_prompts_never_break_the_yaml() -> None:
    found = Findings(
        path=Path("x"), files={"txt": 1}, sources=[{"path": "a: b #.txt", "text": "no"}], documents=100, bytes=10**6,
        longest=5000, prompts=['He said: "yes" # or', "- {no}", "tab\tand \x85"], odd=["line\nbreak: \u2028 x"],
    )  # fmt: skip
    recipe = yaml.safe_load(write_recipe(found, "Ünsafe: name #1"))
    assert recipe["prompts"] == found.prompts
    assert recipe["data"]["sources"] == found.sources
    assert recipe["name"] == slug("Ünsafe: name #1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Le chat est dans la maison et il ne mange pas les souris qui sont sur la table.", "fr"),
        ("El perro está en la casa y no come los ratones que están por el suelo del patio.", "es"),
        ("Il cane è nella casa e non mangia i topi che sono sul tavolo della cucina con gli altri.", "it"),
        ("def f(x):\n    return x\n\nimport os\nclass A:\n    pass\n", "code"),
        ("Pes a kočka žijí v domě u velkého lesa daleko od města.", "other"),
        ("", "other"),
    ],
)
def test_languages_are_guessed_by_their_commonest_words(text: str, expected: str) -> None:
    assert language(text) == expected


def test_novels_and_laws_are_told_apart(shared_data: Any) -> None:
    from smallm.data.paths import SourceFile
    from smallm.data.records import BadRecords, record_texts

    for name, expected in {"eltec-eng.jsonl.gz": "en", "gesetze-de.jsonl.gz": "de"}.items():
        path = shared_data(name)
        texts = record_texts(SourceFile(path, name, "jsonl"), "text", BadRecords(0.0))
        assert [language(next(texts)) for _ in range(10)].count(expected) == 10
