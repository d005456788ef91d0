"""Stories of friends: a quarrel, the scary place, a rescue, a newcomer. Data only; syntax in story_grammar.py."""

QUARREL = """
== quarrel_find
{^spot} {a/stand_look} {stand}, they found {a/Q} {O}.
{A} saw {a/Q} {O} {spot} {a/stand_look} {stand}, and {B} saw it too.
{^C} gave them {a/Q} {O} to share.
There was only one {O}, and it was {Q}.
{B} had brought {a/Q} {O} from home.

== quarrel_want
"I want to {O.do} it first!" said {A}.
"It is my turn to {O.do} the {O}," said {B}.
"I saw it first, so the {O} is mine," {say} {A}.
Both of them wanted to {O.do} the {Q} {O}.
{A} wanted to {O.do} the {O}, but {B} would not let go of it.

== quarrel_pull
{A} pulled on one side, and {B} pulled on the other.
{A} [grabbed|seized|snatched] the {O}, but {B} held on [tightly|firmly|stubbornly|bravely|silently].
{B} shouted, {A} [stamped|yelled|kicked a stone|shouted back], and they both pulled at the {O}.
They pulled and pulled until {a/creature_look} {small_animal} ran away.

== quarrel_break
[Crack|Snap|Crash|Crunch|Rip]! The {Q} {O} {O.broke} in two.
Then the {O} fell {spot} {a/stand_look} {stand} and {O.broke}.
There was a loud noise, and the {O} was {O.broken}.
The {O} flew through the air, hit {a/stand_look} {stand}, and {O.broke}.

== quarrel_sorry
"Look what we have done," said {B} in {a/voice} voice.
"I am sorry, {A}. I should have shared it," said {B}.
"I am sorry, {B}. I was not very {trait}," said {A}.
{A} looked at {B}, and {B} looked at the {O.broken} {O}.
Nobody said a word, and {A} felt {sad}.

== quarrel_try
They tried to fix it with {fixer}, but the {O} fell apart again.
{B} pressed the pieces together, but they would not stay.
First, {A} tried {fixer}, but that did not hold the {O} together.
{A} had {fixer} in {A.his} pocket, but it was not enough to mend the {O}.

== quarrel_fix
So they went to {C}, who mended the {O} with {fixer} and {fixer2}.
"Use {fixer} and [a steady hand|some patience|a little care|both hands|a big knot]," said {C}, and that worked.
{^C} showed them how to fix the {O} with {fixer}.
Then {C} came with {fixer}, and they fixed the {O} [slowly|carefully|quietly|patiently|at once].

== quarrel_share
"You may {O.do} it first," said {A} to {B}.
"Let us take turns," {say} {B}, and {A} nodded [slowly|happily|quietly|gladly|shyly|politely].
{A} {O.did} the {O} until {B} had counted to [ten|twenty|fifty|one hundred], and then it was {B.his} turn.
They took turns, and each of them {O.did} the {O}.

== quarrel_end
{A} learned that [sharing is better than fighting|a toy is more fun with two|a friend matters more than a toy].
After that, {A} and {B} always shared the {Q} {O}.
From that day on, the {O} was kept {hiding} and belonged to both of them.
"I like {O.doing} it with you," said {B} to {A}.
"""

