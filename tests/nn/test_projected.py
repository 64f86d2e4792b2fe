"""What heads have of their own in a body: its formula on packed sequences, and whose pass is whose."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, Vocab
from quire.core.heads import SequenceHead, TokenHead
from quire.core.spec import Backbone, Branch
from quire.core.visibility import Causal, Full, Visibility
from quire.nn.attention import Layout
from quire.nn.body import last
from quire.nn.model import Model, Packed, Step
from quire.nn.padded import PaddedModel
from quire.nn.projected import Projected
from quire.nn.stepwise import Stepwise
from quire.nn.transformer import Block, Encoder

VOCAB = Vocab(size=40, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))
PALS, ABOVE = Branch(width=10, heads=5), Branch(width=9, heads=3, above=2)
ALL = Full()
LENGTHS = (7, 7, 3, 5, 12)
BODIES: Mapping[str, Mapping[str, Any]] = {
    "bert": {},
    "one block for all layers": {"groups": 1},
    "distances in every mask": {"position": "learned_bucketed"},
    "windows": {"window": 2, "global_every": 2},
}


def model(branch: Branch, **changes: Any) -> Model:
    """Two heads, whose branches have learnt something."""
    plain = {"vocab": 40, "depth": 3, "width": 12, "heads": 2, "ffn": 8, "positions": 16}
    spec = Backbone.model_validate({**plain, "init_std": 0.3, **changes, "branch": branch})
    made = Model(spec, {"a": SequenceHead(outputs=2), "b": SequenceHead(outputs=3)}, seed=2).eval().double()
    with torch.no_grad():
        for seed, head in enumerate(made.heads.values()):
            head.get_parameter("branch.up.weight").normal_(generator=torch.Generator().manual_seed(seed))
    return made


def batch(*lengths: int, sees: Visibility = ALL) -> Packed:
    draw = np.random.default_rng(0)
    texts = [Passage(draw.integers(5, 40, size=n - 2), np.ones(n - 2, dtype=bool)) for n in lengths]
    return Packed(Batch.pack([replace(Example.of(VOCAB, text), sees=sees) for text in texts]))


def mixed(x_LA: Tensor, qkv: Tensor, heads: int, seen_LL: Tensor) -> Tensor:
    """Heads of attention side by side, of one sequence, written out."""
    found = []
    q, k, v = ((x_LA @ w.T).chunk(heads, dim=1) for w in qkv.chunk(3))
    for q_LD, k_LD, v_LD in zip(q, k, v, strict=True):
        scores_LL = (q_LD @ k_LD.T / math.sqrt(q_LD.shape[1])).masked_fill(~seen_LL, float("-inf"))
        found.append(scores_LL.softmax(dim=1) @ v_LD)
    return torch.cat(found, dim=1)


def expected(body: Encoder, branch: Projected, plan: Branch, x_LE: Tensor, layout: Layout) -> Tensor:
    """The last states of one sequence, written out but for the body's own attention and feed-forward layers."""
    (run,) = layout.runs
    everything = torch.ones(run.length, run.length, dtype=torch.bool)
    own = layout if body.distances is None else body.distances.biased(layout)
    down, up = branch.down.weight, branch.up.weight
    qkv = [part.get_parameter("qkv.weight") for part in branch.attention]
    x = x_LE
    for i in range(body.spec.depth):
        block, seen = body.block(i), body.seen(i, own)
        assert isinstance(block, Block)
        visible = everything.triu(-2).tril(2) if body.spec.sees_locally(i) else everything
        h = block.summed(x, block.attention(x, seen))
        added = 0 if plan.above else F.gelu(mixed(x @ down.T, qkv[i], plan.heads, visible) @ up.T)
        x = block.ffn_norm(h + block.ffn(h) + added)
    if not plan.above:
        return x
    z = x @ down.T
    for k, part in enumerate(branch.attention):
        joined = mixed(z, qkv[k], plan.heads, everything) @ part.get_parameter("out.weight").T
        z = F.layer_norm(z + joined, (plan.width,), eps=body.spec.norm_eps)
    return x + z @ up.T


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("plan", [PALS, ABOVE], ids=["beside", "above"])
def test_packed_sequences_have_the_formula_of_each_alone(plan: Branch, kind: str) -> None:
    made, packed = model(plan, **BODIES[kind]), batch(*LENGTHS)
    body, branch = made.backbone, made.branch("b")
    assert isinstance(body, Encoder)
    assert branch is not None
    states = made(packed, of="b")
    for first, length in zip(packed.first.tolist(), packed.lengths.tolist(), strict=True):
        here, alone = slice(first, first + length), Layout.of([length], [Full()])
        one = expected(body, branch, plan, made.embed(packed)[here], alone)
        torch.testing.assert_close(states[here], one, rtol=1e-9, atol=1e-9)
    at = packed.first
    torch.testing.assert_close(made(packed, at, of="b"), states[at], rtol=1e-9, atol=1e-9)
    on_the_way = made.layers(packed, of="b")
    assert len(on_the_way) == body.spec.layers
    torch.testing.assert_close(on_the_way[-1], states, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("plan", [PALS, ABOVE], ids=["beside", "above"])
def test_nobody_sees_what_the_body_may_not_see(plan: Branch) -> None:
    made = model(plan)
    packed = batch(9, sees=Causal())
    before = made(packed, of="a")
    packed.tokens[6] = 39
    changed = (made(packed, of="a") != before).any(dim=1)
    assert changed.tolist() == [False] * 6 + [True] * 3


@pytest.mark.parametrize("plan", [PALS, ABOVE], ids=["beside", "above"])
def test_every_head_passes_through_its_own(plan: Branch) -> None:
    made, packed = model(plan), batch(*LENGTHS)
    bare = Model(made.spec.model_copy(update={"branch": None}), made.head_specs).eval().double()
    bare.load_state_dict(made.state_dict(), strict=False)
    step = Step(made, packed)
    for head in ("a", "b"):
        states = made(packed, packed.first, of=head)
        torch.testing.assert_close(step.scores(head, packed.first), made.heads[head](states, made.table))
        assert not torch.allclose(states, bare(packed, packed.first))
    torch.testing.assert_close(step.encode(), bare(packed), rtol=0, atol=0)  # nobody's
    step.scores("a", packed.first).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in made.heads["a"].parameters())
    assert all(p.grad is None for p in made.heads["b"].parameters())


