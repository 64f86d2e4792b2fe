"""A model is a function of its specs and a seed; scores exist only where they are asked for."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from quire.core.example import Batch, Example, Passage, Vocab
from quire.core.heads import HeadSpec, SequenceHead, TokenHead
from quire.core.spec import Backbone
from quire.nn.losses import cross_entropy
from quire.nn.model import Model, Packed, Step

HEADS: dict[str, HeadSpec] = {"mlm": TokenHead(), "pair": SequenceHead(outputs=2)}


def batch(vocab: Vocab, *lengths: int) -> Batch:
    made = [Example.of(vocab, Passage(np.arange(5, 5 + n), np.ones(n, dtype=bool))) for n in lengths]
    return Batch.pack([e.label("pair", i % 2) for i, e in enumerate(made)])


def test_weights_are_a_function_of_the_seed_and_not_of_torchs_state(tiny: Backbone) -> None:
    torch.manual_seed(1)
    one = Model(tiny, HEADS, seed=5).state_dict()
    torch.manual_seed(2)
    two, other = Model(tiny, HEADS, seed=5).state_dict(), Model(tiny, HEADS, seed=6).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["backbone.embeddings.tokens.weight"], other["backbone.embeddings.tokens.weight"])


def test_a_model_of_given_weights_has_these_and_draws_none(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Model(tiny, HEADS, seed=5).state_dict()
    monkeypatch.setattr(torch.Tensor, "normal_", None)  # whoever draws fails
    found = Model.of(tiny, {"pair": HEADS["pair"]}, given).state_dict()
    assert found.keys() < given.keys()
    assert all(torch.equal(found[name], given[name]) for name in found)
    with pytest.raises(KeyError, match="other"):
        Model.of(tiny, {"other": HEADS["pair"]}, given)


def test_initialisation_is_berts() -> None:
    spec = Backbone(vocab=500, depth=1, width=64, heads=1, ffn=256, positions=64, init_std=0.05)
    for name, tensor in Model(spec, HEADS).state_dict().items():
        if name.endswith("bias"):
            assert not tensor.any(), name
        elif "norm" in name:
            assert (tensor == 1).all(), name
        else:
            assert abs(float(tensor.std()) / 0.05 - 1) < 4 / (2 * tensor.numel()) ** 0.5, name
            assert abs(float(tensor.mean())) < 0.05 * 4 / tensor.numel() ** 0.5, name


def test_the_decoder_is_tied_to_the_token_table(tiny: Backbone) -> None:
    model = Model(tiny, HEADS)
    assert not any(tuple(p.shape) == (60, 24) for name, p in model.named_parameters() if name.startswith("heads."))
    assert model.parameter_count() == sum(p.numel() for p in model.state_dict().values())


def test_states_are_computed_once_whoever_asks(tiny: Backbone, vocab: Vocab) -> None:
    model, calls = Model(tiny, HEADS), []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    step = Step(model, Packed(batch(vocab, 3, 5)))
    step.logits("pair"), step.logits("mlm"), step.states(step.batch.first)
    assert len(calls) == 1
    step = Step(model, step.batch)
    step.encode(), step.logits("pair"), step.encode()
    assert len(calls) == 2


def test_the_last_block_gives_the_same_states_where_asked_alone(tiny: Backbone, vocab: Vocab) -> None:
    model, packed = Model(tiny, HEADS).eval(), Packed(batch(vocab, 3, 5, 5, 1))
    whole = Step(model, packed).encode()
    some = Step(model, packed)
    torch.testing.assert_close(some.states(packed.first.flip(0)), whole[packed.first.flip(0)], atol=1e-6, rtol=0)
    unasked = packed.first[:1] + 1
    torch.testing.assert_close(some.states(unasked), whole[unasked], atol=1e-6, rtol=0)


def test_scores_exist_at_asked_positions_alone(tiny: Backbone, vocab: Vocab) -> None:
    packed = Packed(batch(vocab, 5, 3))
    step = Step(Model(tiny, HEADS), packed)
    assert packed.asked["pair"].tolist() == packed.first.tolist() == [0, 5]
    assert packed.answers["pair"].tolist() == [1, 0]  # shorter first
    assert step.logits("pair").shape == (2, 2)
    assert step.logits("mlm").shape == (0, 60)


def test_nothing_asked_is_a_loss_of_zero_with_a_gradient_of_zero(tiny: Backbone, vocab: Vocab) -> None:
    model = Model(tiny, HEADS)
    step = Step(model, Packed(batch(vocab, 3)))
    loss = cross_entropy(step.logits("mlm"), step.answers("mlm"))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert not any(g.any() or g.isnan().any() for g in grads)


def test_cross_entropy_is_the_formula() -> None:
    logits, answers = torch.tensor([[1.0, 2.0, 0.5], [0.1, 0.2, 0.3]]), torch.tensor([2, 0])
    expected = -torch.log_softmax(logits, dim=1)[torch.arange(2), answers].mean()
    torch.testing.assert_close(cross_entropy(logits, answers), expected)


def test_specs_survive_json_and_refuse_nonsense(tiny: Backbone) -> None:
    adapter: TypeAdapter[HeadSpec] = TypeAdapter(HeadSpec)
    for head in HEADS.values():
        assert adapter.validate_python(head.model_dump(mode="json")) == head
    assert Backbone.model_validate(tiny.model_dump(mode="json")) == tiny
    with pytest.raises(ValueError, match="width 10 is not a multiple of heads 3"):
        Backbone(width=10, heads=3)


@pytest.mark.parametrize("bias", [False, True])
def test_scores_of_few_rows_are_those_of_many(bias: bool) -> None:
    """Without a gradient few rows are multiplied the other way round; one row has a way of its own."""
    model = Model(Backbone(vocab=41, depth=1, width=6, heads=2, ffn=4), {"lm": TokenHead(transform=False, bias=bias)})
    head, table = model.heads["lm"], model.backbone.embeddings.tokens
    if bias:
        torch.nn.init.normal_(model.get_parameter("heads.lm.bias"))
    states = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))
    whole = head(states, table)
    assert whole.requires_grad
    with torch.no_grad():
        for rows in range(13):
            torch.testing.assert_close(head(states[:rows], table), whole[:rows].detach())
