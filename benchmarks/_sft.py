"""What the fine-tuning benchmarks share: the base, the rows, the work order, the clock and the memory meter.

A side (_sft_sides.py) runs alone in a fresh process: it gets a `Work` as JSON and prints a `Result` as JSON. Both
sides count the same things at the same moments: tokens of the rows that went through the model (prompt, completion and
its end; no padding), targets with a loss, seconds after the warm-up steps, and the peak of resident memory above what
the process held with its model, adapter and prepared rows in place.
"""

from __future__ import annotations

import ctypes
import gc
import gzip
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
END = "<|endoftext|>"
# What every side writes a row as: prompt, newline, answer, end. GPT-2's tokenizer has no template and adds no BOS.
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{{ '\n' if m['role'] == 'user' else eos_token }}{% endfor %}"
MAX_LENGTH = 1024
LORA_R, LORA_ALPHA = 16, 16
# The shapes of train_throughput_vs_transformers.py and eval_vs_lm_eval.py, with GPT-2's tokenizer as it is.
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    },
    "30M": {
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 6,
    },
    "135M": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
}
# Dolly's rows are half prompt: those with less than this share of answer are left out, and over half of what is left
# is trained on. T0's are taken as they come: 4 % of them is answer.
DOLLY_SHARE = 0.15
HELD_OUT = 200


@dataclass
class Work:
    """What one process is asked to do. `side`: ours, packed (TRL), padded (TRL), plain (PEFT and a loop)."""

    side: str
    base: str
    rows: str  # a JSONL of prompt and completion
    output: str
    micro: int  # rows (packed ones, or padded ones) in one forward pass
    accumulate: int  # forward passes in a step
    steps: int = 12
    warm_up: int = 3
    checkpointing: bool = False
    load_in_4bit: bool = False
    dtype: str = "float32"
    learning_rate: float = 2e-4
    seed: int = 0
    max_length: int = MAX_LENGTH
    target_modules: str = "all-linear"
    optimizer: str = "adamw"  # adamw, adamw8bit, paged_adamw8bit
    held_out: str = ""  # a JSONL: its loss before and after
    check: bool = False  # one pass without an update: counts and loss of the untrained model


@dataclass
class Result:
    """What a process found."""

    tokens_per_second: float = 0.0
    peak_mb: float = 0.0
    tokens: int = 0
    trained: int = 0
    loss: float = 0.0  # of the last step, or with `check` of all rows
    lora_parameters: int = 0
    held_out_before: float = 0.0
    held_out_after: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------- base and rows


def make_base(name: str, folder: Path, data: Path = SHARED) -> Path:
    """A Llama of random weights in float32 with GPT-2's tokenizer, as a directory."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path = folder / name
    torch.manual_seed(0)
    ids: dict[str, Any] = {"bos_token_id": 50256, "eos_token_id": 50256, "pad_token_id": 50256}
    config = LlamaConfig(vocab_size=50257, max_position_embeddings=MAX_LENGTH, **SHAPES[name], **ids)
    LlamaForCausalLM(config).save_pretrained(path)
    shutil.copyfile(data / "tokenizers" / "gpt2" / "tokenizer.json", path / "tokenizer.json")
    tokens = {"bos_token": END, "eos_token": END, "pad_token": END}
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **tokens,
        "clean_up_tokenization_spaces": False,
    }
    settings["chat_template"] = TEMPLATE
    (path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    return path


def read_rows(name: str, data: Path = SHARED) -> list[dict[str, str]]:
    """`t0` or `dolly` in file order, without the end's text, which each side puts there by itself."""
    if name == "t0":
        with gzip.open(data / "instruct" / "t0_subset.jsonl.gz", "rt", encoding="utf-8") as lines:
            found = [json.loads(line) for line in lines]
        answers = [r["completion"] for r in found]
    else:
        text = (data / "instruct" / "dolly_hhrlhf_train_small.jsonl").read_text("utf-8")
        found = [json.loads(line) for line in text.splitlines()]
        answers = [r["response"] for r in found]
    return [
        {"prompt": r["prompt"].strip(), "completion": a.removesuffix(END).strip()}
        for r, a in zip(found, answers, strict=True)
    ]


