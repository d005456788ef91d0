"""Our stories beside TinyStories: how compressible, how varied, how fast to make and to parse.

    python benchmarks/story_statistics.py [--peer FILE] [--seed N] [--training-mb 8]

Compares equal sizes: our stories are cut at the byte count of the peer's file (1,000,000 bytes where there is none).
gzip level 9; distinct 4-grams are over words. Speeds are CPU seconds of this process (time.process_time), best of
`--repeats`, so that other jobs on the machine disturb them little. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from smallm.data.synth import stories, story_grammar
from smallm.data.synth.overlap import distinct_ngram_share, ngram_share
from smallm.data.synth.story_parser import accepted_share

PEER = Path(__file__).resolve().parents[2] / "shared" / "data" / "tinystories" / "tinystories-cased-1MB.txt"
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def text_statistics(text: str) -> dict[str, float]:
    """Figures of one text of prose: bytes, gzip ratio (raw over packed), words, distinct 4-grams (share)."""
    raw = text.encode()
    words = WORD.findall(text.lower())
    return {
        "bytes": len(raw),
        "gzip_ratio": round(len(raw) / len(gzip.compress(raw, 9, mtime=0)), 3),
        "words": len(words),
        "distinct_words": len(set(words)),
        "distinct_4gram_share": round(distinct_ngram_share([text], 4), 4),
        "sentences_accepted": round(accepted_share([text]), 5),
    }


def megabytes_a_second(work: Callable[[int], int], repeats: int) -> float:
    """Best of `repeats` runs of work(run) -> bytes done, in MB (1e6 bytes) a CPU second."""
    rates = []
    for run in range(repeats):
        start = time.process_time()
        done = work(run)
        rates.append(done / 1e6 / (time.process_time() - start))
    return round(max(rates), 2)


def generate_bytes(run: int) -> int:
    return sum(map(len, stories.generate(100 + run, 5_000_000)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, default=PEER)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--training-mb", type=float, default=8.0, help="size of the text that 13-grams are looked up in"
    )
    options = parser.parse_args()

    peer_text = options.peer.read_text(encoding="utf-8") if options.peer.exists() else None
    size = len(peer_text.encode()) if peer_text else 1_000_000
    ours = list(stories.generate(options.seed, size))
    table = {"smallm stories": text_statistics("\n\n".join(ours)[:size])}
    if peer_text:
        table["TinyStories"] = text_statistics(peer_text)

    lengths = sorted(len(story.split()) for story in ours)
    training = stories.generate(options.seed + 1, int(options.training_mb * 1e6))
    next(stories.generate(0))  # the tables are built once a process
    accepted_share(ours[:1])
    facts = {
        "version": stories.VERSION,
        "templates": sum(map(len, story_grammar.BEATS.values())),
        "plots": len(story_grammar.PLOTS),
        "stories": len(ours),
        "distinct_stories": len(set(ours)),
        "words_a_story": {"least": lengths[0], "median": lengths[len(lengths) // 2], "most": lengths[-1]},
        "generator_mb_per_cpu_s": megabytes_a_second(generate_bytes, options.repeats),
        "parser_mb_per_cpu_s": megabytes_a_second(
            lambda run: sum(map(len, ours)) * (accepted_share(ours) == 1.0), options.repeats
        ),
        "fresh_13grams_in_training": round(ngram_share(islice(stories.generate(options.seed), 300), training), 4),
        "training_mb": options.training_mb,
    }
    rows = list(next(iter(table.values())))
    print(f"{'':24}" + "".join(f"{name:>18}" for name in table))
    for row in rows:
        print(f"{row:24}" + "".join(f"{figures[row]:>18,}" for figures in table.values()))
    print(*(f"{name}: {value}" for name, value in facts.items()), sep="\n")
    print(json.dumps({"texts": table, **facts}))


if __name__ == "__main__":
    main()
