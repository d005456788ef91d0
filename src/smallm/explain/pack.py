"""An explanation as JSON for people's own tools, and as few bytes as the page can carry.

The page gets one block: a header in JSON and arrays behind it, gzipped, in base64. Attention is causal, so only its
lower triangle is there, one byte a weight: 255 times its square root (at most 0.4 percentage points off, small weights
far less). Every token's text is made visible here, once: no control or direction mark reaches the page as itself.
Letters: L layers, H heads, T time, N alternatives.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import unicodedata
from typing import Any

import numpy as np

from smallm.explain.difference import Difference
from smallm.explain.explain import Explanation

Array = np.ndarray
FORMAT = "smallm-explain-1"


def to_json(a: Explanation, b: Explanation | None = None, between: Difference | None = None) -> dict[str, Any]:
    """Everything that was seen, in plain numbers; attention as rows of growing length (row t has t + 1 weights)."""
    found: dict[str, Any] = {"format": FORMAT, "prompt": a.prompt, "model": _model_json(a)}
    if b is not None:
        found["against"] = _model_json(b)
    if between is not None:
        found["difference"] = {k: _plain(v) for k, v in dataclasses.asdict(between).items() if k != "attention"}
        found["difference"]["attention"] = [_ragged(w) for w in between.attention]
    return found


def _model_json(x: Explanation) -> dict[str, Any]:
    said = x.trace.predictions
    tokens = [
        {
            "id": id,
            "text": x.pieces(id),
            "probability": _number(said.probability_T[t]),
            "rank": int(said.rank_T[t]) or None,
            "surprise_bits": _number(said.surprise_T[t]),
            "next_entropy_bits": _number(said.entropy_T[t]),
            "next": _alternatives(x, said.top_ids_TN[t], said.top_p_TN[t]),
        }
        for t, id in enumerate(x.ids)
    ]
    lens = x.trace.lens
    rows = None if lens is None else {
        "top": [
            [_alternatives(x, lens.top_ids_LTN[row, t], lens.top_p_LTN[row, t]) for t in range(len(x.ids))]
            for row in range(len(lens.entropy_LT))
        ],
        "entropy_bits": _plain(lens.entropy_LT),
        "actual_probability": _plain(lens.actual_p_LT),
    }  # fmt: skip
    return {
        "facts": x.model,
        "tokens": tokens,
        "attention": [_ragged(w) for w in x.trace.attention],
        "rollout": _ragged(x.trace.rollout_LTT),
        "rollout_without_sink": _ragged(x.trace.rollout_no_sink_LTT),
        "lens": rows,
        "ablation": None if x.ablation is None else _plain(dataclasses.asdict(x.ablation)),
        "positions": _plain(dataclasses.asdict(x.positions)),
        "generation": None if x.generation is None else _generation(x),
    }


def _generation(x: Explanation) -> dict[str, Any]:
    assert x.generation is not None
    steps = [
        dataclasses.asdict(step)
        | {"text": x.pieces(step.drawn), "shown": [{"id": i, "text": x.pieces(i)} for i in step.shown]}
        for step in x.generation.steps
    ]
    sampling = dataclasses.asdict(x.generation.sampling)
    return _plain({"sampling": sampling, "reason": x.generation.reason, "steps": steps})


def _alternatives(x: Explanation, ids: Array, p: Array) -> list[dict[str, Any]]:
    return [{"id": int(i), "text": x.pieces(int(i)), "probability": _number(q)} for i, q in zip(ids, p, strict=True)]


def _ragged(weights: Array | None) -> Any:
    """(…, T, T) as nested lists without what is above the diagonal; None where a layer has no attention."""
    if weights is None:
        return None
    if weights.ndim > 2:
        return [_ragged(part) for part in weights]
    return [row[: t + 1] for t, row in enumerate(np.round(weights.astype(np.float64), 7).tolist())]


def _number(value: Any) -> float | None:
    """NaN and infinities have no place in JSON."""
    return float(f"{float(value):.7g}") if np.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Arrays as lists, numbers as JSON takes them."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return _number(value) if isinstance(value, float) else value


# ---- for the page --------------------------------------------------------------------------------------------------


class Block:
    """Arrays one behind the other, and where each lies; texts of tokens, each once."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.words: dict[str, int] = {}

    def put(self, array: Array, kind: str) -> list[Any]:
        """[kind, offset, numbers]; kind: u8, i8, u32 or f32 (little-endian, begun at a multiple of 4)."""
        numbers = np.ascontiguousarray(array, dtype={"u8": "u1", "i8": "i1", "u32": "<u4", "f32": "<f4"}[kind])
        data = numbers.tobytes()
        at = self.size
        data += b"\0" * (-len(data) % 4)
        self.parts.append(data)
        self.size += len(data)
        return [kind, at, int(numbers.size)]

    def word(self, text: str) -> int:
        return self.words.setdefault(visible(text), len(self.words))

    def put_words(self, x: Explanation, ids: Array) -> list[Any]:
        numbers = [self.word(x.pieces(int(i))) for i in ids.reshape(-1)]
        return self.put(np.array(numbers, dtype=np.int64), "u32")

    def packed(self, header: dict[str, Any]) -> str:
        """Header length (4 bytes), header, arrays; gzip, base64."""
        text = json.dumps(header | {"words": list(self.words)}, ensure_ascii=False, separators=(",", ":"))
        head = text.encode("utf-8", "replace")
        head += b" " * (-len(head) % 4)
        whole = len(head).to_bytes(4, "little") + head + b"".join(self.parts)
        return base64.b64encode(gzip.compress(whole, 6, mtime=0)).decode()