SCARY = """
== scary_fear
But {A} was afraid of the {F}.
There was only one thing that {A} feared, and that was the {F}.
Near {A.his} home there was {a/F}, and {A} never went there.
"There is a monster in the {F}," people in the {town} often said.

== scary_why
It was full of shadows, and sometimes {a/U} came out of it.
{^A.he} had once heard {a/U} there and had run all the way home.
It smelled of {smell}, and no light ever shone inside.
Whenever {A.he} passed it, {A.he} heard {a/U} and ran away.

== scary_roll
{A} and {B} {O.did} {a/Q} {O}, and it fell into the {F}.
{A} had {a/Q} {O}, and {a/creature_look} {small_animal} dragged it into the {F}.
The wind took {a/Q} {O} from {A.his} hands and blew it into the {F}.
{A} let {B} {O.do} {a/Q} {O}, but it slipped and fell into the {F}.

== scary_wish
"I want my {O} back, but I am afraid," said {A} in {a/voice} voice.
{A} wanted the {Q} {O} back, but {A.his} knees were shaking.
"How can I get my {O} out of there?" asked {A}.
{A} wished that somebody would bring back the {Q} {O}.

== scary_try
First, {A} tried to reach it with {a/tool}, but it was too far away.
{A} called into the {F}, but only {a/U} came back.
{A} took [two|three|four|five] steps, heard {a/U}, and ran back to {B}.
{B} threw {a/junk_look} {junk} inside, and there was a loud {U}.

== scary_help
"We can go in together," said {B}. "I have {a/G}."
{B} lit {a/G} and took {A.him} by the hand.
"Hold my hand, take {a/G}, and count your steps," said {B}.
Then {C} gave them {a/G} and said, "[Be brave|Go slowly|Hold it high|Stay together|Do not run|Listen first|\
Take your time]."
{B} found {a/G} and said, "Being brave means that you go on although you are afraid."

== scary_in
With the {G}, {A} {walk} into the {F}.
{A} lifted the {G}, held {A.his} breath, and went into the {F}.
Step by step, {A} and {B} went into the {F}, and something went {U}.
Inside, it smelled of {smell}, and {A.his} heart beat like a drum.

== scary_see
But it was no monster. It was only {a/creature_look} {X}!
The light fell on {a/creature_look} {X}, which had made the {U}.
There, {spot} {a/junk_look} {junk}, sat {a/creature_look} {X}.
{^a/creature_look} {X} looked up, just as frightened as {A}.

== scary_get
{A} laughed [softly|loudly|happily|merrily|gently|bravely] and picked up the {Q} {O}.
"Hello, little one," said {A}, and {A.he} gave the {X} {a/taste} {treat}.
Next to the {X} lay the {Q} {O}, and {A} picked it up.
{A} found the {O}, and {B} {joy}.

== scary_end
{A} was never afraid of the {F} again.
From that day on, {A} brought {a/taste} {treat} to the {F} every [day|week|Sunday|evening].
"The dark is not so bad when you look at it," said {A}.
{A} learned that [most monsters are small when you see them|courage grows with every step|\
a light and a friend chase fear away].
And whenever {A} {O.did} the {O}, {A.he} remembered how brave {A.he} had been.
"""

RESCUE = """
== rescue_hear
Suddenly, {A} heard {a/noise} {spot} {a/stand_look} {stand}.
There was a small {noise}, and {A} stopped to listen.
[Suddenly|Then|All at once], somebody cried for help in {a/voice} voice.
{A} wanted to {hobby}, but then {A.he} heard {a/noise}.

== rescue_find
{^a/creature_look} {X} was stuck in {K} {spot} {a/stand_look} {stand}.
{^spot} {a/stand_look} {stand}, {A} found {a/creature_look} {X} that was caught in {K}.
It was {a/creature_look} {X}, and it could not get out of {K}.
There {A.he} saw {a/creature_look} {X} in {K}, and it looked {sad}.

== rescue_wish
"Poor {X}! I will help you," said {A}.
{A} wanted to free the {X} before night came.
"I must get it out," {say} {A}, "or it will be cold and [lonely|sad|hungry|afraid|tired]."
"Please help me," said the {X}. "My mother is waiting for me."
The {X} was shaking, and {A} wished to see it free.

== rescue_try
{A} pulled [hard|gently|bravely|again and again|with both hands], but the {X} was stuck too tightly.
First, {A.he} tried with {a/tool}, but it broke.
{A} pushed with both hands, but {A.he} was not strong enough.
{^A.he} offered the {X} {a/taste} {treat}, but it could not move.

== rescue_run
So {A} ran to fetch {B}, who came with {a/Y}.
{A} called {B}, who left everything and brought {a/Y}.
"Wait here. I will bring help," said {A} and ran to {B} for {a/Y}.
{B} heard the cry too and came [quickly|bravely|at once|running|silently] with {a/Y}.

== rescue_tool
"We need more than {a/Y}," said {B}.
"[Pull gently|Be careful|Do not hurry|Stay calm|Hold it steady|Help me]," said {B} and handed {A.him} the {Y}.
Together, they worked with the {Y} until the {X} could move its [head|legs|tail|feet|eyes|mouth].
{B} held the {Y}, and {A} pulled [hard|gently|steadily|bravely|with both hands].
One, two, three! They pulled with all their might.

== rescue_free
At last, the {X} was free!
With a loud {noise}, the {X} came out and was free.
The {X} wriggled, jumped, and stood free {spot} {a/stand_look} {stand}.
Soon the {X} was out, and only one leg was a little sore.

== rescue_care
{A} gave it some {drink} and {a/taste} {treat}.
{B} wrapped the {X} in a blanket, and {A} fed it {a/taste} {treat}.
They carried the {X} home and made a bed from {a/junk_look} {junk} and hay.
"Thank you," said the {X}. "I will never forget you."

== rescue_gift
The next day, the {X} came back and brought {A.him} {a/Q} {O}.
A week later, the {X} stood at the door with {a/Q} {O} for {A}.
The mother of the {X} waited {spot} {a/stand_look} {stand} and gave {A} {a/Q} {O}.
Some days later, {A} lost {a/Q} {O}, and the {X} found it for {A.him}.

== rescue_end
From that day on, the {X} came every [morning|day|evening|week] to {hobby} with {A}.
{A} learned that [even a small kindness comes back|nobody is too small to help|help makes friends].
Since then, {A} and the {X} have been friends.
And {A} put the {Q} {O} {hiding}, so that {A.he} would always remember the {X}.
"""

