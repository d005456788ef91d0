"""German adjectives, adverbs, prepositions, conjunctions with their English; data only, written for smallm.

ADJECTIVES: `word comparative = english comparative : classes`; without comparatives the adjective is not
compared; `more` stands for `more ...`; the comparative is regular (-er) where it is `+`. Classes are those of the nouns
or a group of ADJECTIVE_GROUPS. An adjective that loses its e when it is inflected (teuer, teure) is in SHORTENED.
"""

ADJECTIVE_GROUPS = {
    "being": "person animal", "eats": "food mass", "object": "dish tool thing clothing furniture",
    "goods": "dish tool thing clothing furniture reading", "places": "building inside upon beside",
    "any": "dish tool thing clothing furniture reading vehicle building",
}  # fmt: skip

ADJECTIVES = """
müde + = tired more : being; krank kränker = sick sicker : being; gesund gesünder = healthy healthier : being;
glücklich + = happy happier : person; traurig + = sad sadder : being; freundlich + = friendly friendlier : person;
nett + = nice nicer : person; wütend + = angry angrier : being; klug klüger = clever more : being; dumm dümmer =
stupid more : being; faul + = lazy lazier : being; fleißig + = diligent more : person; mutig + = brave braver : being;
ängstlich + = anxious more : being; ehrlich + = honest more : person; höflich + = polite more : person; ruhig + = calm
calmer : being; neugierig + = curious more : being; stolz + = proud prouder : being; reich + = rich richer : person;
arm ärmer = poor poorer : person; stark stärker = strong stronger : being; schwach schwächer = weak weaker : being;
jung jünger = young younger : being; alt älter = old older : being any; dick + = fat fatter : being; dünn + = thin
thinner : being; schön + = beautiful more : being nature any; hässlich + = ugly uglier : being any; hungrig + = hungry
hungrier : being; durstig + = thirsty thirstier : being; nervös + = nervous more : person; berühmt + = famous more :
person; einsam + = lonely lonelier : being; geduldig + = patient more : person; lustig + = funny funnier : person;
zufrieden + = content more : person; schlau + = sly slyer : being; treu + = loyal more : being; wild + = wild wilder :
animal; zahm + = tame tamer : animal; schüchtern + = shy shyer : being; sanft + = gentle gentler : being; vorsichtig +
= careful more : person; fröhlich + = cheerful more : person; streng + = strict stricter : person; großzügig + =
generous more : person; bescheiden + = modest more : person; gefährlich + = dangerous more : animal; schnell + = fast
faster : being vehicle; langsam + = slow slower : being vehicle; laut + = loud louder : person event; böse + = evil
more : person; groß größer = big bigger : being any places nature food; klein + = small smaller : being any places
nature food; neu + = new newer : any abstract; schwer + = heavy heavier : goods; leicht + = light lighter : goods;
teuer teurer = expensive more : any; billig + = cheap cheaper : any eats drink; lang länger = long longer : reading
event; kurz kürzer = short shorter : reading event; breit + = wide wider : furniture; schmal + = narrow narrower :
furniture opening; dunkel dunkler = dark darker : inside building; hell + = bright brighter : inside; rund = round :
furniture dish; sauber + = clean cleaner : object vehicle; schmutzig + = dirty dirtier : object vehicle; kaputt =
broken : dish tool furniture vehicle; leer = empty : dish building inside; voll = full : dish vehicle; hart härter =
hard harder : eats furniture; weich + = soft softer : eats clothing; nass nässer = wet wetter : clothing animal;
trocken + = dry drier : clothing mass; rot = red : goods vehicle building; blau = blue : goods vehicle building; grün
= green : goods vehicle food; gelb = yellow : goods vehicle nature; schwarz = black : goods vehicle animal; weiß =
white : goods vehicle animal building; braun = brown : goods animal; grau = gray : goods vehicle animal; bunt =
colorful : clothing thing; modern + = modern more : building furniture vehicle; einfach + = simple simpler : abstract;
wichtig + = important more : abstract reading; wertvoll + = valuable more : goods; nützlich + = useful more : tool
abstract; seltsam + = strange stranger : person abstract thing; warm wärmer = warm warmer : clothing mass drink; kalt
kälter = cold colder : eats drink; heiß + = hot hotter : eats drink; süß + = sweet sweeter : eats drink; sauer saurer
= sour more : food drink; salzig + = salty saltier : mass; frisch + = fresh fresher : eats; reif + = ripe riper :
food; lecker + = tasty tastier : eats; rostig = rusty : tool vehicle; elegant + = elegant more : clothing person;
gemütlich + = cozy cozier : building inside furniture; schwierig + = difficult more : abstract; interessant + =
interesting more : reading abstract event; langweilig + = boring more : reading event; richtig = correct : abstract;
falsch = wrong : abstract; gut besser = good better : reading abstract event eats; schlecht schlechter = bad worse :
reading abstract event; zerrissen = torn : clothing reading; golden = golden : thing dish; hölzern = wooden : tool
dish opening; verboten = forbidden : reading; bequem + = comfortable more : clothing furniture vehicle; praktisch + =
practical more : tool clothing; sicher + = safe safer : vehicle beside; ruhmreich = glorious : person; lebendig =
lively : animal; still + = quiet quieter : inside; verlassen = deserted : building upon; offen = open : opening;
geschlossen = closed : opening
"""

