"""Inflected words for the minimal pairs of agreement.py: nouns, verbs, adjectives; data only, written for smallm.

NOUNS: `singular plural`, or the singular alone where the plural takes an -s. VERBS: `base past participle`, the last
left out where it is the past; the -s and -ing forms follow english_forms.py. Words are those of the
stories where these have them.
"""

PEOPLE = """boy, girl, baker, farmer, teacher, sailor, doctor, painter, gardener, miller, tailor, singer, dancer,
neighbor, king, queen, prince, princess princesses, child children, man men, woman women, baby babies, lady ladies,
shepherd, captain, cook, nurse, friend, brother, sister, aunt, uncle, cousin, thief thieves, pirate, knight, visitor,
student, driver, hunter, fisher, clown, guest, twin, musician, weaver"""

ANIMALS = """fox foxes, rabbit, bear, squirrel, frog, duck, goat, monkey, horse, cow, pig, dog, cat, bird, owl, lamb,
mouse mice, goose geese, wolf wolves, puppy puppies, kitten, turtle, pony ponies, donkey, otter, badger, hen, crow,
swan, calf calves, butterfly butterflies, bee, lion, tiger, elephant"""

# Things that one can find, hide, draw, break ...; half of them begin with a vowel, for `a` and `an`.
THINGS = """kite, ball, drum, flute, hat, scarf scarves, crown, book, map, letter, doll, boat, bell, cart, lantern,
basket, box boxes, shell, stone, feather, mirror, coin, vase, cup, plate, lamp, clock, jar, picture, cookie, pear, bun,
cherry cherries, peach peaches, knife knives, leaf leaves, brush brushes, toy, key, shoe, glove, button, blanket,
ladder, bucket, net, apple, orange, onion, olive, egg, umbrella, oar, ornament, apron, arrow, anchor, axe axes,
armchair, envelope, acorn, album, engine, urn, icicle, opal, apricot, inkpot, eggcup, oilcan"""

# What may be done to any of the things. Base, past and participle differ as the paradigm needs.
VERBS = """find found, hide hid hidden, lose lost, bring brought, buy bought, sell sold, steal stole stolen,
take took taken, give_away gave_away given_away, see saw seen, draw drew drawn, break broke broken,
choose chose chosen, forget forgot forgotten, shake shook shaken, show showed shown, hold held, keep kept, make made,
catch caught, leave left, need needed, carry carried, drop dropped, clean cleaned, paint painted, want wanted,
touch touched, watch watched, push pushed, pull pulled, throw threw thrown, wash washed, open opened, move moved,
count counted, mend mended, share shared, borrow borrowed, admire admired, polish polished, know knew known"""

ACTIONS = """sing sang sung, dance danced, run ran run, swim swam swum, play played, sleep slept, laugh laughed,
jump jumped, walk walked, rest rested, work worked, wait waited, read read, whistle whistled, draw drew drawn,
hop hopped, cook cooked, skate skated, climb climbed, dream dreamed, hide hid hidden, drink drank drunk,
wander wandered, eat ate eaten, smile smiled, dig dug, write wrote written, weep wept, ride rode ridden,
fall fell fallen"""

FEELINGS = """happy, sad, tired, hungry, proud, glad, busy, brave, shy, angry, sleepy, lonely, quiet, kind, lazy,
cold, worried, cheerful, clever, calm, awake, late, ready, safe, afraid"""

# adjective comparative
SIZES = """big bigger, small smaller, tall taller, old older, new newer, heavy heavier, light lighter, pretty prettier,
long longer, short shorter, dark darker, bright brighter, strange stranger, clean cleaner, large larger, thin thinner,
dirty dirtier, soft softer, hard harder, cheap cheaper"""

LOOKS = """red, blue, yellow, green, shiny, golden, big, little, old, new, tiny, striped, white, black, brown,
pretty, broken, strange, silver, spotted, clean, dusty, heavy, small, lovely"""

PLACES = """in the park, at the market, by the river, in the garden, on the farm, in the forest, at the beach,
on the hill, in the kitchen, near the mill, by the lake, in the village, at the harbor, in the meadow, at the fair,
near the bridge, behind the house, in the orchard, at the pond, on the island"""

# What one does with a part of oneself, so that only the pronoun of the subject fits; `_` is the pronoun.
IDIOMS = """held _ breath, shook _ head, nodded _ head, made up _ mind, changed _ mind, lost _ way, cleared _ throat,
did _ best, kept _ promise, lost _ balance, broke _ word, took _ time, blinked _ eyes, held _ tongue,
shrugged _ shoulders, lost _ temper, gritted _ teeth, kept _ balance"""

# What one can do to oneself; `_` is the reflexive pronoun.
REFLEXIVES = """hurt _, washed _, dried _, warmed _, saw _ in the mirror, was proud of _, talked to _, hid _,
laughed at _, blamed _, dressed _, looked at _ in the water, bought _ a cake, gave _ a push, asked _ a question,
made _ a promise, told _ a story, drew a picture of _, enjoyed _, could not forgive _"""

NUMBERS = "two, three, four, five, six, seven, ten, twenty, many, eleven, several, a few"
TOWNS = "village, town, valley, island, farm, city, castle, mill, harbor, forest"
TIMES = "every day, every morning, every evening, every summer, every week, every night, on Sundays, after supper"
BEFORE = (
    "Yesterday, Last week, One day, Last night, That evening, In the morning, On Monday, At noon, Long ago, Last summer"
)
