"""Words for the people and animals of the stories, the most frequent first; data only, written for smallm.

Every constant is a comma-separated string; story_grammar.py turns it into tables whose
frequencies fall with the rank, so that the tail is there but rare.
"""

BOYS = """Tom, Ben, Sam, Max, Leo, Jack, Finn, Noah, Oscar, Henry, Theo, Peter, Adam, Luke, Owen, Felix, Daniel,
Eli, Hugo, Jonas, Milo, Ravi, Omar, Paul"""

GIRLS = """Lily, Mia, Anna, Emma, Ella, Rosa, Nora, Clara, Ruby, Sara, Lucy, Maya, Ivy, Zoe, Alice, Grace, Hannah,
Julia, Molly, Nina, Olive, Polly, Rita, Sofia"""

ANIMAL_BOYS = """Pip, Bramble, Rusty, Barnaby, Whiskers, Chip, Bo, Fuzz, Acorn, Basil, Button, Copper"""

ANIMAL_GIRLS = """Daisy, Hazel, Clover, Poppy, Fern, Nutmeg, Maple, Willow, Honey, Juniper, Bluebell, Cricket"""

SPECIES = """rabbit, fox, mouse, bear, squirrel, hedgehog, badger, otter, frog, beaver, raccoon, mole, deer, duck,
goose, turtle, lamb, piglet, goat, donkey, panda, koala, monkey, penguin, lizard, hamster, elephant, pony, chipmunk,
owl, weasel, ferret, lynx, toad, possum, walrus"""

TRAITS = """kind, brave, curious, cheerful, clever, gentle, shy, playful, friendly, quiet, honest, careful, lively,
patient, funny, polite, eager, bold, dreamy, helpful, thoughtful, merry, proud, stubborn, generous, restless, silly,
sensible, energetic, adventurous, hopeful, modest, loyal, lazy, nervous, sleepy, witty, daring, imaginative, jolly,
bright, messy, talkative, hungry, calm, noisy, humble, wild, serious, tender, impatient, absent-minded"""

JOBS = """baker, farmer, gardener, teacher, shopkeeper, tailor, carpenter, miller, librarian, doctor, painter, potter,
weaver, shepherd, sailor, cook, toymaker, beekeeper, innkeeper, woodcutter, musician, grocer, cobbler, blacksmith,
barber, captain, ranger, neighbor, fisher, nurse, clockmaker, jeweler, florist, mayor, lighthouse keeper,
postal clerk"""

AUNTS = "May, Rose, Jane, Pearl, Joy, Sue, Ada, Dot, Faye, Nell"
UNCLES = "Ned, Joe, Bill, Ray, Fred, Hal, Roy, Gil, Stan, Abe"

HOBBIES = """play in the garden, run in the wind, climb trees, chase butterflies, pick flowers, jump in puddles,
collect shells, roll down hills, look at the stars, dig in the mud, watch the clouds, splash in the stream,
feed the ducks, play hide and seek, gather pinecones, swing on ropes, build forts, follow ants, count birds,
explore caves, skip stones, race the wind, catch raindrops, listen to the birds, wade in the brook, hunt for treasure,
balance on logs, search for fossils, plant seeds, hop over ditches, sleep in the shade, march like a soldier,
pretend to be a pirate, spy on beetles, wander along the shore"""

CRAFTS = """sing songs, paint pictures, tell stories, bake bread, build towers, draw maps, solve riddles,
play the piano, make paper boats, knit socks, carve wood, fold paper birds, read poems, write letters, invent games,
do puzzles, mix colors, sew dolls, mold clay, string beads, stack blocks, weave baskets, dance, whistle, tie knots,
tell jokes, polish stones, press flowers, decorate cards, sketch animals, cook soup, hum tunes, make masks,
recite rhymes"""

JOYS = """jumped up and down, clapped and sang, danced in a circle, laughed out loud, did a little dance,
shouted with joy, spun around twice, ran three times around the room, hugged everyone, threw a hat into the air,
hopped on one foot, sang at the top of the hill, could not stop smiling, turned a cartwheel, skipped all the way home,
began to giggle, cheered loudly, cried happy tears, whistled a tune, forgot to be tired"""

SMILES = """warm smile, soft voice, loud laugh, round face, big heart, quick mind, sweet voice, bright smile,
shy grin, cold nose, good memory, strong back, sharp eye, happy laugh, deep voice, long yawn, busy mind,
steady gait"""
