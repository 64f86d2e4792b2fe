"""Optimisers, parameter groups and learning-rate schedules.

AdamW is torch's (decoupled decay, Loshchilov and Hutter 2019), Muon is torch's (Jordan et al. 2024) for hidden
matrices with AdamW for the rest, Adafactor torch's (Shazeer and Stern 2018), Adagrad torch's (Duchi et al. 2011).
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Self, TypeAlias

import torch
from pydantic import Field, model_validator
from torch import nn

from quire.core.config import Settings
from quire.core.spec import Size
from quire.train.rows import Whole, clip
from quire.tuning.base import Group

Schedule: TypeAlias = Literal["linear", "slanted", "cosine", "wsd", "inverse_sqrt", "constant"]
SLANT = 32
"""How many times smaller than its peak the rate is at the end of `slanted`, a triangle whose `warmup` is a tenth of the
steps (ULMFiT: Howard and Ruder 2018, section 3.2; there it begins as low as it ends, here as every warm-up)."""
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class TrainPlan(Settings):
    """How a model is trained; the published settings of a recipe stand here."""

    steps: Size
    epochs: Size | None = None
    """Where a corpus is read: at most so many passes over it, however many steps are left."""
    batch: Size = 32
    accumulate: Size = 1
    lr: Annotated[float, Field(gt=0)] = 5e-5
    warmup: Annotated[int, Field(ge=0)] | None = None
    """Steps of warm-up; without it, a tenth of all steps."""
    schedule: Schedule = "linear"
    decay_share: Share = 0.2
    """The last share of the steps in which `wsd` falls to 0, as 1 - sqrt."""
    optimizer: Literal["adamw", "muon", "adafactor", "adagrad"] = "adamw"
    """`adafactor` takes steps in proportion to a parameter's size, of at most 1 / sqrt(step) (T5). `adagrad` updates
    only those rows of a table that were looked up: an update costs the same whatever the size of the vocabulary."""
    muon_lr: Annotated[float, Field(gt=0)] = 0.02
    betas: tuple[float, float] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: Annotated[float, Field(ge=0)] = 1.0
    """The largest norm of the gradient; 0 leaves it as it is."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 is autocast, for CUDA; CPUs without native support are many times slower with it."""
    checkpoint_every: Size = 500
    """A shorter run keeps none, unless it is stopped."""
    keep: Size = 2

    @model_validator(mode="after")
    def _no_decay_of_rows(self) -> Self:
        if self.optimizer == "adagrad" and self.weight_decay:
            raise ValueError("weight_decay: adagrad leaves rows alone that were not looked up; set it to 0")
        return self

    def within(self, examples: int) -> Self:
        """The plan for so many examples, ended after its last epoch."""
        if self.epochs is None:
            return self
        return self.model_copy(update={"steps": min(self.steps, math.ceil(self.epochs * examples / self.batch))})

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is due after `step` updates: every so many, and at the end of a run that has any."""
        return step % self.checkpoint_every == 0 or self.checkpoint_every < step == self.steps

    @property
    def warmup_steps(self) -> int:
        return self.steps // 10 if self.warmup is None else self.warmup


def factor(plan: TrainPlan) -> Callable[[int], float]:
    """The factor on the learning rate at step t in 0..steps: continuous at every join, at most 1."""
    warm, last = plan.warmup_steps, max(plan.steps, plan.warmup_steps + 1)

    def after(t: int) -> float:
        done = (t - warm) / (last - warm)
        match plan.schedule:
            case "linear":
                return 1 - done
            case "slanted":
                return 1 - done * (1 - 1 / SLANT)
            case "cosine":
                return (1 + math.cos(math.pi * done)) / 2
            case "inverse_sqrt":
                return math.sqrt((warm + 1) / (t + 1))
            case "wsd":
                falling = last - plan.decay_share * (last - warm)
                return 1.0 if t <= falling else 1 - math.sqrt((t - falling) / (last - falling))
            case "constant":
                return 1.0

    return lambda t: (t + 1) / (warm + 1) if t < warm else max(after(t), 0.0)


class Optimizer:
    """AdamW, Adafactor, Adagrad, or Muon beside AdamW, behind one `step`; rates follow the plan's schedule."""

    def __init__(self, groups: Sequence[Group], plan: TrainPlan) -> None:
        self.plan, self.factor = plan, factor(plan)
        self.parts: dict[str, torch.optim.Optimizer] = {}
        muon = [g.only(_is_hidden_matrix) for g in groups] if plan.optimizer == "muon" else []
        rest = [g.only(lambda name, p: not _is_hidden_matrix(name, p)) for g in groups] if muon else list(groups)
        if any(g.parameters for g in muon):
            options = [
                {"params": list(g.parameters.values()), "lr": plan.muon_lr * g.scale, "weight_decay": plan.weight_decay}
                for g in muon
                if g.parameters
            ]
            self.parts["muon"] = torch.optim.Muon(options, lr=plan.muon_lr)
        options = [
            {
                "params": list(g.parameters.values()),
                "lr": plan.lr * g.scale,
                "weight_decay": plan.weight_decay if g.decay else 0.0,
            }
            for g in rest
            if g.parameters
        ]
        if plan.optimizer == "adafactor":
            self.parts["adafactor"] = torch.optim.Adafactor(options, lr=plan.lr)
        elif plan.optimizer == "adagrad":
            self.parts["adagrad"] = torch.optim.Adagrad(options, lr=plan.lr, eps=plan.eps)
        else:
            self.parts["adamw"] = torch.optim.AdamW(options, lr=plan.lr, betas=plan.betas, eps=plan.eps, fused=True)
        self.peaks = {name: [group["lr"] for group in part.param_groups] for name, part in self.parts.items()}
        self.parameters = [p for g in groups for p in g.parameters.values()]
        self.whole = None if plan.optimizer == "adagrad" else Whole()

    def step(self, t: int) -> tuple[float, float]:
        """Clip, update with the rates of step `t`, clear the gradients; returns (rate factor, gradient norm)."""
        norm = clip(self.parameters, self.plan.clip or math.inf)
        if self.whole:
            self.whole(self.parameters)
        now = self.factor(t)
        for name, part in self.parts.items():
            for group, peak in zip(part.param_groups, self.peaks[name], strict=True):
                group["lr"] = peak * now
            # Rows are as torch's own lookups made them; without a word on checking them, torch warns.
            with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
                part.step()
            part.zero_grad(set_to_none=True)
        return now, float(norm)


def _is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Muon is for the 2-D weights inside the blocks; embeddings, heads, gains and biases stay with AdamW."""
    return parameter.ndim == 2 and ".blocks." in f".{name}"
