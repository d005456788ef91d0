"""What is in a folder of text: files, documents, languages, and what is odd; for `smallm new DIR`.

Reads up to 50 MB of text through the same readers as the build and scales up from there. What would stop
a build (encoding errors, binary files) is a finding here, not an error.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from smallm.core.console import count
from smallm.core.errors import UserError
from smallm.data import documents
from smallm.data.languages import language
from smallm.data.paths import RECORDS, SourceFile, ending, list_files
from smallm.data.records import USUAL_FIELDS, BadRecords, record_texts
from smallm.data.rows import read_rows
from smallm.data.starter import write_recipe

SAMPLE_BYTES = 50_000_000
LONG_LINE = 10_000
BYTES_PER_TOKEN = 4
SEPARATOR = "<|endoftext|>"
HTML = re.compile(r"</?(?:p|div|span|a|br|li|ul|table|td|tr|h[1-6]|script)\b[^>]*>", re.IGNORECASE)
MOJIBAKE = re.compile("\ufffd|Ã[¤¶¼Ÿ©¨]|â€[œ™“]")
# Shares of the sample from which something is worth a line.
SHARE = {"duplicates": 0.005, "repeated": 0.1, "html": 0.02, "front": 0.02, "mojibake": 0.001}


@dataclass
class Findings:
    """What `smallm new` says about a folder. Shares are of the sampled text; counts are scaled up."""

    path: Path
    files: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    # One entry a source of the recipe: path relative to the folder, and the text field of records.
    sources: list[dict[str, str]] = field(default_factory=list)
    documents: int = 0
    bytes: int = 0
    longest: int = 0
    documents_mode: str = "file"
    languages: dict[str, float] = field(default_factory=dict)
    duplicate_share: float = 0.0
    sampled_share: float = 1.0
    prompts: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return self.bytes // BYTES_PER_TOKEN

    def describe(self) -> list[str]:
        """The findings as lines for a person."""
        about = "" if self.sampled_share == 1 else "about "
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.languages.items() if share >= 0.005)
        left = ", ".join(f"{n} {end}" for end, n in sorted(self.skipped.items()))
        said = [
            "files: " + ", ".join(f"{n} {kind}" for kind, n in self.files.items()),
            f"text: {about}{count(float(self.bytes), 'B')}, {about}{self.documents:,} documents "
            f"({self.documents_mode}), about {count(float(self.tokens))} tokens",
            f"languages: {shares or 'unknown'}",
        ]
        said += [f"text field: `{s['text']}` in {s['path']}" for s in self.sources if s.get("text", "text") != "text"]
        said += [f"left out: {left}"] if left else []
        return said + [f"odd: {line}" for line in self.odd]


@dataclass
class _Sample:
    """Counters over the sampled documents."""

    documents: int = 0
    bytes: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    seen: set[bytes] = field(default_factory=set)
    seen_lines: set[int] = field(default_factory=set)
    lines: int = 0
    repeated: int = 0
    longest: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    prompts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        size = len(text.encode("utf-8"))
        self.documents += 1
        self.bytes += size
        self.longest = max(self.longest, size)
        self.languages[language(text)] += size
        digest = hashlib.sha256(text.encode("utf-8")).digest()[:16]
        self.flags["duplicates"] += digest in self.seen
        self.seen.add(digest)
        self.flags["empty"] += not text.strip()
        self.flags["front"] += text.startswith("---\n")
        self.flags["html"] += len(HTML.findall(text[:20_000])) > 5
        self.flags["mojibake"] += bool(MOJIBAKE.search(text))
        long = False
        for line in text.split("\n"):
            long |= len(line) > LONG_LINE
            if len(line) >= 20 and self.bytes < SAMPLE_BYTES // 5:
                self.lines += 1
                self.repeated += hash(line) in self.seen_lines
                self.seen_lines.add(hash(line))
        self.flags["long"] += long
        self._prompt(text)

    def _prompt(self, text: str) -> None:
        """The first words of a document, as something to try the model on."""
        words = text[:400].lstrip("#- \n").split("\n")[0].split()[:5]
        if len(self.prompts) < 3 and len(words) >= 3 and " ".join(words) not in self.prompts:
            self.prompts.append(" ".join(words))


def inspect_directory(path: Path) -> Findings:
    """Look at every file of the folder, read a sample, and say what is there. UserError when nothing is."""
    if not path.is_dir():
        raise UserError(f"{path}: not a folder. `smallm new` takes the folder that holds your text files.")
    binaries: list[Path] = []
    listing = list_files(str(path), "smallm new", binaries)
    found = Findings(path=path, skipped=dict(listing.skipped))
    found.files = dict(Counter(ending(f.path).lstrip(".") or "no ending" for f in listing.files).most_common())
    for binary in binaries:
        found.odd.append(f"{binary.relative_to(path)} is a binary file: not read")
    sample, usable = _Sample(), _fields(listing.files, found)
    alone = sum(f.kind not in RECORDS for f in listing.files) == 1
    _read_sample(usable, alone, sample, found)
    _sources(listing.files, usable, bool(binaries), found)
    if sample.documents == 0:
        raise UserError(f"{path}: no text could be read here. " + "; ".join(found.odd))
    total = max(1, sum(_text_bytes(f) for f in usable))
    scale = 1.0 if found.sampled_share == 1 else max(1.0, total / max(1, sample.bytes))
    found.documents, found.bytes = round(sample.documents * scale), round(sample.bytes * scale)
    found.longest, found.prompts = sample.longest, sample.prompts
    found.languages = {name: n / max(1, sample.bytes) for name, n in sample.languages.most_common()}
    found.documents_mode = "+".join(name for name, _ in sample.modes.most_common())
    found.duplicate_share = sample.flags["duplicates"] / sample.documents
    _odd(sample, found)
    return found


def _text_bytes(file: SourceFile) -> int:
    """A rough size of the text in a file: compressed kinds unpack to about three times their size."""
    return file.path.stat().st_size * (3 if file.compressed or file.kind == "parquet" else 1)


def _fields(files: list[SourceFile], found: Findings) -> dict[SourceFile, str]:
    """The files that can be read, with the text field of each that has records (empty for plain text)."""
    usable: dict[SourceFile, str] = {}
    for file in files:
        if file.kind not in RECORDS:
            usable[file] = ""
            continue
        try:
            name = text_field(file)
        except (UserError, OSError, ValueError) as error:
            found.odd.append(str(error).splitlines()[0])
            continue
        if name:
            usable[file] = name
        else:
            found.odd.append(f"{file.name}: no field holds text: not read")
    return usable


def text_field(file: SourceFile) -> str | None:
    """The field of a record file that holds the text: a usual name, else the one with most text in 100 records."""
    size: Counter[str] = Counter()
    records = (row.fields for row in read_rows(file.path, file.kind) if row.fields is not None)
    for record in islice(records, 100):
        size.update({str(k): len(v) for k, v in record.items() if isinstance(v, str)})
    for name in USUAL_FIELDS:
        if size[name]:
            return name
    return max(size, key=lambda k: size[k]) if size else None


def _read_sample(usable: dict[SourceFile, str], alone: bool, sample: _Sample, found: Findings) -> None:
    """Read every file's documents until the sample is full; errors become findings."""
    bad = BadRecords(1.0, "data.sources[0]")
    for file, name in usable.items():
        try:
            if name:
                texts = record_texts(file, name, bad)
                sample.modes["record"] += 1
            else:
                mode, _ = documents.decide(file, SEPARATOR, alone=alone)
                sample.modes[mode] += 1
                texts = documents.text_documents(file, mode, SEPARATOR)
            for text in texts:
                sample.add(text)
                if sample.bytes >= SAMPLE_BYTES:
                    found.sampled_share = min(0.99, sample.bytes / max(1, sum(map(_text_bytes, usable))))
                    return
        except UserError as error:
            found.odd.append(f"{str(error).splitlines()[0]} `smallm run` stops there.")
    if bad.count:
        found.odd.append(f"{bad.count} unreadable records, first {bad.examples[0]}")


