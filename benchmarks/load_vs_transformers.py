"""Loading a Transformers directory: seconds and memory of our decoder against `from_pretrained`.

    python benchmarks/load_vs_transformers.py [--pairs 5]

Random weights in bf16: SmolLM2-135M's shape (Llama's layout), and Phi-3's fused layout at 0.4 B parameters. Each
measurement is a process of its own, with the file in the page cache: the clock and the memory begin after the imports.
Two clocks: until the call returns, and until eight tokens have gone through, because weights that are only mapped are
read there. Both sides give the same logits, checked in each pair.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from _common import ROOT, Pairs, Peer, record

from smallm.core.config import ModelConfig
from smallm.model.decoder import Decoder
from smallm.model.families import save_pretrained

SHAPES = {
    "SmolLM2-135M": ModelConfig(
        preset="smollm", layers=30, width=576, heads=9, kv_heads=3, ffn_width=1536, context=8192, vocab_size=49152
    ),
    "Phi-3 0.4B, fused": ModelConfig(
        preset="phi3", layers=16, width=1280, heads=16, kv_heads=16, ffn_width=3456, context=4096, vocab_size=32064
    ),
}
MEASURE = """
import json, resource, sys, threading, time
import torch
from pathlib import Path
side, directory, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
if side == "ours":
    from smallm.model.families import load_pretrained
    load = lambda: load_pretrained(directory, dtype=torch.bfloat16)
else:
    from transformers import AutoModelForCausalLM
    from transformers.models.llama import modeling_llama
    from transformers.models.phi3 import modeling_phi3
    from transformers.utils import logging
    logging.disable_progress_bar()
    load = lambda: AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16)
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
before, peak, done = resident(), 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, resident())
        time.sleep(0.001)
watcher = threading.Thread(target=watch)
watcher.start()
began = time.perf_counter()
model = load()
loaded = time.perf_counter() - began
held = peak - before
with torch.inference_mode():
    out = model(torch.arange(8)[None])
first = time.perf_counter() - began
done = True
watcher.join()
logits = (out if side == "ours" else out.logits)[0].float()
print(json.dumps({"loaded": loaded, "first": first, "held": held, "peak": peak - before,
                  "sum": float(logits.double().abs().mean()), "argmax": logits.argmax(-1).tolist()}))
"""


def measure(side: str, directory: Path) -> dict[str, Any]:
    """One loading in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, side, str(directory), str(torch.get_num_threads())],
        capture_output=True, text=True, check=False, cwd=ROOT / "src",
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    peer = Peer("transformers from_pretrained", transformers.__version__)
    for name, config in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            save_pretrained(Decoder(config), folder, dtype=torch.bfloat16)
            weights = (Path(folder) / "model.safetensors").stat().st_size
            found: list[tuple[dict[str, Any], dict[str, Any]]] = []
            for i in range(options.pairs + 1):  # the first pair warms the page cache
                pair = measure("ours", Path(folder)), measure("theirs", Path(folder))
                if abs(pair[0]["sum"] - pair[1]["sum"]) > 0.02 * pair[1]["sum"]:
                    raise RuntimeError(f"{name}: the logits differ: {pair}")
                found += [pair] if i else []
        same_work = {"bytes": weights, "mean_absolute_logit": [found[0][0]["sum"], found[0][1]["sum"]]}
        for case, key, unit in (
            ("loaded", "loaded", "s"),
            ("loaded and eight tokens through", "first", "s"),
            ("peak while loading", "held", "bytes"),
            ("peak with eight tokens through", "peak", "bytes"),
        ):
            pairs = Pairs([a[key] for a, _ in found], [b[key] for _, b in found])
            extra = {"of_the_weights": max(pairs.ours) / weights} if unit == "bytes" else None
            record(
                "load_vs_transformers", case=f"{name}: {case}", unit=unit, pairs=pairs, peer=peer,
                same_work=same_work, extra=extra,
            )  # fmt: skip


if __name__ == "__main__":
    main()