def test_the_only_head_shares_one_pass_with_all_who_ask() -> None:
    spec = model(PALS).spec
    made, packed = Model(spec, {"a": SequenceHead(outputs=2)}).eval(), batch(*LENGTHS)
    with torch.no_grad():
        made.get_parameter("heads.a.branch.up.weight").normal_()
    step = Step(made, packed)
    assert step.passed("a") is step
    assert torch.equal(step.encode(), made(packed, of="a"))
    assert not torch.allclose(step.encode(), last(made.backbone.layers(made.embed(packed), packed.layout)))


@pytest.mark.parametrize(("depth", "width", "narrow", "heads"), [(12, 768, 204, 6), (12, 768, 204, 12), (3, 15, 7, 1)])
def test_there_are_as_many_as_the_formula_says(depth: int, width: int, narrow: int, heads: int) -> None:
    """2 W A + L 3 A^2 for each task: 1,811,520 at the published size; above, 2 W A + K (4 A^2 + A)."""
    spec = Backbone(depth=depth, width=width, heads=3, ffn=4, vocab=9)

    def count(plan: Branch) -> int:
        return sum(p.numel() for p in Projected(plan, spec).parameters())

    pals = count(Branch(width=narrow, heads=heads))
    assert pals == 2 * width * narrow + depth * 3 * narrow**2
    assert pals == 1_811_520 or depth == 3
    assert count(Branch(width=narrow, heads=heads, above=6)) == 2 * width * narrow + 6 * (4 * narrow**2 + narrow)


@pytest.mark.parametrize(
    "change",
    [{"norm_first": True}, {"decoder": 1}, {"position": "relative"}, {"kind": "star", "ffn": 3072}, {"kind": "lstm"}],
)
def test_other_bodies_have_none(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="branch: "):
        Backbone.model_validate({**change, "branch": {}})
    with pytest.raises(ValueError, match="width 10 is not a multiple of heads 3"):
        Branch(width=10, heads=3)


def test_who_reads_the_body_by_other_ways_refuses() -> None:
    with pytest.raises(BadInput, match=r"branches \(PALs\) has no ONNX form"):
        PaddedModel(model(PALS), head="a")
    with pytest.raises(BadInput, match="with branches cannot be told token by token"):
        Stepwise(Model(model(PALS).spec, {"lm": TokenHead()}), [], head="lm")
