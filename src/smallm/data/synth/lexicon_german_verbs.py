"""German verbs with their forms, their English, and what they take; data only, written for smallm.

An entry is `infinitive [third_person participle] = english [past participle] : classes`. A verb without forms is weak;
`*` before it: perfect with sein; `|` ends a separable prefix (forms are given without it). English forms are regular
where they are not given; `_` precedes a particle that a pronoun comes before (picks him up), `+` one that stays with
its verb (looks for him). Classes are those of the nouns, or a group of GROUPS. Every English verb stands for one German
verb only.
"""

GROUPS = {
    "goods": "dish tool thing clothing reading", "eats": "food mass", "being": "person animal",
    "visible": "person animal dish tool thing clothing furniture vehicle building nature",
    "place": "building inside",
}  # fmt: skip

# with an accusative object
ACCUSATIVE = """
kaufen = buy bought : eats drink goods furniture vehicle animal; verkaufen = sell sold : eats goods furniture vehicle;
suchen = look+for : goods being vehicle; finden findet gefunden = find found : goods animal food nature; sehen sieht
gesehen = see saw seen : visible; hören = hear heard : being event; brauchen = need : goods furniture vehicle; lieben
= love : being; kennen kennt gekannt = know knew known : person; verstehen versteht verstanden = understand understood
: person abstract; vergessen vergisst vergessen = forget forgot forgotten : goods abstract; lesen liest gelesen = read
read : reading; schreiben schreibt geschrieben = write wrote written : writing; essen isst gegessen = eat ate eaten :
eats; trinken trinkt getrunken = drink drank drunk : drink; waschen wäscht gewaschen = wash : clothing vehicle dish;
tragen trägt getragen = carry : goods furniture; reparieren = repair : vehicle furniture opening; bauen = build built
: building furniture; malen = paint : nature building; zeichnen = draw drew drawn : being nature building;
fotografieren = photograph : being nature building; bewundern = admire : being nature building; besuchen = visit :
person building; treffen trifft getroffen = meet met : person; fragen = ask : person; küssen = kiss : person; umarmen
umarmt umarmt = hug : person; loben = praise : person; bestrafen = punish : person; retten = rescue : being; schützen
= protect : being; jagen = hunt : animal; fangen fängt gefangen = catch caught : animal; füttern = feed fed : animal;
streicheln = stroke : animal; beobachten = observe : being; begrüßen = greet : person; heilen = heal : person; wecken
= wake woke woken : person; halten hält gehalten = hold held : goods; nehmen nimmt genommen = take took taken : goods;
stehlen stiehlt gestohlen = steal stole stolen : goods vehicle; verlieren verliert verloren = lose lost : goods;
verstecken = hide hid hidden : goods; werfen wirft geworfen = throw threw thrown : thing; zerbrechen zerbricht
zerbrochen = break broke broken : dish; zählen = count : many; putzen = clean : furniture opening dish; bestellen =
order : eats drink; probieren = taste : eats drink; schneiden schneidet geschnitten = cut cut : food mass; teilen =
share : eats; mieten = rent : vehicle building; verlassen verlässt verlassen = leave left : place person; betreten
betritt betreten = enter : place; erreichen = reach : place upon beside; lernen = learn : learning; lösen = solve :
puzzle; erfinden erfindet erfunden = invent : invention; hassen = hate : person abstract; vermissen = miss : being;
heiraten = marry : person; besiegen = defeat : person; überraschen = surprise : person; verletzen = hurt hurt : being;
wählen = choose chose chosen : goods furniture; benutzen = use : tool furniture; steuern = steer : vehicle; ziehen
zieht gezogen = pull : vehicle furniture; schieben schiebt geschoben = push : vehicle furniture; berühren = touch :
goods; sammeln = collect : collection; bemerken = notice : being vehicle; backen backt gebacken = bake : baking;
kochen = cook : cooking; schälen = peel : peeling; pflanzen = plant : planting; gießen gießt gegossen = water :
planting; verbrennen verbrennt verbrannt = burn : reading furniture; beschädigen = damage : furniture vehicle
building; erwarten = expect : person; warnen = warn : person; trösten = comfort : person; ärgern = annoy : being;
grüßen = salute : person; bezahlen = pay paid : person; entdecken = discover : place animal upon; verfolgen = pursue :
being; besitzen besitzt besessen = own : building vehicle; leeren = empty : vessel; füllen = fill : vessel; reinigen =
polish : vehicle opening; flicken = mend : clothing; nähen = sew : clothing; bügeln = iron : clothing; erkennen
erkennt erkannt = recognize : person building
"""

