"""PALs: where they begin, how many learn, what turns change, and what is kept."""

from pathlib import Path

import pytest
import torch
from tests.tuning.conftest import Labelled

from quire.core.bodies import Bag
from quire.core.errors import BadInput
from quire.core.heads import SequenceHead
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.train.loop import fit
from quire.train.safe import read_json
from quire.train.start import started
from quire.train.weights import read_model, save_model
from quire.tuning.branches import Branching, Pals, TopAttention

WAYS = [Pals(width=9, heads=3), TopAttention(width=10, heads=5, layers=2)]
each_way = pytest.mark.parametrize("strategy", WAYS, ids=lambda s: s.name())


def scores(model: Model, batch: Packed) -> torch.Tensor:
    with torch.no_grad():
        return Step(model.eval(), batch).logits("classify")


@each_way
def test_it_begins_at_the_base_and_everything_learns(labelled: Labelled, batch: Packed, strategy: Branching) -> None:
    model, job = labelled(strategy, steps=3)
    before = scores(model, batch)
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    strategy.prepare(model.requires_grad_(False))
    torch.testing.assert_close(scores(model, batch), before, rtol=0, atol=1e-6)
    begun = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert begun.keys() > base.keys()
    fit(model, job)
    after = model.state_dict()
    assert [name for name, tensor in begun.items() if torch.equal(tensor, after[name])] == []


@each_way
def test_every_task_adds_as_many(tiny: Backbone, strategy: Branching) -> None:
    heads = {"a": SequenceHead(outputs=2), "b": SequenceHead(outputs=3)}
    model = Model(tiny, heads)
    before = model.parameter_count()
    strategy.prepare(model)
    a, layers = strategy.plan().width, tiny.depth
    own = 2 * 24 * a + (layers * 3 * a**2 if isinstance(strategy, Pals) else 2 * (4 * a**2 + a))
    assert model.parameter_count() == before + 2 * own
    assert strategy.published_rate == 2e-5


@each_way
def test_what_is_kept_is_opened_with_its_head_and_goes_on(
    labelled: Labelled, batch: Packed, strategy: Branching, tmp_path: Path
) -> None:
    model, job = labelled(strategy, steps=3)
    fit(model, job)
    save_model(
        tmp_path / "model",
        backbone=model.spec,
        heads=model.head_specs,
        state=model.state_dict(),
        labels=("no", "yes"),
        tokenizer_saver=lambda folder: None,
        card="",
        extra={},
        vocab=job.world.vocab,
    )
    assert read_json(tmp_path / "model" / "config.json") == {"model_type": "quire"}, "theirs would leave branches out"
    files = read_model(tmp_path / "model")
    again = started(files, model.head_specs, seed=9)
    assert torch.equal(scores(again, batch), scores(model, batch))
    before = again.state_dict().keys()
    assert strategy.prepare(again).state_dict().keys() == before
    assert torch.equal(scores(again, batch), scores(model, batch))
    with pytest.raises(BadInput, match="has other branches already"):
        Pals(width=8, heads=1).prepare(again)


def test_bodies_without_a_place_are_refused(tiny: Backbone) -> None:
    with pytest.raises(BadInput, match=r"strategy\.pals: needs a Transformer encoder .* this is a bag of tokens"):
        Pals().prepare(Model(Bag(vocab=60, width=8), {"classify": SequenceHead(outputs=2, pool="mean")}))
    with pytest.raises(BadInput, match=r"strategy\.top_attention: needs .* norms behind its sums"):
        TopAttention().prepare(Model(tiny.model_copy(update={"norm_first": True}), {}))
    with pytest.raises(BadInput, match=r"strategy\.pals: width 204 is not a multiple of heads 5"):
        Pals(heads=5).prepare(Model(tiny, {}))
