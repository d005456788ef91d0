"""The report stage: report/index.html, index.md and figures/*.svg, pure functions of the run.

index.html is one self-contained page: no request leaves it, it reads on a phone and in the dark, and
every figure links to the file that it came from. Facts come from facts.py, sentences from words.py,
drawings from figures.py; the templates only arrange them. Cards are rewritten at the end.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.console import count, duration, say
from smallm.core.files import new_directory, write_text
from smallm.core.run import Run
from smallm.publish import task_words, tune_words, words
from smallm.publish.cards import write_cards
from smallm.publish.facts import Facts, read_facts
from smallm.publish.figures import in_manifest_order, make_figures
from smallm.publish.items_page import write_items_page
from smallm.publish.svg import Figure
from smallm.publish.task_facts import Result, items_table, read_json_file
from smallm.publish.task_figures import write_svgs
from smallm.publish.task_report import TasksView, view_of_tasks
from smallm.publish.tune_report import TuneView, view_of_tuning, write_tune_pages
from smallm.publish.writeup import write_up

MOMENTS = 6  # samples through training that are shown open; the file has them all


def make_report(recipe: Recipe, run: Run) -> Path:
    """Write `report/` and the cards; returns report/. Equal runs give equal bytes."""
    facts = write_tune_pages(read_facts(recipe, run))
    figures = make_figures(facts)
    final = run.path / "report"
    with new_directory(final) as directory:
        facts = replace(facts, results=[with_page(run.path, result, directory) for result in facts.results])
        tasks, tuning = view_of_tasks(facts), view_of_tuning(facts)
        drawn = [*figures.values(), *tasks.figures(), *(tuning.figures.values() if tuning else ())]
        write_svgs(drawn, directory / "figures")
        view = view_of(facts, figures, tasks, tuning)
        write_text(directory / "index.html", environment().get_template("report.html.j2").render(view))
        write_text(directory / "index.md", environment().get_template("index.md.j2").render(view))
        if tuning:
            write_text(directory / "writeup.md", write_up(facts, tuning))
    write_cards(recipe, run)
    say(f"report: {final / 'index.html'}")
    return final


def with_page(run: Path, result: Result, directory: Path) -> Result:
    """The result with a page of its items: the one beside it in eval/, else one written into the report."""
    items = items_table(run, result)
    if result.page is not None or items is None:
        return result
    page = directory / f"{result.key}.items.html"
    write_items_page(read_json_file(run / result.file), items, page, folder="../eval/")
    return replace(result, page=f"report/{page.name}")


def view_of(
    facts: Facts, figures: dict[str, Figure], tasks: TasksView, tuning: TuneView | None = None
) -> dict[str, Any]:
    """Everything the templates print. Links are relative to report/ (`../` is the run)."""
    tuned_items = tune_words.headline(facts, tuning.t) if tuning else []
    return {
        "facts": facts,
        "tuning": tuning,
        "lede": tuning.verdict if tuning else words.verdict(facts),
        "figures": figures,
        "tasks": tasks,
        "words": words,
        "task_words": task_words,
        "verdict": words.verdict(facts),
        "headline": tuned_items or words.headline_items(facts),
        "pipeline": words.pipeline_items(facts),
        "source_bars": source_bars(facts),
        "tokenizer_bars": tokenizer_bars(facts),
        "moments": moments(facts),
        "coloured": coloured_examples(facts),
        "final_samples": final_samples(facts),
        "evaluation_rows": evaluation_rows(facts),
        "slowest": max((s.seconds for s in facts.stages), default=1.0) or 1.0,
        "command": f"smallm run recipe.yaml --run {facts.name}",
        # `training` is the key that the decisions belong to, not one of them.
        "resolved": {k: decision(v) for k, v in sorted(facts.resolved.items()) if k != "training"},
    }


@cache
def environment() -> Any:
    """jinja2 with HTML escaped in *.html.j2 and Markdown escaped by the `md` filter elsewhere."""
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.PackageLoader("smallm.publish", "templates"),
        autoescape=lambda name: bool(name and ".html" in name),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {
        "count": lambda n: words.say(n, count),
        "bytes": lambda n: words.say(n, words.bytes_in_words),
        "duration": lambda s: words.say(s, duration),
        "percent": lambda p: words.say(p, words.percent),
        "thousands": lambda n: words.say(n, lambda v: f"{v:,}"),
        "fixed": lambda x, digits=3: words.say(x, lambda v: f"{v:.{digits}f}"),
        "md": markdown_text,
        "md_block": markdown_block,
    }
    return env


def markdown_text(text: Any) -> str:
    """`text` on one line of Markdown or in a table cell, with nothing in it read as markup."""
    flat = " ".join(str(text).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + c if c in "\\`*_{}[]#|!~$" else c for c in flat)


def markdown_block(text: str) -> str:
    """`text` as an indented quotation that no content can leave."""
    return "\n".join("> " + markdown_text(line) if line.strip() else ">" for line in str(text).strip().split("\n"))


def decision(value: Any) -> str:
    """A value of resolved.json in words: {"on": …, "why": …} as 'on: why'."""
    if isinstance(value, dict) and "on" in value:
        return ("on" if value["on"] else "off") + (f": {value['why']}" if value.get("why") else "")
    if isinstance(value, dict) and "micro" in value:
        kept = "activations computed again" if value.get("checkpointing") else "activations kept"
        return f"{value['micro']} row{'' if value['micro'] == 1 else 's'} at a time, {kept}"
    return str(value)


def source_bars(facts: Facts) -> list[dict[str, Any]]:
    """Kept bytes of each source and its share of all, in the manifest's order."""
    if facts.data is None:
        return []
    total = sum(s.bytes or 0 for s in facts.data.sources) or 1
    return [
        {"source": s, "share": (s.bytes or 0) / total, "colour": i % 6 + 1, "license": words.source_license(s)}
        for i, s in enumerate(facts.data.sources)
    ]


