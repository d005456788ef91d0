"""Wordings of contract clauses by type, for clauses.py; data only, written for smallm. No legal advice.

`== type` opens a type, each line is one clause; a line that begins with `*` is kept for tests. {A} and {B} are the
parties, {things} what is supplied, the other slots are drawn from the lists at the end; [x|y] is one of these.
Clauses name the subjects of other types on purpose, so that no single word decides.
"""

CLAUSES = """
== governing law
This Agreement [shall be|is] governed by [and construed in accordance with ]the laws of {state}.
The laws of {state} [apply|shall apply] to this Agreement, [excluding its rules on conflict of laws|to the exclusion \
of all other laws|including its termination and any indemnity under it].
*[Any dispute about|Every question concerning] the validity, performance or termination of this Agreement is decided \
under the law of {state}.
{A} and {B} choose the law of {state} for this Agreement [and for all orders and payments made under it|and every \
warranty given in it].
This Agreement shall be [interpreted|construed] under the laws of {state}, [whatever the place of performance|even \
where {B} assigns it|without regard to where payment is made].
The rights and duties of the parties, [confidentiality|warranty|liability] included, are subject to the substantive \
law of {state}.
For this contract [only |]the law of {state} is decisive; the United Nations Convention on Contracts for the \
International Sale of Goods does not apply.
The courts of {city} shall apply the law of {state} to [every|any] claim under this Agreement[, insurance claims \
included|, claims for payment included|].

== termination
Either party may terminate this Agreement [at any time |]by giving {days} written notice[ to the other|].
{A} may end this Agreement [at once|with immediate effect] if {B} [fails to pay|becomes insolvent|breaches its duty of \
confidentiality|loses its insurance][ and does not cure the breach within {days}|].
This Agreement may be terminated by {A} on {days} notice if {B} [assigns it without consent|breaks a warranty|does not \
pay an invoice].
If a [material |]breach is not remedied within {days}, the other party may cancel this Agreement[ by notice in \
writing|].
{B} may withdraw from this Agreement [within {days} after signature|before delivery of the {things}|at the end of \
each calendar year].
On expiry or termination {B} shall [return the {things}|stop using the {things}|pay all fees that are due].
*This Agreement ends automatically when [the {things} have been delivered|{A} is dissolved|an event of force majeure \
lasts more than {days}].
Neither party may end this Agreement before {date}[, save for good cause|, except where the other becomes insolvent].
Notice [of termination |]shall be given {days} before the end of the term; otherwise the term is extended by one year.

== confidentiality
{B} shall keep [secret|confidential] all information that it receives from {A}[ under this Agreement|].
Neither party shall disclose [the terms of this Agreement|the prices and payment terms|the other's trade secrets] to \
[anyone|any third party] without [prior |]written consent.
The receiving party shall use Confidential Information only [to perform this Agreement|for the delivery of the \
{things}] and shall [return|destroy] it [on termination|within {days} of a request].
{B} shall not reveal to [others|competitors|the public] what it learns about the {things}[, even after this Agreement \
has been terminated|, unless a court under the governing law orders it|].
The duty of secrecy [survives termination for {years}|lasts for {years} after the last payment|binds every assignee \
for {years}].
Information is not confidential where it [was known before|is public|was received from a third party without breach].
Employees of {B} may see the documents of {A} only if they have [signed a promise of secrecy|a need to know them].
*Each party shall protect the other's [data|know-how|plans] from disclosure with the care that it takes of its own[, \
but not less than reasonable care|].

== assignment
Neither party may assign this Agreement [or any part of it |]without the [prior |]written consent of the other.
{A} may transfer its rights under this Agreement, [claims for payment|claims under a warranty|claims to an \
indemnity] included, to an affiliate.
{B} shall not [transfer|delegate] its obligations, [confidentiality|insurance|payment] among them, to a third party.
Any attempt to assign this Agreement without consent [is void|has no effect|entitles {A} to terminate it].
This Agreement binds the successors and permitted assigns of [the parties|{A} and {B}].
{A} may sell its claims for payment to a bank; [{B} agrees to this transfer|no consent of {B} is needed].
If {B} is sold, this Agreement passes to its new owner only [with the consent of {A}|after {days} notice].
*The rights of {B} are personal and cannot be [passed on|handed over|made over] to [others|another company].

== limitation of liability
The total liability of {A} [under|arising from] this Agreement shall not exceed [{amount}|the fees paid in the last \
twelve months|the price of the {things}].
In no event is {A} liable for [lost profits|indirect damages|loss of data], [even if it was told of them|whatever the \
cause|whether in contract or tort].
Neither party shall be liable for [consequential|indirect|punitive] damages[, except for breach of confidentiality|, \
save under the indemnity above|].
Claims for damages against {A} are limited to {amount} [for each event|a year|in all][, warranty claims included|, \
insurance payments included|].
{A} is liable without limit only for [intent and gross negligence|death and injury|fraud].
*{B} waives all claims against {A} above [{amount}|the sum of the payments made under this Agreement].
The liability of {A} for delay is capped at {percent} of the price of the {things}[, force majeure excepted|].
{A} does not answer for damage that {B} could have [avoided|insured|prevented][ at reasonable cost|].

== payment
{B} shall pay [each|every] invoice within {days} of [receipt|its date|delivery].
The price of the {things} is {amount}, [due in advance|due within {days}|payable in two equal parts].
Late payments bear interest at {percent} a year[, without notice|, in addition to the right to terminate|].
{B} shall pay {A} a fee of {amount} [a month|a year|for each order][, taxes excluded|, insurance included|].
All sums are payable [in full|without deduction] to the account that {A} names[ in its invoice|].
{A} sends an invoice [at the end of each month|after delivery|on acceptance]; {B} settles it within {days}.
{B} may not set off its claims, [warranty claims|claims to an indemnity|claims for damages] included, against an \
invoice of {A}.
Fees that fall due before termination remain [payable|owed][ within {days}|].
*{A} may raise its prices by at most {percent} a year, with {days} written notice.

== warranty
{A} warrants that the {things} [are free from defects|conform to the specification|are fit for their purpose] for \
{years} after delivery.
{A} shall repair or replace [defective {things}|{things} that do not conform] [free of charge|at its own cost] within \
{days}.
Each party represents that it has the power to [sign|perform] this Agreement[ and to keep it confidential|].
The {things} are provided as they are; {A} gives no [warranty|promise] of [fitness|quality|freedom from error].
{A} represents [and warrants |]that the {things} do not infringe [patents|copyrights|the rights of others].
If the {things} fail within {years} of [delivery|payment], {A} shall [make them good|put them right|supply new ones].
*The warranty lapses if {B} [changes the {things}|does not pay for the {things}|sells the {things} to another].
{A} guarantees that its staff are [trained|qualified] and that its work is done with [skill|care].

== indemnity
{A} shall indemnify [and hold harmless |]{B} against [all claims|any loss|all costs] arising from [its negligence|a \
breach of warranty|a breach of confidentiality|the use of the {things}].
{B} shall defend {A} against claims of third parties [that the {things} infringe their rights|caused by its staff|\
over payments that it owes].
{A} shall make good to {B} every loss that [a third party|the breach of this Agreement|a defect of the {things}] \
causes.
If {B} is sued over the {things}, {A} shall [take over the defence|bear the costs of the case|pay what the court \
awards].
The indemnified party shall give [prompt |]notice of the claim and [leave the defence to|help] the other.
{B} shall hold {A} harmless from [fines|taxes|claims of its employees], [limits of liability notwithstanding|even \
after termination|insurance or not].
*{A} shall reimburse {B} for [damages|legal fees|settlements] that {B} must pay to third parties because of the \
{things}.
The duty to indemnify does not apply where {B} [caused the loss|settled the claim without consent|hid the claim].

== force majeure
Neither party is [liable|responsible] for delay caused by [fire, flood or war|strikes or riots|acts of God][ beyond \
its control|].
If {event} prevents {A} from delivering the {things}, its duty to deliver is suspended[ for as long as it lasts|].
{A} is excused from performance while {event} lasts; [payments|the duty of confidentiality|insurance duties] are not \
affected.
A party that is prevented by {event} shall [inform|notify] the other within {days} and [resume work|perform] as soon \
as it can.
Events that no party could foresee or avoid, such as {event}, [extend all time limits|release both from their duties|\
are not a breach of this Agreement].
{A} does not answer for a failure to perform that is due to {event}.
Where {event} lasts longer than {days}, [either party may terminate|{B} may cancel its orders].
*Time lost through {event} is added to the time for delivery of the {things}[, and no warranty claim arises from it|].

== entire agreement
This Agreement is the [entire|whole|complete] agreement between the parties [and replaces all earlier ones|on its \
subject].
This document supersedes all [prior|earlier] [promises|talks|letters|warranties] about the {things}.
There are no [oral|other] agreements between {A} and {B} beside this one[, not on payment \
either|, warranties included|].
Neither party has relied on a [statement|promise|warranty] about the {things} that is not set out in this Agreement.
Changes to this Agreement need [a writing signed by both parties|the written form]; this also holds for this clause.
The annexes [on payment|on insurance|on confidentiality] are part of this Agreement; {A} and {B} have agreed nothing \
else[ about the {things}|].
All understandings that the parties had before {date} [are merged into|are replaced by] this Agreement.
*No [letter|brochure|e-mail] of {A} adds to or changes what is written here[, the limits of liability included|].

== insurance
{B} shall maintain [liability|property|transport] insurance of at least {amount} [during the term|at its own cost].
{A} shall insure the {things} against [theft|fire|loss in transit] [until delivery|until payment].
Before work begins, {B} shall [give|show] {A} a certificate of its policy[ naming {A} as an additional insured|].
The policy shall [not be cancelled without {days} notice|be renewed each year|cover claims made after termination].
{B} shall carry cover for [injury to its workers|damage to the {things}|breach of confidentiality] of {amount} for \
each event.
*If {B} lets its cover lapse, {A} may [buy cover at the expense of {B}|add the premium to its next invoice].
All premiums are paid by {B}; [a lapse of the policy is a breach|the insurer shall waive recourse against {A}].
{B} insures itself against its liability under [this Agreement|the indemnity above] for at least {amount}.

== audit
{A} may [inspect|examine] the books [and records |]of {B} [once a year|on {days} notice|during business hours].
{B} shall keep [accurate |]records of all {things} [sold|used|delivered] for {years}[ after termination|].
An [independent |]accountant may verify the payments of {B}; [the result is confidential|{B} bears the cost of an \
error above {percent}].
{B} shall give auditors of {A} access to its [premises|systems|staff] [at reasonable times|within {days}].
If a review shows that {B} has paid too little, {B} shall bear [the cost of the review|the cost of the inspection].
*{A} may check whether {B} keeps to [its duty of confidentiality|the insurance duties|this Agreement] by visits to its \
offices.
{B} shall [answer|produce documents for] every review by {A} within {days}[, at no charge|].
The right to inspect the records ends {years} after [the last payment|termination|delivery].
"""