NEWCOMER = """
== new_alone
But {A} had no one to play {game} with.
{^A.his} family had just moved to the {town}, and {A} had no friends there yet.
But {A} was often alone and felt {sad}.
Nobody in the {town} ever asked {A} to play {game}.

== new_wish
{^A.he} wished for a friend to {hobby} with.
"I wish I had a friend," said {A} to {a/creature_look} {small_animal}.
More than anything, {A} wanted somebody to play {game} with.
"If only I had someone to {hobby} with me," {say} {A}.

== new_see
{^spot} {a/stand_look} {stand}, {A.he} saw {a/trait} {B.noun} with {a/Q} {O}.
There was {a/trait} {B.noun} who {O.did} {a/Q} {O} all alone.
{A} saw {a/trait} {B.noun} who carried {a/Q} {O} and looked for someone to play with.
There {a/trait} {B.noun} was sitting {spot} {a/stand_look} {stand} with {a/Q} {O}.

== new_shy
{A} wanted to say hello, but {A.he} was too shy and hid {spot} {a/stand_look} {stand}.
{A} took one step, turned red, and looked at {a/creature_look} {small_animal} instead.
"Hello," {A} whispered, but nobody heard {A.his} {voice} voice.
{A} opened {A.his} mouth, but no word came out.

== new_advice
{A} told {C} about it, and {C} said, "[Take a deep breath|Go up to them|Look up|Do not hurry|Be yourself|\
Smile], and then say your name."
"A friend is often just one hello away," said {C}.
At home, {C} said, "Take {a/taste} {T} with you, and share it."
"[Be brave|Be yourself|Look up|Do not hurry|Stay calm|Bring a gift], and smile," said {C}.

== new_again
The next day, {A} went back {L.to} with {a/taste} {T}.
So {A} took {a/taste} {T} and {walk} {L.to} again.
With {a/T} in {A.his} hand, {A} remembered the words of {C} and tried once more.
The next {M}, {A.he} brought {a/taste} {T} and stood {spot} the {stand}.

== new_hello
"Hello, I am {A}. Would you like some of my {T}?"
"My name is {A}. May I play too?" asked {A}.
"I like your {Q} {O}. May I {O.do} it?" asked {A}.
"Would you like to play {game} with me?" asked {A} in {a/voice} voice.

== new_yes
"Yes, please! I am {B}," said the {B.noun}.
"I am {B}, and I have no friends here either," said the {B.noun} [shyly|quietly|softly|happily|sadly|slowly].
"I was hoping that you would ask," said the {B.noun}. "My name is {B}."
The {B.noun} smiled. "I am {B}, and I love to {hobby}."

== new_play
They played {game} and {game2} until the sun went down.
{A} and {B} shared the {T} and played {game}.
First they played {game}, and then {B} taught {A} to {craft}.
{B} showed {A} how to {O.do} the {O}, and {A} taught {B.him} to {craft}.

== new_end
From that day on, {A} was never alone again.
{A} learned that [a friend begins with hello|it takes courage to ask|sharing opens every door].
Now {A} and {B} meet every [day|week|Sunday|afternoon] and play {game}.
"I am glad that you said hello," said {B}.
"""
