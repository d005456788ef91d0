"""Sentences that every kind of story shares: openings, ways, sights, feelings, endings. Data only.

The syntax is explained in story_grammar.py: `== name` opens a beat, each line is one way to tell it.
"""

COMMON = """
== open
Once upon a time, there was {a/trait} {A.noun} named {A}.
Once there was {a/trait} {A.noun} named {A} who loved to {hobby}.
There once lived {a/trait} {A.noun} named {A}.
{A} was {a/trait} {A.noun} who lived in {a/house_look} {house} {near}.
In {a/house_look} {house} {near}, there lived {a/trait} {A.noun} named {A}.
[Long ago|Many years ago|Once upon a time], {a/trait} {A.noun} named {A} lived in {a/house_look} {house}.
There was once {a/trait} {A.noun} called {A}, who lived {near}.
Not [very |so |]long ago, {a/trait} {A.noun} named {A} lived {near}.
{^near} lived {a/trait} {A.noun} whose name was {A}.

== like
{^A.he} loved to {hobby} and to {craft}.
{^A.he} liked to {craft} [every evening|after supper|when it rained|on Sundays|in the winter].
[Every morning|Every summer|After breakfast|On holidays], {A.he} went out to {hobby}.
{A} could {craft} better than anyone in the {town}.
Everyone in the {town} knew {A.him} by {A.his} {smile}.
{A} had {a/smile} and {a/smile2}.
On most days, {A.he} was happy to {hobby} or {craft}.
{^A.his} [mother|father|brother|sister|grandmother] had taught {A.him} to {craft}.

== friend
{^A.his} best friend was {a/trait} {B.noun} named {B}.
{A} had a friend named {B}, {a/trait} {B.noun} who loved to {hobby}.
{^A.he} often played with {B}, {a/trait} {B.noun} from the same {town}.
Next door lived {B}, {a/trait} {B.noun} who liked to {craft}.
{A} and {a/trait} {B.noun} named {B} were the best of friends.

== helper
{A} often visited {C}, who could {craft}.
{^C}, who lived {near}, was always kind to {A}.
{^C} lived {near} and liked to {craft} with {A}.
When {A} needed advice, {A.he} always went to {C}.
{^A.his} dearest neighbor was {C}, who loved the smell of {smell}.

== go
One {W} {M}, {A} {walk} {L.to}.
One {W} {M}, {A} [woke up early|finished breakfast|put on a hat|packed a lunch] and {walk} {L.to}.
It was {a/W} {M}, and {A} was on the way {L.to}.
On {a/W} {M}, {A} [decided|wanted|planned] to go {L.to}.
One {M}, when {W.sky}, {A} {walk} {L.to}.
One {W} {M}, {A} was [playing|walking|sitting|resting] {L.at}.

== go_two
One {W} {M}, {A} and {B} {walk} {L.to}.
One {M}, when {W.sky}, {A} and {B} {walk} {L.to}.
On {a/W} {M}, {A} met {B} {L.at}.
It was {a/W} {M}, and {A} and {B} were playing {game} {L.at}.
One {W} {M}, {B} knocked on the door and asked {A} to come {L.to}.

== scene
{^W.sky}, and {a/creature_look} {creature} {spot} {a/stand_look} {stand}.
{^a/creature_look} {creature} {spot} {a/stand_look} {stand}.
The air smelled of {smell} and {smell2}.
[Somewhere|Far away|Nearby], {A} could hear {sound}.
{^W.sky}, and the air smelled of {smell}.
From [there|far off], {A} could see {a/house_look} {landmark}.

== way
{^A.he} passed {a/house_look} {landmark} and heard {sound}.
{^A.he} hummed {a/song} song on the way.
On the way, {A.he} ate {a/taste} {treat} and listened to {sound}.

== sad
{A} felt [very |so |quite |terribly |]{sad}.
{^A.his} eyes filled with tears, and {A.he} felt {sad}.
{A} felt {sad} and did not know what to do.
{A} sat down {spot} {a/stand_look} {stand} and began to [cry|sob|weep|sigh].
{^A.his} heart felt as heavy as {heavy}.
For a [moment|minute|while], {A} stood {spot} {a/stand_look} {stand} and felt {sad}.

== glad
{A} was so {happy} that {A.he} {joy}.
{A} was as {happy} as {simile}.
{A} felt {happy} and {happy2}, and {A.he} {joy}.
{A} smiled [from ear to ear|all over|for the rest of the day] and {joy}.
{A} {joy}, because {A.he} was so {happy}.

== glad_two
{A} and {B} were so {happy} that they {joy}.
{A} and {B} were as {happy} as {simile}.
{A} laughed, and {B} {joy}.
{B} felt {happy}, and {A} {joy}.

== snack
{A} and {B} sat {spot} {a/stand_look} {stand} and shared {a/taste} {treat}.
Then they ate {a/taste} {treat} and drank some {drink}.
To celebrate, {B} brought {a/taste} {treat} and some {drink}.
Afterward, {A} gave {B} half of {a/taste} {treat}.

== supper
{^C} gave {A} {a/taste} {treat} and a cup of {drink}.
Then {A} and {C} sat down to {a/taste} {treat} and some {drink}.
After that, {C} poured some {drink} and told {a/song} story.

== night
That night, {A} fell asleep with [a smile|a happy heart|a warm feeling|sweet dreams].
When the stars came out, {A} went home, {happy} and tired.
That evening, {A} told everyone at home about the {W} {M}.
At bedtime, {A} was {happy} and dreamed of {sound}.
When it grew dark, {A} [walked|ran|skipped] home and dreamed of {a/taste} {treat}.
And {A} never forgot that {W} {M}.
That night, {A} drank some {drink} and slept [soundly|deeply|well|peacefully] until morning.
In the evening, {A} sat by the window, listened to {sound}, and felt {happy}.
"Good night, moon," said {A}, and {A.he} was {happy}.

== night_two
When the stars came out, {A} and {B} went home, {happy} and tired.
That evening, {A} and {B} drank some {drink} and talked about the {W} {M}.
And {A} and {B} stayed friends for [many years|ever|a long time|all their lives].
As the sun went down, {A} and {B} waved goodbye and felt {happy}.
That night, {A} dreamed of {B} and {sound}.
From then on, {A} and {B} met every [day|week|Sunday|evening|summer] to {hobby}.
"I will see you tomorrow," said {B}, and {A} went home {happy}.
"Let us {hobby} tomorrow," said {A}, and {B} {joy}.
"""