# One pair a clause; the first supplies, the second pays, but either may stand anywhere in a clause.
PARTIES = """Supplier|Customer, Licensor|Licensee, Seller|Buyer, Contractor|Client, Consultant|Company,
Manufacturer|Distributor, Service Provider|Customer, Vendor|Purchaser, Publisher|Reseller, Agency|Principal"""
THINGS = """Products, Services, Programs, Deliverables, Goods, Materials, Licensed Works, Components, Machines,
Reports, Devices, Spare Parts"""
STATES = """Germany, France, Austria, Switzerland, England and Wales, Scotland, Ireland, the Netherlands, Denmark,
Sweden, the State of New York, the State of Delaware, the State of California, the State of Texas, Ontario, Singapore,
New South Wales, Norway, Japan, Spain"""
CITIES = (
    "Berlin, Paris, Vienna, Zurich, London, Dublin, Oslo, New York, Boston, Toronto, Singapore, Sydney, Tokyo, Madrid"
)
DAYS = """ten days, fourteen days, thirty days, sixty days, ninety days, 10 days, 14 days, 30 days, 45 days, 60 days,
90 days, four weeks, two weeks, one month, two months, three months, six months, 120 days"""
YEARS = (
    "one year, two years, three years, five years, ten years, 12 months, 24 months, 18 months, 36 months, seven years"
)
AMOUNTS = """10,000 euros; 25,000 euros; 50,000 euros; 100,000 euros; one million euros; $10,000; $50,000; $250,000;
$500,000; $1,000,000; two million dollars; 75,000 pounds; 300,000 pounds; $2,500"""
PERCENTS = "two percent, three percent, five percent, 8 percent, ten percent, 12 percent, 15 percent, 1.5 percent"
DATES = "1 January 2027, 31 March 2027, 30 June 2028, 31 December 2026, 1 July 2029, 30 September 2027"
EVENTS = """a flood, a fire, an earthquake, a war, a strike, an epidemic, a storm, an embargo, a failure of the power
grid, a volcanic eruption, a civil war, a blockade of the ports, an act of God, an act of terror"""

# Before half of the clauses; the other type is any but the clause's own.
LEADS = """Subject to the clause on {other}; Without prejudice to the clause on {other};
In addition to the clause on {other}; Notwithstanding the clause on {other};
As an exception to the clause on {other}; Beside what the clause on {other} says"""
