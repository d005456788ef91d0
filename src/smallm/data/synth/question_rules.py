"""The table of questions about a story: which beats tell the fact, how it is asked, what the answer is.

A row: `topic | beats | question | answer | near | phrase`. The answer is a role (O: the thing, B: the friend ...) or a
category of story_grammar.py (hobby, spot ...), with `a ` before it where the choices take an article. `near` names
categories whose words in the passage make wrong choices; `phrase` must stand in the sentence's template. A question
is asked only where a sentence of one of the beats stands in the passage and all that it names is known from there.
"""

from __future__ import annotations

from dataclasses import dataclass

_TABLE = """
who   | friend | Who is {B}'s friend? | A
who   | friend new_yes storm_in | What is the name of {A}'s friend? | B
who   | lost_cry lost_lose | Who lost the {O}? | A
who   | lost_help | Who promised to help {A}? | B
who   | lost_has | Who gave {A} the {O}? | C | | {C}
who   | earn_ask earn_deal | Who had work for {A}? | C | | {A}
who   | earn_see earn_wish | Who wanted to have the {O}? | A | | {A}
who   | earn_paid | Who paid {A} for the work? | C | | {C}
who   | quarrel_fix | Who knew how to mend the {O}? | C | | {C}
who   | scary_fear | Who was afraid of the {F}? | A | | {A}
who   | scary_help | Who had the {G}? | B | | {B}
who   | rescue_find rescue_wish | Who wanted to help the {X}? | A | | {A}
who   | rescue_run | Who brought the {Y}? | B | | {B}
who   | new_alone new_wish | Who wished for a friend? | A | | {A}
who   | new_advice | Who gave {A} advice? | C | | {C}
who   | bake_day | Who was the {D} for? | C | | {C}
who   | bake_day | Who wanted to make the {D}? | A | | {A} wanted
who   | learn_wish | Who wanted to learn to {V}? | A | | {A}
who   | learn_teach | Who told {A} how to {V}? | C | | said {C}
who   | storm_plan | Who did {A} want to see? | C | | {C}
who   | storm_in | Who opened the door for {A}? | B | | opened the door
who   | truth_rule | Who owned the {Z}? | C | | {C}
who   | truth_tell | Who broke the {Z}? | A | | {A}
who   | truth_advice | Who told {A} to tell the truth? | B | | {B}
who   | stuck_jump | Who tried to get the {O} down first? | A | | {A}
who   | seed_advice | Who gave {A} advice? | C | | said {C}
who   | seed_plant | Who planted the seed? | A | | {A} planted
animal | open | What kind of animal is {A}? | A.noun
trait | open | Which word tells what {A} was like? | trait | voice quality creature_look
place | open like | Where did {A} live? | near
place | go go_two | Where did {A} go? | L.to | | {walk} {L.to}
place | go_two | Where did {A} meet {B}? | L.at | | met {B} {L.at}
place | go | Where was {A} on that {M}? | L.at | | {A} was {=
place | go_two | Where were {A} and {B} playing? | L.at | | were playing
place | storm_plan | Where did {A} go? | L.to | | {walk} {L.to}
place | lost_end | Where did {A} keep the {O}? | hiding
place | quarrel_end earn_end | Where was the {O} kept? | hiding
place | truth_hide | Where did {A} hide the pieces? | hiding | | pieces {hiding}
place | stuck_up | Where was the {O} stuck? | a H
what  | open | What did {A} love to do? | hobby | | loved to {hobby}
what  | like | What could {A} do better than anyone? | craft | craft | could {craft} better
what  | like | What had {A} learned to do at home? | craft | craft | had taught
what  | friend | What did {B} love to do? | hobby | | loved to {hobby}
what  | friend | What did {B} like to do? | craft | | liked to {craft}
what  | friend | What was {B} like? | trait | | {a/trait} {B.noun}
what  | helper | What could {C} do? | craft | | could {craft}
what  | scene way | What could {A} hear? | sound | | hear {sound}
what  | scene | What did the air smell of? | smell | | smelled of
what  | scene | What could {A} see from there? | a landmark | | see {a/house_look}
what  | way | What did {A} eat on the way? | a treat
what  | lost_lose lost_cry | What did {A} lose? | a O | junk treat stand
what  | lost_find | What did they find at last? | a O | junk treat stand
what  | lost_try lost_again | What did they find instead of the {O}? | a junk | stand treat small_animal | junk}
what  | earn_see earn_wish | What did {A} wish to have? | a O | junk treat stand
many  | earn_cost | How many coins did the {O} cost? | R
many  | earn_deal earn_paid | How many coins did {A} earn? | R
what  | earn_buy | What did {A} buy? | a O | junk treat stand
what  | earn_work | What work did {A} do? | chored | | {A} {chored}
what  | quarrel_find quarrel_want | What did {A} and {B} quarrel about? | a O | junk treat stand
what  | quarrel_fix | What was used to mend the {O}? | fixer
what  | scary_fear | What was {A} afraid of? | a F | landmark stand | {A}
what  | scary_roll | What was lost in the {F}? | a O | junk tool stand
what  | scary_help scary_in | What gave them light? | a G | junk tool
what  | scary_see | What was inside the {F}? | a X | junk
what  | rescue_find rescue_wish | What animal needed help? | a X
what  | rescue_find | What was the {X} stuck in? | K | | {K}
what  | rescue_run | What did {B} bring? | a Y | junk treat | {B}
what  | rescue_gift | What did {A} get in the end? | a O | junk treat
what  | new_see | What did {B} have? | a O | junk treat stand
what  | new_advice new_again | What did {A} bring along? | a T | | {A}
what  | bake_day | What did {A} want to make? | a D | treat
what  | bake_missing | What was missing in the kitchen? | I | ingredient
what  | learn_wish | What did {A} want to learn? | V | hobby
what  | learn_can | What could {A} do at last? | V | hobby craft
what  | storm_come storm_lost storm_try | What kind of weather was it then? | S
what  | storm_in | Where did {B} live? | a house | landmark | {house}
what  | truth_rule truth_break | What was broken? | a Z | junk treat
many  | truth_break | Into how many pieces did the {Z} break? | R | | {R} pieces
what  | stuck_play stuck_up | What did {A} play with? | a O | junk treat stand
what  | stuck_idea stuck_get | What was used to reach the {O}? | a Y | junk treat stand
what  | seed_get seed_plant | Which seed did {A} plant? | a P
what  | seed_bloom | What grew in the end? | a P | junk treat
what  | snack | What did {A} and {B} eat? | a treat | | treat}
what  | snack | What did they drink? | drink
what  | supper | What did {A} drink? | drink | | {drink}
what  | night night_two | What did {A} dream of? | sound | | dreamed of {sound}
"""

# The beats that close a story, and how many times as often as a single question an ending is asked.
LAST_BEATS = frozenset({"night", "night_two"})
ENDINGS = 4


@dataclass(frozen=True)
class Rule:
    """A row of the table."""

    topic: str
    beats: frozenset[str]
    question: str
    answer: str
    article: bool
    near: tuple[str, ...]
    phrase: str


def _rule(row: str) -> Rule:
    topic, beats, question, answer, near, phrase = ([*map(str.strip, row.split("|")), "", ""])[:6]
    article = answer.startswith("a ")
    return Rule(
        topic, frozenset(beats.split()), question, answer.removeprefix("a "), article, tuple(near.split()), phrase
    )


RULES = tuple(_rule(row) for row in _TABLE.strip().splitlines())
