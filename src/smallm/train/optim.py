"""Optimisers: parameter groups, Muon for matrices, AdamW for the rest, one object for the loop.

    group        parameters                              muon               adamw
    matrices     2-D weights of the blocks               Muon, decayed      AdamW, decayed
    embeddings   token and position tables (tied head)   AdamW              AdamW, decayed (as GPT-2, nanoGPT)
    head         an output head of its own               AdamW              AdamW, decayed
    vectors      norms and biases                        AdamW              AdamW

Muon (Jordan 2024) replaces the momentum of a matrix by its nearest semi-orthogonal one, found by
five Newton-Schulz steps, and scales it by sqrt(max(1, rows / columns)) (his rule; "original" in
torch.optim.Muon, to which ours is equal in float32 and which is a test's slow twin). Ours exists
because torch's multiplies in bf16 always, which some CPUs emulate at a 400th of float32's rate,
and one matrix at a time: here matrices of one shape go through one batched product.
Letters: M matrices of one shape, R rows, C columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from smallm.core.config import TrainConfig
from smallm.core.hardware import has_bf16
from smallm.train import optim8

foreach: Any = torch  # its _foreach functions are public in use, though not in its stubs

# Quintic coefficients that maximise the slope at zero (Jordan): singular values end in about 0.7 … 1.2.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalise(update_MRC: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The semi-orthogonal matrices nearest to each of `update_MRC`, approximately; float32, same shape."""
    a, b, c = NEWTON_SCHULZ
    x = update_MRC.to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    if dtype == torch.float32 and x.shape[-1] >= 2 * x.shape[-2]:
        x = _by_gram(x)
    else:
        for _ in range(NEWTON_SCHULZ_STEPS):
            gram = torch.bmm(x, x.mT)
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(update_MRC.dtype)


def _by_gram(x_MRC: Tensor) -> Tensor:
    """The same five steps on the small R x R matrices alone: x -> P5 … P1 x, where P = a + b G + c G² and G = x x'.

    For R x 4R, 25 products of R x R x R instead of 45; for the 2.75 R of our SwiGLU 23 instead of 33. Needs float32:
    G holds the squares of the singular values, of which bf16 would keep too few.
    """
    a, b, c = NEWTON_SCHULZ
    gram, product = torch.bmm(x_MRC, x_MRC.mT), None
    for i in range(NEWTON_SCHULZ_STEPS):
        p = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        p.diagonal(dim1=-2, dim2=-1).add_(a)
        product = p if product is None else torch.bmm(p, product)
        if i + 1 < NEWTON_SCHULZ_STEPS:
            gram = torch.bmm(torch.bmm(p, gram), p)
    assert product is not None
    return torch.bmm(product, x_MRC)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, batched over matrices of one shape."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype
        self._orthogonalise: Any = orthogonalise

    def compile(self) -> None:
        """Compile Newton-Schulz (worth it on CUDA, where it is many small kernels)."""
        self._orthogonalise = torch.compile(orthogonalise, dynamic=False)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for shape, params in shapes.items():
                self._step_shape(shape, params, group["lr"], group["momentum"], group["weight_decay"])

    def _step_shape(
        self, shape: torch.Size, params: list[nn.Parameter], lr: float, momentum: float, decay: float
    ) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        for p in params:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum"] for p in params]
        foreach._foreach_lerp_(buffers, grads, 1 - momentum)
        update_MRC = torch.stack(foreach._foreach_lerp(grads, buffers, momentum))
        update_MRC = self._orthogonalise(update_MRC, self.dtype)
        if decay:
            foreach._foreach_mul_(params, 1 - lr * decay)
        scale = max(1.0, shape[0] / shape[1]) ** 0.5
        foreach._foreach_add_(params, list(update_MRC.unbind()), alpha=-lr * scale)


def parameter_groups(model: nn.Module) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """Trainable parameters as matrices, embeddings, head, vectors, by name; each once (a tied head: embeddings)."""
    kinds = {id(m.weight): "embeddings" for m in model.modules() if isinstance(m, nn.Embedding)}
    for module in model.modules():
        head = getattr(module, "head", None)
        if isinstance(head, nn.Module):
            for p in head.parameters():
                if p.ndim == 2:
                    kinds.setdefault(id(p), "head")
    groups: dict[str, list[tuple[str, nn.Parameter]]] = {k: [] for k in ("matrices", "embeddings", "head", "vectors")}
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups[kinds.get(id(p), "matrices" if p.ndim == 2 else "vectors")].append((name, p))
    return groups