LOST = """
== lost_has
{A} had {a/Q} {O} that {C} had made for {A.him}.
{^A.his} favorite thing was {a/Q} {O}.
{A} had {a/Q} {O}, and {A.he} took it everywhere.
For {A.his} birthday, {C} gave {A} {a/Q} {O}.
{A} loved {A.his} {Q} {O} more than {a/taste} {treat}.
{^C} had once given {A.him} {a/Q} {O}, and {A} loved to {O.do} it.
In {A.his} bag {A.he} carried {a/Q} {O} that {A.he} loved to {O.do}.

== lost_play
{^A.he} {O.did} the {O} until {A.he} was tired.
All {M}, {A} {O.did} the {Q} {O}.
{A} and {B} {O.did} the {O} and listened to {sound}.
There {A} put the {O} down to {hobby}.
{A} {O.did} the {O} while {B} went to {hobby}.

== lost_lose
But when it was time to go home, the {O} was gone.
[Suddenly|Then|A little later|All at once], {A} looked down, and the {O} was not there.
{A} stopped to watch {a/creature_look} {small_animal}, and when {A.he} turned around, the {O} was gone.
After {a/taste} {treat}, {A} reached for the {O}, but it was gone.
{A} closed {A.his} eyes for a [moment|minute|nap], and when {A.he} opened them, the {Q} {O} was gone.

== lost_cry
"Oh no! Where is my {O}?" cried {A}.
"My {Q} {O} is gone!" cried {A}.
"I have lost my {Q} {O}," said {A} in {a/voice} voice.
"I had the {O} {spot} {a/stand_look} {stand}, and now it is gone," said {A}.
"Who took my {Q} {O}?" asked {A} in {a/voice} voice.

== lost_help
"Do not worry," said {B}. "I will help you look for the {O}."
"We can look for it together," said {B}.
"Let us look {spot} the {stand} first," {say} {B}.
{B} [took|held|squeezed] {A.his} hand and promised to find the {O}.
"Do not cry. We will find your {Q} {O}," said {B}.

== lost_try
First, they looked {spot} {a/stand_look} {stand}, but they found only {a/junk_look} {junk}.
{A} looked {spot} {a/stand_look} {stand}, but there was only {a/junk_look} {junk}.
They asked {C}, but {C} had seen only {a/creature_look} {small_animal}.
First, {B} searched {spot} {a/stand_look} {stand} and pulled out {a/junk_look} {junk}.
They looked [slowly|carefully|quickly|quietly|patiently] {spot} every {stand}, but the {O} was not there.

== lost_again
Next, {B} crawled {spot} {a/stand_look} {stand}, but there was nothing except {a/junk_look} {junk}.
Then {A} climbed onto {a/stand_look} {stand} and saw only {a/creature_look} {small_animal}.
{A} was almost ready to give up, and {B} was {sad} too.
After that, they followed some footprints, but at the end there was only {a/creature_look} {small_animal}.
"Is this it?" asked {B}, but it was only {a/junk_look} {junk}.

== lost_find
Then {B} saw something {Q} {spot} {a/stand_look} {stand}. It was the {O}!
At last, {A} looked {spot} {a/stand_look} {stand}, and there was the {Q} {O}!
Then {a/creature_look} {small_animal} came out with the {O} and laid it {spot} {a/stand_look} {stand}.
Just then, {C} came along and said, "I found {a/Q} {O} {spot} {a/stand_look} {stand}. Is it yours?"
[Suddenly|Then|At last], {B} heard {sound}, turned around, and saw the {O} {spot} {a/stand_look} {stand}.

== lost_why
{^a/creature_look} [magpie|crow|squirrel|raccoon|puppy|goat|monkey|mouse] had carried it away because it looked so {Q}.
The wind had blown it there when no one was watching.
It had fallen out of {A.his} [bag|pocket|basket|arms] when {A.he} stopped to {hobby}.
It had rolled there while {A} was looking at {a/creature_look} {small_animal}.

== lost_thanks
"Thank you, {B}! You are a true friend," said {A}.
"I could not have found it without you, {B}," said {A}.
{A} hugged {B} and let {B.him} {O.do} the {O} too.
"You may {O.do} my {O} whenever you like," said {A} to {B}.
"We make a good team," said {A}, and {B} {joy}.

== lost_end
From that day on, {A} always kept the {O} {hiding}.
After that, {A} never left the {O} {spot} {a/stand_look} {stand} again.
At home, {A} put the {Q} {O} {hiding} and went to sleep.
{A} learned that [two pairs of eyes are better than one|a good friend is worth more than gold|\
it is good to ask for help].

"""
EARN = """
== earn_see
In the window of {a/house_look} shop, {A} saw {a/Q} {O}.
There {A.he} saw {a/Q} {O} in the window of {a/house_look} shop.
{^spot} {a/stand_look} {stand}, somebody was selling {a/Q} {O}.
A seller with {a/smile} showed {A.him} {a/Q} {O}.

== earn_wish
"I wish I could have that {Q} {O}," said {A}.
"Oh, how I would love to {O.do} {a/Q} {O}," {say} {A}.
{A} wanted to {O.do} the {Q} {O} more than anything.
{^A.he} had always dreamed of {a/Q} {O}.
"That {O} is just what I need," {say} {A} in {a/voice} voice.

== earn_cost
But it cost {R} coins, and {A} had only [one|two|three].
But the {O} cost {R} coins, and {A.his} pockets were empty.
But {A.he} had no money, and the {O} cost {R} coins.
"It costs {R} coins," said the seller, but {A} had only {a/junk_look} {junk}.

== earn_ask
So {A} went to {C} and asked for work.
{A} asked {C}, "Do you have any work for me?"
{A} told {C} about the {O} and asked how to earn {R} coins.
{^A.he} thought about it and {walk} to {C}, who always needed help.

== earn_deal
"If you {chore}, I will give you {R} coins," said {C}.
"You may {chore} and {chore2}," said {C}.
"I need someone to {chore}," said {C} with [a smile|a wink|a nod|a laugh|open arms|a bow|bright eyes|a grin].
{^C} was {happy} and asked {A.him} to {chore}.

== earn_work
First, {A} {chored}, and then {A.he} {chored2}.
All {M}, {A} {chored} and {chored2}.
{A} {chored} so [well|quickly|carefully|neatly|eagerly|cheerfully] that {C} was [surprised|amazed|very pleased|\
impressed].
{^A.he} {chored}, although {a/creature_look} {creature} {spot} {a/stand_look} {stand}.

== earn_hard
It was hard work, and {A.his} [arms|legs|back|feet|shoulders] hurt, but {A.he} did not stop.
Once, {A.he} dropped {a/junk_look} bucket and broke a jar, but {A.he} cleaned up at once.
{A} wanted to rest {spot} {a/stand_look} {stand}, but then {A.he} thought of the {Q} {O}.
{B} came by to {hobby}, but {A} said, "First I must finish my work."
When {A.he} grew tired, {A.he} sang {a/song} song and went on.

== earn_paid
At the end of the day, {C} gave {A} {R} shiny coins.
"You have worked well," said {C}, and counted {R} coins into a [bag|box|cup|purse].
In the evening, {C} paid {A} {R} coins because {A.he} had worked so [well|hard|carefully|long|bravely|eagerly].
{^C} was very {happy} and paid {A.him} {R} coins.

== earn_buy
{A} ran back to the shop and bought the {Q} {O}.
With the {R} coins, {A.he} bought the {Q} {O}.
{A} paid the seller {R} coins and carried the {O} home [proudly|carefully|happily|slowly|gladly].
Soon the {Q} {O} belonged to {A}.

== earn_use
{^A.he} {O.did} it until the sun went down.
On the way home, {A} {O.did} the {O} and {joy}.
{A} called {B}, and together they {O.did} the {O}.
{^A.he} showed it to {B}, and {B} wanted to {O.do} it too.

== earn_end
"I worked for it, so it is the best {O} in the world," said {A}.
{A} kept the {O} {hiding} and was proud of {A.his} work.
{A} learned that [good things are worth waiting for|hard work pays off|patience brings its own reward].
From then on, whenever {A} {O.did} the {O}, {A.he} thought of {C}.
"""