# separable, with an accusative object
SEPARABLE = """
auf|machen = open : opening vessel; zu|machen = close : opening vessel; ab|schließen schließt geschlossen = lock :
opening; an|rufen ruft gerufen = call : person; ein|laden lädt geladen = invite : person; ab|holen = pick_up : person
package; mit|bringen bringt gebracht = bring_along brought : goods food person; auf|räumen = tidy_up tidied : inside;
an|ziehen zieht gezogen = put_on put : clothing; aus|ziehen zieht gezogen = take_off took taken : clothing; ein|packen
= pack : goods; aus|packen = unpack : goods; weg|werfen wirft geworfen = throw_away threw thrown : goods food;
zurück|bringen bringt gebracht = return : goods vehicle; auf|schreiben schreibt geschrieben = write_down wrote written
: abstract; ein|schalten = switch_on : machine; aus|schalten = switch_off : machine; auf|hängen = hang_up hung :
hanging; ab|waschen wäscht gewaschen = wash_up : dish; um|werfen wirft geworfen = knock_over : furniture dish;
auf|heben hebt gehoben = lift : goods; aus|trinken trinkt getrunken = drink_up drank drunk : drink; auf|essen isst
gegessen = eat_up ate eaten : eats; an|sehen sieht gesehen = look+at : being goods nature; an|probieren = try_on tried
: clothing; aus|probieren = try_out tried : tool vehicle; vor|bereiten bereitet bereitet = prepare : event; ab|reißen
reißt gerissen = tear_down tore torn : building; an|malen = color : furniture opening; aus|leihen leiht geliehen =
borrow : reading tool vehicle; weg|nehmen nimmt genommen = take_away took taken : goods; vor|stellen = introduce :
person; ab|sagen = call_off : event; aus|wählen = select : goods furniture; an|halten hält gehalten = stop : vehicle
person; ein|fangen fängt gefangen = capture : animal; nach|ahmen = imitate : being; auf|bauen = set_up set :
furniture; weg|bringen bringt gebracht = take_along took taken : furniture animal
"""

# with a dative object, a person or an animal
DATIVE = """
helfen hilft geholfen = help : being; danken = thank : person; *folgen = follow : being; vertrauen = trust : person;
gratulieren = congratulate : person; zu|hören = listen+to : person; zu|sehen sieht gesehen = watch : being; verzeihen
verzeiht verziehen = forgive forgave forgiven : person; gehorchen = obey : person; glauben = believe : person;
zu|stimmen = agree+with : person; widersprechen widerspricht widersprochen = contradict : person; drohen = threaten :
person; schaden = harm : being; zu|winken = wave+to : person; *begegnen = come+across came come : being; *nach|laufen
läuft gelaufen = run+after ran run : being; *aus|weichen weicht gewichen = avoid : being
"""

# with a dative and an accusative object; `/to`: English has `to` before the person
DITRANSITIVE = """
geben gibt gegeben = give gave given : goods eats; zeigen = show showed shown : goods furniture vehicle; schicken =
send sent : sendable; bringen bringt gebracht = bring brought : goods eats; leihen leiht geliehen = lend lent : goods
vehicle; versprechen verspricht versprochen = promise : present; erzählen = tell told : telling; erklären/to = explain
: abstract; empfehlen empfiehlt empfohlen/to = recommend : reading building eats; beschreiben beschreibt
beschrieben/to = describe : person building animal; servieren = serve : eats drink; an|bieten bietet geboten = offer :
eats drink; vor|lesen liest gelesen/to = read+aloud read : reading; zurück|geben gibt gegeben/to = give+back gave
given : goods; reichen = hand : dish tool; verraten verrät verraten/to = reveal : secret
"""

# without object
INTRANSITIVE = """
schlafen schläft geschlafen = sleep slept; lachen = laugh; weinen = cry; arbeiten = work; tanzen = dance; singen singt
gesungen = sing sang sung; *schwimmen schwimmt geschwommen = swim swam swum; spielen = play; warten = wait; träumen =
dream; sitzen sitzt gesessen = sit sat; stehen steht gestanden = stand stood; liegen liegt gelegen = lie lay lain;
wohnen = live; *bleiben bleibt geblieben = stay; rauchen = smoke; reden = talk; husten = cough; niesen = sneeze;
frieren friert gefroren = freeze froze frozen; lächeln = smile; beten = pray; schreien schreit geschrien = shout;
ein|kaufen = go+shopping went gone; *auf|stehen steht gestanden = get+up got; *auf|wachen = wake+up woke woken;
*ein|schlafen schläft geschlafen = fall+asleep fell fallen; *an|kommen kommt gekommen = arrive; *weg|gehen geht
gegangen = go+away went gone; *zurück|kommen kommt gekommen = come+back came come; *mit|kommen kommt gekommen =
come+along came come; *aus|steigen steigt gestiegen = get+off got; *ein|steigen steigt gestiegen = get+on got;
*um|ziehen zieht gezogen = move; *weg|laufen läuft gelaufen = run+away ran run; *aus|gehen geht gegangen = go+out went
gone; fern|sehen sieht gesehen = watch+television; auf|hören = stop+working; *hin|fallen fällt gefallen = fall+down
fell fallen; *vorbei|kommen kommt gekommen = come+by came come; zittern = tremble
"""

