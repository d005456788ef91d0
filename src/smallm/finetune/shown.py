"""A row as people read it: stretches of text, learned or not, with every special token by its name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from smallm.finetune.render import Renderer

if TYPE_CHECKING:
    from smallm.finetune.audit import Row


def shown_row(renderer: Renderer, row: Row) -> dict[str, Any]:
    """JSON of a row: counts and `pieces`, [text, learned?, special token?]; they join to the row's text."""
    return {
        "id": row.example.id,
        "source": row.example.source,
        "tokens": len(row.ids),
        "trained": row.trained,
        "pieces": [list(piece) for piece in pieces(renderer, row.ids.tolist(), row.mask.tolist())],
    }


def pieces(renderer: Renderer, ids: list[int], mask: list[bool]) -> Iterator[tuple[str, bool, bool]]:
    """(text, learned, special) of each stretch of tokens alike. A text is what its tokens add to those before it.

    A token by itself has no text (half a character, a space at its front): all are decoded up to its end.
    """
    specials = renderer.template.special_ids
    at, before = 0, ""
    for (learned, special), group in groupby(zip(ids, mask, strict=True), lambda x: (x[1], x[0] in specials)):
        at += len(list(group))
        text = str(renderer.tokenizer.decode(ids[:at], skip_special_tokens=False, clean_up_tokenization_spaces=False))
        shared = len(before) if text.startswith(before) else _shared(before, text)
        yield text[shared:], learned, special
        before = text


def _shared(a: str, b: str) -> int:
    """Length of the common prefix."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
