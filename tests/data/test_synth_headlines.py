"""Headlines for pretraining: the task's training wordings, in an order that does not tell their tone."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from itertools import islice

from smallm.core.config import DataConfig, SourceConfig
from smallm.data import sources
from smallm.data.synth import headlines, sentiment
from smallm.data.synth.draw import in_test


def test_the_same_seed_gives_the_same_documents_on_every_machine():
    """The digest is of VERSION and its text: change the version together with the drawing."""
    digest = hashlib.sha256("\n".join(islice(headlines.generate(7), 50)).encode()).hexdigest()[:16]
    assert (headlines.VERSION, digest) == ("1.2", "03cc0f2f09250415")


def test_asking_for_more_bytes_continues_the_same_documents():
    few, many = list(headlines.generate(3, 5_000)), list(headlines.generate(3, 20_000))
    assert many[: len(few)] == few
    written = sum(map(len, few))
    assert 5_000 <= written < 5_000 + len(few[-1])
    assert list(headlines.generate(3, 0)) == []


def test_no_document_holds_a_wording_of_a_test_or_a_label():
    lines = [line for document in headlines.generate(0, 250_000) for line in document.splitlines()]
    assert len(set(lines)) > 3_500
    assert not any(in_test("sentiment", re.sub(r"\d+", "#", line)) for line in lines)
    tested = {record["text"] for record in sentiment.records(0, 1_000)}
    assert not tested & set(lines)
    assert not [line for line in lines if re.search(r"positive|negative|neutral", line, re.IGNORECASE)]


def test_the_place_in_a_document_does_not_tell_the_tone():
    """Labels take turns as the task draws them: 600 documents, each place of each label within 5 deviations."""
    label = {
        r["text"]: r["label"] for i in range(600) for r in sentiment.records(i, headlines.HEADLINES, split="train")
    }
    found: list[Counter[str]] = [Counter() for _ in range(headlines.HEADLINES)]
    for document in islice(headlines.generate(0), 600):
        for place, line in enumerate(document.splitlines()):
            found[place][label[line]] += 1
    for counts in found:
        assert all(abs(n - 200) < 5 * (600 * 2 / 9) ** 0.5 for n in counts.values()), counts


def test_a_recipe_reads_them_and_their_version_is_in_the_source_s_origin():
    source = SourceConfig(synth="headlines", size=20_000)
    texts = [document.text for document in sources.read(source, DataConfig(sources=[source]), 5)]
    assert texts == list(islice(headlines.generate(5), len(texts)))
    origin = sources.source_origin(source, 5, None, "data.sources[0]")  # type: ignore[arg-type]
    assert (origin["generator"], origin["version"]) == ("synth:headlines", headlines.VERSION)
