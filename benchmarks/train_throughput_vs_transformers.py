"""Tokens a second of one training step: our decoder and loop parts against LlamaForCausalLM in plain torch.

The same Llama shape (about 4M and 30M parameters), the same random ids, float32 master weights, the
same autocast (bfloat16 where the processor multiplies it in hardware, else float32 on both
sides), AdamW (torch's fused one) with its step included, no clipping, both with and without
torch.compile and at several batch sizes: each side runs at its best. First both are given the
same weights and must agree on loss and gradient norm.

    python benchmarks/train_throughput_vs_transformers.py [--case 4M] [--pairs 5]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from _common import Pairs, Peer, alternate, record
from torch import Tensor

from smallm.core.config import ModelConfig, TrainConfig
from smallm.core.hardware import has_bf16
from smallm.model.count import flops_per_token, parameters
from smallm.model.decoder import Decoder
from smallm.model.families import save_pretrained, to_hf_config
from smallm.model.presets import complete
from smallm.train.corpus import Batch
from smallm.train.loss import LossModel
from smallm.train.optim import Optimizers

SHAPES = {
    "4M": ModelConfig(preset="llama", layers=4, width=256, heads=4, ffn_width=704, context=256, vocab_size=4096),
    "30M": ModelConfig(preset="llama", layers=6, width=384, heads=6, ffn_width=1024, context=512, vocab_size=50304),
}
ROWS = {"4M": (4, 8, 16), "30M": (2, 4, 8)}
RATE = 1e-3
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LOW = torch.bfloat16 if has_bf16(DEVICE) else torch.float32


@dataclass
class Side:
    """One contestant in one setting: `step(ids)` trains once and returns the loss (a tensor)."""

    name: str
    step: Callable[[Tensor], Tensor]
    rows: int
    compiled: bool
    compile_seconds: float = 0.0


def autocast() -> Any:
    return torch.autocast(DEVICE, dtype=LOW, enabled=torch.float32 != LOW)


def our_side(config: ModelConfig, rows: int, compiled: bool) -> tuple[Side, Decoder]:
    torch.manual_seed(0)
    decoder = Decoder(config).to(DEVICE)
    model = LossModel(decoder)
    train = TrainConfig(optimizer="adamw", learning_rate=RATE, weight_decay=0.1)
    optimizer = Optimizers(model, train)
    if compiled:
        model.compile()

    def step(ids: Tensor) -> Tensor:
        x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        batch = Batch(x, y, positions_BT=x, segments_BT=x, n_trained=y.numel(), document_ids=[], single=True)
        with autocast():
            loss, n = model(batch)
        loss = loss / n
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return Side("smallm", step, rows, compiled), decoder


def their_side(config: ModelConfig, rows: int, compiled: bool) -> tuple[Side, torch.nn.Module]:
    torch.manual_seed(0)
    hf = transformers.LlamaConfig(**{k: v for k, v in to_hf_config(config).items() if k != "architectures"})
    hf.use_cache = False
    model = transformers.LlamaForCausalLM(hf).to(DEVICE).train()  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    forward: Any = torch.compile(model, dynamic=False) if compiled else model

    def step(ids: Tensor) -> Tensor:
        x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        with autocast():
            # shift_labels: the targets as they are, so that both sides train on the same positions.
            loss = forward(input_ids=x, labels=y, shift_labels=y).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return Side("transformers", step, rows, compiled), model


def same_work(config: ModelConfig) -> dict[str, Any]:
    """Both sides with the same weights on the same batch: first loss and parameter count."""
    _, decoder = our_side(config, 2, False)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(decoder, Path(folder))
        peer = transformers.LlamaForCausalLM.from_pretrained(folder).to(DEVICE)  # type: ignore[arg-type]
    ids = random_ids(config, 2)
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    ours, n = LossModel(decoder)(Batch(x, y, x, x, y.numel(), [], single=True))
    ours = ours / n
    theirs = peer(input_ids=x, labels=y, shift_labels=y).loss
    ours.backward()
    theirs.backward()
    norms = [gradient_norm(m) for m in (decoder, peer)]
    if abs(float(ours - theirs)) > 1e-4 or abs(norms[0] / norms[1] - 1) > 1e-3:
        raise SystemExit(f"not the same work: losses {float(ours)}, {float(theirs)}; gradient norms {norms}")
    return {
        "loss_ours": round(float(ours), 6),
        "loss_theirs": round(float(theirs), 6),
        "grad_norm_ours": round(norms[0], 5),
        "grad_norm_theirs": round(norms[1], 5),
        "parameters": sum(p.numel() for p in decoder.parameters()),
        "dtype": str(LOW).removeprefix("torch."),
        "master_weights": "float32",
        "optimizer": "torch.optim.AdamW fused, betas .9 .95, weight decay .1",
    }


def gradient_norm(model: torch.nn.Module) -> float:
    return float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))


def random_ids(config: ModelConfig, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(config.vocab_size, (rows, config.context + 1), generator=generator).to(DEVICE)


def rate(side: Side, config: ModelConfig, seconds: float = 8.0) -> float:
    """Tokens a second over as many steps as fit in `seconds` (at least two)."""
    ids = random_ids(config, side.rows)
    began, steps = time.perf_counter(), 0
    while steps < 2 or time.perf_counter() - began < seconds:
        loss = side.step(ids)
        steps += 1
    float(loss)
    return steps * side.rows * config.context / (time.perf_counter() - began)


def best(make: Callable[..., Any], config: ModelConfig, case: str) -> Side:
    """The side at its fastest over batch sizes and torch.compile."""
    found: list[tuple[float, int, bool, Side]] = []
    for compiled in (False, True):
        # Compiling takes a minute on two cores: only at the size that was best uncompiled.
        sizes = ROWS[case] if not compiled else (max(found, key=lambda z: z[0])[1],)
        for rows in sizes:
            torch._dynamo.reset()
            side, _ = make(config, rows, compiled)
            began = time.perf_counter()
            for _ in range(2):
                float(side.step(random_ids(config, rows)))
            side.compile_seconds = round(time.perf_counter() - began, 1)
            found.append((rate(side, config, 4.0), rows, compiled, side))
            print(f"  {side.name}: {rows} rows, compiled {compiled}: {found[-1][0]:.0f} tokens/s", flush=True)
    return max(found, key=lambda z: z[0])[3]


def run(case: str, pairs: int) -> None:
    config = complete(SHAPES[case], SHAPES[case].vocab_size)
    work = same_work(config)
    print(f"{case}: {work}")
    ours, theirs = best(our_side, config, case), best(their_side, config, case)
    result: Pairs = alternate(lambda: rate(ours, config), lambda: rate(theirs, config), pairs=pairs)
    flops = flops_per_token(config, config.context)
    extra = {
        "settings": {
            s.name: {"rows": s.rows, "compiled": s.compiled, "first_two_steps_s": s.compile_seconds}
            for s in (ours, theirs)
        },
        "parameters": parameters(config),
        "gflops_6n_ours": round(max(result.ours) * flops["6N"] / 1e9, 1),
        "gflops_6n_theirs": round(max(result.theirs) * flops["6N"] / 1e9, 1),
        "gflops_product_limit": round(product_limit(), 1),
    }
    peer = Peer("transformers", transformers.__version__)
    record(
        "train_throughput_vs_transformers",
        case=f"{case}, {work['dtype']}",
        unit="tokens/s",
        pairs=result,
        peer=peer,
        same_work=work,
        extra=extra,
    )


def product_limit(size: int = 1024) -> float:
    """GFLOP/s of a plain matrix product in the same type on this machine: the limit to approach."""
    a, b = (torch.randn(size, size, device=DEVICE).to(LOW) for _ in range(2))
    best_seconds = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        for _ in range(5):
            product = torch.mm(a, b)
        float(product[0, 0])
        best_seconds = min(best_seconds, (time.perf_counter() - began) / 5)
    return 2 * size**3 / best_seconds / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=sorted(SHAPES), action="append")
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    for case in arguments.case or ("4M", "30M"):
        run(case, arguments.pairs)
