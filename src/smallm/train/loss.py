"""Chunked cross-entropy: the loss of a language model without the N x V logits.

Takes hidden states and the output head, returns the summed loss and the number of trained
tokens; normalising over the global batch is the caller's (train/loop.py). For a plain linear
head the gradients are computed together with the loss, chunk by chunk, so that no logit is
computed twice; any other head (an adapter on it) is recomputed in the backward pass.
`LossModel` is what the loop trains: body, head and loss as one module.
Letters: B batch, T time, N tokens (B * T), D width, V vocabulary.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from smallm.core.console import warn
from smallm.train.corpus import IGNORE, Batch

# Bytes of float32 logits in one chunk, but at least 512 positions. CPU: the passes over a chunk stay in the
# last-level cache while the products stay large (V = 4,096, one core: 65 GFLOP/s at 16 MB, 57 at 4, 41 unchunked).
# CUDA: products of 4,096 rows at V = 50,304 run at full rate.
CHUNK_BYTES = {"cpu": 16 << 20, "cuda": 1 << 30}
# Keeps probabilities of 1 in 100,000 out of float16's subnormal numbers; 1,024 times a row of the head stays in range.
FLOAT16_SCALE = 1024.0
VERIFY_POSITIONS = 64
VERIFY_TOLERANCE = 1e-3


def cross_entropy_reference(
    hidden_ND: Tensor, head: nn.Module, targets_N: Tensor, *, soft_cap: float | None = None
) -> tuple[Tensor, Tensor]:
    """The slow twin: all logits at once, in float32."""
    logits_NV = head(hidden_ND).float()
    if soft_cap is not None:
        logits_NV = soft_cap * torch.tanh(logits_NV / soft_cap)
    loss = F.cross_entropy(logits_NV, targets_N, ignore_index=IGNORE, reduction="sum")
    return loss, (targets_N != IGNORE).sum()


def chunked_cross_entropy(
    hidden_ND: Tensor, head: nn.Module, targets_N: Tensor, *, chunk: int = 0, soft_cap: float | None = None
) -> tuple[Tensor, Tensor]:
    """Sum of -log p(target) in nats, and how many targets counted (those that are not -100), as tensors.

    Memory is O(chunk * V) instead of O(N * V); chunk 0 chooses by CHUNK_BYTES. Equal to
    `cross_entropy_reference` in value and gradients to 1e-5 in float32; under autocast the products
    are in its type and the softmax in float32. Differentiable once. Nothing waits for a device.
    """
    n_trained = (targets_N != IGNORE).sum()
    if type(head).forward is nn.Linear.forward and not _has_hooks(head):
        assert isinstance(head, nn.Linear)
        chunk = chunk or chunk_rows(len(hidden_ND), head.out_features, hidden_ND.device.type)
        if torch.is_grad_enabled():
            return _LinearLoss.apply(hidden_ND, head.weight, head.bias, targets_N, chunk, soft_cap), n_trained
        loss, *_ = _linear_loss(hidden_ND, head.weight, head.bias, targets_N, chunk, soft_cap, (False, False, False))
        return loss, n_trained
    vocabulary = getattr(head, "out_features", 0) or 1 << 16
    chunk = chunk or chunk_rows(len(hidden_ND), vocabulary, hidden_ND.device.type)
    loss = hidden_ND.new_zeros((), dtype=torch.float32)
    for h_ND, t_N in zip(hidden_ND.split(chunk), targets_N.split(chunk), strict=True):
        loss = loss + checkpoint(_recomputed, h_ND, head, t_N, soft_cap, use_reentrant=False)
    return loss, n_trained


def chunk_rows(rows: int, vocabulary: int, device: str) -> int:
    """Positions in one chunk: as many as CHUNK_BYTES hold, in chunks of equal size (one shape to compile)."""
    most = max(512, CHUNK_BYTES.get(device, CHUNK_BYTES["cpu"]) // (4 * vocabulary))
    return -(-rows // -(-rows // most)) if rows else 1


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _recomputed(hidden_ND: Tensor, head: nn.Module, targets_N: Tensor, soft_cap: float | None) -> Tensor:
    return cross_entropy_reference(hidden_ND, head, targets_N, soft_cap=soft_cap)[0]


class _LinearLoss(torch.autograd.Function):
    """Loss and gradients in one pass; backward only multiplies by the incoming gradient."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        chunk: int,
        soft_cap: float | None,
    ) -> Tensor:
        needs = (ctx.needs_input_grad[0], ctx.needs_input_grad[1], bias_V is not None and ctx.needs_input_grad[2])
        loss, *gradients = _linear_loss(hidden_ND, weight_VD, bias_V, targets_N, chunk, soft_cap, needs)
        ctx.save_for_backward(*gradients)
        ctx.dtypes = (hidden_ND.dtype, weight_VD.dtype, None if bias_V is None else bias_V.dtype)
        return loss

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor | None, ...]:
        pairs = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        scaled = [None if g is None else (g * outgoing[0].to(g.dtype)).to(dtype) for g, dtype in pairs]
        return (*scaled, None, None, None)


