"""Fine-tuning of generators: what is read, what is asked for, and where."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import torch

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Passage, World
from quire.core.spec import Backbone
from quire.core.visibility import Causal
from quire.nn.losses import cross_entropy
from quire.nn.model import Model, Packed, Step
from quire.paradigms.write import Write
from quire.train.loop import planned


def text(*tokens: int) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool))


def test_a_decoder_reads_the_source_and_is_asked_for_the_target(world: World) -> None:
    made = Write().format(text(7, 8, 9), text(20, 21), world)
    assert made.tokens.tolist() == [2, 7, 8, 9, 3]
    assert made.target is not None
    assert made.target.tokens.tolist() == [3, 20, 21]
    assert made.target.answers["write"].tolist() == [20, 21, 3]
    assert made.target.sees == Causal()


def test_t5_has_no_opening_and_begins_with_the_padding_token(world: World) -> None:
    made = Write(opening=False, start="pad").format(text(7), text(20), world)
    assert made.tokens.tolist() == [7, 3]
    assert made.target is not None
    assert made.target.tokens.tolist() == [0, 20]


def test_a_body_reads_both_in_one_run_and_is_asked_for_the_target_alone(world: World) -> None:
    made = Write(by="body").format(text(7, 8), text(20, 21), world)
    assert made.tokens.tolist() == [2, 7, 8, 3, 20, 21, 3]
    assert made.answers["write"].tolist() == [IGNORE, IGNORE, IGNORE, 20, 21, 3, IGNORE]
    assert made.sees == Causal()
    assert Write(by="body", parted=False).format(text(7), text(20), world).tokens.tolist() == [2, 7, 20, 3]


@pytest.mark.parametrize("by", ["decoder", "body"])
def test_behind_a_target_that_was_cut_no_end_is_asked_for(by: Literal["decoder", "body"], world: World) -> None:
    task, source, target = Write(by=by), text(7, 8), text(20, 21, 22)
    whole, cut = (task.format(source, target, world, whole=whole) for whole in (True, False))
    asked, fewer = ((e.target or e).answers[task.slot] for e in (whole, cut))
    assert asked[asked != IGNORE].tolist() == [20, 21, 22, world.vocab.sep]
    assert fewer[fewer != IGNORE].tolist() == [20, 21, 22]


@pytest.mark.parametrize("task", [Write(), Write(by="body"), Write(by="body", parted=False), Write(opening=False)])
def test_without_a_target_is_what_a_target_begins_with(task: Write, world: World) -> None:
    asked, open_ = (task.format(text(7, 8), target, world) for target in (text(20, 21), None))
    assert open_.tokens.tolist() == asked.tokens.tolist()[: len(open_)]
    assert task.specials == len(open_) - 2
    if asked.target is not None and open_.target is not None:
        assert open_.target.tokens.tolist() == asked.target.tokens.tolist()[:1]
    assert not any((side.answers["write"] != IGNORE).any() for side in (open_, open_.target or open_) if side.answers)


@pytest.mark.parametrize("by", ["decoder", "body"])
def test_the_loss_is_the_cross_entropy_of_the_targets_smoothed(by: str, world: World, tiny: Backbone) -> None:
    task = Write.model_validate({"by": by, "smoothing": 0.1})
    backbone = tiny.model_copy(update={"decoder": 2 if by == "decoder" else None, "init_std": 0.3})
    model = Model(backbone, planned([task], backbone, world), seed=1).eval()
    examples = [task.format(text(*range(5, 5 + n)), text(*range(30, 30 + m)), world) for n, m in ((3, 2), (1, 4))]
    loss = task.loss(Step(model, Packed(Batch.pack(examples))))
    logits, answers = zip(*(_asked(model, task, [one]) for one in examples), strict=True)
    assert sum(map(len, answers)) == 2 + 4 + 2  # the end of each among them
    torch.testing.assert_close(loss, cross_entropy(torch.cat(logits), torch.cat(answers), smoothing=0.1))


def _asked(model: Model, task: Write, examples: Sequence[object]) -> tuple[torch.Tensor, torch.Tensor]:
    side = task.side(Step(model, Packed(Batch.pack(examples))))  # type: ignore[arg-type]
    return side.logits(task.slot, head=task.head), side.answers(task.slot)


def test_what_cannot_write_is_refused(world: World, tiny: Backbone) -> None:
    with pytest.raises(BadInput, match="a decoder writes, but the backbone has none: set"):
        Write().parts(tiny, world)
    with pytest.raises(BadInput, match="`by: body`: the backbone has a decoder, which would never be used"):
        Write(by="body").parts(tiny.model_copy(update={"decoder": 1}), world)
