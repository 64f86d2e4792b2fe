"""Numbers: their range, their loss, and the folder that transformers opens."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.core.answers import Item
from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Passage, Vocab, World
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.paradigms.regress import Regress, as_bits
from quire.train.evaluate import said
from quire.train.loop import planned
from quire.train.weights import read_model, save_model

TASK = Regress(low=0.0, high=5.0)


def text(*tokens: int) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool))


@given(st.floats(width=32, allow_nan=False))
def test_any_number_is_told_apart_from_nothing(number: float) -> None:
    assert as_bits(number) != IGNORE
    assert np.array([as_bits(number)], dtype=np.int32).view(np.float32)[0] == number


def test_the_loss_is_squared_on_a_range_from_0_to_1(world: World, tiny: Backbone) -> None:
    model = Model(tiny.model_copy(update={"init_std": 0.3}), planned([TASK], tiny, world), seed=2).eval()
    pairs = [((text(7, 8), text(9)), 3.8), ((text(20),), 0.0), ((text(30, 31, 32),), 5.0)]
    examples = [example for texts, y in pairs for example in TASK.format(Item(texts), y, world)]
    step = Step(model, Packed(Batch.pack(examples)))
    raw = step.scores("regress", step.batch.first)[:, 0].detach().numpy()[np.argsort(step.batch.order)]
    truth = np.array([y for _, y in pairs])
    assert float(TASK.loss(step).detach()) == pytest.approx(((raw - truth / 5) ** 2).mean(), rel=1e-5)
    told = [TASK.decode(Item(()), [row], world) for row in said(model, TASK, examples)]
    assert told == pytest.approx(np.clip(raw * 5, 0, 5), rel=1e-4)


def test_a_number_outside_the_range_is_refused(world: World) -> None:
    with pytest.raises(BadInput, match="the answer 5 is not between 0 and 1; set low and high"):
        Regress().format(Item((text(7),)), 5.0, world)
    with pytest.raises(BadInput, match="low 1 is not below high 1"):
        parse(Regress, {"low": 1}, where="regress")


def test_transformers_opens_the_folder_as_a_regression(tmp_path: Path, world: World, vocab: Vocab) -> None:
    from transformers import AutoModelForSequenceClassification

    spec = Backbone(vocab=60, depth=2, width=24, heads=3, ffn=20, positions=64)
    model = Model(spec, planned([TASK], spec, world), seed=2).eval()
    save_model(
        tmp_path / "model", backbone=spec, heads=model.head_specs, state=model.state_dict(), labels=None,
        tokenizer_saver=lambda folder: None, card="", extra={}, vocab=vocab,
    )  # fmt: skip
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    assert (theirs.config.problem_type, theirs.config.num_labels) == ("regression", 1)
    (example,) = TASK.format(Item((text(7, 8, 9), text(10))), None, world)
    ids, kinds = (torch.from_numpy(v)[None] for v in (example.tokens, example.segments))
    step = Step(model, Packed(Batch.pack([example])))
    with torch.inference_mode():
        told = theirs(input_ids=ids, token_type_ids=kinds).logits
        torch.testing.assert_close(told, step.scores("regress", step.batch.first), atol=1e-5, rtol=1e-4)
    ours = read_model(tmp_path / "model")
    (tmp_path / "model" / "quire.json").unlink()
    foreign = read_model(tmp_path / "model")
    for found in (ours, foreign):
        assert {*found.heads} == {"regress"}
        assert found.labels is None
        assert all(torch.equal(found.state[name], tensor) for name, tensor in model.state_dict().items())
