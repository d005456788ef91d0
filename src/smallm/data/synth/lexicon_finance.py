"""Words for the finance headlines of sentiment.py: companies, figures, events; data only, written for smallm.

The companies are invented: a name and a trade are drawn apart. METRICS say whether more of them is good; `s` or `p`
is the number of the verb. EVENTS stand in the base form, so that `will`, `will not` and `whether to` may precede them.
"""

NAMES = """Alvera, Bortek, Caldrin, Dunmore, Estwell, Farlow, Gantry, Haldis, Ivarsen, Jorvik, Keldon, Larkmoor,
Mendell, Norbeck, Ostrava, Pellworth, Quarrin, Rostell, Sundby, Tarnwick, Ulverton, Vantorp, Wexley, Yarrowby, Zelmar,
Ashgate, Brandis, Corvane, Delmare, Elsworth, Fennick, Grenholm, Hartmoor, Inverlee, Kestrin, Lindby, Marlowe, Nordhag,
Orwin, Perrault, Ravensby, Stellan, Thornley, Vardis, Westerby"""

TRADES = """Foods, Steel, Bank, Motors, Airlines, Energy, Pharma, Software, Chemicals, Retail, Insurance, Logistics,
Telecom, Paper, Shipping, Mining, Electronics, Textiles, Hotels, Media"""

METRICS_GOOD = """profit s, revenue s, sales p, orders p, earnings p, exports p, cash flow s, deliveries p,
market share s, output s, operating income s, net interest income s, bookings p, customer numbers p, margins p"""

METRICS_BAD = """debt s, costs p, losses p, loan defaults p, complaints p, late payments p, write-downs p, wage costs p,
faulty deliveries p, interest payments p, unsold stock s, cancellations p, legal costs p, unpaid bills p"""

# Not counted in dollars.
COUNTED = """deliveries, market share, output, customer numbers, margins, complaints, faulty deliveries,
cancellations, loan defaults, late payments"""

# singular, plural and base form of a verb
UP = """rises rise, climbs climb, jumps jump, grows grow, increases increase, surges surge, goes_up go_up,
doubles double, picks_up pick_up"""
DOWN = """falls fall, drops drop, shrinks shrink, declines decline, slides slide, decreases decrease, goes_down go_down,
plunges plunge, halves halve"""
STILL = """is_unchanged are_unchanged, stays_level stay_level, is_flat are_flat, remains_the_same remain_the_same,
holds_steady hold_steady, does_not_change do_not_change"""

RAISE = "raises, lifts, increases, revises upward, boosts"
CUT = "cuts, lowers, trims, revises downward, reduces"
KEEP = "keeps, confirms, repeats, leaves unchanged, reaffirms"

PERIODS = """quarterly, half-year, full-year, first-quarter, second-quarter, third-quarter, fourth-quarter, annual,
nine-month, monthly"""
DAYS = (
    "Monday, Tuesday, Wednesday, Thursday, Friday, next week, next month, in March, in May, in September, in November"
)
CITIES = """Hamburg, Oslo, Lyon, Porto, Leeds, Turin, Gdansk, Boston, Denver, Austin, Osaka, Busan, Toronto, Perth,
Durban, Lima, Santiago, Pune, Izmir, Tampere"""
PRODUCTS = """truck, engine, pump, cough syrup, vaccine, tablet computer, freezer, ferry, turbine, battery, wind farm,
payment app, heart monitor, fertilizer, sensor, harvester"""
PEOPLE = """Anna Berg, Paul Ortiz, Maria Lund, James Okoro, Lena Hoff, Peter Novak, Ines Duarte, Carl Weiss, Mei Tanaka,
Omar Haddad, Ruth Adler, Tom Barnes, Elsa Nyman, Hugo Brandt, Nina Sorel, Ivan Petrov"""
POSTS = """chief executive, finance director, head of research, chairman, head of sales, works manager, chief economist,
board member"""

EVENTS_GOOD = """win the order for the {city} metro, pay a higher dividend, pay back its debt early, hire {n} people,
get approval for its new {product}, sell its loss-making unit at a profit, join the leading index,
win back its largest customer, receive a grant of {amount}, get its credit rating raised,
buy back shares worth {amount}, return to profit this year, regain its license in {city}, keep its contract in {city},
win its case against the tax office, be taken off the watch list, reach its savings target early"""

EVENTS_BAD = """cut {n} jobs, close its plant in {city}, pay a fine of {amount}, recall its {product},
lose its largest customer, leave the leading index, write off {amount}, miss a debt payment, cancel its dividend,
halt work on its {product}, stop production in {city}, be sued over its {product}, get its credit rating cut,
ask its banks for more time, lose its license in {city}, issue a profit warning, file for insolvency"""

# Whole headlines whose tone is in the event itself; {co} opens or closes them.
TOLD_GOOD = """Investors cheer as {co} unveils its {product}; {co} shares hit a record high; Rating agency praises {co};
{co} opens the doors of a sold-out {product} factory; Court clears {co} of all charges;
{co} wins an award for its {product}; Demand for the {product} of {co} exceeds supply;
{co} finishes its {product} ahead of time and under budget; Regulator lifts its ban on the {product} of {co};
Strike at {co} ends after one day; Customers queue for the {product} of {co}; Banks compete to lend to {co}"""
TOLD_BAD = """Investors flee as {co} delays its {product}; {co} shares hit a record low; Rating agency warns of {co};
Fire destroys the {product} factory of {co}; Court finds {co} guilty of bribery;
{co} loses a lawsuit over its {product}; Demand for the {product} of {co} dries up;
{co} finishes its {product} late and over budget; Regulator bans the {product} of {co};
Strike at {co} enters its second month; Customers return the {product} of {co}; Banks refuse to lend to {co}"""
TOLD_NEUTRAL = """{co} names {person} as {post}; {co} moves its head office to {city}; {co} to publish results {day};
{co} holds its annual meeting in {city}; {co} changes the name of its {product};
{person} of {co} to speak in {city} {day};
{co} shows its {product} at the {city} fair; {co} moves its listing to {city}; Contract of {person} at {co} is extended;
{co} publishes its annual report; {co} sets the date of its shareholder meeting; {co} appoints new auditors"""
