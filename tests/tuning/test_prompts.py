"""Learned prompts: what learns, how many numbers that is, who sees them, and what is kept."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tuning.conftest import Labelled
from torch import Tensor

from quire.compress.quantize import DynamicInt8
from quire.core import visibility
from quire.core.bodies import Bag
from quire.core.errors import BadInput
from quire.core.example import Batch, Example
from quire.core.heads import SequenceHead
from quire.core.spec import Backbone
from quire.nn.attention import Attention, Layout
from quire.nn.model import Model, Packed, Step
from quire.train.loop import fit
from quire.train.start import started
from quire.train.weights import read_model, save_model
from quire.tuning.full import Full
from quire.tuning.prompts import Prefix, Prompting, PromptTuning

WAYS = [
    pytest.param(Prefix(length=5), id="prefix"),
    pytest.param(Prefix(length=3, width=7), id="reparametrised"),
    pytest.param(PromptTuning(length=4), id="prompt_tuning"),
]
BODIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "rotary, before": {"position": "rotary", "norm_first": True},
    "buckets": {"position": "bucketed", "score": "dot", "segments": 0},
    "shared": {"groups": 1, "embedding": 8},
    "additive": {"score": "additive"},
}


def scores(model: Model, batch: Packed) -> Tensor:
    with torch.no_grad():
        step = Step(model.eval(), batch)
        return step.scores("classify", batch.first)


def strong(model: Model) -> Model:
    """With vectors large enough that whoever does not see them says something else."""
    draw = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if "prefix" in name or "prompt" in name:
            parameter.data.normal_(generator=draw)
    return model


def bodies(spec: Backbone, strategy: Prompting) -> dict[str, Model]:
    made = {}
    for name, fields in BODIES.items():
        body = spec.model_copy(update={**fields, "init_std": 0.3})
        model = Model(body, {"classify": SequenceHead(outputs=2)}, seed=1)
        made[name] = strong(strategy.prepare(model)).eval()
    return made


@pytest.mark.parametrize("strategy", WAYS)
def test_only_what_is_said_learns_and_all_of_it(labelled: Labelled, batch: Packed, strategy: Prompting) -> None:
    model, job = labelled(strategy, steps=6)
    base = {name: t.clone() for name, t in model.state_dict().items()}
    strategy.prepare(model)
    begun = {name: t.clone() for name, t in model.state_dict().items()}
    before = scores(model, batch)
    assert torch.isfinite(before).all()
    fit(model, job)
    after = model.state_dict()
    changed = {name for name, t in base.items() if not torch.equal(t, after[name])}
    assert changed == {name for name in base if name.startswith("heads.")}
    new = after.keys() - base.keys()
    assert new
    assert all(name not in begun or not torch.equal(begun[name], after[name]) for name in new)
    assert not torch.equal(scores(model, batch), before)


def test_minilm_has_as_many_as_the_formula_says() -> None:
    """Layers * 2 * length * width: 92,160 at 20; a prompt of 20 has 7,680."""
    spec = Backbone(vocab=30, depth=6, width=384, heads=12, ffn=1536)
    for strategy, count in ((Prefix(), 92_160), (PromptTuning(), 7_680)):
        model = strategy.prepare(Model(spec, {"classify": SequenceHead(outputs=2)}))
        learning = {n: p for n, p in model.named_parameters() if p.requires_grad and not n.startswith("heads.")}
        assert sum(p.numel() for p in learning.values()) == count
    model = Prefix(width=512).prepare(Model(spec, {"classify": SequenceHead(outputs=2)}))
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad and not n.startswith("heads.")}
    assert sum(p.numel() for p in learning.values()) == 20 * 384 + 385 * 512 + 6 * 513 * 2 * 384
    Prefix(width=512).finish(model)
    assert sum(p.numel() for n, p in model.named_parameters() if "prefix" in n) == 92_160


def test_a_prefix_is_keys_and_values_before_the_layer_s_own(tiny: Backbone, batch: Packed) -> None:
    """By hand, position by position and head by head."""
    model = strong(Prefix(length=3).prepare(Model(tiny.model_copy(update={"init_std": 0.3}), {}))).eval()
    attention = model.get_submodule("backbone.blocks.0.attention")
    assert isinstance(attention, Attention)
    assert attention.prefix is not None
    x_NW = torch.randn(batch.size, 24)
    qkv_NW = attention.qkv(x_NW).chunk(3, dim=-1)
    rows, first = [], 0
    for length in batch.layout.lengths:
        q, k, v = (t[first : first + length] for t in qkv_NW)
        k, v = (torch.cat([p, t]) for p, t in zip(attention.prefix.weight, (k, v), strict=True))
        heads = [slice(h * 8, h * 8 + 8) for h in range(3)]
        rows.append(torch.cat([(q[:, h] @ k[:, h].T / 8**0.5).softmax(-1) @ v[:, h] for h in heads], dim=1))
        first += length
    torch.testing.assert_close(attention(x_NW, batch.layout), attention.out(torch.cat(rows)), rtol=1e-4, atol=1e-5)


def test_a_prompt_is_a_text_with_these_tokens_before_it(tiny: Backbone, examples: list[Example]) -> None:
    """Where positions are none, drawn tokens before a text are those tokens in it, whose states nobody asks for."""
    spec = tiny.model_copy(update={"position": "none", "segments": 0, "init_std": 0.3})
    model = Model(spec, {"classify": SequenceHead(outputs=2)}, seed=1).eval()
    tokens = torch.randint(60, (4,), generator=torch.Generator().manual_seed(0))
    [example] = examples[:1]
    shown = np.concatenate([tokens.numpy(), example.tokens])
    everywhere = np.ones(len(shown), dtype=bool)
    longer = Packed(Batch.pack([Example(shown, shown, everywhere, ~everywhere, np.zeros_like(shown), 0)]))
    with torch.no_grad():
        expected = model(longer)[4:]
        found = PromptTuning(length=4).prepare(model)(Packed(Batch.pack([example])))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strategy", WAYS)
@pytest.mark.parametrize("body", BODIES)
def test_a_packed_batch_is_its_texts_one_by_one(
    tiny: Backbone, examples: list[Example], strategy: Prompting, body: str
) -> None:
    model = bodies(tiny, strategy)[body]
    together = Batch.pack(examples[:7])
    found = scores(model, Packed(together))
    alone = torch.cat([scores(model, Packed(Batch.pack([examples[i]]))) for i in together.order])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", WAYS)
def test_a_neighbour_changes_nothing_and_a_vector_does(
    tiny: Backbone, examples: list[Example], strategy: Prompting
) -> None:
    model = bodies(tiny, strategy)["bert"]
    batch = Packed(Batch.pack(examples[:4]))
    before = model(batch)
    other = copy.copy(batch)
    other.tokens = batch.tokens.clone()
    start, length = int(batch.first[1]), int(batch.lengths[1])
    other.tokens[start : start + length] = 7
    moved = (model(other) != before).any(dim=1)
    assert moved[start : start + length].any()
    assert not moved[:start].any()
    assert not moved[start + length :].any()
    for name, parameter in model.named_parameters():
        if name.endswith(("prefix.weight", "trunk.weight", "prompt.weight")) and parameter.requires_grad:
            parameter.data[..., 1, :] += 1
    assert (model(batch) != before).any(dim=1).all()


@pytest.mark.parametrize("strategy", WAYS)
def test_a_text_read_left_to_right_sees_them_too(tiny: Backbone, strategy: Prompting) -> None:
    model = bodies(tiny, strategy)["bert"]
    tokens, ids = torch.arange(10, 18), torch.arange(8)
    x = model.backbone.embeddings(tokens, ids, torch.zeros_like(ids), None)
    whole = model.backbone(x, Layout.of([8], [visibility.Causal()]))
    part = model.backbone(x[:5], Layout.of([5], [visibility.Causal()]))
    torch.testing.assert_close(whole[:5], part, rtol=1e-4, atol=1e-5)
    if isinstance(strategy, Prefix):  # a prompt is read left to right itself
        alone = model.backbone(x[:1], Layout.of([1], [visibility.Full()]))
        torch.testing.assert_close(whole[:1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`:FutureWarning")
def test_peft_computes_the_same_prefix(tmp_path: Path) -> None:
    """Over GPT-2, for peft's prefix wants a cache, which BERT in transformers has no more. There a text's places come
    behind the prefix's, so that ours begins at place 3."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    sizes = {"vocab_size": 60, "n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 20, "initializer_range": 0.3}
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    plain = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
    theirs = peft.get_peft_model(plain, peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)).eval()
    files = read_model(tmp_path)
    model = Model(files.backbone, files.heads).eval()
    model.load_state_dict(dict(files.state))
    Prefix(length=3).prepare(model)
    theirs_PX = theirs.get_parameter("prompt_encoder.default.embedding.weight").data
    for i, both_P2W in enumerate(theirs_PX.view(3, 2, 2, 12).unbind(1)):
        model.get_parameter(f"backbone.blocks.{i}.attention.prefix.weight").data.copy_(both_P2W.transpose(0, 1))
    tokens, places = torch.arange(7, 16), torch.arange(3, 12)
    with torch.no_grad():
        x_NE = model.backbone.embeddings(tokens, places, torch.zeros_like(places), None)
        ours = model.heads["lm"](model.backbone(x_NE, Layout.of([9], [visibility.Causal()])), model.table)
        torch.testing.assert_close(ours, theirs(input_ids=tokens[None]).logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strategy", WAYS)
def test_int8_reads_them_too(tiny: Backbone, batch: Packed, strategy: Prompting) -> None:
    model = bodies(tiny, strategy)["bert"]
    strategy.finish(model)
    small = DynamicInt8().apply(model, DynamicInt8().plan(model))
    kept = {name for name, t in small.state_dict().items() if t.dtype == torch.float32 and "pr" in name}
    assert any("prefix" in name or "prompt" in name for name in kept)
    apart = (scores(small, batch) - scores(model, batch)).norm() / scores(model, batch).norm()
    assert apart < 0.1


@pytest.mark.parametrize("strategy", WAYS)
def test_all_layers_and_asked_positions_are_the_text_s(tiny: Backbone, batch: Packed, strategy: Prompting) -> None:
    model = bodies(tiny, strategy)["bert"]
    states = model.layers(batch)
    assert [len(s) for s in states] == [batch.size] * (tiny.depth + 1)
    assert torch.equal(states[0], model.embed(batch))
    torch.testing.assert_close(model(batch, batch.first), states[-1][batch.first])


@pytest.mark.parametrize("strategy", WAYS)
def test_what_is_kept_is_opened_with_its_head_and_goes_on(
    labelled: Labelled, batch: Packed, strategy: Prompting, tmp_path: Path
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
    again = started(read_model(tmp_path / "model"), model.head_specs, seed=9)
    assert torch.equal(scores(again, batch), scores(model, batch))
    plain = strategy.model_copy(update={"width": None}) if isinstance(strategy, Prefix) else strategy
    assert plain.prepare(again).state_dict().keys() == model.state_dict().keys()
    assert torch.equal(scores(again, batch), scores(model, batch))
    assert all(p.requires_grad for p in Full().prepare(again).parameters())
    with pytest.raises(BadInput, match=r"has another of|leave it out"):
        strategy.model_copy(update={"length": 9}).prepare(again)


def test_a_network_makes_a_prefix_only_while_it_learns(labelled: Labelled, batch: Packed) -> None:
    strategy = Prefix(length=3, width=7)
    model, _ = labelled(strategy)
    strong(strategy.prepare(model))
    names, before = set(model.state_dict()), scores(model, batch)
    with strategy.kept(model):
        assert not any("trunk" in name for name in model.state_dict())
        torch.testing.assert_close(scores(model, batch), before)
    assert set(model.state_dict()) == names
    assert torch.equal(scores(model, batch), before)
    with pytest.raises(BadInput, match="stands without its network"):
        strategy.prepare(started_again(model, strategy))


def started_again(model: Model, strategy: Prefix) -> Model:
    strategy.finish(model)
    return model


def test_a_prompt_begins_as_tokens(tiny: Backbone) -> None:
    model = Model(tiny, {"classify": SequenceHead(outputs=2)}, seed=1)
    PromptTuning(length=3, seed=4).prepare(model)
    tokens = torch.randint(60, (3,), generator=torch.Generator().manual_seed(4))
    ids = torch.arange(3)
    expected = model.eval().backbone.embeddings(tokens, ids, torch.zeros_like(ids), None)
    assert torch.equal(model.get_parameter("backbone.prompt.weight"), expected)


def test_bodies_that_have_no_place_are_refused(tiny: Backbone) -> None:
    def prepared(strategy: Prompting, spec: Backbone) -> None:
        strategy.prepare(Model(spec, {"classify": SequenceHead(outputs=2, pool=spec.pool)}))

    for strategy in (Prefix(), PromptTuning()):
        with pytest.raises(BadInput, match="a bag of tokens has none"):
            prepared(strategy, Bag(vocab=60, width=8))
        with pytest.raises(BadInput, match="relative"):
            prepared(strategy, tiny.model_copy(update={"position": "relative"}))
    with pytest.raises(BadInput, match="the body has a window"):
        prepared(PromptTuning(), tiny.model_copy(update={"window": 3}))
    with pytest.raises(BadInput, match="the body has a decoder"):
        prepared(PromptTuning(), tiny.model_copy(update={"decoder": 1}))


def test_a_visibility_that_hides_a_prompt_is_refused(tiny: Backbone) -> None:
    model = bodies(tiny, PromptTuning(length=2))["bert"]
    x = torch.randn(6, 24)
    with pytest.raises(BadInput, match="take full or causal visibility"):
        model.backbone(x, Layout.of([6], [visibility.Prefix(3)]))


def test_a_window_sees_the_prefix(tiny: Backbone) -> None:
    """In blocks, as long texts are read, as under a mask."""
    spec = tiny.model_copy(update={"window": 2, "init_std": 0.3, "positions": 400, "position": "none"})
    model = strong(Prefix(length=3).prepare(Model(spec, {}, seed=1))).eval()
    x = torch.randn(300, 24)
    layout = Layout.of([300], [visibility.Full()])
    attention = model.get_submodule("backbone.blocks.0.attention")
    assert isinstance(attention, Attention)
    local = layout.within(2)
    assert local.runs[0].band is not None
    q, k, v = attention.project(x, local)
    far = (torch.arange(300)[:, None] - torch.arange(300)).abs() > 2
    mask = torch.zeros(300, 300).masked_fill_(far, float("-inf"))
    expected = attention.mix(*(t.transpose(0, 1)[None] for t in (q, k, v)), mask=mask)[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(attention.mixed(q, k, v, local), expected, rtol=1e-4, atol=1e-5)