# going somewhere, all with sein
MOTION = """
*gehen geht gegangen = go went gone; *laufen läuft gelaufen = run ran run; *fahren fährt gefahren = drive drove
driven; *reiten reitet geritten = ride rode ridden; *wandern = hike; *kommen kommt gekommen = come came come; *reisen
= travel; *eilen = hurry; *kriechen kriecht gekrochen = crawl; *fliehen flieht geflohen = flee fled; *zurück|gehen
geht gegangen = go+back went gone
"""

# putting something somewhere, with two-way prepositions and the accusative
PUTTING = """
stellen = put put : dish furniture; legen = lay laid : reading clothing tool; werfen wirft geworfen = throw threw
thrown : thing; hängen = hang hung : hanging
"""

# with a preposition of its own: `verb preposition case = english`
PREPOSITIONAL = """
warten auf acc = wait+for : being vehicle; denken denkt gedacht an acc = think+of thought : being event; sprechen
spricht gesprochen mit dat = speak+with spoke spoken : person; träumen von dat = dream+of : being vehicle event;
lachen über acc = laugh+at : person abstract; spielen mit dat = play+with : being thing; tanzen mit dat = dance+with :
person; streiten streitet gestritten mit dat = quarrel+with : person; kämpfen gegen acc = fight+against fought :
person; sorgen für acc = care+for : being; fragen nach dat = ask+about : person abstract event; reden über acc =
talk+about : person event; arbeiten mit dat = work+with : person tool; suchen nach dat = search+for : goods being;
lächeln über acc = smile+at : person abstract; wohnen bei dat = live+with : person; erzählen von dat = tell+of told :
event animal; an|fangen fängt gefangen mit dat = begin+with began begun : event; auf|passen auf acc = look+after :
being; teil|nehmen nimmt genommen an dat = take+part+in took taken : event
"""

# with sich, a person
REFLEXIVE = """
waschen wäscht gewaschen = wash; verstecken = hide hid hidden; verletzen = hurt hurt; verteidigen = defend; loben =
praise; fotografieren = photograph; vor|stellen = introduce; retten = rescue; schützen = protect; trösten = comfort;
vor|bereiten bereitet bereitet = prepare; an|sehen sieht gesehen = look+at; zeichnen = draw drew drawn; bestrafen =
punish
"""

# Classes of nouns that only some verbs take: words of the lexicon.
SPECIAL = {
    "writing": "Buch Brief Gedicht Märchen Roman Postkarte Nachricht Bericht Tagebuch Wort Satz",
    "many": "Apfel Birne Kirsche Stein Münze Stern Schaf Knopf Buch Stuhl Ei Feder Muschel Fehler Baum",
    "learning": "Sprache Regel Gedicht Lied Wort Satz",
    "puzzle": "Problem Aufgabe Rätsel",
    "invention": "Spiel Geschichte Sprache Wort Witz Rätsel Computer Märchen Lied",
    "collection": "Stein Münze Feder Muschel Pilz Nuss Briefmarke Knopf Blatt Postkarte Witz",
    "baking": "Brot Kuchen Pizza Brötchen Keks Brezel Pfannkuchen",
    "cooking": "Suppe Ei Kartoffel Reis Fleisch Wurst",
    "peeling": "Apfel Orange Kartoffel Banane Karotte Zwiebel Gurke Pfirsich Birne",
    "planting": "Baum Blume Rose Busch Tulpe Eiche",
    "vessel": "Kiste Flasche Tasche Koffer Korb Eimer Rucksack Truhe Paket Topf Krug Schublade",
    "package": "Paket Koffer Brief Geschenk Rucksack",
    "machine": "Lampe Computer Waschmaschine Kamera Ofen",
    "hanging": "Bild Mantel Lampe Jacke Hut Spiegel Fahne Handtuch",
    "present": "Ring Geschenk Buch Puppe Krone Kleid Fahrrad",
    "sendable": "Brief Paket Postkarte Geschenk Buch Foto Nachricht Rechnung Blume",
    "telling": "Geschichte Märchen Witz Geheimnis Traum",
    "secret": "Geheimnis Plan Grund Lösung Antwort Idee",
}
