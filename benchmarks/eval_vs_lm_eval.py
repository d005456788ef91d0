"""Items a second of scoring: ours against lm-eval's `hf`, both called as lm-eval calls them, on the same requests.

Checkpoints: 30M and 135M parameters (Llama's shape, GPT-2's vocabulary, random weights), and stories260K. Tasks: BLiMP
(10 x 200 pairs), ARC-easy, PIQA, LAMBADA (500 items each), perplexity of 200 stories, ARC-easy with five examples that
all items share. Each pair of measurements takes one fifth of the items, so that together they are all; lm-eval runs at
the batch size that was fastest on a few items. Every log-likelihood must agree to 1e-3 in float32, and the accuracy.
Beside each ratio: that of the FLOPs which both sides must do (evaluate/trie.py's nodes against every request whole).

    python benchmarks/eval_vs_lm_eval.py --data DIR [--models 30M 135M stories260K] [--tasks ARC …] [--items 500]
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from _common import Pairs, Peer, record
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from smallm.core.config import ModelConfig
from smallm.core.hardware import has_bf16
from smallm.evaluate.harness import SmallmLM
from smallm.evaluate.score import rolling_windows
from smallm.evaluate.trie import chain_of, plan
from smallm.model.count import non_embedding_parameters, parameters
from smallm.model.decoder import Decoder
from smallm.model.families import from_hf_config, save_pretrained

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from stories260k import make_model

SHAPES = {
    "30M": ModelConfig(preset="llama", layers=6, width=384, heads=6, ffn_width=1024, context=1024, vocab_size=50304),
    "135M": ModelConfig(
        preset="llama",
        layers=30,
        width=576,
        heads=9,
        kv_heads=3,
        ffn_width=1536,
        context=1024,
        vocab_size=50304,
        tied=True,
    ),
}
BATCH_SIZES = (1, 4, 16, 64)
# lm-eval registers a class by a decorator that forgets its type.
HF: Any = HFLM
OURS: Any = SmallmLM
TASKS = ("ARC", "PIQA", "LAMBADA", "BLiMP", "perplexity", "ARC five-shot")
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.15}


@dataclass(frozen=True)
class Item:
    """What one item asks: (context, continuation) of each choice, or one text for its perplexity."""

    requests: tuple[tuple[str, ...], ...]
    gold: int = 0


# ---------------------------------------------------------------------------------------------- items


def rows(path: Path, count: int) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for _, line in zip(range(count), lines, strict=False)]


def items_of(task: str, data: Path, count: int) -> list[Item]:
    """The task's items as lm-eval words them (the delimiter before a choice is one space)."""
    if task in ("ARC", "ARC five-shot"):
        shots = 5 if task == "ARC five-shot" else 0
        found = rows(data / "eval" / "arc_easy.jsonl.gz", count + shots)
        examples = "".join(f"{r['query']}\nAnswer: {r['choices'][r['gold']]}\n\n" for r in found[:shots])
        return [choice(f"{examples}{r['query']}\nAnswer:", r["choices"], r["gold"]) for r in found[shots:]]
    if task == "PIQA":
        return [
            choice(f"{r['query']}Answer:", r["choices"], r["gold"]) for r in rows(data / "eval/piqa.jsonl.gz", count)
        ]
    if task == "LAMBADA":
        found = rows(data / "eval" / "lambada_openai.jsonl.gz", count)
        return [choice(r["context"], [r["continuation"]], 0) for r in found]
    if task == "BLiMP":
        files = sorted((data / "blimp").glob("*.gz"))[:: len(list((data / "blimp").glob("*.gz"))) // 10][:10]
        pairs = [r for file in files for r in rows(file, 200 * count // 500)]
        return [choice("", [r["sentence_good"], r["sentence_bad"]], 0) for r in pairs]
    text = (data / "tinystories" / "tinystories-cased-1MB.txt").read_text("utf-8")
    stories = re.split(r"(?<!\n)\n(?!\n)", text)[: 200 * count // 500]
    return [Item(((story,),)) for story in stories]


def choice(context: str, choices: Sequence[str], gold: int) -> Item:
    return Item(tuple((context, f" {c}") for c in choices), gold)


# ---------------------------------------------------------------------------------------------- both sides


def instances(items: Sequence[Item]) -> list[Instance]:
    kind = "loglikelihood_rolling" if len(items[0].requests[0]) == 1 else "loglikelihood"
    return [Instance(kind, {}, request, at) for item in items for at, request in enumerate(item.requests)]  # type: ignore[arg-type]


def scores(lm: Any, items: Sequence[Item]) -> list[float]:
    """Log-likelihoods, one a request."""
    wanted = instances(items)
    if wanted[0].request_type == "loglikelihood_rolling":
        return [float(x) for x in lm.loglikelihood_rolling(wanted, disable_tqdm=True)]
    return [float(x) for x, _ in lm.loglikelihood(wanted, disable_tqdm=True)]


def their_model(folder: Path, dtype: str, batch_size: int) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return HF(pretrained=str(folder), dtype=dtype, batch_size=batch_size, device=device, add_bos_token=False)


def best_batch_size(lm: Any, items: Sequence[Item]) -> int:
    """The fastest of BATCH_SIZES on a few items; a size that takes twice as long as the best ends the search."""
    best, fastest = BATCH_SIZES[0], float("inf")
    for size in BATCH_SIZES:
        lm.batch_size_per_gpu = size
        began = time.perf_counter()
        scores(lm, items)
        seconds = time.perf_counter() - began
        if seconds < fastest:
            best, fastest = size, seconds
        elif seconds > 2 * fastest:
            break
    return best


def quiet(call: Callable[[], Any]) -> Any:
    """lm-eval's own bars and prints have no place in a measurement's output."""
    with open(os.devnull, "w") as nothing:
        kept, sys.stdout = sys.stdout, nothing
        kept_error, sys.stderr = sys.stderr, nothing
        try:
            return call()
        finally:
            sys.stdout, sys.stderr = kept, kept_error


def measure(ours: Any, theirs: Any, items: Sequence[Item], shares: int) -> tuple[Pairs, list[float], list[float]]:
    """Alternating measurements (items a second), one for each share of the items, and every score of both sides."""
    pairs, our_scores, their_scores = Pairs(), [], []
    for lm in (ours, theirs):  # warm-up
        quiet(lambda lm=lm: scores(lm, items[:4]))
    for share in range(shares):
        part = items[share * len(items) // shares : (share + 1) * len(items) // shares]
        for lm, rates, found in ((ours, pairs.ours, our_scores), (theirs, pairs.theirs, their_scores)):
            gc.collect()
            began = time.perf_counter()
            found += quiet(lambda lm=lm, part=part: scores(lm, part))
            rates.append(len(part) / (time.perf_counter() - began))
        print(
            f"  share {share + 1}/{shares}: {pairs.ours[-1]:.2f} against {pairs.theirs[-1]:.2f} items/s",
            file=sys.stderr,
        )
    return pairs, our_scores, their_scores


def accuracy(items: Sequence[Item], found: Sequence[float]) -> float | None:
    """Share of items whose right choice scores best; None where there is one request an item."""
    if len(items[0].requests) == 1:
        return None
    at, right = 0, 0
    for item in items:
        own = found[at : at + len(item.requests)]
        right += max(range(len(own)), key=own.__getitem__) == item.gold
        at += len(own)
    return right / len(items)


# ---------------------------------------------------------------------------------------------- arithmetic


def flops_ratio(lm: Any, config: ModelConfig, items: Sequence[Item], shares: int) -> float:
    """FLOPs of every request whole, logits everywhere, over those of the tree's nodes, logits where they are scored."""
    body, head = 2 * non_embedding_parameters(config), 2 * config.vocab_size * config.width
    whole = shared = 0
    for share in range(shares):
        part = items[share * len(items) // shares : (share + 1) * len(items) // shares]
        pairs = []
        for item in part:
            for request in item.requests:
                if len(request) == 1:
                    pairs += rolling_windows(lm.tok_encode(request[0]), lm.prefix_token_id, lm.max_length)
                elif request[0] == "":
                    pairs.append(([lm.prefix_token_id], lm.tok_encode(request[1])))
                else:
                    pairs.append(lm._encode_pair(*request))
        chains = [chain_of(i, context, continuation, lm.max_length) for i, (context, continuation) in enumerate(pairs)]
        whole += sum(len(c.inputs) for c in chains) * (body + head)
        for group in plan(chains):
            nodes = len(group.stem) + sum(len(row.ids) for row in group.rows)
            shared += nodes * body + sum(len({node for _, node, _ in row.wanted}) for row in group.rows) * head
    return whole / shared


# ---------------------------------------------------------------------------------------------- memory


def peak_above_model(side: str, folder: Path, dtype: str, batch_size: int, items: Sequence[Item]) -> int:
    """Bytes above what the process held with the model loaded and warm. Linux: the kernel's own high-water mark."""
    lm = (
        OURS(pretrained=str(folder), dtype=dtype, add_bos_token=False)
        if side == "ours"
        else their_model(folder, dtype, batch_size)
    )
    quiet(lambda: scores(lm, items[:1]))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    quiet(lambda: scores(lm, items))
    return _status("VmHWM") - before


def _status(key: str) -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key + ":"))
    return 1024 * int(line.split()[1])


def memory_case(model: str, folder: Path, data: Path, task: str, items: int, dtype: str, batch_size: int) -> None:
    """Peak memory of both sides, each in processes of its own."""

    def one(side: str) -> float:
        command = [
            sys.executable,
            __file__,
            "--memory",
            side,
            "--folder",
            str(folder),
            "--data",
            str(data),
            "--tasks",
            task,
        ]
        command += ["--items", str(items), "--dtype", dtype, "--batch-size", str(batch_size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout.split()[-1]) / 1e6

    pairs = Pairs()
    for _ in range(3):
        pairs.ours.append(one("ours"))
        pairs.theirs.append(one("theirs"))
    same = {"task": task, "items": items, "batch_size_of_lm_eval": batch_size, "dtype": dtype}
    record("eval_vs_lm_eval", case=f"peak memory, {model}, {task}", unit="MB", pairs=pairs, peer=peer(), same_work=same)


# ---------------------------------------------------------------------------------------------- cases


def peer() -> Peer:
    from importlib.metadata import version

    return Peer("lm-eval hf", version("lm-eval"))


def checkpoint(model: str, folder: Path, data: Path) -> tuple[Path, ModelConfig]:
    """A model directory that both sides open."""
    path = folder / model
    if model == "stories260K":
        make_model(path, data)
        return path, from_hf_config(json.loads((path / "config.json").read_text()))
    decoder = Decoder(SHAPES[model], seed=0)
    path.mkdir(exist_ok=True)
    save_pretrained(decoder, path, special_ids={"bos_token_id": 50256, "eos_token_id": 50256})
    shutil.copyfile(data / "tokenizers" / "gpt2" / "tokenizer.json", path / "tokenizer.json")
    special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **special, "clean_up_tokenization_spaces": False}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path, decoder.config


def fits(lm: Any, item: Item) -> bool:
    """Whether every choice fits the window: lm-eval stops with an assertion where one does not."""
    return len(item.requests[0]) == 1 or all(len(lm.tok_encode(r[1])) <= lm.max_length for r in item.requests)


def run_case(
    model: str, folder: Path, config: ModelConfig, task: str, items: list[Item], shares: int, dtype: str
) -> dict[str, Any]:
    theirs = quiet(lambda: their_model(folder, dtype, 1))
    ours = OURS(pretrained=str(folder), dtype=dtype, add_bos_token=False)
    whole = len(items)
    items = [item for item in items if fits(ours, item)]
    size = quiet(lambda: best_batch_size(theirs, items[: 8 if task == "ARC five-shot" else 24]))
    theirs.batch_size_per_gpu = size
    pairs, our_scores, their_scores = measure(ours, theirs, items, shares)
    worst = max(abs(a - b) for a, b in zip(our_scores, their_scores, strict=True))
    right = accuracy(items, our_scores), accuracy(items, their_scores)
    if worst > TOLERANCE[dtype] or (dtype == "float32" and right[0] != right[1]):
        raise SystemExit(f"not the same work: log-likelihoods differ by {worst}, accuracy {right}")
    same = {
        "items": len(items),
        "items_that_lm_eval_cannot_score": whole - len(items),
        "requests": len(our_scores),
        "largest_difference_nats": float(f"{worst:.2g}"),
        "accuracy": right[0],
        "dtype": dtype,
        "batch_size_of_lm_eval": size,
        "flops_ratio": round(flops_ratio(ours, config, items, shares), 2),
        "parameters": parameters(config),
    }
    return record(
        "eval_vs_lm_eval", case=f"{task}, {model}, {dtype}", unit="items/s", pairs=pairs, peer=peer(), same_work=same
    )


def overall(model: str, dtype: str, lines: list[dict[str, Any]]) -> None:
    """All zero-shot tasks together: the time of all items, share by share."""
    lines = [x for x in lines if "five-shot" not in x["case"]]
    pairs = Pairs()
    for share in range(len(lines[0]["ours"])):
        for side, rates in (("ours", pairs.ours), ("theirs", pairs.theirs)):
            rates.append(sum(x["same_work"]["items"] / len(x["ours"]) / x[side][share] for x in lines))
    same = {"cases": [x["case"] for x in lines]}
    record(
        "eval_vs_lm_eval",
        case=f"all but five-shot, {model}, {dtype}",
        unit="s",
        pairs=pairs,
        peer=peer(),
        same_work=same,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--models", nargs="+", default=["30M", "135M", "stories260K"])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--few-shot-items", type=int, default=100)
    parser.add_argument("--shares", type=int, default=5)
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--memory", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    if options.memory:
        items = items_of(options.tasks[0], options.data, options.items)
        print(peak_above_model(options.memory, options.folder, options.dtype, options.batch_size, items))
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtypes = [options.dtype] if options.dtype else ["float32", *(["bfloat16"] if has_bf16(device) else [])]
    with tempfile.TemporaryDirectory() as temporary:
        for model in options.models:
            folder, config = checkpoint(model, Path(temporary), options.data)
            for dtype in dtypes:
                lines = []
                for task in options.tasks:
                    few = "five-shot" in task
                    if few and config.context < 1024:
                        continue  # the examples do not fit
                    items = items_of(task, options.data, options.few_shot_items if few else options.items)
                    lines.append(run_case(model, folder, config, task, items, options.shares, dtype))
                if len(lines) > 1:
                    overall(model, dtype, lines)
            if model == "30M":
                memory_case(model, folder, options.data, "ARC", 50, dtypes[0], 16)


if __name__ == "__main__":
    main()
