"""Processes that train one model together: `torchrun --no-python --nproc-per-node 2 quire pretrain ...`.

All hold the whole model and the same state of the optimiser. Each computes its share of a batch, and their gradients
are added up: an update is that of one process with as many micro-batches (`accumulate`), but for its dropout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = timedelta(days=2)
"""How long they wait for the first one, which writes the corpus alone."""


@dataclass(frozen=True)
class Team:
    """Who of how many this process is; a process by itself is a team too."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The others come to the block when the leader has left it. Where he fails, torchrun ends them."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()

    def add(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Their sums over the team."""
        if self.size == 1:
            return [*values]
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    def add_gradients(self, model: nn.Module) -> None:
        """Every gradient becomes the sum of the team's; what has none anywhere has none."""
        if self.size == 1:
            return
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        reached = torch.tensor([p.grad is not None for p in learning], dtype=torch.int32, device=learning[0].device)
        dist.all_reduce(reached)
        sums: list[Tensor] = []
        for parameter, some in zip(learning, reached.tolist(), strict=True):
            if some:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                sums.append(parameter.grad)
        for waiting in [dist.all_reduce(grad, async_op=True) for grad in sums]:
            waiting.wait()


@contextmanager
def joined() -> Iterator[Team]:
    """The team that torchrun has started this process for, or that it is already part of, or it alone."""
    if dist.is_initialized():
        yield Team(dist.get_rank(), dist.get_world_size())
    elif not dist.is_torchelastic_launched():
        yield Team()
    else:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
        try:
            yield Team(dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group()
