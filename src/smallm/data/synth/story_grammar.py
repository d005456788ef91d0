"""The grammar of the stories as data: categories, roles, beats and plots, shared by the generator and the parser.

A beat is one step of a story and has several ways to tell it (a line of beats_*.py). Syntax of a line:
  {treat}       a word of a category, drawn anew each time        {A}, {A.his}  a form of a role, fixed for the story
  {a/treat}     the same with its article: "an apple"             {^treat}      the same with a capital letter
  [to|from|]    one of these; those that contain slots make separate templates
A plot is a row of beats: `/` ends a paragraph, `?` marks a beat that is told in half of the stories.
A role is bound to one entity for the whole story (an object with its verbs, a person with the pronouns); a role in
capitals is one letter. What is drawn and when is stories.py's; how a sentence is recognised is story_parser.py's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from . import beats_common, beats_friends, beats_tasks
from . import lexicon_people as people
from . import lexicon_things as things
from . import lexicon_world as world

Entity = dict[str, tuple[str, ...]]  # form -> phrases (more than one where the generator chooses, as a species)

PLOTS = {
    "lost": "open like? friend / lost_has go_two scene? lost_play lost_lose / lost_cry sad? lost_help "
    "/ lost_try lost_again? lost_find lost_why? / lost_thanks glad_two? / lost_end night_two",
    "earn": "open like? friend / go scene? earn_see earn_wish / earn_cost sad? earn_ask earn_deal "
    "/ earn_work earn_hard? earn_paid / earn_buy earn_use glad? / earn_end night",
    "quarrel": "open like? friend / go_two scene? quarrel_find / quarrel_want quarrel_pull quarrel_break "
    "/ quarrel_sorry sad? quarrel_try? quarrel_fix / quarrel_share glad_two? snack? / quarrel_end night_two",
    "scary": "open like? friend / scary_fear scary_why? / go_two scene? scary_roll scary_wish "
    "/ scary_try scary_help scary_in / scary_see scary_get glad? / scary_end night_two",
    "rescue": "open like? friend / go scene? rescue_hear rescue_find / rescue_wish rescue_try "
    "/ rescue_run rescue_tool? rescue_free / rescue_care rescue_gift glad? / rescue_end night",
    "newcomer": "open like? / new_alone new_wish sad? / go scene? new_see new_shy? / new_advice new_again "
    "/ new_hello new_yes / new_play glad_two? / new_end night_two",
    "bake": "open like? friend helper / bake_day bake_start / bake_missing sad? bake_try? bake_get "
    "/ bake_make bake_ready / bake_give glad? bake_end / night",
    "learn": "open like? friend helper? / go scene? learn_wish learn_first learn_laugh "
    "/ learn_teach learn_practice learn_better? / learn_can glad? supper? / learn_end night",
    "storm": "open like? / storm_plan way? storm_come storm_lost / storm_try storm_light "
    "/ storm_in storm_warm / storm_over storm_arrive supper? / storm_end night",
    "truth": "open like? friend helper / truth_rule truth_play truth_break / truth_hide? truth_ask "
    "/ truth_bad truth_advice truth_tell / truth_forgive truth_fix supper? / truth_end night",
    "stuck": "open like? friend helper? / go_two scene? stuck_play stuck_up / stuck_wish stuck_jump stuck_two? "
    "/ stuck_idea stuck_get / glad? snack? stuck_end night_two",
    "seed": "open like? friend helper / seed_get seed_plant / seed_wait sad? seed_try seed_advice "
    "/ seed_care? seed_grow / seed_bloom seed_share glad? / seed_end night",
}
# Where a plot can play; others can play anywhere.
PLOT_PLACES = {"earn": ("town",), "bake": ("town", "farm"), "newcomer": ("town", "water")}

SOFT = ("wear", "read", "hug")  # objects of cloth and paper tear where others break
SILENT_H = ("hour", "honest", "heir")
SOUNDS_LIKE_Y_OR_W = ("uni", "use", "ukulele", "one", "europe")


def split_list(text: str) -> list[str]:
    """The phrases of a comma-separated constant of the lexicon."""
    return [phrase for part in text.split(",") if (phrase := " ".join(part.split()))]


def with_article(phrase: str) -> str:
    """The phrase after `a` or `an`, by the sound of its beginning."""
    low = phrase.lower()
    vowel = low.startswith(SILENT_H) or (low[0] in "aeiou" and not low.startswith(SOUNDS_LIKE_Y_OR_W))
    return ("an " if vowel else "a ") + phrase


def capital(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]


PRONOUNS = {
    "m": {"he": "he", "him": "him", "his": "his", "himself": "himself"},
    "f": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
}


def _person(name: str, gender: str, **more: tuple[str, ...]) -> Entity:
    return {"": (name,), **{form: (word,) for form, word in PRONOUNS[gender].items()}, **more}


def _one_form(text: str) -> list[Entity]:
    return [{"": (phrase,)} for phrase in split_list(text)]


def _objects() -> list[Entity]:
    """Objects with the verb that goes with them, interleaved so that the frequent ones are of every kind."""
    kinds = []
    for verbs, nouns in things.OBJECTS.items():
        do, did, doing = verbs.split("|")
        broke, broken = ("tore", "torn") if do in SOFT else ("broke", "broken")
        verb = {"do": (do,), "did": (did,), "doing": (doing,), "broke": (broke,), "broken": (broken,)}
        kinds.append([{"": (noun,), **verb} for noun in split_list(nouns)])
    longest = max(len(kind) for kind in kinds)
    return [kind[row] for row in range(longest) for kind in kinds if row < len(kind)]


def _places(group: str) -> list[Entity]:
    pairs = [pair.split("|") for pair in split_list(world.PLACES[group])]
    return [{"": (f"the {noun}",), "at": (f"{at} the {noun}",), "to": (f"to the {noun}",)} for at, noun in pairs]


SPECIES = tuple(split_list(people.SPECIES))
CHILDREN = {
    "m": [_person(name, "m", noun=("boy",)) for name in split_list(people.BOYS)],
    "f": [_person(name, "f", noun=("girl",)) for name in split_list(people.GIRLS)],
}
ANIMALS = {
    "m": [_person(name, "m", noun=SPECIES) for name in split_list(people.ANIMAL_BOYS)],
    "f": [_person(name, "f", noun=SPECIES) for name in split_list(people.ANIMAL_GIRLS)],
}
RELATIVES = [("Grandma", "f"), ("Grandpa", "m"), ("Cousin Kate", "f"), ("Cousin Will", "m"), ("Granny", "f")]
RELATIVES += [(f"Aunt {name}", "f") for name in split_list(people.AUNTS)]
RELATIVES += [(f"Uncle {name}", "m") for name in split_list(people.UNCLES)]
HELPERS = {  # by the kind of hero
    "child": [_person(name, gender) for name, gender in RELATIVES]
    + [_person(f"the {job}", gender) for job in split_list(people.JOBS) for gender in ("m", "f")],
    "animal": [_person(f"the old {kind}", gender) for kind in SPECIES for gender in ("f", "m")],
}
PLACES = {group: _places(group) for group in world.PLACES}
WEATHER = [{"": (adj,), "sky": (sky,)} for adj, sky in (pair.split("|") for pair in split_list(world.WEATHER))]

PEOPLE = CHILDREN["m"] + CHILDREN["f"] + ANIMALS["m"] + ANIMALS["f"]
ROLES: dict[str, list[Entity]] = {
    "A": PEOPLE,  # the hero
    "B": PEOPLE,  # the friend, of the other gender, so that no pronoun is in doubt
    "C": HELPERS["child"] + HELPERS["animal"],  # a grown-up who helps
    "D": _one_form(things.DISHES),
    "F": _one_form(world.SCARY),
    "G": _one_form(world.LIGHTS),
    "H": _one_form(world.HIGH_PLACES),
    "I": _one_form(things.MISSING),
    "K": _one_form(world.TRAPS),
    "L": [place for group in PLACES.values() for place in group],
    "M": _one_form(world.TIMES),
    "O": _objects(),
    "P": _one_form(things.SEEDS),
    "Q": _one_form(things.QUALITIES),
    "R": _one_form("ten, five, seven, twelve, six, eight, nine, twenty, fifteen, eleven, thirteen, fourteen, thirty"),
    "S": _one_form(world.STORMS),
    "T": _one_form(things.TREATS),
    "U": _one_form(world.NOISES),
    "V": _one_form(things.SKILLS),
    "W": WEATHER,
    "X": _one_form(world.SMALL_ANIMALS),
    "Y": _one_form(things.TOOLS),
    "Z": _one_form(things.BREAKABLES),
}

CATEGORIES: dict[str, list[str]] = {
    "chore": [pair.split("|")[0] for pair in split_list(things.CHORES)],
    "chored": [pair.split("|")[1] for pair in split_list(things.CHORES)],
    "craft": split_list(people.CRAFTS),
    "creature": split_list(world.CREATURES),
    "creature_look": split_list(world.CREATURE_LOOKS),
    "drink": split_list(things.DRINKS),
    "fixer": split_list(things.FIXERS),
    "game": split_list(things.GAMES),
    "happy": split_list(world.HAPPIES),
    "heavy": split_list(world.HEAVIES),
    "hiding": split_list(world.HIDING),
    "hobby": split_list(people.HOBBIES),
    "house": split_list(world.HOUSES),
    "house_look": split_list(world.HOUSE_LOOKS),
    "ingredient": split_list(things.INGREDIENTS),
    "joy": split_list(people.JOYS),
    "junk": split_list(things.JUNK),
    "junk_look": split_list(things.JUNK_LOOKS),
    "landmark": split_list(world.LANDMARKS),
    "light": split_list(world.LIGHTS),
    "near": split_list(world.NEAR),
    "noise": split_list(world.NOISES),
    "quality": split_list(things.QUALITIES),
    "sad": split_list(world.SADS),
    "say": split_list(world.SAYS),
    "seed": split_list(things.SEEDS),
    "simile": split_list(world.SIMILES),
    "small_animal": split_list(world.SMALL_ANIMALS),
    "smell": split_list(world.SMELLS),
    "smile": split_list(people.SMILES),
    "song": split_list(world.SONGS),
    "sound": split_list(world.SOUNDS),
    "spot": split_list(world.SPOTS),
    "stand": [
        noun for nouns in zip(*(split_list(text) for text in world.STANDS.values()), strict=False) for noun in nouns
    ],
    "stand_look": split_list(world.STAND_LOOKS),
    "taste": split_list(things.TASTES),
    "tip": split_list(things.TIPS),
    "tool": split_list(things.TOOLS),
    "town": split_list(world.TOWN),
    "trait": split_list(people.TRAITS),
    "treat": split_list(things.TREATS),
    "voice": split_list(world.VOICES),
    "walk": split_list(world.WALKS),
    "weather": [entity[""][0] for entity in WEATHER],
}
STANDS = {group: split_list(text) for group, text in world.STANDS.items()}  # replaces `stand`, by the place


@dataclass(frozen=True)
class Slot:
    """A slot of a template, taken apart. `role` is empty for a category, `form` then names the category."""

    role: str
    form: str
    article: bool
    capital: bool


@cache
def parse_slot(key: str) -> Slot:
    """`^a/O.did` -> Slot. A final 2 (`treat2`) is the same category, drawn to differ from the word before it."""
    body = key.removeprefix("^")
    plain = body.removeprefix("a/")
    role, _, form = plain.partition(".")
    if role in ROLES:
        return Slot(role, form, body != plain, body != key)
    return Slot("", plain.removesuffix("2"), body != plain, body != key)


def inflect(slot: Slot, phrase: str) -> str:
    phrase = with_article(phrase) if slot.article else phrase
    return capital(phrase) if slot.capital else phrase


def phrases_of(key: str) -> list[str]:
    """Every phrase that may fill a category's slot (not a role's), the most frequent first. Raises KeyError."""
    if key.startswith("="):
        return key[1:].split("|")
    slot = parse_slot(key)
    return [inflect(slot, phrase) for phrase in CATEGORIES[slot.form]]


def _expand(line: str) -> list[str]:
    """One line -> templates: choices with slots multiply out, plain choices become the slot `{=one|two}`."""
    match = re.search(r"\[([^\]]*)\]", line)
    if match is None:
        return [line]
    inside = match[1]
    fillers = inside.split("|") if "{" in inside else ["{=" + inside + "}"]
    return [rest for filler in fillers for rest in _expand(line[: match.start()] + filler + line[match.end() :])]


def _read_beats() -> dict[str, list[str]]:
    beats: dict[str, list[str]] = {}
    texts = [
        value
        for module in (beats_common, beats_friends, beats_tasks)
        for name, value in vars(module).items()
        if name.isupper()
    ]
    lines: list[str] = []
    for line in "\n".join(texts).splitlines():
        if line.startswith("== "):
            lines = beats.setdefault(line[3:].strip(), [])
        elif line:
            lines.extend(_expand(line))
    return beats


BEATS = _read_beats()


def slots_of(template: str) -> list[str]:
    return re.findall(r"\{([^}]*)\}", template)


@dataclass(frozen=True)
class Plot:
    """Paragraphs of (beat, whether every story of the plot has it), and the place groups it can play in."""

    name: str
    paragraphs: tuple[tuple[tuple[str, bool], ...], ...]
    places: tuple[str, ...]


def _read_plot(name: str, text: str) -> Plot:
    paragraphs = [
        tuple((word.removesuffix("?"), not word.endswith("?")) for word in part.split()) for part in text.split("/")
    ]
    return Plot(name, tuple(paragraphs), PLOT_PLACES.get(name, tuple(PLACES)))


PLOT_LIST = [_read_plot(name, text) for name, text in PLOTS.items()]

# A sentence ends at . ! ? (and the quote that closes there), before white space and a capital or an opening quote.
_END = re.compile(r'[.!?]"?(?=\s|$)')
_START = re.compile(r'\s+(?=["A-Z]|\{(?:\^|=?[A-Z]))')


def split_sentences(text: str) -> list[str]:
    """Sentences of a text or of a template; speech stays with its speaker, and paragraphs end sentences.

    `"Oh no! Where is it?" asked Tom.` is one sentence. An unclosed quote runs to the end of its paragraph.
    """
    sentences = []
    for paragraph in text.split("\n"):
        start = quotes = counted = 0
        for match in _END.finditer(paragraph):
            quotes += paragraph.count('"', counted, match.end())
            counted = match.end()
            following = _START.match(paragraph, match.end())
            if quotes % 2 or (following is None and paragraph[match.end() :].strip()):
                continue
            sentences.append(paragraph[start : match.end()].strip())
            start = following.end() if following else len(paragraph)
        if paragraph[start:].strip():
            sentences.append(paragraph[start:].strip())
    return sentences
