"""SMART: a smooth model that does not run away (Jiang et al. 2020, "SMART: Robust and Efficient Fine-Tuning").

L = L_task + smooth * max over |d| of D(f(x + d), f(x)) + near * D(f(x), f_past(x)),   D(p, q) = KL(p|q) + KL(q|p),
    and of numbers (p - q)^2

The change d begins as noise and takes one step up D, of `rate` in the largest number of each token; the paper then goes
back into a ball about x (section 3.1), which is left out here. So did the release (namisan/mt-dnn) at first; its last
version adds 1e-5 of the bare gradient to the noise and rescales the sum until the largest number of a token is 1.

f is one function in the first D: all its passes have the same dropout. Those of the release draw each their own, so
that its D is that of two dropouts before it is one of a change. The same dropout takes a clean pass more. In the second
D f(x) is the task's own pass, with its dropout, and f_past has none.

The past is a mean of the weights that moves by 1 - `decay` an update: the Bregman proximal point with momentum (section
3.2), which the release lacks; at `near` 0 it is left out. In D both sides have gradients but for the past, where the
release detaches its targets.

Legend: N positions, E width of the embeddings, K asked places, C classes.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from quire.nn.model import Step
from quire.objectives.base import Objective
from quire.tuning.adversarial import Change, drawn_seed
from quire.tuning.distil import asked, logits_with, nothing
from quire.tuning.past import Memory, Remembering, Weights, memory_of

Share = Annotated[float, Field(ge=0)]


def divergence(p_KC: Tensor, q_KC: Tensor) -> Tensor:
    """KL(p|q) + KL(q|p) of logits, the mean over K; of one output, which is a number, (p - q)^2 (section 3.1)."""
    if p_KC.shape[-1] == 1:
        return F.mse_loss(p_KC.float(), q_KC.float())
    log_p, log_q = p_KC.float().log_softmax(dim=-1), q_KC.float().log_softmax(dim=-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1).mean()


class Smooth(Objective):
    """weight * D(f(x + d), f(x)), over all heads that are asked."""

    noise: Annotated[float, Field(gt=0)] = 1e-5
    rate: Annotated[float, Field(gt=0)] = 1e-3

    def loss(self, step: Step) -> Tensor:
        slots = asked(step)
        change = Change(step.model, step.batch)
        change.d_NE = torch.randn_like(change.d_NE) * self.noise
        torch.manual_seed(seed := drawn_seed())
        unchanged = step.view(step.batch)  # what `step` says has the dropout of the task's pass
        clean = [unchanged.logits(slot) for slot in slots]
        torch.manual_seed(seed)
        away, leaf = self._away(step, change, [logits.detach() for logits in clean], slots)
        (gradient_NE,) = torch.autograd.grad(away, leaf)
        highest_N1 = gradient_NE.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(gradient_NE.dtype).tiny)
        change.d_NE = change.d_NE + self.rate * gradient_NE / highest_N1
        torch.manual_seed(seed)
        return self._away(step, change, clean, slots)[0]

    def _away(self, step: Step, change: Change, clean: list[Tensor], slots: list[str]) -> tuple[Tensor, Tensor]:
        with change.made() as leaf:
            view = step.view(step.batch)
            parts = [divergence(view.logits(slot), was) for slot, was in zip(slots, clean, strict=True)]
        return torch.stack(parts).sum(), leaf


class Near(Objective):
    """weight * D(f(x), f_past(x)), over all heads that are asked; 0 before there is a past."""

    def loss(self, step: Step) -> Tensor:
        slots, past = asked(step), memory_of(step.model)
        if not len(past):
            return nothing(step, slots)
        before = logits_with(past.mean(), step, slots)
        return torch.stack([divergence(step.logits(s), was) for s, was in zip(slots, before, strict=True)]).sum()


class Smart(Remembering):
    """Fine-tuning with both terms; the defaults are the paper's for GLUE (appendix A), where it names one."""

    smooth: Share = 1.0
    near: Share = 1.0
    noise: Annotated[float, Field(gt=0)] = 1e-5
    rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.99

    def terms(self) -> tuple[Objective, ...]:
        smooth = (Smooth(weight=self.smooth, slot="smooth", noise=self.noise, rate=self.rate),) if self.smooth else ()
        near = (Near(weight=self.near, slot="near"),) if self.near else ()
        return (*super().terms(), *smooth, *near)

    def remember(self, memory: Memory, weights: Weights, t: int) -> None:
        memory.drift(weights, stays=self.decay)
