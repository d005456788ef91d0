"""German nouns with gender, plural and their English, by what can be done with them; data only, written for smallm.

An entry is `gender singular plural english`: m, f, n; `mn` declines weakly (den Jungen); a plural `-` means that there
is none; English plurals are formed by rule or follow a slash; `_` stands for a space. Every English word stands for
one German word only, so that a sentence has one translation.
"""

NOUNS = """
== person
m Mann Männer man/men; f Frau Frauen woman/women; mn Junge Jungen boy; n Mädchen Mädchen girl; m Vater Väter father; f
Mutter Mütter mother; m Bruder Brüder brother; f Schwester Schwestern sister; m Sohn Söhne son; f Tochter Töchter
daughter; m Onkel Onkel uncle; f Tante Tanten aunt; m Großvater Großväter grandfather; f Großmutter Großmütter
grandmother; m Enkel Enkel grandson; f Enkelin Enkelinnen granddaughter; mn Neffe Neffen nephew; f Nichte Nichten
niece; m Freund Freunde friend; mn Nachbar Nachbarn neighbor; m Gast Gäste guest; m Lehrer Lehrer teacher; m Schüler
Schüler pupil; mn Student Studenten student; m Arzt Ärzte doctor; m Bäcker Bäcker baker; m Koch Köche cook; m Fahrer
Fahrer driver; mn Bauer Bauern farmer; m Gärtner Gärtner gardener; m Verkäufer Verkäufer salesman/salesmen; m Kellner
Kellner waiter; f Kellnerin Kellnerinnen waitress; m Maler Maler painter; m Schneider Schneider tailor; n Kind Kinder
child/children; m Fischer Fischer fisherman/fishermen; m Jäger Jäger hunter; m Richter Richter judge; m Anwalt Anwälte
lawyer; mn Polizist Polizisten policeman/policemen; mn Soldat Soldaten soldier; m König Könige king; f Königin
Königinnen queen; mn Prinz Prinzen prince; f Prinzessin Prinzessinnen princess; m Dieb Diebe thief/thieves; m Chef
Chefs boss; m Arbeiter Arbeiter worker; m Sänger Sänger singer; m Tänzer Tänzer dancer; m Schauspieler Schauspieler
actor; f Schauspielerin Schauspielerinnen actress; mn Tourist Touristen tourist; mn Pilot Piloten pilot; m Kapitän
Kapitäne captain; f Hexe Hexen witch; m Zauberer Zauberer wizard; mn Riese Riesen giant; m Zwerg Zwerge dwarf/dwarfs;
mn Held Helden hero/heroes; m Feind Feinde enemy; m Zwilling Zwillinge twin; mn Kollege Kollegen colleague; mn Kunde
Kunden customer; mn Patient Patienten patient; m Reporter Reporter reporter; m Dichter Dichter poet; m Bürgermeister
Bürgermeister mayor; m Briefträger Briefträger mailman/mailmen; m Zahnarzt Zahnärzte dentist; f Krankenschwester
Krankenschwestern nurse; f Dame Damen lady; f Braut Bräute bride; mn Pirat Piraten pirate; m Ritter Ritter knight

== animal
m Hund Hunde dog; f Katze Katzen cat; f Maus Mäuse mouse/mice; n Pferd Pferde horse; f Kuh Kühe cow; n Schwein
Schweine pig; n Schaf Schafe sheep/sheep; f Ziege Ziegen goat; n Huhn Hühner chicken; f Ente Enten duck; f Gans Gänse
goose/geese; m Vogel Vögel bird; m Fisch Fische fish/fish; n Kaninchen Kaninchen rabbit; mn Bär Bären bear; m Wolf
Wölfe wolf/wolves; m Fuchs Füchse fox; mn Löwe Löwen lion; m Tiger Tiger tiger; mn Elefant Elefanten elephant; mn Affe
Affen monkey; m Esel Esel donkey; m Frosch Frösche frog; f Schlange Schlangen snake; f Biene Bienen bee; m
Schmetterling Schmetterlinge butterfly; f Eule Eulen owl; m Igel Igel hedgehog; n Eichhörnchen Eichhörnchen squirrel;
m Hamster Hamster hamster; f Schildkröte Schildkröten turtle; m Schwan Schwäne swan; m Adler Adler eagle; mn Rabe
Raben raven; n Lamm Lämmer lamb; n Kamel Kamele camel; m Pinguin Pinguine penguin; f Spinne Spinnen spider; f Ameise
Ameisen ant; n Pony Ponys pony; n Reh Rehe deer/deer

== food
m Apfel Äpfel apple; f Birne Birnen pear; f Banane Bananen banana; f Orange Orangen orange; f Zitrone Zitronen lemon;
f Kirsche Kirschen cherry; f Erdbeere Erdbeeren strawberry; m Pfirsich Pfirsiche peach; f Tomate Tomaten
tomato/tomatoes; f Kartoffel Kartoffeln potato/potatoes; f Karotte Karotten carrot; f Gurke Gurken cucumber; f Zwiebel
Zwiebeln onion; m Pilz Pilze mushroom; n Ei Eier egg; n Brötchen Brötchen roll; m Kuchen Kuchen cake; m Keks Kekse
cookie; f Suppe Suppen soup; m Salat Salate salad; f Wurst Würste sausage; f Pizza Pizzas pizza; f Nuss Nüsse nut; m
Pfannkuchen Pfannkuchen pancake; f Brezel Brezeln pretzel; m Kürbis Kürbisse pumpkin; f Pflaume Pflaumen plum; f
Melone Melonen melon; f Traube Trauben grape

== mass
m Käse - cheese; n Brot - bread; m Reis - rice; m Honig - honey; f Butter - butter; n Fleisch - meat; m Schinken -
ham; f Schokolade - chocolate; n Obst - fruit; n Eis - ice_cream

== drink
n Wasser - water; f Milch - milk; m Tee - tea; m Kaffee - coffee; m Saft - juice; m Wein - wine; n Bier - beer; f
Limonade - lemonade; m Kakao - cocoa

== reading
n Buch Bücher book; m Brief Briefe letter; f Zeitung Zeitungen newspaper; n Gedicht Gedichte poem; n Märchen Märchen
fairy_tale; m Roman Romane novel; f Postkarte Postkarten postcard; f Zeitschrift Zeitschriften magazine; f Nachricht
Nachrichten message; m Bericht Berichte report; n Tagebuch Tagebücher diary; f Speisekarte Speisekarten menu; n
Wörterbuch Wörterbücher dictionary; n Rezept Rezepte recipe; f Rechnung Rechnungen bill

== clothing
m Hut Hüte hat; m Mantel Mäntel coat; f Jacke Jacken jacket; n Hemd Hemden shirt; n Kleid Kleider dress; m Rock Röcke
skirt; m Schuh Schuhe shoe; m Stiefel Stiefel boot; m Handschuh Handschuhe glove; m Schal Schals scarf/scarves; f
Mütze Mützen cap; m Pullover Pullover sweater; m Gürtel Gürtel belt; f Bluse Blusen blouse; f Krawatte Krawatten tie;
m Anzug Anzüge suit; f Socke Socken sock; f Schürze Schürzen apron

== dish
f Tasse Tassen cup; m Teller Teller plate; n Glas Gläser glass; f Flasche Flaschen bottle; f Vase Vasen vase; m Krug
Krüge jug; f Schüssel Schüsseln bowl; m Topf Töpfe pot

== tool
m Hammer Hämmer hammer; f Säge Sägen saw; m Bleistift Bleistifte pencil; m Pinsel Pinsel paintbrush; f Schaufel
Schaufeln shovel; m Besen Besen broom; f Leiter Leitern ladder; n Seil Seile rope; n Messer Messer knife/knives; f
Gabel Gabeln fork; m Löffel Löffel spoon; f Kamera Kameras camera; n Telefon Telefone telephone; m Computer Computer
computer; f Nadel Nadeln needle; f Axt Äxte axe/axes; f Pfanne Pfannen pan; m Kamm Kämme comb

== thing
m Ball Bälle ball; m Schlüssel Schlüssel key; f Lampe Lampen lamp; f Uhr Uhren clock; m Korb Körbe basket; f Tasche
Taschen bag; m Koffer Koffer suitcase; m Rucksack Rucksäcke backpack; m Regenschirm Regenschirme umbrella; n Bild
Bilder picture; n Foto Fotos photo; f Puppe Puppen doll; m Drachen Drachen kite; f Münze Münzen coin; m Ring Ringe
ring; f Kette Ketten necklace; m Stein Steine stone; f Feder Federn feather; f Muschel Muscheln shell; f Kerze Kerzen
candle; n Geschenk Geschenke present; f Landkarte Landkarten map; f Kiste Kisten box; m Eimer Eimer bucket; f Decke
Decken blanket; n Kissen Kissen pillow; m Spiegel Spiegel mirror; f Fahne Fahnen flag; f Glocke Glocken bell; n Paket
Pakete package; f Krone Kronen crown; m Knopf Knöpfe button; f Gitarre Gitarren guitar; f Geige Geigen violin; f
Trommel Trommeln drum; f Flöte Flöten flute; f Trompete Trompeten trumpet; n Handtuch Handtücher towel; f Briefmarke
Briefmarken stamp; f Fackel Fackeln torch

== furniture
m Tisch Tische table; m Stuhl Stühle chair; n Bett Betten bed; m Schrank Schränke cupboard; n Sofa Sofas sofa; n Regal
Regale shelf/shelves; f Bank Bänke bench; m Sessel Sessel armchair; m Teppich Teppiche carpet; m Ofen Öfen stove; f
Truhe Truhen chest; m Kühlschrank Kühlschränke refrigerator; f Wiege Wiegen cradle; n Klavier Klaviere piano; f
Waschmaschine Waschmaschinen washing_machine; m Schreibtisch Schreibtische desk

== opening
f Tür Türen door; n Fenster Fenster window; n Tor Tore gate; f Schublade Schubladen drawer

== vehicle
n Auto Autos car; n Fahrrad Fahrräder bicycle; m Bus Busse bus; m Zug Züge train; n Schiff Schiffe ship; n Boot Boote
boat; n Flugzeug Flugzeuge airplane; m Lastwagen Lastwagen truck; n Motorrad Motorräder motorcycle; f Straßenbahn
Straßenbahnen streetcar; m Traktor Traktoren tractor; m Roller Roller scooter; m Schlitten Schlitten sled; f Kutsche
Kutschen carriage; m Hubschrauber Hubschrauber helicopter; n Taxi Taxis taxi; f Rakete Raketen rocket

== building
n Haus Häuser house; f Schule Schulen school; f Kirche Kirchen church; n Krankenhaus Krankenhäuser hospital; n Hotel
Hotels hotel; n Restaurant Restaurants restaurant; n Museum Museen museum; n Theater Theater theater; n Kino Kinos
cinema; f Bibliothek Bibliotheken library; f Fabrik Fabriken factory; m Turm Türme tower; n Schloss Schlösser castle;
m Stall Ställe stable; f Werkstatt Werkstätten workshop; f Hütte Hütten hut; n Gefängnis Gefängnisse prison; f
Bäckerei Bäckereien bakery; m Supermarkt Supermärkte supermarket; f Apotheke Apotheken pharmacy; f Scheune Scheunen
barn; n Zelt Zelte tent; n Büro Büros office

== inside
m Garten Gärten garden; f Küche Küchen kitchen; n Zimmer Zimmer room; m Keller Keller cellar; m Wald Wälder forest; f
Stadt Städte city; n Dorf Dörfer village; m Park Parks park; n Tal Täler valley; f Höhle Höhlen cave; m Zoo Zoos zoo;
m Hafen Häfen harbor; n Badezimmer Badezimmer bathroom; n Wohnzimmer Wohnzimmer living_room; m Tunnel Tunnel tunnel; n
Schlafzimmer Schlafzimmer bedroom; m Hof Höfe yard; f Wüste Wüsten desert

== upon
m Berg Berge mountain; f Insel Inseln island; n Dach Dächer roof; f Straße Straßen street; f Brücke Brücken bridge; m
Bauernhof Bauernhöfe farm; m Balkon Balkone balcony; m Hügel Hügel hill; f Bühne Bühnen stage; m Spielplatz
Spielplätze playground

== beside
m Bahnhof Bahnhöfe station; m Strand Strände beach; m See Seen lake; m Fluss Flüsse river; f Küste Küsten coast; m
Flughafen Flughäfen airport; m Brunnen Brunnen well; m Teich Teiche pond; f Haltestelle Haltestellen stop; f Grenze
Grenzen border

== nature
m Baum Bäume tree; f Blume Blumen flower; f Rose Rosen rose; n Blatt Blätter leaf/leaves; m Ast Äste branch; m Busch
Büsche bush; f Wolke Wolken cloud; m Stern Sterne star; m Regenbogen Regenbogen rainbow; m Wasserfall Wasserfälle
waterfall; n Nest Nester nest; f Tulpe Tulpen tulip; f Eiche Eichen oak; f Wurzel Wurzeln root

== abstract
f Frage Fragen question; f Antwort Antworten answer; f Geschichte Geschichten story; n Lied Lieder song; n Problem
Probleme problem; m Plan Pläne plan; f Idee Ideen idea; n Wort Wörter word; f Regel Regeln rule; f Aufgabe Aufgaben
task; m Grund Gründe reason; n Geheimnis Geheimnisse secret; m Traum Träume dream; m Fehler Fehler mistake; n Gesetz
Gesetze law; f Sprache Sprachen language; n Spiel Spiele game; m Witz Witze joke; m Satz Sätze sentence; f Lösung
Lösungen solution; m Vorschlag Vorschläge suggestion; n Rätsel Rätsel riddle; f Zahl Zahlen number

== event
n Konzert Konzerte concert; f Feier Feiern party; f Reise Reisen journey; f Prüfung Prüfungen exam; f Pause Pausen
break; m Film Filme film; m Krieg Kriege war; m Ausflug Ausflüge trip; f Hochzeit Hochzeiten wedding; n Gespräch
Gespräche conversation; f Sitzung Sitzungen meeting; n Frühstück - breakfast; f Vorstellung Vorstellungen performance;
n Abendessen - dinner

== cause
m Regen - rain; m Schnee - snow; f Hitze - heat; m Lärm - noise; m Nebel - fog; m Sturm Stürme storm; n Gewitter
Gewitter thunderstorm; f Kälte - cold; m Streik Streiks strike; m Unfall Unfälle accident
"""
