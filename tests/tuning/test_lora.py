"""Low-rank updates: where they begin, what learns, what is left, and how many numbers that are."""

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
from quire.tuning.lora import Lora, LowRank

ALL = Lora(rank=3, alpha=5, on=("value", "query", "key", "out", "up", "down"), dropout=0.2)
WAYS = [pytest.param(Lora(), id="published"), pytest.param(Lora(rank=2, on=("key", "down")), id="some"), ALL]


def scores(model: Model, batch: Packed) -> torch.Tensor:
    with torch.no_grad():
        return Step(model.eval(), batch).logits("classify")


@pytest.mark.parametrize("strategy", WAYS)
def test_it_begins_at_the_base_and_only_what_is_said_learns(labelled: Labelled, batch: Packed, strategy: Lora) -> None:
    model, job = labelled(strategy)
    base = {name: p.detach().clone() for name, p in model.named_parameters()}
    before = scores(model, batch)
    assert torch.equal(scores(strategy.prepare(model), batch), before)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(name.startswith("heads.") or name.endswith((".a", ".b")) for name in learning)
    fresh, _ = labelled(strategy)
    fit(fresh, job)
    assert fresh.state_dict().keys() == base.keys()
    changed = {name for name, p in fresh.named_parameters() if not torch.equal(p, base[name])}
    assert changed - {n for n in base if n.startswith("heads.")} == {
        f"backbone.blocks.{i}.{w}.weight" for i in (0, 1) for w in homes(strategy)
    }


def homes(strategy: Lora) -> set[str]:
    """The layers that hold what it is on."""
    of = {"out": "attention.out", "up": "ffn.up", "down": "ffn.down"}
    return {of.get(matrix, "attention.qkv") for matrix in strategy.on}


def test_rows_that_have_no_update_stay(labelled: Labelled) -> None:
    model, job = labelled(Lora(on=("query", "value")))
    before = model.get_parameter("backbone.blocks.1.attention.qkv.weight").detach().clone()
    fit(model, job)
    after = model.get_parameter("backbone.blocks.1.attention.qkv.weight")
    query, key, value = (after != before).chunk(3)
    assert query.any()
    assert value.any()
    assert not key.any()


@pytest.mark.parametrize("strategy", WAYS)
def test_merged_equals_unmerged(labelled: Labelled, batch: Packed, strategy: Lora) -> None:
    model, _ = labelled(strategy)
    strategy.prepare(model)
    draw = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, LowRank):
            module.b.data.normal_(generator=draw)
    beside = scores(model, batch)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with strategy.kept(model):
        torch.testing.assert_close(scores(model, batch), beside, rtol=1e-5, atol=1e-5)
        shown = model.get_parameter("backbone.blocks.0.attention.qkv.weight").detach().clone()
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    strategy.finish(model)
    torch.testing.assert_close(scores(model, batch), beside, rtol=1e-5, atol=1e-5)
    if "attention.qkv" in homes(strategy):
        assert torch.equal(model.get_parameter("backbone.blocks.0.attention.qkv.weight"), shown)
    assert not any(isinstance(module, LowRank) for module in model.modules())


def test_minilm_has_as_many_as_the_formula_says() -> None:
    """L layers, two matrices: L * 2 * (W r + r W), 73,728 for r = 8 (facts of peft's default)."""
    minilm = Backbone(vocab=30, depth=6, width=384, heads=12, ffn=1536)
    model = Lora().prepare(Model(minilm, {"classify": SequenceHead(outputs=2)}))
    low = [p for name, p in model.named_parameters() if p.requires_grad and not name.startswith("heads.")]
    assert sum(p.numel() for p in low) == 73_728


def test_the_scale_is_alpha_by_rank(labelled: Labelled, batch: Packed) -> None:
    found = []
    for alpha in (4.0, 8.0):
        model, _ = labelled(Lora(rank=2, alpha=alpha, on=("out",)))
        Lora(rank=2, alpha=alpha, on=("out",)).prepare(model)
        layer = model.get_submodule("backbone.blocks.0.attention.out")
        assert isinstance(layer, LowRank)
        layer.b.data.fill_(1.0)
        found.append(layer.merged() - layer.weight)
        torch.testing.assert_close(found[-1], alpha / 2 * (layer.b[0] @ layer.a[0]))
    torch.testing.assert_close(found[1], 2 * found[0])


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param({"ffn": 3 * 24}, id="a wide layer is one matrix"),
        pytest.param({"heads": 3, "head_width": 5}, id="heads narrower than the body together"),
    ],
)
def test_how_many_matrices_a_layer_holds_is_not_read_off_its_shape(
    tiny: Backbone, batch: Packed, sizes: dict[str, int]
) -> None:
    spec = tiny.model_copy(update=sizes)
    strategy = Lora(rank=2, on=("query", "value", "up"))
    model = strategy.prepare(Model(spec, {"classify": SequenceHead(outputs=2)}, seed=1))
    rows = {"backbone.blocks.0.attention.qkv": spec.inner, "backbone.blocks.0.ffn.up": spec.ffn}
    for place, outputs in rows.items():
        layer = model.get_submodule(place)
        assert isinstance(layer, LowRank)
        assert layer.b.shape[1] == outputs, place
        layer.b.data.fill_(1.0)
    qkv = model.get_submodule("backbone.blocks.0.attention.qkv")
    assert isinstance(qkv, LowRank)
    assert [bool(part.any()) for part in (qkv.merged() - qkv.weight).chunk(3)] == [True, False, True]
    beside = scores(model, batch)
    strategy.finish(model)
    torch.testing.assert_close(scores(model, batch), beside, rtol=1e-5, atol=1e-5)


def test_a_body_without_such_matrices_is_refused(tmp_path: Path) -> None:
    bag = Model(Bag(vocab=60, width=8), {"classify": SequenceHead(outputs=2, pool="mean")})
    with pytest.raises(BadInput, match=r"strategy\.lora: this body has none of query, value"):
        Lora().prepare(bag)
