"""Questions about stories: answers against what the story generator drew, not against what the reader understood."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from smallm.data.synth import question_rules, questions, stories, story_grammar


@pytest.fixture(scope="module")
def drawn() -> tuple[list[dict], dict[str, tuple[str, dict[str, str]]]]:
    """Records, and for each passage its whole story and the roles that the generator bound."""
    made: list[tuple[str, dict[str, str]]] = []
    real = stories._Slots
    generate = stories.generate

    class Recorded(real):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)  # type: ignore[arg-type]
            made.append(("", self))

    def recording(seed: int):
        for story in generate(seed):
            made[-1] = (story, made[-1][1])
            yield story

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stories, "_Slots", Recorded)
        patch.setattr(stories, "generate", recording)
        records = questions.records(3, 2_500, split="train")
    known = {}
    for record in records:
        known.setdefault(record["story"], next((s, slots) for s, slots in made if record["story"] in s))
    return records, known


def plain(text: str) -> str:
    return re.sub(r"^an? ", "", text)


def test_every_answer_is_what_the_story_was_made_of(drawn):
    """The generator's bound roles are asked, which the reader of passages never sees."""
    records, known = drawn
    by_question = [
        (re.compile(re.sub(r"\\\{[^}]*\\\}", "(.+)", re.escape(rule.question))), rule.answer)
        for rule in question_rules.RULES
    ]
    checked: Counter[str] = Counter()
    for record in records:
        slots = known[record["story"]][1]
        answers = {answer for pattern, answer in by_question if pattern.fullmatch(record["question"])}
        truths = {plain(slots[key]) for key in answers if key in slots}
        if truths:
            assert plain(record["answer"]) in truths, record
            assert len({plain(choice) for choice in record["choices"]} & truths) == 1, record
            checked.update(answers)
    assert sum(checked.values()) > 1_200
    assert set(checked) >= set("ABCDFGHIKOPRSTVXYZ")


def test_what_is_asked_stands_in_the_passage(drawn):
    for record in drawn[0]:
        assert plain(record["answer"]).lower() in record["story"].lower(), record
        for name in re.findall(r"(?<!^)\b[A-Z][a-z]+", record["question"]):
            assert name in record["story"], record


def test_a_word_of_a_category_is_read_from_the_sentence_that_tells_it(drawn):
    """Answers that are no roles: `hobby`, `near`, `fixer` ... stand after the words that the question repeats."""
    cues = {
        r"What did (\w+) love to do\?": r"{0}[^.]* loved to {1}",
        r"Where did (\w+) live\?": r"{1}",
        r"What did (\w+) dream of\?": r"{0} .*dreamed of [^.]*{1}",
        r"What did the air smell of\?": r"smelled of [^.]*{1}",
        r"What was used to mend the (\w+)\?": r"{1}",
        r"What did (\w+) eat on the way\?": r" ate an? \w+ {1}",
        r"What could (\w+) hear\?": r"hear[^.]* {1}",
    }
    seen = Counter()
    for record in drawn[0]:
        for question, cue in cues.items():
            if match := re.fullmatch(question, record["question"]):
                seen[question] += 1
                told = cue.format(*(match.groups() or ("",)), re.escape(plain(record["answer"])))
                pronoun = cue.replace("{0}", "(?:He|She)").format("", re.escape(plain(record["answer"])))
                assert re.search(told, record["story"], re.I) or re.search(pronoun, record["story"], re.I), record
    assert len(seen) == len(cues)


def test_endings_are_those_of_the_whole_story(drawn):
    records, known = drawn
    endings = [record for record in records if record["topic"] == "ending"]
    assert len(endings) > 200
    for record in endings:
        assert known[record["story"]][0].endswith(record["answer"])
        assert all(choice == record["answer"] or choice not in record["story"] for choice in record["choices"])


def test_a_passage_fits_a_small_context(drawn):
    lengths = [len(record["story"].split()) for record in drawn[0]]
    assert min(lengths) >= questions.MIN_WORDS
    assert max(lengths) <= questions.MAX_WORDS


def test_questions_of_one_story_share_the_cluster_and_stand_together(drawn):
    clusters: defaultdict[str, list[int]] = defaultdict(list)
    for place, record in enumerate(drawn[0]):
        clusters[record["cluster"]].append(place)
    assert all(places == list(range(places[0], places[0] + len(places))) for places in clusters.values())
    sizes = Counter(map(len, clusters.values()))
    assert max(sizes) <= questions.PER_STORY
    assert sizes[questions.PER_STORY] > sum(sizes.values()) / 2
    for places in clusters.values():
        asked = [drawn[0][place] for place in places]
        assert len({record["story"] for record in asked}) == 1
        assert len({record["answer"] for record in asked}) == len(asked)


def test_every_row_of_the_table_is_asked():
    asked = {record["question"] for record in questions.records(4, 6_000, split="train")}
    for rule in question_rules.RULES:
        pattern = re.compile(re.sub(r"\\\{[^}]*\\\}", "(.+)", re.escape(rule.question)))
        assert any(pattern.fullmatch(question) for question in asked), rule


def test_choosing_a_phrase_because_the_passage_holds_it_is_not_enough(drawn):
    """Wrong choices stand in the passage too: who draws among those that do is right in about two of three items."""
    right = 0.0
    asked = [record for record in drawn[0] if record["topic"] != "ending"]
    for record in asked:
        inside = [choice for choice in record["choices"] if plain(choice).lower() in record["story"].lower()]
        right += 1 / len(inside)
    assert right / len(asked) < 0.8


def test_a_beat_that_is_renamed_is_noticed():
    beats = {beat for rule in question_rules.RULES for beat in rule.beats} | question_rules.LAST_BEATS
    assert beats <= set(story_grammar.BEATS)


def test_a_text_of_another_author_has_no_facts():
    passage = questions.read("It was the best of times, it was the worst of times.")
    assert passage.sentences == []
    assert passage.roles == {}
