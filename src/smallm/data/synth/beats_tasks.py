"""Stories of tasks: baking, learning, a storm, the truth, a high place, a seed. Data only; see story_grammar.py."""

BAKE = """
== bake_day
One {W} {M}, {C} had a birthday, and {A} wanted to make {a/taste} {D}.
One {W} {M}, {A} wanted to surprise {C} with {a/taste} {D}.
It was {a/W} {M}. "Tomorrow is the birthday of {C}," said {A}. "I will make {a/taste} {D}."
One {W} {M}, {C} was ill, and {A} wished to bring {C.him} {a/taste} {D}.

== bake_start
{A} took {ingredient} and {ingredient2} from the shelf.
In the kitchen, {A} found a bowl, a spoon, and some {ingredient}.
{^A.he} washed {A.his} hands and mixed {ingredient} with {ingredient2}.
{B} came to help and brought some {ingredient}.

== bake_missing
But there was no {I} left in the kitchen.
"Oh no! We have no {I}," {say} {A}.
But for the {D} {A.he} needed {I}, and the jar was empty.
Then {A} saw that {a/creature_look} {small_animal} had eaten all the {I}.

== bake_try
{A} tried to use {ingredient} instead, but the {D} tasted like {a/junk_look} {junk}.
First, {A.he} asked next door, but they had only {ingredient}.
{^A.he} went to a shop, but it was closed, and {a/creature_look} {creature} {spot} the door.
{B} looked in every drawer and found only {a/junk_look} {junk}.

== bake_get
So {A} {walk} {L.to}, where a farmer sold {I}.
At last, {A.he} met a farmer {L.at}, who had a sack of {I}.
{A} {chored} for a neighbor and got some {I} for it.
{B} knew a place {L.at} where they could buy {I}.

== bake_make
{A} stirred the {I} into the bowl, and {B} added some {ingredient}.
Then {A} put in the {I}, tasted it, and added a little {ingredient}.
With the {I}, the {D} was soon ready for the oven.
{A} stirred [slowly|quickly|patiently|carefully|happily|steadily] until the {I} and the {ingredient} were mixed.

== bake_ready
Soon the whole house smelled of {smell} and {D}.
After an hour, the {D} was [brown|hot|crisp|warm|soft|sweet|ready] and golden.
When the {D} was done, {A} put {a/taste} {treat} on top.
{A} set the {D} on the table with a cup of {drink}.

== bake_give
"Surprise!" {say} {A}, and {C} opened {C.his} eyes wide.
{A} carried the {D} to {C} so [carefully|slowly|cautiously|gently|steadily] that nothing spilled.
"This is the best {D} that I have ever eaten," said {C}.
{^C} took a bite of the {D} and {joy}.

== bake_end
{A} learned that [a gift made by hand tastes best|it is worth looking a little longer|giving is a joy].
From then on, {A} made {a/taste} {D} for every birthday.
"Next time, we will make it together," said {C}.
They ate the {D} to the last crumb and felt {happy}.
"""

LEARN = """
== learn_wish
{A} wanted to learn to {V}, but {A.he} did not know how.
There was one thing that {A} could not do. {^A.he} could not {V}.
"I wish I could {V} like {B}," {say} {A}.
{B} could {V}, and {A} wished to do it too.

== learn_first
{^A.he} tried to {V}, but it went wrong, and {a/creature_look} {small_animal} watched.
{A} tried once, and {A.he} tried twice, but {A.he} landed {spot} {a/stand_look} {stand}.
First, {A} tried all alone and bumped into {a/stand_look} {stand}.
It looked so easy, but {A} fell down and tore {A.his} [sleeve|sock|shirt|hat|scarf|collar].

== learn_laugh
Some others laughed, and {A} felt {sad}.
"I will never learn it," said {A} in {a/voice} voice.
{A} hid {spot} {a/stand_look} {stand} and wanted to give up.
{^A.his} [arms|legs|ears|cheeks|knees] hurt, and {A.he} felt {sad}.

== learn_teach
"{^tip}," said {C}. "That is how I learned to {V}."
{^C} came by and said, "{^tip}, and then {tip2}."
"Nobody can {V} on the first day," said {C}.
"I fell [ten|twenty|thirty|one hundred] times before I could {V}," said {B}.

== learn_practice
So {A} practiced every {M} {spot} {a/stand_look} {stand}.
Day after day, {A} practiced [patiently|eagerly|quietly|bravely|hard|steadily], even when it rained.
{A} said to {A.himself}, "{^tip}," and tried again.
After {a/taste} {treat} and some {drink}, {A} tried again.
{B} counted, {C} clapped, and {A} tried once more.

== learn_better
On the [second|third|fourth|fifth] day, it went a little better.
Soon {A} felt that {A.his} [arms|legs|hands|feet] knew what to do.
Once {A} almost did it, and {a/creature_look} {creature} {spot} {a/stand_look} {stand}.
Little by little, {A} grew less {sad} and more {happy}.

== learn_can
Then, one {weather} {M}, {A} could {V}!
At last, {A} could {V}, and {B} {joy}.
"Look! I can {V}!" {say} {A}.
Suddenly it worked, and {A} could {V} as well as {B}.

== learn_end
{A} learned that [practice makes perfect|falling down is part of learning|small steps lead far|\
nobody starts as a master].
The next {M}, {A} taught {a/trait} little cousin to {V}.
"I knew that you could do it," said {C}.
Now {A} loves to {V} more than to {hobby}.
"""