def tokenizer_bars(facts: Facts) -> list[dict[str, Any]]:
    """Bytes per token by source, as shares of the largest."""
    found = {k: v for k, v in ((facts.tokenizer or {}).get("by_source") or {}).items() if v}
    largest = max(found.values(), default=1.0)
    names = [s.name for s in facts.data.sources] if facts.data else list(found)
    return [
        {
            "name": name,
            "value": found[name],
            "share": found[name] / largest,
            "colour": names.index(name) % 6 + 1 if name in names else 6,
        }
        for name in in_manifest_order(facts, found)
    ]


def moments(facts: Facts) -> list[dict[str, Any]]:
    """One prompt's continuation at up to MOMENTS steps, first and last included, with the figure of that step."""
    if not facts.samples:
        return []
    by_step: dict[int, dict[str, Any]] = {}
    first_prompt = facts.samples[0].get("prompt", "")
    for row in facts.samples:
        if row.get("prompt", "") == first_prompt:
            by_step.setdefault(int(row["step"]), row)
    steps = sorted(by_step)
    if len(steps) > MOMENTS:  # early steps change most: spread the choice evenly in the square root of the index
        last = len(steps) - 1
        steps = sorted({steps[round(last * (i / (MOMENTS - 1)) ** 2)] for i in range(MOMENTS)})
    bits = {r["step"]: r for r in facts.metrics if r.get("validation_bits_per_byte") is not None}
    found = []
    for step in steps:
        row = bits.get(step, {})
        found.append(
            {
                "step": step,
                "tokens": row.get("tokens"),
                "bits": row.get("validation_bits_per_byte"),
                **sample_parts(by_step[step]),
            }
        )
    return found


def sample_parts(row: dict[str, Any]) -> dict[str, str]:
    """A sample as prompt and continuation, whether or not its text repeats the prompt."""
    prompt, text = str(row.get("prompt") or ""), str(row.get("text") or "")
    return {"prompt": prompt, "text": text[len(prompt) :] if prompt and text.startswith(prompt) else text}


def final_samples(facts: Facts) -> list[dict[str, str]]:
    rows = (facts.evaluation or {}).get("samples") or []
    return [sample_parts(row) for row in rows[: facts.recipe.report.samples]]


def evaluation_rows(facts: Facts) -> list[dict[str, Any]]:
    """The table of the evaluation: all held-out text, then each source when there are several."""
    if facts.evaluation is None:
        return []
    gzip = facts.evaluation.get("gzip_bits_per_byte") or {}
    overall = {**facts.evaluation["bits_per_byte"], "perplexity": facts.evaluation["perplexity"]}
    rows = [{"name": "all held-out text", "gzip": gzip.get("value"), **overall}]
    sources = facts.evaluation.get("by_source") or {}
    if len(sources) > 1:
        gzips = gzip.get("by_source") or {}
        rows += [{"name": k, "gzip": gzips.get(k), **sources[k]} for k in in_manifest_order(facts, sources)]
    for row in rows:
        row["plus_minus"] = words.plus_minus(row)
        row["perplexity_value"] = (row.get("perplexity") or {}).get("value")
    return rows


def coloured_examples(facts: Facts) -> list[dict[str, Any]]:
    """The opening of a held-out document of each source, cut into its tokens by the run's tokenizer."""
    file = facts.path / "tokenizer" / "tokenizer.json"
    if facts.data is None or not file.is_file():
        return []
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    return [
        {"source": source, "pieces": pieces(text, tokenizer.encode(text, add_special_tokens=False))}
        for source, text in list(facts.data.openings.items())[:4]
    ]


def pieces(text: str, encoding: Any) -> list[dict[str, Any]]:
    """The text in pieces, none lost: a piece's ids are those of the tokens that make it.

    Tokens that are parts of one character share its piece; text that no token claims (a space that the
    tokenizer folds into its neighbour) joins the piece that follows.
    """
    found: list[dict[str, Any]] = []
    covered = 0
    for number, (_, end) in zip(encoding.ids, encoding.offsets, strict=True):
        if found and end <= covered:
            found[-1]["ids"].append(number)
            continue
        found.append({"text": text[covered:end], "ids": [number]})
        covered = end
    if covered < len(text):
        found.append({"text": text[covered:], "ids": []})
    return found
