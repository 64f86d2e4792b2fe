"""What is told token by token is what a full pass tells, whoever else is in the batch.

Legend: S sequences, L tokens of one, T told tokens, V vocabulary.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Ints
from quire.core.heads import TokenHead
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Prefix
from quire.nn.model import Model, Packed, Step
from quire.nn.stepwise import Stepwise

PLAIN: dict[str, Any] = {"vocab": 60, "depth": 3, "width": 24, "heads": 3, "ffn": 20, "positions": 64, "segments": 0,
                         "init_std": 0.3, "norm_eps": 1e-5}  # fmt: skip
READ: dict[str, dict[str, Any]] = {
    "GPT": {},
    "GPT-2": {"norm_first": True, "embedding_norm": False},
    "sinusoids, narrow tables": {"position": "sinusoidal", "scale_embedding": True, "embedding": 10},
    "rotary, windows": {"position": "rotary", "window": 3, "global_every": 2, "rotary_base_local": 100.0},
    "windows everywhere": {"window": 2, "position": "none"},
    "buckets": {"position": "bucketed", "furthest": 20, "buckets": 8, "head_width": 5, "score": "dot"},
    "a table and buckets": {"position": "learned_bucketed", "furthest": 20, "buckets": 8},
    "buckets, windows": {"position": "bucketed", "furthest": 20, "buckets": 8, "window": 3},
    "shared layers": {"groups": 1, "norm": "rms", "gated": True},
    "additive": {"score": "additive"},
    "prefix": {"prefix": 3},
    "prefix, windows": {"prefix": 2, "window": 3, "position": "rotary"},
    "bilinear, languages": {"score": "bilinear", "languages": 2, "segments": 3},
}
WRITTEN: dict[str, dict[str, Any]] = {
    "BART": {},
    "T5": {"position": "bucketed", "norm": "rms", "norm_first": True, "bias": False, "embedding_norm": False}
    | {"score": "dot", "head_width": 5, "furthest": 20},
    "windows in the encoder": {"position": "rotary", "window": 2},
    "prefix": {"prefix": 3},
}


def tokens(length: int, *key: int | str) -> Ints:
    return rng("stepwise", *key).integers(5, 60, size=length)


def example(ids: Ints, **changes: Any) -> Example:
    zeros = np.zeros(len(ids), dtype=np.int64)
    return replace(Example(ids, ids, ids > 0, ids > 0, zeros, sees=Causal()), **changes)


def told(model: Model, given: Example) -> Tensor:
    """log p [L, V] at every position of a text, or of what is written beside it: the full pass."""
    with torch.no_grad():
        step = Step(model, Packed(Batch.pack([given])))
        step = step if given.target is None else step.target
        return step.scores("lm", torch.arange(len(step.batch.tokens))).log_softmax(dim=1).float()


def stepwise(model: Model, begun: list[Example], behind: list[Ints]) -> list[Tensor]:
    """log p [T + 1, V] behind each beginning and each further token; equally many for all."""
    writer = Stepwise(model, begun, head="lm")
    with torch.inference_mode():
        rows = [writer.start(), *(writer.next(torch.from_numpy(column)) for column in np.stack(behind, axis=1))]
    return list(torch.stack(rows, dim=1))


# Double precision: with weights this large fp32 itself loses four digits.
@pytest.fixture(scope="module", params=READ)
def reader(request: pytest.FixtureRequest) -> Model:
    spec = Backbone.model_validate(PLAIN | READ[request.param])
    return Model(spec, {"lm": TokenHead(transform=spec.embedding is not None)}, seed=3).eval().double()


@pytest.fixture(scope="module", params=WRITTEN)
def decoder(request: pytest.FixtureRequest) -> Model:
    spec = Backbone.model_validate(PLAIN | {"decoder": 2} | WRITTEN[request.param])
    return Model(spec, {"lm": TokenHead(transform=False, of="decoder")}, seed=3).eval().double()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 30), st.integers(0, 99))
@settings(max_examples=12)
def test_token_by_token_is_the_full_pass(reader: Model, lengths: list[int], further: int, key: int) -> None:
    """Up to 42 places: the buffers grow on the way."""
    begun = [example(tokens(n, key, i)) for i, n in enumerate(lengths)]
    behind = [tokens(further, key, "behind", i) for i in range(len(lengths))]
    for one, more, found in zip(begun, behind, stepwise(reader, begun, behind), strict=True):
        whole = told(reader, example(np.append(one.tokens, more)))
        torch.testing.assert_close(found, whole[len(one) - 1 :], atol=2e-6, rtol=2e-6)


@given(st.lists(st.integers(2, 12), min_size=1, max_size=4), st.integers(0, 2), st.integers(0, 99))
@settings(max_examples=6)
def test_a_prefix_sees_itself(reader: Model, lengths: list[int], short: int, key: int) -> None:
    """The whole beginning, or all but its last tokens; a prefix that ends behind it is read causally, as ever."""
    begun = [example(tokens(n, key, i), sees=Prefix(n - min(short, n - 1))) for i, n in enumerate(lengths)]
    behind = [tokens(5, key, "behind", i) for i in range(len(lengths))]
    for one, more, found in zip(begun, behind, stepwise(reader, begun, behind), strict=True):
        whole = told(reader, example(np.append(one.tokens, more), sees=one.sees))
        torch.testing.assert_close(found, whole[len(one) - 1 :], atol=2e-6, rtol=2e-6)
    plain, longer = ([replace(one, sees=sees) for one in begun] for sees in (Causal(), Prefix(20)))
    for one_row, other in zip(stepwise(reader, plain, behind), stepwise(reader, longer, behind), strict=True):
        torch.testing.assert_close(one_row, other)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=12)
def test_a_decoder_too(decoder: Model, lengths: list[tuple[int, int]], key: int) -> None:
    def pair(source: int, written: Ints, i: int) -> Example:
        read, covered = tokens(source, key, i), np.arange(source) == (1 if i % 2 else -1)
        return example(read).recast(read, example(written), hidden=covered)

    begun = [pair(n, tokens(t, key, "target", i), i) for i, (n, t) in enumerate(lengths)]
    behind = [tokens(20, key, "behind", i) for i in range(len(lengths))]
    for i, found in enumerate(stepwise(decoder, begun, behind)):
        target = begun[i].target
        assert target is not None
        whole = told(decoder, pair(lengths[i][0], np.append(target.tokens, behind[i]), i))
        torch.testing.assert_close(found, whole[len(target) - 1 :], atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("written", [False, True])
def test_rows_go_on_from_other_rows(written: bool) -> None:
    spec = Backbone.model_validate(PLAIN | {"decoder": 2 if written else None, "window": 3})
    model = Model(spec, {"lm": TokenHead(transform=False, of="decoder" if written else "backbone")}, seed=1).eval()
    sources = [tokens(n, "source", n) for n in (4, 7, 5)]
    begun = [example(s).recast(s, example(tokens(2, "b"))) if written else example(s) for s in sources]
    writer = Stepwise(model, begun, head="lm")
    with torch.inference_mode():
        writer.start()
        writer.next(torch.tensor([10, 11, 12]))
        writer.reorder(torch.tensor([2, 0, 2, 2]))
        found = writer.next(torch.tensor([20, 21, 22, 23]))
        writer.reorder(torch.tensor([3]))
        last = writer.next(torch.tensor([30]))

    def expected(source: int, *more: int) -> Tensor:
        if not written:
            return told(model, example(np.append(sources[source], more)))[-1]
        target = example(np.append(tokens(2, "b"), more))
        return told(model, example(sources[source]).recast(sources[source], target))[-1]

    rows = [expected(2, 12, 20), expected(0, 10, 21), expected(2, 12, 22), expected(2, 12, 23)]
    torch.testing.assert_close(found, torch.stack(rows), atol=2e-6, rtol=2e-6)
    torch.testing.assert_close(last[0], expected(2, 12, 23, 30), atol=2e-6, rtol=2e-6)


def test_no_padding_is_ever_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each linear layer of the prompt pass gets as many rows as there are tokens, each of a step as many as rows."""
    model = Model(Backbone.model_validate(PLAIN), {"lm": TokenHead(transform=False)}, seed=1).eval()
    sizes: list[int] = []
    for name, module in model.named_modules():
        if name.endswith("attention.qkv"):
            module.register_forward_hook(lambda layer, given, found: sizes.append(len(given[0])))
    writer = Stepwise(model, [example(tokens(n, n)) for n in (9, 2, 5)], head="lm")
    with torch.inference_mode():
        writer.start()
        writer.next(torch.tensor([7, 8, 9]))
    assert sizes == [16] * 3 + [3] * 3


@pytest.mark.parametrize(
    "body",
    [{"kind": "star", "vocab": 60, "width": 24, "heads": 3}, PLAIN | {"position": "relative", "embedding_norm": False}],
)
def test_a_body_that_sees_ahead_is_refused(body: dict[str, Any]) -> None:
    model = Model(Backbone.model_validate(body), {"lm": TokenHead(transform=False)}, seed=1)
    with pytest.raises(BadInput, match=r"cannot be told token by token.* take backbone.kind transformer"):
        Stepwise(model, [example(tokens(3, 1))], head="lm")


def test_a_prompt_is_refused() -> None:
    model = Model(Backbone.model_validate(PLAIN | {"prompt": 2}), {"lm": TokenHead(transform=False)}, seed=1)
    with pytest.raises(BadInput, match="behind a learned prompt; take prefix"):
        Stepwise(model, [example(tokens(3, 1))], head="lm")