STORM = """
== storm_plan
One {W} {M}, {A} wanted to visit {C}, who lived {near}.
On {a/W} {M}, {A} packed {a/taste} {treat} for {C} and {walk} {L.to}.
One {M}, when {W.sky}, {A} {walk} {L.to} to see {C}.
One {W} {M}, {A} wished to bring {C} {a/Q} {O}.

== storm_come
But soon black clouds came, and then came the {S}.
Suddenly, the sky grew dark, and there was {S} on every side.
Then the {S} began, and {A} could hardly see the {stand}.
There was a loud [rumble|crash|bang|roar|boom] in the sky, and the {S} began.

== storm_lost
In the {S}, {A} lost the path.
{^A.his} [shoes|clothes|ears|sleeves|feet] were wet, and {A.he} was cold and {sad}.
"Which way should I go?" asked {A} in {a/voice} voice.
{A} turned left at {a/stand_look} {stand}, but that was the wrong way.

== storm_try
First, {A} hid {spot} {a/stand_look} {stand}, but the {S} found {A.him} there too.
{A} ran to {a/house_look} {landmark}, but the door was locked.
{A} shouted for help, but there was only {sound}.
{A} climbed onto {a/stand_look} {stand}, but {A.he} saw only {S}.

== storm_light
Then {A} saw a small light {spot} {a/stand_look} {stand}.
Through the {S}, {A.he} saw somebody with {a/light}.
Then {A} heard {sound} and followed it [slowly|quickly|bravely|nervously|eagerly].
{^a/creature_look} {small_animal} ran ahead and showed {A.him} the way.

== storm_in
In {a/house_look} {house} lived {a/trait} {B.noun} named {B}, who opened the door.
There stood {a/house_look} {house}, and {a/trait} {B.noun} named {B} opened the door.
{^a/trait} {B.noun} named {B} called, "Come in, and warm yourself by the fire."
{B}, {a/trait} {B.noun}, took {A.him} to {a/house_look} {house} and shut the door against the {S}.

== storm_warm
{B} gave {A.him} a dry blanket, {a/taste} {treat}, and some {drink}.
They sat by the fire, drank some {drink}, and played {game}.
Outside there was {S}, but inside it smelled of {smell}.
{A} told {B} about {C}, and {B} listened [quietly|patiently|eagerly|politely|calmly].

== storm_over
In the morning, the {S} was over, and there was a rainbow {spot} the {stand}.
Soon the {S} stopped, and {a/creature_look} {creature} {spot} {a/stand_look} {stand}.
When the {S} had passed, {B} showed {A} the right path.

== storm_arrive
Then {A} {walk} to {C}, who was [glad|happy|relieved|so thankful] to see {A.him}.
"I was so worried about you," said {C}, when {A} stood at the door.
At last, {A} came to {C} and gave {C.him} {a/taste} {treat}.
{A} reached the home of {C} and told {C.him} about the {S}.

== storm_end
{A} learned that [a light in the window can save a day|after every storm comes the sun|strangers can become friends].
After that, {A} put {a/light} in the window whenever there was {S}.
From that day on, {A} always looked at the sky before {A.he} went out.
"Next time, we will visit {B} together," said {C}.
"""