class Optimizers:
    """Muon and AdamW as one: `step`, `set_rate`, and a state of plain tensors by parameter name."""

    def __init__(self, model: nn.Module, train: TrainConfig, kind: str = "") -> None:
        """`kind`: an optimiser that pretraining does not have (train/optim8.py), instead of train.optimizer."""
        kind = kind or train.optimizer
        named = parameter_groups(model)
        if not any(named.values()):
            raise ValueError("no parameter of the model is trained")
        self.names = {id(p): name for group in named.values() for name, p in group}
        self.parameters = [p for group in named.values() for _, p in group]
        params = {kind: [p for _, p in group] for kind, group in named.items()}
        device = self.parameters[0].device.type
        decay, rate = train.weight_decay, train.learning_rate
        embedding_rate = train.embedding_learning_rate or rate
        head_rate = train.head_learning_rate or embedding_rate
        self.all: list[torch.optim.Optimizer] = []
        if kind == "muon" and params["matrices"]:
            dtype = torch.bfloat16 if has_bf16(device) else torch.float32
            self.all.append(Muon(params["matrices"], train.muon_learning_rate, train.momentum, decay, dtype))
            adam = [("embeddings", embedding_rate, 0.0), ("head", head_rate, 0.0), ("vectors", rate, 0.0)]
        else:
            tables = [("embeddings", embedding_rate, decay), ("head", head_rate, decay)]
            adam = [("matrices", rate, decay), *tables, ("vectors", rate, 0.0)]
        groups = [{"params": params[k], "lr": lr, "weight_decay": wd} for k, lr, wd in adam if params[k]]
        if groups:
            betas = (train.beta1, train.beta2)
            if kind in optim8.KINDS:
                self.all.append(optim8.make(kind, groups, betas, train.eps, device))
            else:
                self.all.append(torch.optim.AdamW(groups, betas=betas, eps=train.eps, fused=device in ("cpu", "cuda")))
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["peak"] = group["lr"]

    def set_rate(self, multiplier: float) -> None:
        """Every group's rate to `multiplier` of its peak."""
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * multiplier

    def step(self) -> None:
        for optimizer in self.all:
            optimizer.step()

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    def compile(self) -> None:
        """Compile what gains from it (Muon's Newton-Schulz)."""
        for optimizer in self.all:
            if isinstance(optimizer, Muon):
                optimizer.compile()

    def tensors(self) -> dict[str, Tensor]:
        """The whole state: `<kind>/<parameter name>` -> tensor, for safetensors."""
        return {
            f"{kind}/{self.names[id(p)]}": value
            for optimizer in self.all
            for p, state in optimizer.state.items()
            for kind, value in optim8.to_tensors(state).items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` gave. Raises KeyError when a parameter's state is missing."""
        by_name: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, value in tensors.items():
            kind, name = key.split("/", 1)
            by_name[name][kind] = value
        for optimizer in self.all:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    state = by_name[self.names[id(p)]] if tensors else {}
                    if optim8.is_8bit(optimizer):
                        optim8.restore(optimizer, group, p, state)
                        continue
                    # AdamW's fused step counter stays on the parameter's device in float32, as it was written.
                    optimizer.state[p] = {kind: value.to(p.device).clone() for kind, value in state.items()}


def clip_gradients(parameters: list[nn.Parameter], limit: float, scale: float = 1.0) -> Tensor:
    """Global norm of the gradients before clipping, a tensor (nothing waits); scaled down to `limit` unless 0.

    `scale`: what the loss was multiplied with; divided out of norm and gradients.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(grads)
    if scale != 1.0:
        norm = norm / scale
    if limit:
        # min(1, limit / norm); a non-finite norm makes the gradients non-finite, and the loop notices.
        factor = (limit / (norm + 1e-6)).clamp(max=1.0)
        foreach._foreach_mul_(grads, factor if scale == 1.0 else factor / scale)
    elif scale != 1.0:
        foreach._foreach_mul_(grads, 1.0 / scale)
    return norm