def choose_rows(name: str, base: Path, tokens: int, data: Path = SHARED) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Rows of `name` up to `tokens` tokens, that no side has to cut, and what they are.

    Left out: rows over MAX_LENGTH, rows whose prompt's ids do not begin the ids of the whole, duplicates.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    chosen: list[dict[str, str]] = []
    seen: set[tuple[str, str]] = set()
    total = trained = 0
    for row in read_rows(name, data):
        prompt = tokenizer.encode(row["prompt"] + "\n").ids
        whole = tokenizer.encode(f"{row['prompt']}\n{row['completion']}{END}").ids
        answer = len(whole) - len(prompt)
        wanted = name != "dolly" or answer >= DOLLY_SHARE * len(whole)
        key = (row["prompt"], row["completion"])
        cut = len(whole) > MAX_LENGTH or whole[: len(prompt)] != prompt
        if cut or key in seen or not wanted or not all(key):
            continue
        if total >= tokens:
            break
        seen.add(key)
        chosen.append(row)
        total, trained = total + len(whole), trained + answer
    return chosen, {"rows": len(chosen), "tokens": total, "trained_share": round(trained / max(1, total), 4)}


def write_rows(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def load_rows(path: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def as_messages(row: dict[str, str]) -> list[dict[str, str]]:
    """[the user's turn, the answer]."""
    return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]


def split_held_out(rows: list[dict[str, str]], seed: int = 0) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """(train, held out). Rows of one passage stay on one side: T0 asks several things of each."""
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row["prompt"][:120], []).append(row)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    held_out: list[dict[str, str]] = []
    train: list[dict[str, str]] = []
    for key in order:
        (held_out if len(held_out) < HELD_OUT else train).extend(groups[key])
    return train, held_out


# ---------------------------------------------------------------------------------------------- clock and memory


@dataclass
class Clock:
    """Counts at the end of each step; `rate` leaves the warm-up out."""

    warm_up: int
    marks: list[tuple[float, int, int]] = field(default_factory=list)  # seconds, tokens, trained so far

    def mark(self, tokens: int, trained: int) -> None:
        self.marks.append((time.perf_counter(), tokens, trained))

    def rate(self) -> float:
        """Tokens a second from the end of the last warm-up step to the end of the last one."""
        if len(self.marks) < 2:
            return 0.0
        (began, before, _), (ended, after, _) = self.marks[min(self.warm_up, len(self.marks) - 1) - 1], self.marks[-1]
        return (after - before) / max(1e-9, ended - began)


class Meter:
    """Peak of resident memory (Linux: the kernel's own high-water mark) or of CUDA's allocator, above the start."""

    def __init__(self, model: Any) -> None:
        import torch

        self.cuda = torch.cuda.is_available()
        for p in model.parameters():  # weights that are mapped but not read yet are not in memory
            p.detach().sum() if p.dtype.is_floating_point else p.detach().view(torch.uint8)[..., ::512].sum()
        gc.collect()
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
            return
        trim_heap()
        Path("/proc/self/clear_refs").write_text("5")
        self.before = status("VmRSS")

    def above_mb(self) -> float:
        return (self._peak() - self.before) / 1e6

    def notes(self) -> dict[str, float]:
        """Megabytes with the model in them, and before the first step."""
        return {"peak_total_mb": round(self._peak() / 1e6, 1), "before_mb": round(self.before / 1e6, 1)}

    def _peak(self) -> int:
        import torch

        return torch.cuda.max_memory_allocated() if self.cuda else status("VmHWM")


def trim_heap() -> None:
    """Give freed memory back, so that what loading left behind hides nothing of the training."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def status(key: str) -> int:
    """Bytes of a line of the process's status."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key + ":"))
    return 1024 * int(line.split()[1])


# ---------------------------------------------------------------------------------------------- processes


def in_process(script: str, work: Work) -> Result:
    """`work` in a fresh process of `script --work`; its error, whole, when it fails."""
    command = [sys.executable, script, "--work", json.dumps(asdict(work))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{work.side} failed:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def work_of(text: str) -> Work:
    return Work(**json.loads(text))