TRUTH = """
== truth_rule
{^C} had {a/Q} {Z} that nobody was allowed to touch.
On the table of {C} stood {a/Q} {Z}.
"Please do not run near my {Q} {Z}," {C} always said.
{^C} loved {a/Q} {Z} that had come from far away.

== truth_play
But one {W} {M}, {A} wanted to play {game} with {B} inside.
One {W} {M}, {A} had {a/quality} ball, and {A.he} threw it [happily|wildly|merrily|quickly|proudly] through the room.
One {W} {M}, {A} ran through the room like {a/creature_look} {small_animal}.
On {a/W} {M}, {A} wanted to hold the {Z}, only for a [moment|minute|second].

== truth_break
[Crash|Bang|Oops|Smash]! The {Z} fell to the floor and broke.
Then {A.he} bumped into the table, and the {Q} {Z} broke.
The {Z} slipped from {A.his} hands and broke into {R} pieces.
There was a loud [crash|bang|crack|clatter|smash], and the {Z} lay in pieces.

== truth_hide
{A} was afraid and hid the pieces {hiding}.
"Nobody must know," {say} {A}, and pushed the pieces under {a/quality} rug.
{A} tried to fix it with {fixer}, but the {Z} fell apart again.
{^A.he} ran outside and hid {spot} {a/stand_look} {stand}.

== truth_ask
In the evening, {C} asked, "Who has seen my {Q} {Z}?"
"Where is my {Z}?" asked {C}.
{^C} looked for the {Z} {hiding}, but it was not there.
"Maybe {a/creature_look} {small_animal} took it," said {A}, but {A.he} turned red.

== truth_bad
{A} could not eat {A.his} {treat}, and {A.his} stomach hurt.
{^A.his} secret felt as heavy as {heavy}.
All night, {A} heard {sound} and could not sleep.
{A} wished that {A.he} had never touched the {Z}.

== truth_advice
"You should tell the truth," said {B}. "I will come with you."
{B} said, "The truth is hard for a minute, but a lie is hard for a long time."
"[Be brave|Take a deep breath|Do not wait|Stop crying|Dry your eyes], and then tell {C}," said {B}.

== truth_tell
"I broke your {Z}, and I am sorry," said {A} in {a/voice} voice.
So {A} {walk} to {C} and told {C.him} everything.
{A} brought the pieces to {C} and said, "It was me."
"It was my fault that the {Z} broke," {A} said [softly|quietly|bravely|slowly|shyly|politely].

== truth_forgive
{^C} was quiet, and then {C.he} hugged {A}.
"Thank you for telling me the truth," said {C}.
"A {Z} can be mended, but trust is hard to mend," said {C}.
{^C} was [sad|upset|unhappy|sorry|troubled] about the {Z}, but {happy} about the truth.

== truth_fix
Together, they mended the {Z} with {fixer} and {fixer2}.
To make up for it, {A} {chored} and {chored2}.
{A} earned {R} coins and bought {a/quality} {Z} for {C}.
{A} worked all day and made {a/quality} {Z} out of clay for {C}.

== truth_end
{A} learned that [the truth makes the heart light|a lie weighs more than a stone|honest words mend many things].
From that day on, {A} played {game} outside and told the truth.
Now the {Z} stands {hiding}, and {A} walks past it [slowly|carefully|quietly|cautiously|proudly].
After that, {A} felt as light as {simile}.
"""

STUCK = """
== stuck_play
{A} wanted to {O.do} {A.his} {Q} {O}.
{A} had brought {a/Q} {O}, which {A.he} loved to {O.do}.
There {A} {O.did} {A.his} {Q} {O} and felt {happy}.
{A} and {B} {O.did} {a/Q} {O} {spot} {a/stand_look} {stand}.

== stuck_up
But the wind took the {O} and carried it up to {a/H}.
Then {a/creature_look} [crow|magpie|monkey|gull|squirrel|raven] took the {O} and dropped it on {a/H}.
{A} threw the {O} into the air, and it got stuck on {a/H}.
Suddenly, the {Q} {O} flew up and stayed on {a/H}.

== stuck_wish
"How can I get my {O} back?" asked {A}.
"It is too high for me," said {A} in {a/voice} voice.
{A} wanted the {O} back before night came.
{A} stood {spot} {a/stand_look} {stand}, looked up at the {O}, and felt {sad}.

== stuck_jump
First, {A} jumped as high as {A.he} could, but {A.he} could not reach the {O}.
First, {A} threw {a/junk_look} {junk} at it, but that got stuck too.
{A} tried to climb up, but {A.he} slid down and landed {spot} {a/stand_look} {stand}.
{A} shook it [gently|hard|wildly|patiently|with both hands], but only {a/junk_look} {junk} fell down.

== stuck_two
Then {B} stood on {A.his} shoulders, but they fell over.
Next, {B} brought {a/junk_look} chair, but it was too low.
{B} blew and blew, but the {O} did not move.
Then they asked {a/creature_look} {small_animal} for help, but it only looked at {A.his} {treat}.

== stuck_idea
Then {A} had an idea. "We can tie [a string|a hook|a spoon|some wire|a bag|a ribbon] to {a/Y}," {A.he} said.
"I have an idea," said {B}. "{^C} has {a/Y}."
Then {C} came along with {a/Y}.
"[Do not worry|Stand back|Watch out|Do not give up|Let me think]," said {C}. "Use {a/Y} and [a string|a hook|\
some wire|your head|both hands]."

== stuck_get
With the {Y}, they reached the {H}, and the {O} came down.
{B} reached up [slowly|carefully|bravely|quickly|nervously] with the {Y}, and {A} caught the {O}.
They pushed with the {Y}, and the {Q} {O} fell right into {A.his} arms.
One push with the {Y}, and the {O} slid down to {A}.

== stuck_end
From that day on, {A} {O.did} the {O} only far away from any {H}.
{A} learned that [a good idea is stronger than a high jump|together we can reach higher|there is always another way].
"Now it is your turn to {O.do} it," said {A} to {B}.
After that, {A} tied [a string|a ribbon|a rope|some yarn|a cord] to the {O}, and it never flew away again.
"""

