"""Words for places, weather, nature and small happenings, the most frequent first; data only, written for smallm."""

# group : "preposition|noun" of places out of doors; the group names the things that stand there
PLACES = {
    "nature": """in|forest, in|meadow, on|hill, in|valley, in|woods, in|field, in|glen, on|moor, in|canyon, in|grove,
        in|jungle, in|wilderness, on|plateau, on|prairie""",
    "town": """in|park, at|market, in|garden, at|playground, in|square, in|schoolyard, at|fair, in|courtyard, in|zoo,
        at|station, in|arcade, in|plaza, at|carnival, at|fairground""",
    "water": """at|beach, by|river, by|lake, at|pond, by|stream, at|harbor, on|island, by|sea, by|waterfall, in|bay,
        by|canal, in|lagoon, at|marsh, by|creek""",
    "farm": """on|farm, in|orchard, in|barnyard, at|mill, in|vineyard, in|pasture, at|ranch, in|stable yard,
        in|cornfield, in|henyard, in|hayfield, in|pumpkin patch""",
}
STANDS = {
    "nature": """tree, bush, rock, log, stump, oak, fern, boulder, pine, hollow trunk, birch, bramble, mushroom,
        thicket, root, anthill, elm, cliff, beech, thorn bush, willow, toadstool, sapling, maple""",
    "town": """bench, wall, tree, gate, fountain, lamp post, hedge, cart, statue, swing, staircase, door, sign,
        flower bed, tent, archway, kiosk, mailbox, pillar, pavilion, seesaw, trellis, billboard, bandstand""",
    "water": """rock, boat, reed, pier, sand dune, log, bridge, net, driftwood pile, buoy, dock, palm, willow, raft,
        pool, anchor, lighthouse, cove, oar, crab trap, canoe, sea wall, rowboat, ferry""",
    "farm": """barn, haystack, fence, cart, bucket, shed, tractor, gate, apple tree, barrel, trough, hen house, plow,
        sack, stall, wagon, scarecrow, ladder, woodpile, well, beehive, silo, milk can, stable""",
}
SPOTS = "behind, near, beside, next to, close to, in front of, not far from, right beside, just behind"
STAND_LOOKS = """big, old, tall, small, mossy, crooked, round, dark, broken, green, quiet, little, gray, huge, lonely,
wide, twisted, dusty, leafy, shady, narrow, ancient, wooden, brown, low, rotten, white, rough, damp, weathered,
enormous, sunny, painted, tilted, ivy-covered"""

# weather : what the sky does
WEATHER = """sunny|the sun shone, warm|the sun was warm, windy|the wind blew, bright|the sky was blue,
cloudy|gray clouds drifted by, cool|a cool breeze blew, fine|the sky was clear, quiet|the air was still,
breezy|the leaves rustled, lovely|the light was golden, misty|mist hung over the land,
clear|there was not a cloud in the sky, mild|the air was soft, crisp|frost sparkled on the roofs,
fresh|dew lay on the grass, pleasant|a gentle breeze stirred, hazy|a haze lay over the hills, chilly|a cold wind blew,
hot|the heat shimmered, golden|the sunlight danced, frosty|ice glittered on the puddles, gusty|the wind whistled,
blustery|the branches swayed, balmy|the air was sweet, drizzly|a light rain fell, foggy|fog filled the valley"""
TIMES = """morning, day, afternoon, spring morning, autumn day, summer morning, spring day, Saturday, Sunday morning,
Monday, Friday"""

HOUSES = """house, cottage, cabin, farmhouse, hut, tower, mill, castle, cave, tent, lighthouse, inn, tree house,
hollow, windmill, caravan, manor, bungalow, houseboat"""
HOUSE_LOOKS = """small, little, cozy, quiet, old, red, tiny, white, pretty, warm, wooden, stone, blue, crooked,
lonely, bright, neat, round, sunny, yellow, peaceful, snug, narrow, tidy, charming, humble, drafty, ivy-covered"""
NEAR = """near the river, by the sea, at the edge of the forest, on a green hill, beside a lake, in the mountains,
near a mill, at the end of the road, beyond the fields, under tall trees, far from the city, behind the church,
in a deep valley, close to the harbor, next to a bakery, across the bridge, below the cliffs, among the apple trees,
by a winding path, between two hills, above the bay, beside the railway, near the old well, along the canal"""
TOWN = "village, town, valley, street, neighborhood, forest, land, kingdom, country, county, region"

