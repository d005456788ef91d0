"""Greedy decoding on the CPU: tokens a second of our compiled pass against Transformers' `generate`.

    python benchmarks/decode_vs_transformers.py [--case 135M] [--batch 8] [--pairs 5] [--new 128]

The same random checkpoints with bf16 weights on both sides (4M, 30M, and 135M in SmolLM2's shape), prompts of 16
tokens, 128 new tokens, no stop, batch 1 and 8. Each side is a process of its own with all cores; they take turns, and
the one that waits does nothing. Transformers runs with the faster of its dynamic and static caches, tried first. A
measurement is a whole call, the prompt included; `decode_only` leaves the prompt out. Same work: Transformers with the
same weights in float32 must write our ids (its bf16 arithmetic soon writes others: how many are equal is recorded).
GB/s are the weights' bytes times steps a second, beside the bandwidth of the same machine in the same run: a sum over
1 GB by all cores, the best of ten.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from statistics import median
from typing import Any

from _common import Pairs, Peer, record

from smallm.core.config import ModelConfig

SHAPES = {
    "4M": ModelConfig(preset="llama", layers=4, width=256, heads=4, ffn_width=704, context=256, vocab_size=4096),
    "30M": ModelConfig(preset="llama", layers=6, width=384, heads=6, ffn_width=1024, context=512, vocab_size=50304),
    "135M": ModelConfig(
        preset="smollm", layers=30, width=576, heads=9, kv_heads=3, ffn_width=1536, context=8192, vocab_size=49152
    ),
}
PROMPT = 16
ALIKE = 0.98  # share of ids that Transformers in float32 must write as we do: near ties may fall otherwise


def prompts(vocabulary: int, batch: int) -> list[list[int]]:
    import torch

    return torch.randint(vocabulary, (batch, PROMPT), generator=torch.Generator().manual_seed(1)).tolist()


# ---- the two sides, each in its own process: one JSON request a line, one JSON answer a line ----


class Ours:
    """`generate_batch` with the compiled pass."""

    def __init__(self, directory: str) -> None:
        import torch

        from smallm.model.families import load_pretrained
        from smallm.model.steps import decoding

        self.model = load_pretrained(directory, dtype=torch.bfloat16)
        self.how = decoding(self.model)
        if not self.how.startswith("fast"):
            raise SystemExit(f"not the compiled pass: {self.how}")

    def write(self, batch: int, new: int, **_: Any) -> list[list[int]]:
        from smallm.model.generate import SamplingConfig, generate_batch

        sampling = SamplingConfig(greedy=True, max_new_tokens=new)
        return generate_batch(self.model, prompts(self.model.config.vocab_size, batch), sampling, fast=True)


class Theirs:
    """`generate` of Transformers, bf16 weights and arithmetic; float32 arithmetic for the check."""

    how = ""

    def __init__(self, directory: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.models = {
            kind: AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()
            for kind, dtype in (("bf16", torch.bfloat16), ("float32", torch.float32))
        }
        for model in self.models.values():
            model.generation_config.eos_token_id = None
            model.generation_config.pad_token_id = 0

    def write(self, batch: int, new: int, cache: str = "dynamic", kind: str = "bf16") -> list[list[int]]:
        import torch

        model: Any = self.models[kind]
        ids = torch.tensor(prompts(model.config.vocab_size, batch))
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new, cache_implementation=cache
        )
        return out[:, ids.shape[1] :].tolist()


def bandwidth() -> float:
    """GB/s of a sum over 1 GB, by all threads: the faster of numba's and torch's, each the best of ten."""
    import numba
    import numpy as np
    import torch

    @numba.njit(parallel=True, fastmath=True)
    def total(x: Any) -> Any:
        s = np.float32(0)
        for i in numba.prange(len(x)):
            s += x[i]
        return s

    numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    array = np.ones(250_000_000, dtype=np.float32)
    tensor, best = torch.from_numpy(array), 0.0
    for read in (lambda: total(array), lambda: tensor.sum()):
        read()
        for _ in range(10):
            began = time.perf_counter()
            read()
            best = max(best, array.nbytes / (time.perf_counter() - began) / 1e9)
    return best


def serve(side: str, directory: str) -> None:
    """Answer requests until the input ends."""
    if side == "bandwidth":
        print(json.dumps({"gb_per_s": bandwidth()}), flush=True)
        return
    writer = (Ours if side == "ours" else Theirs)(directory)
    print(json.dumps({"how": writer.how}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        began = time.perf_counter()
        ids = writer.write(**request)
        print(json.dumps({"seconds": time.perf_counter() - began, "ids": ids}), flush=True)


class Side:
    """A side's process, asked from here."""

    def __init__(self, name: str, directory: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", name, directory],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.first = self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"a side ended with {self.process.wait()}; its error stands above")
        return json.loads(line)

    def write(self, **request: Any) -> dict[str, Any]:
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()


def equal(a: list[list[int]], b: list[list[int]]) -> tuple[int, int]:
    """(ids equal in their place, length of the shortest common beginning of a row)."""
    same = [[x == y for x, y in zip(one, other, strict=True)] for one, other in zip(a, b, strict=True)]
    return sum(map(sum, same)), min([*row, False].index(False) for row in same)


def check(ours: Side, theirs: Side, batch: int, new: int) -> dict[str, Any]:
    """Both write the same; SystemExit where they do not."""
    mine, exact = ours.write(batch=batch, new=new)["ids"], theirs.write(batch=batch, new=new, kind="float32")["ids"]
    rounded, total = theirs.write(batch=batch, new=new)["ids"], batch * new
    if equal(mine, exact)[0] < ALIKE * total:
        raise SystemExit(f"not the same work: {equal(mine, exact)[0]} of {total} ids as Transformers in float32")
    return {
        "ids": total,
        "equal_to_theirs_in_float32": equal(mine, exact)[0],
        "equal_to_theirs_in_bf16": equal(mine, rounded)[0],
        "equal_beginning_in_bf16": equal(mine, rounded)[1],
    }


def case(name: str, batch: int, sides: tuple[Side, Side], options: Any, limit: float) -> None:
    """One size and batch: check, choose their cache, alternate, record."""
    from smallm.model.count import parameters
    from smallm.model.presets import complete

    (ours, theirs), new = sides, options.new
    same_work = check(ours, theirs, batch, new)
    request = {"batch": batch, "new": new}
    tried = {
        cache: min(theirs.write(**request, cache=cache)["seconds"] for _ in range(2)) for cache in ("dynamic", "static")
    }
    cache = min(tried, key=lambda c: tried[c])
    pairs, alone = Pairs(), Pairs()
    for i in range(options.pairs + 1):  # the first is warm-up
        seconds = [ours.write(**request)["seconds"], theirs.write(**request, cache=cache)["seconds"]]
        first = [ours.write(batch=batch, new=1)["seconds"], theirs.write(batch=batch, new=1, cache=cache)["seconds"]]
        if i:
            for side, whole, prompt in zip(("ours", "theirs"), seconds, first, strict=True):
                getattr(pairs, side).append(batch * new / whole)
                getattr(alone, side).append(batch * (new - 1) / (whole - prompt))
    weights = 2 * parameters(complete(SHAPES[name], 0))  # tied: the embedding is read as the head
    gb_per_s = {side: median(getattr(alone, side)) / batch * weights / 1e9 for side in ("ours", "theirs")}
    ratios = alone.ratios("tokens/s")
    extra = {
        "decode_only": {
            "ours": alone.ours, "theirs": alone.theirs, "ratio_median": round(median(ratios), 3),
            "ratio_min": round(min(ratios), 3), "ratio_max": round(max(ratios), 3),
        },
        "weights_bytes": weights, "gb_per_s": {side: round(x, 2) for side, x in gb_per_s.items()},
        "bandwidth_gb_per_s": round(limit, 2), "share_of_bandwidth": round(gb_per_s["ours"] / limit, 3),
        "ours_how": ours.first["how"], "their_cache": cache,
        "their_caches_tokens_per_s": {c: round(batch * new / s, 1) for c, s in tried.items()},
        "prompt_tokens": PROMPT, "new_tokens": new, "their_weights": "bfloat16", "our_weights": "bfloat16",
    }  # fmt: skip
    import transformers

    record(
        "decode_vs_transformers", case=f"{name}, batch {batch}", unit="tokens/s", pairs=pairs,
        peer=Peer("transformers generate", transformers.__version__), same_work=same_work, extra=extra,
    )  # fmt: skip
    print(f"  {extra['gb_per_s']} GB/s of {limit:.1f}; their cache: {cache}", file=sys.stderr)


def run(name: str, options: Any, limit: float) -> None:
    """Every batch of one size, on one random checkpoint."""
    import torch

    from smallm.model.decoder import Decoder
    from smallm.model.families import save_pretrained

    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(Decoder(SHAPES[name]), folder, dtype=torch.bfloat16)
        sides = Side("ours", folder), Side("theirs", folder)
        for batch in options.batch or (1, 8):
            case(name, batch, sides, options, limit)
        for side in sides:
            side.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=SHAPES, action="append")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "DIRECTORY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    reader = Side("bandwidth", "")
    limit = reader.first["gb_per_s"]
    reader.close()
    for name in options.case or SHAPES:
        run(name, options, limit)


if __name__ == "__main__":
    main()