def _sources(files: list[SourceFile], usable: dict[SourceFile, str], binaries: bool, found: Findings) -> None:
    """The folder as one source, or, when that would not do, its text files by ending and record files by name."""
    names = {name for name in usable.values() if name}
    if not binaries and len(usable) == len(files) and len(names) <= 1:
        found.sources = [{"path": ".", **({"text": names.pop()} if names else {})}]
        return
    endings = sorted({"".join(f.path.suffixes[-1:]) for f, name in usable.items() if not name})
    found.sources = [{"path": f"**/*{end}"} for end in endings if end]
    found.sources += [{"path": f.name} for f, name in usable.items() if not name and not f.path.suffix]
    found.sources += [{"path": f.name, "text": name} for f, name in usable.items() if name]


def _odd(sample: _Sample, found: Findings) -> None:
    """Add a line for each thing in the sample that a person should know before training."""
    n = max(1, sample.documents)
    share = {name: sample.flags[name] / n for name in sample.flags}
    share["repeated"] = sample.repeated / max(1, sample.lines)
    texts = {
        "duplicates": "of the documents are exact duplicates (dropped)",
        "repeated": "of the longer lines are repeated: headers, menus or boilerplate",
        "html": "of the documents hold HTML tags",
        "front": "of the documents open with front matter (taken off Markdown files, kept elsewhere)",
        "mojibake": "of the documents hold signs of a wrong decoding (\ufffd, Ã¤)",
    }
    found.odd += [f"{share[k]:.1%} {text}" for k, text in texts.items() if share.get(k, 0) > SHARE[k]]
    if sample.flags["empty"]:
        n = sample.flags["empty"]
        found.odd.append(f"{n} empty document{'s' if n > 1 else ''} (dropped)")
    if sample.flags["long"]:
        found.odd.append(f"{sample.flags['long']} documents with lines of over {LONG_LINE:,} characters")
    if found.bytes < 1_000_000:
        found.odd.append(f"only {count(float(found.bytes), 'B')} of text: a model learns its look, not its language")


__all__ = ["Findings", "inspect_directory", "text_field", "write_recipe"]
