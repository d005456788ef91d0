"""Requests as rows of a prefix tree: what several of them begin with is computed once.

A request is a chain of input ids, some of whose last nodes predict the tokens to score. Sorted, requests that begin
alike stand side by side; a row holds the tree of some neighbours as a flat list of nodes, each after its parent, so
that a node's attention is to its ancestors and itself (the mask) and its position is its depth. What a long run of
neighbours begins with (few-shot examples, a passage) is a stem, whose keys and values many rows share.
Numbers in and out: knows nothing of models. Letters: B rows, N nodes of a row, P ids of the stem.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

# Nodes of a row that holds a tree. Attention grows with it: at width 384, 256 nodes cost a tenth of a layer.
ROW_NODES = 256
# Trees smaller than this are put together in one row.
FILLED_NODES = 128
# A batch ends where rows are so much shorter than its longest, once it holds this share of its budget.
SHORTER, BEGUN = 0.8, 0.25
# A sequence joins its neighbour's row when this share of it is there already; below that a row of its own, which needs
# no mask, is faster.
JOIN_SHARE = 0.15
# A stem is computed by itself when it has so many ids and its requests fill more than one row.
STEM_IDS = 48


@dataclass(frozen=True)
class Chain:
    """One request: its input ids (the last token to score is predicted, never an input) and how many are scored."""

    request: int
    inputs: tuple[int, ...]
    targets: tuple[int, ...]

    @property
    def first(self) -> int:
        """Index of the node that predicts the first target."""
        return len(self.inputs) - len(self.targets)


def chain_of(request: int, context: Sequence[int], continuation: Sequence[int], max_length: int) -> Chain:
    """The chain of a request, cut on the left to `max_length` inputs (lm-eval's rule). ValueError: not scorable."""
    if not context or not continuation:
        raise ValueError(
            f"request {request}: {len(context)} context ids and {len(continuation)} to score; both need one"
        )
    if len(continuation) > max_length:
        raise ValueError(f"request {request}: {len(continuation)} ids to score, the model takes {max_length} at a time")
    ids = (*context, *continuation)[-(max_length + 1) :]
    return Chain(request, tuple(ids[:-1]), tuple(continuation))


@dataclass
class Row:
    """Some chains as one tree. `wanted`: (request, node, target), the node's prediction of the target is scored."""

    ids: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    wanted: list[tuple[int, int, int]] = field(default_factory=list)
    chains: int = 0

    def take_in(self, other: Row) -> None:
        """Put another row's trees beside this row's; neither sees the other."""
        offset = len(self.ids)
        self.ids += other.ids
        self.depth += other.depth
        self.parent += [parent + offset if parent >= 0 else -1 for parent in other.parent]
        self.wanted += [(request, node + offset, target) for request, node, target in other.wanted]
        self.chains += other.chains

    @property
    def is_chain(self) -> bool:
        """Whether plain causal attention is this row's mask: each node follows the one before."""
        return all(parent == node - 1 for node, parent in enumerate(self.parent))

    def add(self, chain: Chain, path: list[int], shared: int, skipped: int) -> list[int]:
        """Add a chain of which `shared` nodes are in `path` (the nodes of the chain before) and `skipped` in the stem.

        Returns the chain's own path: the row's node at each of its inputs after the stem.
        """
        path = path[: shared - skipped]
        for at in range(max(shared, skipped), len(chain.inputs)):
            self.parent.append(path[-1] if path else -1)
            self.ids.append(chain.inputs[at])
            self.depth.append(at)
            path.append(len(self.ids) - 1)
        first = chain.first - skipped
        self.wanted += [(chain.request, path[first + i], target) for i, target in enumerate(chain.targets)]
        self.chains += 1
        return path


@dataclass(frozen=True)
class Group:
    """Rows that share a stem (empty for most), longest first."""

    stem: tuple[int, ...]
    rows: list[Row]


def plan(chains: Sequence[Chain], row_nodes: int = ROW_NODES, *, share: bool = True) -> list[Group]:
    """Every chain in exactly one row. `share` False: a row of its own, for models that cannot take a tree's mask."""
    if not chains:
        return []
    ordered = sorted(chains, key=lambda c: c.inputs)
    if not share:
        return [Group((), _sorted([_lone(c) for c in ordered]))]
    common = [0, *(_shared(a.inputs, b.inputs) for a, b in pairwise(ordered))]
    stems = list(_stems(ordered, common, row_nodes))
    groups = [
        Group(ordered[begin].inputs[:stem], _sorted(_rows(ordered[begin:end], common[begin:end], row_nodes, stem)))
        for begin, end, stem in stems
    ]
    rest: list[Row] = []
    edges = [0, *(x for begin, end, _ in stems for x in (begin, end)), len(ordered)]
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        rest += _rows(ordered[begin:end], common[begin:end], row_nodes, 0)
    return [*groups, Group((), _sorted(rest))] if rest else groups


def _stems(ordered: Sequence[Chain], common: Sequence[int], row_nodes: int) -> Iterator[tuple[int, int, int]]:
    """(begin, end, ids of the stem) of neighbours that are worth one: it is long, and they fill more than a row."""
    for begin, end in _runs(common, STEM_IDS):
        run, lcp = ordered[begin:end], common[begin + 1 : end]
        # Every node that predicts something stays in its row: the stem ends before the first of them.
        stem = min((*lcp, *(c.first for c in run)))
        nodes = sum(len(c.inputs) for c in run) - sum(lcp)
        if lcp and stem >= STEM_IDS and nodes - stem > row_nodes:
            yield begin, end, stem


def batches(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Neighbours of sorted rows, at most `tokens` padded nodes together (at least one row), trees apart from chains."""
    batch: list[Row] = []
    for row in rows:
        longest = len(batch[0].ids) if batch else 0
        full = (len(batch) + 1) * longest > tokens
        shorter = len(row.ids) < SHORTER * longest and len(batch) * longest >= BEGUN * tokens
        if batch and (full or shorter or row.is_chain != batch[0].is_chain):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def mask(row: Row, width: int) -> np.ndarray:
    """bool (width, width): node t sees node s, itself or an ancestor. Padding sees itself (no empty softmax)."""
    seen = np.eye(width, dtype=bool)
    for node, parent in enumerate(row.parent):
        if parent >= 0:
            seen[node, :node] = seen[parent, :node]
    return seen


def _rows(run: Sequence[Chain], lcp: Sequence[int], row_nodes: int, stem: int) -> list[Row]:
    """The run's chains in rows of at most `row_nodes` (one chain may be longer), the stem's nodes left out."""
    rows: list[Row] = []
    path: list[int] = []
    for at, chain in enumerate(run):
        shared = lcp[at] if at else 0
        own = len(chain.inputs) - stem
        joins = shared == len(chain.inputs) or shared - stem >= JOIN_SHARE * own
        # A stem's chains are short and many: together they leave less padding, whatever they share.
        if (
            rows
            and (joins or stem)
            and len(rows[-1].ids) + len(chain.inputs) - max(shared, stem) <= max(row_nodes, own)
        ):
            path = rows[-1].add(chain, path, max(shared, stem), stem)
        else:
            rows.append(Row())
            path = rows[-1].add(chain, [], stem, stem)
    return rows


def _lone(chain: Chain) -> Row:
    row = Row()
    row.add(chain, [], 0, 0)
    return row


def _sorted(rows: list[Row]) -> list[Row]:
    """Chains and trees apart, each longest first: neighbours fill a batch with little padding.

    Small trees are put together first (first fit, longest first): a mask costs the same for one or for many.
    """
    rows = sorted(rows, key=lambda r: (r.is_chain, -len(r.ids)))
    filled: list[Row] = []
    open_rows: list[Row] = []
    for row in rows:
        fits = next((r for r in open_rows if len(r.ids) + len(row.ids) <= FILLED_NODES), None)
        if row.is_chain or fits is None:
            filled.append(row)
            if not row.is_chain and len(row.ids) < FILLED_NODES:
                open_rows.append(row)
        else:
            fits.take_in(row)
            if len(fits.ids) > FILLED_NODES - 4:
                open_rows.remove(fits)
    return sorted(filled, key=lambda r: (r.is_chain, -len(r.ids)))


def _runs(common: Sequence[int], least: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of neighbours that share at least `least` ids with the one before."""
    begin = 0
    for i in range(1, len(common) + 1):
        if i == len(common) or common[i] < least:
            yield begin, i
            begin = i


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common prefix."""
    n, end = 0, min(len(a), len(b))
    while n < end and a[n] == b[n]:
        n += 1
    return n
