"""German laws in Markdown, read into sections, numbered paragraphs and list items.

The shape is that of the repository bundestag/gesetze: front matter (`jurabk`, `Title`, `slug`), headings such as
`### § 5 Annahme`, paragraphs `(2) …` of wrapped lines, lists `1.  …`. Lines are joined, footnotes and escapes removed;
what cannot be read as prose (tables, formulas, repealed sections) is left out, so that a text kept is the law's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from smallm.core.errors import UserError


class Paragraph(NamedTuple):
    """`number` is "2" of "(2)", or "" in a section of one paragraph; `text` is one line without that number.

    `lead` is what stands before the first list item (all of the text where there is no list); `items` are (mark, text)
    of the outermost list, `tail` what follows it: text is lead, items and tail joined by spaces.
    """

    number: str
    text: str
    lead: str = ""
    items: tuple[tuple[str, str], ...] = ()
    tail: str = ""


@dataclass(frozen=True)
class Section:
    """`number` as headings have it (`§ 5`, `Art 3`, `Art 229 § 5`), `title` may be empty."""

    number: str
    title: str
    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True)
class Law:
    """A law: the abbreviation by which it is cited, its full title, its slug, and the sections in force."""

    abbreviation: str
    title: str
    slug: str
    sections: tuple[Section, ...]


_FRONT = re.compile(r"^---[ \t]*\n(.*?)^---[ \t]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,7})\s+(.*)$")
_NUMBERED = re.compile(r"^(§|Art\.?|Artikel)\s*(\d+[a-z]{0,2})(?![\w.])[ \t]*(.*)$")
_ANNEX = re.compile(
    r"^(Anlage|Anhang|Anhänge|Muster|Schlu(ss|ß)formel|Eingangsformel|Fußnote|\[?Anlage)", re.IGNORECASE
)
_MARK = re.compile(r"^( *)(\d{1,3}[a-z]{0,2}\.|[a-z]{1,3}\)|[-–•▪])\s+(?=\S)")
_NUMBER = re.compile(r"^\((\d{1,3}[a-z]{0,2})\)\s+")
_REPEALED = re.compile(
    r"^[-–\s(\[]*(weggefallen|aufgehoben|gestrichen|gegenstandslos|unbesetzt|entfällt|frei)?[-–\s)\].]*$", re.IGNORECASE
)
# A line break after a hyphen is the hyphen's own (`1-DM-` / `Münze`), except where a part is left out (`Bau-` / `und`).
_AFTER_HANGING = re.compile(r"(und|oder|bzw\.|beziehungsweise|sowie|als|bis|noch|wie|auch|statt)\b|[^\w]")


def parse_law(markdown: str, name: str = "") -> Law:
    """The law of a Markdown file; `name` stands in for an abbreviation that the front matter lacks.

    Sections under an annex, repealed ones, and tables are left out. Raises UserError when neither gives a name.
    """
    text = markdown.replace("\r\n", "\n").replace("\u00ad", "").replace("\u00a0", " ").replace("\u202f", " ")
    found = _FRONT.search(text[:5000])
    fields = _front_matter(found[1]) if found else {}
    body = text[found.end() :] if found else text
    title = re.sub(r"[\s#]+", " ", text[: found.start()] if found else "") + " " + fields.get("Title", "")
    abbreviation = fields.get("jurabk") or name or fields.get("slug", "")
    if not abbreviation.strip():
        raise UserError(f"law `{body[:40]!r}`: no abbreviation. Its front matter needs `jurabk:`, or pass a name.")
    sections = tuple(_section(number, title, lines) for number, title, lines in _sections(body))
    return Law(abbreviation.strip(), title.strip(), fields.get("slug") or name, tuple(filter(_in_force, sections)))


def _front_matter(text: str) -> dict[str, str]:
    """`key: value` lines, indented ones continuing the value before."""
    fields: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        match = re.match(r"([A-Za-z_]+):\s*(.*)", line)
        if match:
            key = match[1]
            fields[key] = match[2].strip()
        elif key and line.startswith(" "):
            fields[key] = f"{fields[key]} {line.strip()}".strip()
    return {key: re.sub(r"^(['\"])(.*)\1$", r"\2", value).replace("''", "'") for key, value in fields.items()}


def _sections(body: str) -> list[tuple[str, str, list[str]]]:
    """(number, title, lines) of every section; a `§` under an article is named with it, annexes are passed over."""
    found: list[tuple[str, str, list[str]]] = []
    lines: list[str] | None = None
    article, article_level, annex_level = "", 0, 0
    for line in body.splitlines():
        heading = _HEADING.match(line)
        if not heading:
            if lines is not None:
                lines.append(line)
            continue
        level, words = len(heading[1]), _clean(heading[2])
        lines = None
        if annex_level and level > annex_level:
            continue
        annex_level = level if _ANNEX.match(words) else 0
        if article and level <= article_level:
            article = ""
        numbered = _NUMBERED.match(words)
        if not numbered:
            continue
        number = f"{'§' if numbered[1] == '§' else 'Art'} {numbered[2]}"
        if number[0] == "A":
            article, article_level = number, level
        elif article:
            number = f"{article} {number}"
        lines = []
        found.append((number, re.sub(r"^[-–:.]\s*", "", numbered[3]).strip(), lines))
    return found


def _clean(text: str) -> str:
    """Without footnote marks, emphasis and escapes; blanks made single."""
    text = re.sub(r"\[\^[^\]]*\]", "", text)
    text = re.sub(r"\*\*|<br ?/?>", " ", text)
    text = re.sub(r"\\([\\`*_{}\[\]()#+.!<>|~-])", r"\1", text)
    text = re.sub(r"\s+([,;.)])", r"\1", " ".join(text.split()))
    return text.replace("( ", "(")


def _in_force(section: Section) -> bool:
    return bool(section.paragraphs) and not (section.title and _REPEALED.match(section.title))


def _section(number: str, title: str, lines: list[str]) -> Section:
    """Paragraphs by their numbers; those with tables, pictures or formulas, and repealed ones, are left out."""
    groups: list[tuple[str, list[str]]] = [("", [])]
    footnote = False
    previous = ""
    for line in lines:
        if line.startswith("[^"):
            footnote = True
        elif line.strip() and not line.startswith(" "):
            footnote = False
        if footnote:
            continue
        numbered = _NUMBER.match(line) if not previous.strip() else None
        if numbered:
            groups.append((numbered[1], [line[numbered.end() :]]))
        else:
            groups[-1][1].append(line)
        previous = line
    paragraphs = [_paragraph(mark, content) for mark, content in groups if any(map(str.strip, content))]
    repeated = len({p.number for p in paragraphs if p}) < sum(p is not None for p in paragraphs)
    kept = () if repeated else tuple(p for p in paragraphs if p and not _REPEALED.match(p.text))
    return Section(number, title, kept)


def _paragraph(number: str, lines: list[str]) -> Paragraph | None:
    """None where the lines hold a table, a picture, a formula or text that is not prose."""
    if any(re.match(r" *\*|.*!\[|.*\S\s{4,}\S|\s*[|+][-|]|:\s", line) for line in lines):
        return None
    parts: list[tuple[str, list[str]]] = [("", [])]  # mark "" is the lead, "\n" the tail
    for line in lines:
        match = _MARK.match(line)
        if match and not match[1] and parts[-1][0] != "\n":
            parts.append((match[2], [line[match.end() :]]))
        elif line.strip() and not line.startswith(" ") and parts[-1][0] not in ("", "\n"):
            # A wrapped line of a list is indented: what is not follows the list.
            parts.append(("\n", [line]))
        else:
            parts[-1][1].append(line)
    texts = [(mark, _clean(_join(content))) for mark, content in parts]
    whole = " ".join(f"{mark.strip()} {text}".strip() for mark, text in texts if text)
    if not whole or re.search(r"\.{4,}|_{3,}|\]\(|[�│]", whole):
        return None
    items = tuple((mark, text) for mark, text in texts if mark.strip())
    return Paragraph(number, whole, texts[0][1], items, texts[-1][1] if texts[-1][0] == "\n" else "")


def _join(lines: list[str]) -> str:
    """Wrapped lines as one; a word broken after its hyphen is put together."""
    out = ""
    for line in lines:
        line = line.strip()
        if not line:
            continue
        hanging = re.search(r"\w-$", out) and not _AFTER_HANGING.match(line)
        out = out + line if not out or hanging else f"{out} {line}"
    return out


# ---- sentences -----------------------------------------------------------------------------------------------------

_SHORT = """
    Abs Nr Nrn Art Artt S Satz BGBl RGBl GBl ABl Bd Buchst bzw ggf gem vgl usw einschl evtl lfd Abschn Anl Kap Tit
    Dr Prof Hs Halbs Ziff Rn Fn Str St Tz i z d v u o a B E F h ff f Az Co ca max min mind Mio Mrd Verf Verm Std
    inkl Bek Fassg n m zul sog geänd bes allg jew ber dgl Reg Bez Kfz Lit lit BAnz VkBl GMBl MinBl