def _linear_loss(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_N: Tensor,
    chunk: int,
    soft_cap: float | None,
    needs: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """(loss, gradients of hidden, weight, bias; None where not needed).

    With E = exp(z - max z) and s its row sum, dloss/dz = (E - s at the target) / s: the division is done
    on rows of D, not of V. A row without target gets the factor 0 there. Sums over chunks are float32, and in
    float16 the gradient of the hidden states too: the loss's scale comes to it later.
    """
    device = hidden_ND.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight_VD.dtype
    N, V = len(hidden_ND), len(weight_VD)
    with torch.autocast(device, enabled=False):
        weight_low = weight_VD.to(low)
        loss = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        kept = torch.float32 if low == torch.float16 else hidden_ND.dtype
        d_hidden = torch.empty_like(hidden_ND, dtype=kept) if needs[0] else None
        d_weight = torch.zeros_like(weight_VD, dtype=torch.float32) if needs[1] else None
        d_bias = torch.zeros_like(bias_V) if needs[2] and bias_V is not None else None
        reuse = device == "cpu" and low == torch.float32 and not torch.compiler.is_compiling()
        buffer = torch.empty(min(chunk, N), V) if reuse else None  # a fresh one a chunk would cost its page faults
        for a in range(0, N, chunk):
            rows = slice(a, min(a + chunk, N))
            h_nD = hidden_ND[rows].to(low)
            z_nV = torch.mm(h_nD, weight_low.t(), out=None if buffer is None else buffer[: len(h_nD)])
            z_nV = z_nV.float() if bias_V is None else z_nV.float().add_(bias_V.float())
            slope_nV = None
            if soft_cap is not None:
                t_nV = torch.tanh(z_nV / soft_cap)
                z_nV, slope_nV = t_nV * soft_cap, 1 - t_nV * t_nV
            trained_n = targets_N[rows] != IGNORE
            target_n1 = targets_N[rows].clamp_min(0)[:, None]
            e_nV = z_nV.sub_(z_nV.amax(1, keepdim=True))
            at_target_n = e_nV.gather(1, target_n1).squeeze(1)
            e_nV = e_nV.exp_()
            s_n = e_nV.sum(1)
            loss = loss + torch.where(trained_n, s_n.log() - at_target_n, 0.0).sum()
            if any(needs):
                e_nV.scatter_add_(1, target_n1, -s_n[:, None])
                if slope_nV is not None:
                    e_nV = e_nV.mul_(slope_nV)
                scale_n1 = torch.where(trained_n, 1.0 / s_n, 0.0)[:, None]
                d_rows = None if d_hidden is None else d_hidden[rows]
                _add_gradients(e_nV, scale_n1, h_nD, weight_low, d_rows, d_weight, d_bias)
    return loss, d_hidden, d_weight, d_bias


def _add_gradients(
    e_nV: Tensor,
    scale_n1: Tensor,
    h_nD: Tensor,
    weight_low: Tensor,
    d_rows: Tensor | None,
    d_weight: Tensor | None,
    d_bias: Tensor | None,
) -> None:
    """One chunk's gradients: those of its hidden states into `d_rows`, the others added up. e_nV is used up.

    dloss/dz = e * scale. float16 holds neither the sums of a large vocabulary nor small gradients that the loss's
    scale is yet to enlarge: there the division comes first, times FLOAT16_SCALE.
    """
    low = weight_low.dtype
    if low == torch.float16:
        e_nV = e_nV.mul_(scale_n1)
        if d_rows is not None:
            d_rows.copy_(torch.mm((e_nV * FLOAT16_SCALE).to(low), weight_low).float().div_(FLOAT16_SCALE))
        if d_weight is not None:
            d_weight.addmm_(e_nV.t(), h_nD.float())
        if d_bias is not None:
            d_bias += e_nV.sum(0)
        return
    e_low = e_nV.to(low)
    if d_rows is not None:
        d_rows.copy_(torch.mm(e_low, weight_low) * scale_n1)
    if d_weight is not None:
        scaled_nD = (h_nD * scale_n1).to(low)
        if low == d_weight.dtype:
            d_weight.addmm_(e_low.t(), scaled_nD)
        else:
            d_weight += torch.mm(e_low.t(), scaled_nD)
    if d_bias is not None:
        d_bias += (e_nV.t() @ scale_n1).squeeze(1)


class LossModel(nn.Module):
    """Body, head and loss in one: what the loop trains, and what data parallelism wraps.

    `forward(batch)` gives (sum of the loss in nats, trained tokens). `compile_with` compiles the
    tensor part; `n_trained` stays outside, or each new count would be a new graph.
    """

    def __init__(self, decoder: nn.Module, chunk: int = 0, *, activation_checkpointing: bool = False) -> None:
        super().__init__()
        self.decoder, self.chunk, self.use_reference = decoder, chunk, False
        self._run: Any = self.loss_sum
        if activation_checkpointing:
            for block in decoder.blocks:  # type: ignore[union-attr]
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]

    def loss_sum(
        self,
        input_ids_BT: Tensor,
        targets_BT: Tensor,
        positions_BT: Tensor | None,
        borders: Any,
        trained_N: Tensor | None,
    ) -> Tensor:
        """Sum of the loss over the batch's trained tokens."""
        if self.use_reference:
            logits_NV = self.decoder(input_ids_BT, positions_BT, borders).flatten(0, 1).float()
            return F.cross_entropy(logits_NV, targets_BT.flatten(), ignore_index=IGNORE, reduction="sum")
        hidden_BTD = self.decoder.hidden(input_ids_BT, positions_BT, borders)  # type: ignore[operator]
        hidden_ND, targets_N = hidden_BTD.flatten(0, 1), targets_BT.flatten()
        if trained_N is not None:
            hidden_ND, targets_N = hidden_ND[trained_N], targets_N[trained_N]
        head, cap = self.decoder.head, self.decoder.config.soft_cap  # type: ignore[union-attr]
        assert isinstance(head, nn.Module)
        return chunked_cross_entropy(hidden_ND, head, targets_N, chunk=self.chunk, soft_cap=cap)[0]  # type: ignore[arg-type]

    def forward(self, batch: Batch) -> tuple[Tensor, int]:
        plain = batch.single and batch.borders is None
        positions_BT = None if plain else batch.positions_BT
        loss = self._run(batch.input_ids_BT, batch.targets_BT, positions_BT, batch.borders, batch.trained_N)
        return loss, batch.n_trained

    def compile(self, **options: Any) -> None:
        """From now on run the tensor part through torch.compile."""
        self._run = torch.compile(self.loss_sum, dynamic=False, **options)

    @torch.no_grad()
    def verify(self, batch: Batch) -> float:
        """Compare up to 64 positions with the model's own logits; on a difference over 1e-3 use those.

        Returns the largest difference in nats. Catches a head whose scale, bias or cap the fast path
        does not know.
        """
        T = min(VERIFY_POSITIONS, batch.input_ids_BT.shape[1])
        ids_BT, targets_T = batch.input_ids_BT[:1, :T], batch.targets_BT[0, :T]
        # What is not trained is compared too: of a fine-tuning's first 64 positions most are masked.
        targets_T = torch.where(targets_T == IGNORE, ids_BT[0].roll(-1), targets_T)
        was_training = self.training
        self.eval()
        try:
            hidden_TD = self.decoder.hidden(ids_BT)[0]  # type: ignore[operator]
            logits_TV = self.decoder(ids_BT)[0].float()
        finally:
            self.train(was_training)
        expected_T = F.cross_entropy(logits_TV, targets_T, ignore_index=IGNORE, reduction="none")
        cap, head = self.decoder.config.soft_cap, self.decoder.head  # type: ignore[union-attr]
        ours_T = [
            chunked_cross_entropy(hidden_TD[t : t + 1], head, targets_T[t : t + 1], soft_cap=cap)[0]  # type: ignore[arg-type]
            for t in range(T)
        ]
        difference = float((torch.stack(ours_T) - expected_T).abs().max())
        if not difference <= VERIFY_TOLERANCE:
            warn(
                f"the chunked loss differs from the model's own logits by {difference:.2g} nats; "
                "training uses the model's logits instead (slower, more memory)."
            )
            self.use_reference = True
        return difference