def page_data(a: Explanation, b: Explanation | None = None, between: Difference | None = None) -> str:
    """What the page's script reads (templates/data.js): no character of it can leave a script element."""
    block = Block()
    header: dict[str, Any] = {
        "tokens": [block.word(a.pieces(i)) for i in a.ids],
        "ids": a.ids,
        "models": [_model_page(block, x) for x in (a, b) if x is not None],
    }
    if between is not None:
        header["divergence"] = block.put(between.divergence_T, "f32")
        header["missing"] = between.missing
    return block.packed(header)


def _model_page(block: Block, x: Explanation) -> dict[str, Any]:
    said, lens = x.trace.predictions, x.trace.lens
    found: dict[str, Any] = {
        "facts": x.model,
        "p": block.put(said.probability_T, "f32"),
        "rank": block.put(said.rank_T, "u32"),
        "entropy": block.put(said.entropy_T, "f32"),
        "top": block.put_words(x, said.top_ids_TN),
        "topP": block.put(said.top_p_TN, "f32"),
        "alternatives": said.top_ids_TN.shape[1],
        "attention": [None if w is None else block.put(halved(w), "u8") for w in x.trace.attention],
        "rollout": block.put(halved(x.trace.rollout_LTT), "u8"),
        "rolloutNoSink": block.put(halved(x.trace.rollout_no_sink_LTT), "u8"),
        "ablation": _plain(_ablation(block, x)),
        "positions": _positions(block, x),
        "generation": _plain(_steps(block, x)),
        "lens": None,
    }
    if lens is not None:
        found["lens"] = {
            "rows": len(lens.entropy_LT),
            "top": block.put_words(x, lens.top_ids_LTN),
            "topP": block.put(lens.top_p_LTN, "f32"),
            "alternatives": lens.top_ids_LTN.shape[2],
            "entropy": block.put(lens.entropy_LT, "f32"),
            "actual": block.put(lens.actual_p_LT, "f32"),
        }
    return found


def halved(weights: Array) -> Array:
    """(…, T, T) as bytes of the lower triangle, row by row: 255 * sqrt(weight), (…, T (T + 1) / 2)."""
    T = weights.shape[-1]
    lower = weights[..., *np.tril_indices(T)]
    return np.round(255 * np.sqrt(np.clip(lower, 0.0, 1.0))).astype(np.uint8)


def _ablation(block: Block, x: Explanation) -> dict[str, Any] | None:
    if x.ablation is None:
        return None
    found = x.ablation

    def rows(removals: Any) -> list[list[Any]]:
        return [[r.layer, r.head, r.probability, r.change, r.bits, block.word(x.pieces(r.top_id))] for r in removals]

    target = block.word(x.pieces(found.target))
    return {"target": target, "p": found.probability, "layers": rows(found.layers), "heads": rows(found.heads)}


def _positions(block: Block, x: Explanation) -> dict[str, Any]:
    seen = x.positions
    found: dict[str, Any] = {"kind": seen.kind, "about": seen.about, "context": seen.context, "windows": seen.windows}
    found["slopes"] = seen.slopes
    found["rotary"] = [
        {
            "name": r.name,
            "scale": r.scale,
            "channels": r.channels,
            "frequency": block.put(r.frequency_R, "f32"),
            "closeness": block.put(r.closeness_T, "f32"),
        }
        for r in seen.rotary
    ]
    if seen.table is not None:
        rows = seen.table.rows_TD
        found["table"] = {
            "size": seen.table.size,
            "positions": seen.table.positions_T,
            "columns": rows.shape[1],
            "rows": block.put(np.round(127 * rows / max(float(np.abs(rows).max()), 1e-12)), "i8"),
            "similarity": block.put(np.round(127 * np.clip(seen.table.similarity_TT, -1, 1)), "i8"),
        }
    return found


def _steps(block: Block, x: Explanation) -> dict[str, Any] | None:
    if x.generation is None:
        return None
    steps = [
        {
            "drawn": step.shown.index(step.drawn),
            "words": [block.word(x.pieces(i)) for i in step.shown],
            "stages": step.stages,
            "remaining": step.remaining,
            "number": step.number,
            "interval": step.interval,
            "ends": step.ends,
        }
        for step in x.generation.steps
    ]
    sampling = dataclasses.asdict(x.generation.sampling)
    greedy = x.generation.sampling.deterministic
    return {"sampling": sampling, "greedy": greedy, "reason": x.generation.reason, "steps": steps}


NAMED = {"\n": "⏎", "\t": "⇥", "\x7f": "␡"}
# Categories of characters that are not seen, or change how others are seen: format (direction marks, joiners), line and
# paragraph separators, private, unassigned, surrogates.
UNSEEN = ("Cf", "Zl", "Zp", "Co", "Cn", "Cs")


def visible(text: str) -> str:
    """A token's text in which every character is seen: ⏎ and ␀ for control characters, ‹U+202E› for marks."""
    out = []
    for i, character in enumerate(text):
        kind = unicodedata.category(character)
        if character in NAMED:
            out.append(NAMED[character])
        elif kind == "Cc" and ord(character) < 0x20:
            out.append(chr(0x2400 + ord(character)))
        elif kind == "Cc" or kind in UNSEEN:
            out.append(f"‹U+{ord(character):04X}›")
        else:
            out.append("◌" + character if i == 0 and kind in ("Mn", "Me") else character)
    return "".join(out)


def direction(text: str) -> str:
    """`rtl` when the first letter of the text is read from right to left, else `ltr`."""
    kinds = (unicodedata.bidirectional(c) for c in text)
    return "rtl" if next((k for k in kinds if k in ("L", "R", "AL")), "L") in ("R", "AL") else "ltr"