CREATURES = """bee hummed, bird sang, butterfly danced, frog croaked, cricket chirped, squirrel chattered, crow cawed,
duck quacked, dog barked, cat slept, snail crawled, lizard rested, ladybug crept, dragonfly hovered, goat nibbled,
sparrow hopped, mouse squeaked, hen clucked, owl blinked, rooster crowed, moth fluttered, beetle marched,
pigeon cooed, robin whistled, rabbit dozed, swallow dipped, woodpecker tapped, spider spun, grasshopper leaped,
hedgehog snuffled, wasp buzzed, gull shrieked, turtle yawned, caterpillar wriggled, finch twittered, pony grazed"""
CREATURE_LOOKS = """small, tiny, little, brown, busy, gray, black, fat, clever, white, lazy, young, curious, old,
sleepy, fluffy, striped, plump, hungry, noisy, speckled, shy, quick, thin, drowsy, feathery, sly, ragged, tame"""
SMELLS = """fresh bread, flowers, rain, roses, pine, honey, hay, ripe apples, wet earth, lavender, wood smoke,
the sea, mint, cinnamon, clover, warm dust, lilac, moss, cut grass, lemon, cedar, seaweed, baked potatoes, jasmine"""
SOUNDS = """the wind in the leaves, a bell far away, the song of a bird, the splash of water, children at play,
the hum of bees, a dog in the distance, a cart on the road, the creak of a gate, the rustle of grass,
the whistle of a train, somebody singing, a rooster, the patter of feet, distant thunder, a flute,
the tick of a clock, the murmur of a crowd, church bells, the crackle of dry twigs, the bleating of sheep,
an axe in the woods"""
LANDMARKS = """windmill, bridge, well, church, barn, bakery, tower, stable, inn, chapel, fountain, farm, castle,
cottage, pond, school, orchard, library, blacksmith shop, hut, ruin, signpost, greenhouse, museum, shrine, lighthouse,
quarry, forge"""

# the scary place and the light that is carried into it
SCARY = """dark cave, cellar, attic, old barn, tunnel, empty house, deep well, black forest, dusty closet,
shadowy alley, abandoned mine, gloomy shed, old mill, narrow passage, crypt, haunted tower, muddy ditch,
ruined castle, basement, silent chapel, spooky hallway, hollow oak"""
NOISES = """hiss, growl, scratch, squeak, thump, rustle, creak, howl, knock, rattle, moan, whisper, clatter, groan,
crunch, snort, drip, bang, tap, grunt, scrape, flutter"""
LIGHTS = """lantern, candle, torch, lamp, flashlight, match, glowing jar of fireflies, burning branch, little fire,
night light"""

SMALL_ANIMALS = """bird, kitten, puppy, duckling, lamb, turtle, rabbit, squirrel, mouse, frog, fawn, chick, hedgehog,
butterfly, foal, owl, swan, piglet, bat, calf, crab, gosling, lizard, beetle, dove, goldfinch, seal, starling, heron,
cygnet"""
TRAPS = """a net, a hole, a thorn bush, a fence, the mud, a ditch, some string, a gate, a bucket, a hollow log,
a hedge, the reeds, a tangle of roots, an old basket, a pile of bricks, a sack, some wire, a crate, a barrel,
a gap in a wall"""
HIGH_PLACES = """tall tree, roof, oak, chimney, high branch, tower, pine, flagpole, balcony, wall, cliff, steeple,
lamp post, ledge, windmill, weather vane, apple tree, scaffold"""
STORMS = "rain, snow, hail, fog, sleet, mist"

SADS = """sad, worried, upset, unhappy, lonely, gloomy, miserable, tired, disappointed, helpless, troubled, hopeless,
anxious, heartbroken, downcast, glum, discouraged"""
HAPPIES = """happy, glad, cheerful, proud, delighted, pleased, excited, joyful, thankful, merry, thrilled, content,
relieved, grateful, overjoyed, jubilant, radiant"""
SIMILES = """a bird in spring, a king, a queen, a bee in clover, a fish in water, a puppy with a bone,
a bear with honey, a lark, a frog in the rain, a child on a holiday, a sailor on land, a cat in the sun,
a duck in a pond, a star in the sky, a kite in the wind, a clown at the circus, a pirate with gold,
a baker with warm bread"""
HEAVIES = """a stone, a sack of flour, an anchor, a wet blanket, lead, a mountain, a bag of rocks, a wagon of bricks,
iron, an old trunk, a winter coat, a full bucket"""
WALKS = """went, walked, ran, hurried, skipped, strolled, wandered, marched, hiked, set off, hopped, raced, rushed,
trotted, tiptoed, dashed, headed, rambled, jogged, scampered"""
SAYS = "said, whispered, called, cried, shouted, murmured, exclaimed, declared, announced, muttered"
VOICES = """small, shaky, sad, quiet, tiny, low, soft, trembling, weak, hoarse, gentle, tired, thin, nervous, squeaky,
faint, hushed"""
SONGS = """happy, short, silly, old, merry, quiet, funny, sweet, long, cheerful, slow, new, secret, lively, sleepy,
brave"""
HIDING = """under the bed, in a safe place, in a little box, on a high shelf, in a warm corner, close by,
by the window, in a drawer, near the fireplace, in a soft bag, beside the pillow, under a blanket,
on a hook by the door, in a trunk, inside a cupboard"""
