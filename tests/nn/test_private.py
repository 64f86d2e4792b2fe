"""Model-III: the formula position by position, gates forced, and other sequences that change nothing. Legend: L, H."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from quire.core.example import Batch, Example, Passage, World
from quire.core.heads import HeadSpec, PrivateHead, SequenceHead, VectorHead
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.nn.private import PrivateScores

Draw = Callable[[int, Rng], Passage]
H = 5


@pytest.fixture(scope="module")
def body(tiny: Backbone) -> Backbone:
    return tiny.model_copy(update={"init_std": 0.4})


@pytest.fixture(scope="module")
def examples(passage: Draw, world: World) -> Callable[[list[int]], list[Example]]:
    return lambda lengths: [Example.of(world.vocab, passage(n, rng("private", n))) for n in lengths]


def model_of(body: Backbone, **heads: HeadSpec) -> Model:
    return Model(body, heads or {"a": PrivateHead(outputs=3, width=H)}, seed=2).eval()


def head_of(model: Model, name: str = "a") -> PrivateScores:
    head = model.heads[name]
    assert isinstance(head, PrivateScores)
    return head


def by_hand(head: PrivateScores, x_LE: Tensor, s_LW: Tensor) -> Tensor:
    """The scores of one sequence by the equations of the module's docstring."""
    f_x, i_x, o_x, own_x, new_x, read_x = head.word(x_LE).chunk(6, dim=1)
    new_s, read_s = head.shared(s_LW).chunk(2, dim=1)
    h = c = torch.zeros(H)
    for t in range(len(x_LE)):
        f_h, i_h, o_h, own_h, new_h = head.own(h).chunk(5)
        f, i, o = torch.sigmoid(f_x[t] + f_h), torch.sigmoid(i_x[t] + i_h), torch.sigmoid(o_x[t] + o_h)
        keeps, takes = torch.sigmoid(own_x[t] + own_h), torch.sigmoid(read_x[t] + read_s[t])
        c = f * c + i * torch.tanh(new_x[t] + keeps * new_h + takes * new_s[t])
        h = o * torch.tanh(c)
    scores: Tensor = head.out(h)
    return scores


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6), data=st.data())
@settings(max_examples=25)
def test_scores_are_the_formula_for_each_sequence_that_is_asked_about(
    body: Backbone, examples: Callable[[list[int]], list[Example]], lengths: list[int], data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    model = model_of(body)
    made = [e.label("a", 0) if a else e for e, a in zip(examples(lengths), asked, strict=True)]
    batch = Batch.pack(made)
    step = Step(model, Packed(batch))
    with torch.no_grad():
        found = step.logits("a")
        x, s = (torch.split(v, batch.lengths.tolist()) for v in (model.embed(step.batch), step.encode()))
        expected = [by_hand(head_of(model), x[k], s[k]) for k, place in enumerate(batch.order.tolist()) if asked[place]]
    torch.testing.assert_close(found, torch.stack(expected) if expected else torch.zeros(0, 3), atol=1e-5, rtol=1e-5)


def test_other_sequences_change_nothing(body: Backbone, examples: Callable[[list[int]], list[Example]]) -> None:
    model, made = model_of(body), examples([4, 9, 2, 4])
    with torch.no_grad():
        together = Step(model, Packed(Batch.pack(made)))
        scores = together.scores("a", together.batch.first)[torch.from_numpy(together.batch.order).argsort()]
        for example, row in zip(made, scores, strict=True):
            alone = Step(model, Packed(Batch.pack([example])))
            torch.testing.assert_close(alone.scores("a", alone.batch.first)[0], row, atol=1e-5, rtol=1e-5)


def forced(head: PrivateScores, *, own: float | None = None, read: float | None = None) -> None:
    """Gates held open (large) or shut (very negative) by their biases."""
    with torch.no_grad():
        if own is not None:
            head.word.bias[3 * H : 4 * H] = own
        if read is not None:
            head.word.bias[5 * H :] = read


def test_with_the_shared_gate_shut_it_is_a_model_of_one_task(
    body: Backbone, examples: Callable[[list[int]], list[Example]]
) -> None:
    """What the body says does not matter, not even to the gradient."""
    made = [e.label("a", i % 3) for i, e in enumerate(examples([3, 7, 5]))]
    one, other = (
        model_of(body),
        Model(body.model_copy(update={"init_std": 0.9}), model_of(body).head_specs, seed=5).eval(),
    )
    forced(head_of(one), read=-1e4)
    other.heads.load_state_dict(one.heads.state_dict())
    other.backbone.embeddings.load_state_dict(one.backbone.embeddings.state_dict())
    packed = Packed(Batch.pack(made))
    scores, same = Step(one, packed).logits("a"), Step(other, packed).logits("a")
    assert torch.equal(scores, same)
    scores.sum().backward()  # type: ignore[no-untyped-call]
    grads = {n: p.grad for n, p in one.named_parameters() if n.startswith("backbone.blocks")}
    assert not any(g is not None and g.any() for g in grads.values())
    forced(head_of(one), read=0.0)
    assert not torch.allclose(Step(one, packed).logits("a"), same, atol=1e-3)


def test_with_its_own_gate_open_and_the_shared_one_shut_it_is_torchs_lstm(
    body: Backbone, examples: Callable[[list[int]], list[Example]]
) -> None:
    model = model_of(body)
    head = head_of(model)
    forced(head, own=1e4, read=-1e4)
    f, i, o, new = slice(0, H), slice(H, 2 * H), slice(2 * H, 3 * H), slice(4 * H, 5 * H)
    lstm: Any = nn.LSTM(body.embedding_width, H, batch_first=True)
    torchs = (i, f, new, o)  # the order of torch's gates
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.cat([head.word.weight[part] for part in torchs]))
        lstm.weight_hh_l0.copy_(torch.cat([head.own.weight[part] for part in torchs]))
        lstm.bias_ih_l0.copy_(torch.cat([head.word.bias[part] for part in torchs]))
        lstm.bias_hh_l0.zero_()
        assert (lstm.bias_ih_l0[H : 2 * H] == 1).all(), "forget gates begin open"
        for example in examples([1, 6, 12]):
            step = Step(model, Packed(Batch.pack([example])))
            _, (h, _) = lstm(model.embed(step.batch)[None])
            torch.testing.assert_close(step.scores("a", step.batch.first), head.out(h[0]), atol=1e-5, rtol=1e-5)