"""
_ABBREVIATIONS = frozenset(_SHORT.split())
_BREAK = re.compile(r"[.;?!](?=\s+[A-ZÄÖÜ§„\"(])")
# `Absatz 2. Die` ends a sentence, `am 31. Dezember` and `das 18. Lebensjahr` do not.
_CITED_NUMBER = re.compile(r"(Satz|Sätze|Absatz|Absätze|Abs\.|Nummer|Nr\.|Artikel|Art\.|§|bis|und|oder) \d+[a-z]?$")
_STARTS = re.compile(
    r"\s+(D(er|ie|as|em|en|es|abei|ies\w*|arüber|anach)|[Ee]in\w*|Im|In|Bei|Wird|Werden|Wer|Sind|Ist|Hat|Haben|Soweit|"
    r"Wenn|Für|Er|Sie|Es|Satz|§|Absatz|Nummer|Auf|Nach|Über|Mit|Vor|Zur|Zum|Zu|Von|Liegt|Gilt|Als|Ferner|An|Aus|"
    r"Gegen|Kann|Soll|Jede\w*|Alle|Unter|Um|Hierbei|Hierzu|Eine|Kommt|Beträgt|Artikel|Abweichend|Unberührt)\b"
)


def sentences(text: str) -> list[str]:
    """The sentences in order, each a piece of `text` as it stands; a semicolon parts only before a capital."""
    out: list[str] = []
    begin = 0
    for match in _BREAK.finditer(text):
        at = match.start()
        before = text[begin:at]
        last = re.search(r"[\w§]+$", before)
        word = last[0] if last else ""
        if match[0] == ";" or (match[0] == "." and _goes_on(before, word, text[at + 1 :])):
            continue
        out.append(text[begin : at + 1].strip())
        begin = at + 1
    out.append(text[begin:].strip())
    return [sentence for sentence in out if sentence]


def _goes_on(before: str, word: str, after: str) -> bool:
    """Whether the full stop after `word` belongs to an abbreviation or an ordinal number."""
    if word in _ABBREVIATIONS or re.fullmatch(r"[A-Za-z]|[IVX]+", word):
        return True
    if re.fullmatch(r"\d+[a-z]?", word):
        year = re.fullmatch(r"(1[89]|20)\d\d", word)
        ends = (year or _CITED_NUMBER.search(before)) and _STARTS.match(after)
        return not ends
    return before.count("(") > before.count(")")
