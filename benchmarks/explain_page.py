"""The page of `smallm explain`, 128 tokens, 12 layers of 12 heads, 768 wide: seconds to make and to open, bytes.

    python benchmarks/explain_page.py [--repeats 5]

GPT-2's shape with random weights, so that attention spreads and nothing compresses well: the page's size is near its
worst. Made: from the loaded model to the written file, without ablation, with each layer removed, with each head as
well, and against a second model. Opened: Chromium (Playwright), from the start of the navigation until the page says
that it is drawn. No peer: BertViz has neither lens, ablation nor an offline page. The limits that we hold: 3 s without
ablation, 15 s with all heads, 2 MB, 4 MB with `--against`, open in 1 s.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _common import Pairs, record
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from smallm.core.config import ModelConfig
from smallm.evaluate.local_models import Options
from smallm.explain.difference import difference
from smallm.explain.explain import explain, explain_both
from smallm.explain.page import write_page
from smallm.explain.subject import Subject, open_subject
from smallm.model.decoder import Decoder
from smallm.model.families import save_pretrained
from smallm.model.sampling import SamplingConfig

TOKENS = 128
SHAPE: dict[str, Any] = {"preset": "gpt2", "layers": 12, "heads": 12, "kv_heads": 12, "width": 768, "context": 1024}
PROMPT = "The brave girl took her dog to the river because it was a warm day. "
SAMPLING = SamplingConfig(max_new_tokens=12, temperature=0.8, top_k=40, top_p=0.95)


def make_model(folder: Path, seed: int) -> Subject:
    """GPT-2's shape and vocabulary; a tokenizer of bytes, so that nothing is downloaded."""
    torch.manual_seed(seed)
    save_pretrained(Decoder(ModelConfig(vocab_size=50_257, **SHAPE)), folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0} | {c: i + 1 for i, c in enumerate(alphabet)}
    vocabulary |= {f"Ġword{i}": len(vocabulary) + i for i in range(50_257 - len(vocabulary))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    ).save_pretrained(folder)
    return open_subject(str(folder), Options())


def make_page(path: Path, subject: Subject, other: Subject | None, prompt: str, **options: Any) -> float:
    """Seconds from the loaded models to the page on the disk."""
    began = time.perf_counter()
    if other is None:
        write_page(path, explain(subject, prompt, sampling=SAMPLING, **options))
    else:
        a, b = explain_both(subject, other, prompt, sampling=SAMPLING, **options)
        write_page(path, a, b, difference(a, b))
    return time.perf_counter() - began


def open_seconds(path: Path, repeats: int) -> list[float]:
    """Seconds until Chromium has the page drawn; the first opening, which warms the browser up, is thrown away."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(repeats + 1):
            page = browser.new_context(offline=True).new_page()
            began = time.perf_counter()
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready=yes]")
            found.append(time.perf_counter() - began)
            page.close()
        browser.close()
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models_ = [make_model(Path(folder) / f"m{seed}", seed) for seed in (0, 1)]
        prompt = (PROMPT * 4)[: TOKENS - (len(models_[0].encode(PROMPT)) - len(PROMPT))]
        tokens = len(models_[0].encode(prompt))
        if tokens != TOKENS:
            raise SystemExit(f"the prompt has {tokens} tokens, not {TOKENS}: nothing is recorded")
        cases: dict[str, tuple[bool, dict[str, Any]]] = {
            "without ablation": (False, {"layers": False}),
            "each layer removed": (False, {}),
            "each layer and head removed": (False, {"heads": True}),
            "against another, each layer removed": (True, {}),
        }
        for case, (both, options) in cases.items():
            path = Path(folder) / "page.html"
            seconds = [
                make_page(path, models_[0], models_[1] if both else None, prompt, **options)
                for _ in range(given.repeats + 1)
            ][1:]
            work = {"tokens": tokens, "bytes": path.stat().st_size}
            record("explain_page", case=f"made, {case}", unit="s", pairs=Pairs(seconds), peer=None, same_work=work)
            opened = Pairs(open_seconds(path, given.repeats))
            record("explain_page", case=f"opened, {case}", unit="s", pairs=opened, peer=None, same_work=work)
            size = Pairs([path.stat().st_size / 1e6])
            record("explain_page", case=f"size, {case}", unit="MB", pairs=size, peer=None, same_work=work)


if __name__ == "__main__":
    main()
