"""Tables that learn by rows: as they do from whole matrices, in memory that is used again."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.example import Example, Passage, Vocab, World
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.objectives.mlm import Mlm
from quire.train import loop
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import Optimizer, TrainPlan
from quire.train.rows import by_rows
from quire.tuning.base import Group

LOOKED_UP = ([4, 7, 4], [7, 30], [4, 49], [0])
"""Rows of four updates: some twice, some once and not again."""


def alone(table: nn.Embedding, rows: Tensor) -> Tensor:
    found: Tensor = table(rows).square().sum()
    return found


def scored(table: nn.Embedding, rows: Tensor) -> Tensor:
    """As a model whose table is also its head: every row has a gradient."""
    return alone(table, rows) + F.linear(table(rows), table.weight).logsumexp(dim=-1).sum()


def twice(table: nn.Embedding, rows: Tensor) -> Tensor:
    return alone(table, rows) + alone(table, rows.flip(0)[:1])


@pytest.mark.parametrize("loss", [alone, scored, twice])
@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_a_table_learns_by_rows_what_it_learns_from_matrices(
    loss: Callable[[nn.Embedding, Tensor], Tensor], optimizer: str
) -> None:
    """AdamW moves rows that are no longer looked up, too, and that were never: they decay."""
    weights, norms = [], []
    for rowwise in (False, True):
        torch.manual_seed(3)
        table = nn.Embedding(50, 3)
        plan = TrainPlan.model_validate({"steps": 8, "lr": 0.1, "warmup": 0, "clip": 0.5, "optimizer": optimizer})
        made = Optimizer([Group(dict(table.named_parameters()))], plan)
        for t, rows in enumerate(LOOKED_UP):
            for _ in range(2):  # micro-batches
                if rowwise:
                    with by_rows(table):
                        loss(table, torch.tensor(rows)).backward()  # type: ignore[no-untyped-call]
                else:
                    loss(table, torch.tensor(rows)).backward()  # type: ignore[no-untyped-call]
            norms.append(made.step(t)[1])
        weights.append(table.weight.detach())
    torch.testing.assert_close(*weights)
    assert norms[:4] == pytest.approx(norms[4:])


def test_the_matrix_of_an_update_is_that_of_the_one_before() -> None:
    table = nn.Embedding(50, 3)
    made = Optimizer([Group(dict(table.named_parameters()))], TrainPlan(steps=8))
    assert made.whole
    places = set()
    for t, rows in enumerate(LOOKED_UP):
        with by_rows(table):
            alone(table, torch.tensor(rows)).backward()  # type: ignore[no-untyped-call]
        assert table.weight.grad is not None
        assert table.weight.grad.is_sparse
        made.step(t)
        (whole, filled), *others = made.whole.filled.values()
        assert not others
        places.add(whole.data_ptr())
        assert whole.abs().sum(dim=1).nonzero().flatten().tolist() == filled.tolist() == sorted({*rows})
    assert len(places) == 1


def test_a_table_gives_rows_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5))), length=32)
    spec = Backbone(vocab=60, depth=1, width=16, heads=2, ffn=24, positions=32)
    examples = [Example.of(world.vocab, Passage(np.arange(5, 10), np.ones(5, dtype=bool)))] * 4
    job = Job(Fixed(examples, "rows"), (Mlm(),), world, TrainPlan(steps=2, batch=2))
    model, seen = Model(spec, planned(job.objectives, spec, world)), []
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    update = loop._Run.update

    def looking(run: loop._Run, t: int) -> dict[str, object]:
        seen.append([table.sparse for table in tables])
        return update(run, t)

    monkeypatch.setattr(loop._Run, "update", looking)
    fit(model, job)
    assert seen == [[True] * len(tables)] * 2
    assert not any(table.sparse for table in tables), "whoever trains the model otherwise has matrices"