def test_every_weight_learns_and_one_tasks_loss_leaves_the_others_without_a_gradient(
    body: Backbone, examples: Callable[[list[int]], list[Example]]
) -> None:
    model = model_of(body, a=PrivateHead(outputs=3, width=H), b=PrivateHead(outputs=2, width=H))
    step = Step(model, Packed(Batch.pack([e.label("a", 1) for e in examples([3, 7, 5])])))
    step.logits("a").square().sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if name.startswith("heads.b."):
            assert parameter.grad is None
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


def test_equal_queries_give_equal_representations(
    body: Backbone, examples: Callable[[list[int]], list[Example]]
) -> None:
    """Zheng et al. 2018: one body, a query for each task; what tells tasks apart is the query alone."""
    model = model_of(body, **{name: VectorHead(dense=False, pool="attention") for name in ("a", "b")})
    step = Step(model, Packed(Batch.pack(examples([3, 7, 5]))))
    assert not torch.allclose(step.scores("a", step.batch.first), step.scores("b", step.batch.first), atol=1e-3)
    model.heads["b"].load_state_dict(model.heads["a"].state_dict())
    assert torch.equal(step.scores("a", step.batch.first), step.scores("b", step.batch.first))


def test_heads_of_both_kinds_stand_side_by_side(body: Backbone, examples: Callable[[list[int]], list[Example]]) -> None:
    model = model_of(body, a=PrivateHead(outputs=3, width=H), b=SequenceHead(outputs=2, pool="attention"))
    made = [e.label("ab"[i % 2], 1) for i, e in enumerate(examples([3, 7, 5]))]
    step = Step(model, Packed(Batch.pack(made)))
    assert step.logits("a").shape == (2, 3)
    assert step.logits("b").shape == (1, 2)
