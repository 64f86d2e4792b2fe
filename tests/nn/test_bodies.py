"""Laws of the bodies without attention, over all of them. Legend: L positions of one sequence, W width."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from quire.core.bodies import KINDS
from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, Vocab
from quire.core.heads import SequenceHead
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full, Prefix, Visibility
from quire.nn.lstm import LstmEncoder
from quire.nn.model import Model, Packed, Step
from quire.nn.tree import TreeEncoder
from quire.train.machine import counted

PLAIN: dict[str, dict[str, Any]] = {
    "bag": {"kind": "bag"},
    "cnn": {"kind": "cnn", "windows": [2, 3, 6]},
    "cnn of two layers": {"kind": "cnn", "depth": 2, "windows": [1, 4], "embedding": 5},
    "lstm": {"kind": "lstm"},
    "lstm apart": {"kind": "lstm", "directions": "apart", "depth": 3, "residual": True, "cells": 20, "embedding": 9},
    "lstm forward": {"kind": "lstm", "directions": "forward", "residual": True},
    "tree": {"kind": "tree", "embedding": 7},
    "hierarchical": {"kind": "hierarchical", "piece": 3},
}
every = pytest.mark.parametrize("name", PLAIN)
Lengths = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def spec_of(name: str, **changes: object) -> Backbone:
    data = {"vocab": 60, "width": 18, "positions": 40, "init_std": 0.5, "dropout": 0.0, **PLAIN[name], **changes}
    return parse(Backbone, data, where=name)


def model(name: str, **changes: object) -> Model:
    return Model(spec_of(name, **changes), {}, seed=3).eval()


def drawn(length: int, key: int = 0) -> list[int]:
    found: list[int] = rng("bodies", length, key).permutation(60)[:length].tolist()
    return found


def example(tokens: Sequence[int], sees: Visibility | None = None) -> Example:
    ids, free = np.array(tokens), np.ones(len(tokens), dtype=bool)
    return Example(ids, ids, free, free, np.zeros(len(ids), dtype=int), sees=sees or Full())


def states(body: Model, *sequences: Sequence[int], sees: Visibility | None = None) -> list[Tensor]:
    """[L, W] of each, in one batch."""
    batch = Batch.pack([example(tokens, sees) for tokens in sequences])
    with torch.no_grad():
        found = Step(body, Packed(batch)).encode().numpy()
    return [torch.from_numpy(piece.copy()) for piece in batch.unpack(found)]


def moved(one: Tensor, other: Tensor) -> list[int]:
    """Where two runs of states differ."""
    found: list[int] = ((one - other).abs().amax(1) > 1e-6).nonzero().flatten().tolist()
    return found


def test_every_kind_is_tried_here() -> None:
    assert {spec["kind"] for spec in PLAIN.values()} == KINDS.keys() - {"transformer", "star", "bottleneck"}


@every
@given(Lengths)
@settings(max_examples=15)
def test_a_sequence_in_a_batch_equals_itself_alone(name: str, lengths: list[int]) -> None:
    body, sequences = model(name), [drawn(length, i) for i, length in enumerate(lengths)]
    for together, tokens in zip(states(body, *sequences), sequences, strict=True):
        torch.testing.assert_close(together, states(body, tokens)[0], atol=1e-5, rtol=1e-5)


@every
def test_the_order_of_a_batch_and_what_stands_beside_are_irrelevant(name: str) -> None:
    body, sequences = model(name), [drawn(n) for n in (5, 1, 8, 5)]
    for one, two in zip(states(body, *sequences), states(body, *sequences[::-1])[::-1], strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-6)


@every
def test_asked_states_are_those_of_all_and_layers_end_in_them(name: str) -> None:
    body, packed = model(name), Packed(Batch.pack([example(drawn(n)) for n in (3, 5)]))
    at = torch.tensor([0, 2, 3, 7])
    torch.testing.assert_close(body(packed, at), body(packed)[at])
    layers = list(body.backbone.layers(body.embed(packed), packed.layout))
    assert len(layers) == body.spec.layers
    assert all(layer.shape == (8, 18) for layer in layers)
    torch.testing.assert_close(layers[-1], body(packed))


REACH = {
    "bag": [4],
    "cnn": [1, 2, 3, 4, 5, 6],  # of spans 2, 3 and 6 the last reaches 2 to the left and 3 to the right
    "cnn of two layers": [0, 1, 2, 3, 4, 5, 6],
    "lstm": list(range(9)),
    "lstm apart": list(range(9)),
    "lstm forward": [4, 5, 6, 7, 8],
    "tree": [0, 4],
    "hierarchical": list(range(9)),
}


@every
def test_a_token_is_known_where_it_should_be_and_nowhere_else(name: str) -> None:
    tokens = drawn(9)
    other = [*tokens[:4], 59 if tokens[4] != 59 else 58, *tokens[5:]]
    was, now = states(model(name), tokens)[0], states(model(name), other)[0]
    assert moved(was, now) == REACH[name]


@every
def test_a_body_refuses_in_one_line_what_it_cannot_hide(name: str) -> None:
    body = model(name)
    for sees in (Causal(), Prefix(2)):
        if body.spec.keeps(sees):
            before, after = states(body, drawn(5), sees=sees)[0], states(body, [*drawn(5)[:4], 59], sees=sees)[0]
            assert moved(before, after) == [4]
        else:
            with pytest.raises(
                BadInput, match=rf"kind {body.spec.kind}: .* an objective wants {sees.__class__.__name__}"
            ):
                states(body, drawn(5), sees=sees)
    assert [name for name in PLAIN if spec_of(name).keeps(Causal())] == ["bag", "lstm forward"]


@every
def test_every_weight_is_reached(name: str) -> None:
    """By a classifier: the directions and both levels have a part in what is said of a text."""
    spec = spec_of(name)
    body = Model(spec, {"classify": SequenceHead(outputs=2, pool=spec.pool)}, seed=1)
    packed = Packed(Batch.pack([example(drawn(n)).label("classify", n % 2) for n in (2, 9, 7)]))
    Step(body, packed).logits("classify").square().sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.any() for _, p in body.named_parameters())


@pytest.mark.parametrize("name", [name for name in PLAIN if name != "bag"])
def test_order_matters_but_to_a_bag(name: str) -> None:
    """One vector for a text: that of a bag is the same whatever the order, all others tell two orders apart."""
    vocab = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))
    texts = [Passage(np.array(ids), np.ones(6, dtype=bool)) for ids in ([9, 8, 7, 6, 5, 10], [6, 9, 10, 5, 8, 7])]
    for kind in (name, "bag"):
        spec = spec_of(kind)
        body = Model(spec, {"a": SequenceHead(outputs=3, pool=spec.pool)}, seed=3).eval()
        step = Step(body, Packed(Batch.pack([Example.of(vocab, text).label("a", 0) for text in texts])))
        one, two = step.logits("a")
        assert torch.allclose(one, two, atol=1e-6) == (kind == "bag")


def test_the_root_knows_every_leaf() -> None:
    body = model("tree")
    for length in range(1, 12):
        tokens = drawn(length)
        for at in range(length):
            other = [*tokens[:at], 59 if tokens[at] != 59 else 58, *tokens[at + 1 :]]
            assert 0 in moved(states(body, tokens)[0], states(body, other)[0]), (length, at)


def test_a_tree_is_the_formula() -> None:
    """Five leaves: ((0 1) (2 3)) 4."""
    body, tokens = model("tree"), drawn(5)
    encoder = body.backbone
    assert isinstance(encoder, TreeEncoder)

    def leaf(x: Tensor) -> tuple[Tensor, Tensor]:
        i, o, u = encoder.leaf(x).chunk(3)
        c = torch.sigmoid(i) * torch.tanh(u)
        return torch.sigmoid(o) * torch.tanh(c), c

    def node(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        gates: Tensor = encoder.blocks[0].gates(torch.cat([left[0], right[0]]))  # type: ignore[operator]
        i, f, g, o, u = gates.chunk(5)
        c = torch.sigmoid(i) * torch.tanh(u) + torch.sigmoid(f) * left[1] + torch.sigmoid(g) * right[1]
        return torch.sigmoid(o) * torch.tanh(c), c

    with torch.no_grad():
        a, b, c, d, e = (leaf(x) for x in encoder.embeddings.tokens(torch.tensor(tokens)))
        root = node(node(node(a, b), node(c, d)), e)
    expected = torch.stack([root[0], *(h for h, _ in (b, c, d, e))])
    torch.testing.assert_close(states(body, tokens)[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cells", [None, 13])
def test_joined_directions_are_torchs_bidirectional_lstm(cells: int | None) -> None:
    body = model("lstm", depth=2, cells=cells)
    encoder = body.backbone
    assert isinstance(encoder, LstmEncoder)
    theirs = nn.LSTM(18, cells or 9, num_layers=2, bidirectional=True, proj_size=9 if cells else 0)
    ours = {
        f"{kind[:-1]}{layer}{suffix}": tensor
        for layer, block in enumerate(encoder.blocks)
        for suffix, reader in zip(("", "_reverse"), block.readers, strict=True)  # type: ignore[arg-type]
        for kind, tensor in reader.state_dict().items()
    }
    theirs.load_state_dict(ours)
    sequences = [drawn(n) for n in (9, 6, 6, 1)]
    table = encoder.embeddings.tokens
    with torch.no_grad():
        said, _ = theirs(pack_sequence([table(torch.tensor(tokens)) for tokens in sequences]))
        padded, lengths = pad_packed_sequence(said, batch_first=True)
    for row, length, found in zip(padded, lengths.tolist(), states(body, *sequences), strict=True):
        torch.testing.assert_close(found, row[:length], atol=1e-5, rtol=1e-5)


def test_reversing_a_sentence_and_swapping_directions_swaps_the_halves() -> None:
    body, tokens = model("lstm apart"), drawn(7)
    before = states(body, tokens)[0]
    for block in body.backbone.blocks:
        block.readers = nn.ModuleList(reversed(list(block.readers)))  # type: ignore[arg-type]
    after = states(body, tokens[::-1])[0].flip(0)
    torch.testing.assert_close(after, torch.cat([before[:, 9:], before[:, :9]], dim=1), atol=1e-6, rtol=1e-6)


def test_stacks_apart_never_meet() -> None:
    tokens = drawn(7)
    was, now = (states(model("lstm apart"), [*tokens[:3], t, *tokens[4:]])[0] for t in (58, 59))
    assert moved(was[:, :9], now[:, :9]) == [3, 4, 5, 6]
    assert moved(was[:, 9:], now[:, 9:]) == [0, 1, 2, 3]


def test_a_residual_begins_at_the_second_layer() -> None:
    body, packed = model("lstm apart"), Packed(Batch.pack([example(drawn(4))]))
    plain = Model(spec_of("lstm apart", residual=False), {}).eval()
    plain.load_state_dict(body.state_dict())
    with torch.no_grad():
        ours, bare = (list(m.backbone.layers(m.embed(packed), packed.layout)) for m in (body, plain))
    assert torch.equal(ours[0], torch.cat([body.embed(packed)] * 2, dim=1))  # ELMo's layer 0
    assert torch.equal(ours[1], bare[1])
    torch.testing.assert_close(ours[2], bare[2] + bare[1])


def test_forget_gates_begin_open() -> None:
    for name, at in (("lstm", slice(9, 18)), ("tree", slice(18, 54))):
        for key, tensor in model(name).state_dict().items():
            if "bias" in key:
                opened = torch.zeros_like(tensor)
                if "bias_ih" in key or "gates" in key:
                    opened[at] = 1
                assert torch.equal(tensor, opened), key


def test_pieces_are_cut_at_a_fixed_length() -> None:
    """Word states of the first piece alone move with its tokens, when nothing is passed between pieces."""
    body, tokens = model("hierarchical"), drawn(8)
    words = body.backbone.blocks[0]
    with torch.no_grad():
        x = body.embed(Packed(Batch.pack([example(tokens)])))
        whole, _, owner = words(x, [3, 3, 2])
        alone, _, _ = words(x[3:6], [3])
    assert owner.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    torch.testing.assert_close(whole[3:6], alone, atol=1e-6, rtol=1e-6)


@every
def test_cost_is_linear_in_the_length(name: str) -> None:
    """Also: what an LSTM computes is counted."""
    body = model(name)

    def flops(length: int) -> int:
        batch = Packed(Batch.pack([example(rng(length).integers(60, size=length).tolist())]))
        return counted(lambda: Step(body, batch).encode())[1]

    found = [flops(n) for n in (12, 24, 36)]
    assert (found[0] > 0) == (name != "bag")
    assert found[1] - found[0] == pytest.approx(found[2] - found[1], rel=0.1)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"kind": "lstm", "width": 7}, "x: width 7 is that of two directions: make it even"),
        ({"kind": "lstm", "width": 8, "cells": 4}, "x: cells 4 lead to 4 for each direction; take more"),
        ({"kind": "lstm", "ffn": 64}, "x: ffn: an LSTM has none; leave it out"),
        ({"kind": "tree", "depth": 2}, "x: depth: a tree has none; leave it out"),
        ({"kind": "tree", "decoder": 2}, "x: decoder: a tree has none; leave it out"),
        ({"kind": "cnn", "windows": []}, "x.windows: Tuple should have at least 1 item"),
        ({"kind": "hierarchical", "width": 5}, "x: width 5 is that of two directions: make it even"),
        ({"kind": "bag", "position": "learned"}, "x.position: Input should be 'none'"),
    ],
)
def test_mistakes_are_one_line_with_their_path(data: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        parse(Backbone, data, where="x")
    assert "\n" not in str(caught.value)