SEED = """
== seed_get
One {W} {M}, {C} gave {A} {a/P} seed and said, "Plant it and wait."
On {a/W} {M}, {A} found {a/P} seed.
One {W} {M}, {A} bought {a/P} seed for [two|three|four] coins.
One {W} {M}, {A} wanted to have {a/P} of {A.his} own, so {C} gave {A.him} a seed.

== seed_plant
{A} dug a small hole {spot} {a/stand_look} {stand} and put the seed in.
{A} planted the seed in {a/junk_look} pot {hiding}.
{B} dug, {A} planted, and {a/creature_look} {small_animal} watched.
{A} pushed the seed into the earth and sang {a/song} song.

== seed_wait
Every {M}, {A} looked for {a/P}, but there was nothing to see.
"Why does it not grow?" asked {A} in {a/voice} voice.
One day passed, and then another, but there was only earth and {a/junk_look} {junk}.
{A} waited and waited, and {A.he} felt {sad}.

== seed_try
{A} tried to pull it up, but {C} said, "Leave it, or it will die."
{A} sang to it, danced around it, and gave it some {drink}, but it did not grow.
First, {A} gave it too much water, and then {A.he} forgot to water it.
{A} read {a/song} story to the seed, but it did not listen.

== seed_advice
"[Be patient|Do not worry|Wait a little|Do not give up|Stay calm]," said {C}. "Seeds need water, light, and time."
{^C} told {A.him} to water it every {M} and to {chore}.
"Even {a/stand_look} tree was once a seed," said {C}.
{B} said, "My {P} took [twenty|thirty|forty|fifty] days."

== seed_care
So {A} watered it every day and built a little fence against {a/creature_look} {small_animal}.
{A} watered it [carefully|patiently|gladly|gently|faithfully], and {B} {chored}.
When {a/creature_look} {small_animal} came to eat it, {A} chased it away.
Every day, {A} carried water from the {landmark} and waited [patiently|quietly|calmly|eagerly|hopefully|bravely].

== seed_grow
Then, one {weather} {M}, a tiny green leaf looked out of the earth.
One {weather} {M}, there was something green {spot} {a/junk_look} {junk}.
Then the rain came, and the {P} began to grow.
At last, the {P} grew as tall as {a/stand_look} {stand}.

== seed_bloom
Soon it was the finest {P} in the whole {town}.
Everyone from the {town} came to see the {Q} {P}.
By the end of summer, the {P} was {Q} and [tall|fresh|healthy|wonderful|strong].
{A} ran to {C} and said, "Come and see my {P}!"

== seed_share
{A} gave some of it to {C} and some to {B}.
{A} shared it with {B}, and {B} brought {a/taste} {treat}.
{A} put {a/Q} ribbon around it and gave it to {C}.
{A} sold some for {R} coins and bought {a/taste} {treat} for {B}.

== seed_end
{A} learned that [some things need time|patience makes things grow|care is the best sunshine].
{A} kept [one seed|two seeds|three seeds] {hiding} for the next spring.
"Next year, we will plant {a/seed} together," said {A} to {C}.
From then on, {A} grew {a/P} every year.
"""