SHORTENED = {"teuer": "teur", "dunkel": "dunkl", "sauer": "saur"}

# German first in the sentence, the verb second; `past` and `future` go with that tense alone.
TIMES = """
heute = today; jetzt = now : present; manchmal = sometimes; abends = in the evening; morgens = in the morning; nachts
= at night; bald = soon : future; plötzlich = suddenly; endlich = finally; vielleicht = perhaps; leider =
unfortunately; natürlich = of course; gestern = yesterday : past; morgen = tomorrow : future; später = later; zuerst =
at first; jeden Tag = every day; am Montag = on Monday; am Sonntag = on Sunday; im Sommer = in summer; im Winter = in
winter; am Nachmittag = in the afternoon; vorgestern = the day before yesterday : past; letzte Woche = last week :
past; nächste Woche = next week : future; mittags = at noon; danach = after that
"""

# after the verb in German, before it in English
OFTEN = "oft often, immer always, nie never, selten rarely, meistens usually"

# after the verb in both: how, and where, something is done
MANNERS = """schnell quickly, langsam slowly, laut loudly, leise quietly, allein alone, fröhlich cheerfully,
heimlich secretly, vorsichtig carefully, gemeinsam together"""
PLACES = "draußen outside, drinnen inside, hier here, dort there, oben upstairs, unten downstairs, zu_Hause at_home"

NUMBERS = """zwei two, drei three, vier four, fünf five, sechs six, sieben seven, acht eight, zehn ten, zwölf
twelve, viele many"""

# first, second, third person singular; plural: ich, du, er and sie (she), wir, sie (they)
MODALS = """können kann kannst kann = can; müssen muss musst muss = must; wollen will willst will = want to; dürfen
darf darfst darf = may; sollen soll sollst soll = should"""

DATIVE_PREPOSITIONS = "mit with, von from, bei near, nach after, zu to, aus out_of"
ACCUSATIVE_PREPOSITIONS = "für for, ohne without, durch through, um around, gegen against"
GENITIVE_PREPOSITIONS = "wegen because_of, trotz despite, während during"
TWO_WAY = (
    "in in, auf on, an at, unter under, hinter behind, neben next_to, vor in_front_of, über above, zwischen between"
)

CONJUNCTIONS = """weil because, obwohl although, wenn if, während while, bis until, bevor before, sobald
as_soon_as, damit so_that"""

# first, second, third person singular = English: before `dass`, before `ob`, before an infinitive with zu
THINKING = """wissen weiß weißt weiß = know; glauben glaube glaubst glaubt = believe; sagen sage sagst sagt = say;
hoffen hoffe hoffst hofft = hope; denken denke denkst denkt = think; behaupten behaupte behauptest behauptet =
claim"""
ASKING = "fragen frage fragst fragt = ask"
TRYING = """versuchen versuche versuchst versucht = try; hoffen hoffe hoffst hofft = hope; beschließen beschließe
beschließt beschließt = decide; versprechen verspreche versprichst verspricht = promise; planen plane planst plant
= plan; vergessen vergesse vergisst vergisst = forget"""

NAMES = """Anna f, Paul m, Maria f, Peter m, Lena f, Jonas m, Klara f, Felix m, Julia f, Max m, Sophie f, Lukas m,
Emma f, Leon m, Hannah f, David m, Laura f, Simon m, Nora f, Oskar m"""
