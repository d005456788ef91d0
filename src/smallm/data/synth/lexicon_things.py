"""Words for objects, food, tools, work and skills, the most frequent first; data only, written for smallm."""

# verb (base | past | ing form) : the objects that one does this with; "it" or the noun follows the verb.
# Few verbs and few objects on purpose: "wore the ball" was the commonest fault of a model of 4M parameters.
OBJECTS = {
    "fly|flew|flying": "kite, glider, balloon, rocket",
    "ride|rode|riding": "bicycle, scooter, sled, tricycle",
    "play|played|playing": "drum, flute, guitar, trumpet, fiddle, harp",
    "wear|wore|wearing": "hat, scarf, crown, cap, ring, cape, coat, mask, necklace, sweater, helmet, bracelet",
    "read|read|reading": "book, map, letter, comic",
    "hug|hugged|hugging": "doll, pillow, blanket, puppet, quilt",
    "roll|rolled|rolling": "ball, hoop, marble, barrel",
    "spin|spun|spinning": "top, pinwheel, wheel, yo-yo",
    "sail|sailed|sailing": "boat, ship, raft",
    "ring|rang|ringing": "bell, gong",
    "push|pushed|pushing": "truck, cart, train, wagon",
    "carry|carried|carrying": "lantern, basket, umbrella, box, bag, flag, bucket, purse, jar, banner",
    "admire|admired|admiring": """shell, stone, feather, mirror, crystal, coin, statue, vase, pearl, painting, locket,
        thimble""",
}

QUALITIES = """red, blue, yellow, little, green, shiny, golden, new, big, purple, silver, orange, old, striped, tiny,
pink, white, pretty, spotted, brown, lovely, black, beautiful, strange, colorful, gray, special, sparkling, fancy,
odd, violet, scarlet, plain, turquoise, checkered, unusual, ivory, amber, crimson, elegant, handsome, curious,
enormous, indigo, dotted, pale, polished, rosy, antique"""

TREATS = """apple, plum, cookie, pear, bun, muffin, pancake, cherry, orange, peach, waffle, carrot, sandwich, biscuit,
pretzel, fig, banana, dumpling, tart, apricot, turnip, radish, cracker, walnut, melon, donut, mango, lemon, potato,
tomato, chestnut, olive, date, onion, avocado, almond, cabbage, pumpkin, cupcake, mushroom"""

DISHES = """cake, pie, soup, stew, pudding, pizza, salad, loaf, omelet, casserole, trifle, roast, chowder, lasagna,
curry, strudel, custard, broth, cheesecake, quiche, pastry, flan, honey cake, fruit salad"""

INGREDIENTS = """flour, butter, milk, salt, cream, rice, pepper, oil, corn, garlic, parsley, mint, syrup, thyme,
vinegar, nutmeg, basil, oatmeal, mustard, rosemary, jam, barley"""
MISSING = """sugar, honey, cinnamon, cheese, vanilla, yeast, cocoa, yogurt, saffron, ginger, cornmeal, molasses,
paprika, sesame"""

DRINKS = """milk, tea, cocoa, lemonade, apple juice, water, cider, cherry juice, ginger tea, berry juice, mint tea,
plum juice"""

TASTES = """sweet, warm, fresh, tasty, crunchy, ripe, juicy, big, soft, salty, small, delicious, buttery, sour, spicy,
hot, crisp, golden, sticky, toasted, creamy, sugary, plump"""

JUNK = """sock, leaf, button, spoon, boot, glove, nut, bottle, stick, cup, nail, mitten, string, ticket, snail, bone,
brush, pencil, comb, cork, rag, shoelace, hook, can, egg, pinecone, wrapper, envelope, clothespin, fork, brass key,
walnut shell"""

JUNK_LOOKS = """old, wet, broken, dirty, torn, empty, rusty, dusty, muddy, lonely, crooked, gray, small, cracked, dry,
bent, smelly, faded, ugly, forgotten, moldy, sandy, frayed, useless"""

TOOLS = """rope, ladder, long stick, net, broom, fishing rod, pole, rake, hook, plank, stepladder, clothesline,
branch, oar, walking stick, pitchfork, boat hook, crowbar, bamboo cane"""

FIXERS = """glue, string, tape, thread, wire, wax, paste, a needle, a nail, a ribbon, a hammer, paint, clay, a patch,
a bolt, a screw, yarn, cloth, leather, varnish"""

# base | past
CHORES = """sweep the floor|swept the floor, wash the windows|washed the windows, feed the hens|fed the hens,
water the plants|watered the plants, stack the wood|stacked the wood, carry the bags|carried the bags,
pick the berries|picked the berries, paint the fence|painted the fence, pull the weeds|pulled the weeds,
dry the dishes|dried the dishes, fold the towels|folded the towels, rake the leaves|raked the leaves,
brush the horse|brushed the horse, milk the cow|milked the cow, scrub the pots|scrubbed the pots,
gather the eggs|gathered the eggs, peel the potatoes|peeled the potatoes, dust the shelves|dusted the shelves,
shake the rugs|shook the rugs, clean the stable|cleaned the stable, fill the buckets|filled the buckets,
sort the buttons|sorted the buttons, mend the net|mended the net, grind the corn|ground the corn,
shell the peas|shelled the peas, deliver the letters|delivered the letters, polish the boots|polished the boots,
hang the laundry|hung the laundry, count the sacks|counted the sacks, tie the bundles|tied the bundles,
sharpen the pencils|sharpened the pencils, empty the bins|emptied the bins, trim the hedge|trimmed the hedge,
oil the hinges|oiled the hinges, churn the butter|churned the butter, shear the sheep|sheared the sheep"""

SKILLS = """skate, swim, do a cartwheel, dance, climb a rope, juggle, jump rope, ride a horse, walk on stilts,
ride a bicycle, row a boat, stand on one leg, do a handstand, dive, ski, slide on the ice, catch a ball, throw a hoop,
leap over a ditch, walk on a rope, surf, swing from a branch, hop backward, balance a plate, spin on one foot,
do a backflip, tap dance, waltz, do a somersault, run on a log, do the splits, ride a unicycle, vault over a fence,
dance on tiptoe, kick a ball into the net, carry a jug on the head, paddle a canoe"""

TIPS = """take a deep breath, go slowly, keep your back straight, look ahead and not down, start with small steps,
do not hurry, watch your step, try it with your eyes closed, count to three, hold on tight, lean forward a little,
practice every day, relax your shoulders, begin again from the start, think of something nice, stay calm,
listen to the rhythm, trust yourself, bend your knees, laugh when you make a mistake, stretch your arms,
keep your chin up, breathe out slowly"""

SEEDS = """sunflower, pumpkin, bean, tomato, rose, melon, carrot, tulip, pea, strawberry, daisy, cucumber, lavender,
corn, poppy, radish, pepper, lily, marigold, squash, onion, peony, dahlia, orchid, zinnia, raspberry, violet, iris"""

BREAKABLES = """vase, cup, plate, bowl, lamp, jug, clock, mirror, teapot, globe, flowerpot, statue, saucer, pitcher,
picture, glass, basin, candlestick, jar, music box, chair, tray, platter, snow globe, sugar bowl, lantern"""

GAMES = """tag, hide and seek, catch, hopscotch, checkers, leapfrog, marbles, cards, dominoes, follow the leader,
charades, soccer, badminton, tennis, croquet, ring toss, blind man's buff, musical chairs, Simon says, skittles"""
