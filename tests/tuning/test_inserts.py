"""Adapters: where they begin, what learns, how many numbers that is, and what is kept."""

from pathlib import Path

import pytest
import torch
from tests.tuning.conftest import Labelled

from quire.core.bodies import Bag
from quire.core.errors import BadInput
from quire.core.heads import SequenceHead
from quire.core.spec import Adapters, Backbone
from quire.nn.adapters import Adapter
from quire.nn.model import Model, Packed, Step
from quire.train.loop import fit
from quire.train.start import started
from quire.train.weights import ModelFiles, read_model, save_model
from quire.tuning.inserts import Houlsby, Inserting, Pfeiffer

WAYS = [Houlsby(width=5), Pfeiffer(factor=4)]


def scores(model: Model, batch: Packed) -> torch.Tensor:
    with torch.no_grad():
        return Step(model.eval(), batch).logits("classify")


@pytest.mark.parametrize("strategy", WAYS, ids=lambda s: s.name())
def test_it_begins_close_to_the_base_and_only_what_is_said_learns(
    labelled: Labelled, batch: Packed, strategy: Inserting
) -> None:
    model, job = labelled(strategy, steps=6)
    before = scores(model, batch)
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    strategy.prepare(model)
    torch.testing.assert_close(scores(model, batch), before, rtol=0, atol=1e-3)
    assert not torch.equal(scores(model, batch), before)
    fit(model, job)
    after = model.state_dict()
    changed = {name for name, tensor in base.items() if not torch.equal(tensor, after[name])}
    norms = {name for name in base if ".norm" in name or "_norm." in name}
    heads = {name for name in base if name.startswith("heads.")}
    assert changed == heads | (norms if isinstance(strategy, Houlsby) else set())


def test_minilm_has_as_many_as_the_formula_says() -> None:
    """12 adapters of 2 * 384 * 64 + 64 + 384: 595,200 (the facts' figure); Pfeiffer 6 of 2 * 384 * 24 + 24 + 384."""
    spec = Backbone(vocab=30, depth=6, width=384, heads=12, ffn=1536)
    for strategy, count in ((Houlsby(), 595_200), (Pfeiffer(), 6 * (2 * 384 * 24 + 24 + 384))):
        model = strategy.prepare(Model(spec, {"classify": SequenceHead(outputs=2)}))
        adapters = [m for m in model.modules() if isinstance(m, Adapter)]
        assert sum(p.numel() for m in adapters for p in m.parameters()) == count


@pytest.mark.parametrize("normed", [False, True])
def test_an_adapter_is_its_formula(normed: bool) -> None:
    torch.manual_seed(0)
    adapter = Adapter(Adapters(width=3, activation="relu", normed=normed), 4)
    y, x, norm = torch.randn(5, 4), torch.randn(5, 4), torch.nn.LayerNorm(4)
    read = norm(x + y) if normed else y
    expected = y + torch.relu(read @ adapter.down.weight.T + adapter.down.bias) @ adapter.up.weight.T + adapter.up.bias
    torch.testing.assert_close(adapter(y, x, norm), expected)


def test_places_are_after_each_layer_before_its_sum(tiny: Backbone, batch: Packed) -> None:
    """With adapters that take away what they read, a layer brings nothing: x stays, but for its norms."""
    spec = tiny.model_copy(update={"adapters": Adapters(width=24, activation="relu")})
    model = Model(spec, {}).eval()
    block = model.get_submodule("backbone.blocks.0")
    for place in ("attention_adapter", "ffn_adapter"):
        adapter = block.get_submodule(place)
        with torch.no_grad():
            adapter.get_parameter("down.weight").copy_(torch.eye(24))
            adapter.get_parameter("down.bias").fill_(1e4)  # beyond the bend of ReLU
            adapter.get_parameter("up.weight").copy_(-torch.eye(24))
            adapter.get_parameter("up.bias").fill_(1e4)
    x = torch.randn(batch.size, 24, dtype=torch.float64)
    block.double()
    expected = block.ffn_norm(block.attention_norm(x))  # type: ignore[operator]
    torch.testing.assert_close(block(x, batch.layout), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("strategy", WAYS, ids=lambda s: s.name())
def test_what_is_kept_is_opened_with_its_head_and_goes_on(
    labelled: Labelled, batch: Packed, strategy: Inserting, tmp_path: Path
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
    files = read_model(tmp_path / "model")
    again = started(files, model.head_specs, seed=9)
    assert torch.equal(scores(again, batch), scores(model, batch))
    before = again.state_dict().keys()
    assert strategy.prepare(again).state_dict().keys() == before
    assert torch.equal(scores(again, batch), scores(model, batch))
    with pytest.raises(BadInput, match="has other adapters already"):
        Houlsby(width=7).prepare(again)


def test_bodies_without_a_place_are_refused(tiny: Backbone) -> None:
    with pytest.raises(BadInput, match=r"strategy\.houlsby: a bag of tokens has no place"):
        Houlsby().prepare(Model(Bag(vocab=60, width=8), {"classify": SequenceHead(outputs=2, pool="mean")}))
    before = tiny.model_copy(update={"norm_first": True})
    with pytest.raises(BadInput, match="norms stand before its sums"):
        Pfeiffer().prepare(Model(before, {}))
    Houlsby().prepare(Model(before, {}))
    with pytest.raises(ValueError, match="the norm stands before the layer"):
        Backbone.model_validate({"norm_first": True, "adapters": {"normed": True}})


def test_files_without_adapters_start_a_body_with_them(tiny: Backbone) -> None:
    plain = Model(tiny, {})
    files = ModelFiles(tiny.model_copy(update={"adapters": Adapters(width=3)}), heads={}, state=plain.state_dict())
    found = started(files, {}, seed=0)
    assert isinstance(found.get_submodule("backbone.blocks.1.ffn_adapter"), Adapter)
