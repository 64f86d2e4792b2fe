"""A pointer's scores are the paper's formula, in a batch or alone, at once or step by step.

Legend: T written columns, C labels, L positions of a text, K = 1 + C + L columns.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.example import Batch, Example, Ints
from quire.core.heads import PointerHead
from quire.core.random import rng
from quire.core.search import Search
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.nn.pointing import PointerScores
from quire.nn.search import write
from quire.nn.stepwise import Stepwise

VOCAB, TOKENS, END, LABELS = 60, 58, 3, ((7,), (8, 9), (10, 11, 12))
"""The table has rows that no token of a text stands for."""
BART: dict[str, object] = {"segments": 0}
LIKE: dict[str, dict[str, object]] = {
    "BART": BART,
    "Transformer": {**BART, "position": "sinusoidal", "scale_embedding": True, "embedding_norm": False},
    "T5": BART
    | {"position": "bucketed", "norm": "rms", "norm_first": True, "bias": False, "embedding_norm": False}
    | {"score": "dot", "head_width": 5, "furthest": 20},
    "BERT": {"segments": 2},
    "narrow tables": {**BART, "embedding": 10},
}
HEADS: dict[str, dict[str, object]] = {"full": {}, "states alone": {"embedded": False}, "no labels": {"labels": ()}}
PLAIN = {"vocab": VOCAB, "depth": 2, "decoder": 2, "width": 24, "heads": 3, "ffn": 20, "positions": 40, "init_std": 0.3}


def made(like: str, head: str) -> Model:
    spec = PointerHead.model_validate({"vocab": TOKENS, "end": END, "labels": LABELS, "special": (2, 3), **HEADS[head]})
    return Model(Backbone.model_validate({**PLAIN, **LIKE[like]}), {"point": spec}, seed=5).eval()


@pytest.fixture(
    scope="module", params=[*((like, "full") for like in LIKE), ("BART", "states alone"), ("T5", "no labels")]
)
def model(request: pytest.FixtureRequest) -> Model:
    return made(*request.param)


def source(length: int, *key: int) -> Ints:
    """[CLS] tokens [SEP]"""
    return np.concatenate([[2], rng("pointing", *key).integers(5, TOKENS, size=length), [3]])


def pair(read: Ints, columns: list[int], labels: int) -> Example:
    """What is said about a text: columns, of which the decoder reads the tokens."""
    tokens = np.array([END, *range(TOKENS, TOKENS + labels), *read])[columns]
    free, zeros = np.ones(len(read), dtype=bool), np.zeros(len(read), dtype=np.int64)
    target = replace(Example.written("point", tokens, start=2), answers={"point": np.array(columns)})
    return Example(read, read, free, free, zeros).recast(read, target)


def count(model: Model) -> int:
    spec = model.head_specs["point"]
    assert isinstance(spec, PointerHead)
    return len(spec.labels)


def drawn(model: Model, length: int, written: int, *key: int) -> Example:
    read, labels = source(length, *key), count(model)
    columns = rng("columns", *key).integers(1, 1 + labels + length, size=written)
    columns[columns > labels] += 1  # not [CLS]
    return pair(read, columns.tolist(), labels)


def told(model: Model, *examples: Example) -> list[Tensor]:
    """Scores [T, K] of each pair, as one batch tells them."""
    batch = Batch.pack(examples)
    assert batch.target is not None
    with torch.no_grad():
        found = Step(model, Packed(batch)).target.logits("point").numpy()
    return [torch.from_numpy(np.array(piece)) for piece in batch.target.unpack(found)]


def by_hand(model: Model, example: Example) -> Tensor:
    """The formula of the paper for one pair, column by column."""
    head, table = model.heads["point"], model.table.weight
    assert isinstance(head, PointerScores)
    with torch.no_grad():
        step = Step(model, Packed(Batch.pack([example])))
        h_TE, enc_LW = step.target.encode(), step.encode()
        h_TE = h_TE if head.dense is None else head.dense(h_TE)
        vectors = [table[END], *([] if head.labels is None else head.labels.weight)]
        first, _, _, last = head.mlp
        columns = [h_TE @ vector for vector in vectors]
        for token, state in zip(example.tokens.tolist(), enc_LW, strict=True):
            column = h_TE @ last(torch.relu(first(state)))
            column = (column + h_TE @ table[token]) / 2 if head.spec.embedded else column
            columns.append(column.fill_(-torch.inf) if token in (2, 3) else column)
    return torch.stack(columns, dim=1)


def test_scores_are_the_formula(model: Model) -> None:
    for i, (length, written) in enumerate(((6, 5), (1, 1), (9, 3))):
        example = drawn(model, length, written, i)
        torch.testing.assert_close(told(model, example)[0], by_hand(model, example), atol=1e-5, rtol=1e-4)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 7)), min_size=2, max_size=6), st.integers(0, 99))
@settings(max_examples=15)
def test_who_else_is_in_the_batch_does_not_matter(model: Model, lengths: list[tuple[int, int]], key: int) -> None:
    examples = [drawn(model, length, written, key, i) for i, (length, written) in enumerate(lengths)]
    for together, example in zip(told(model, *examples), examples, strict=True):
        alone = told(model, example)[0]
        torch.testing.assert_close(together[:, : alone.shape[1]], alone, atol=1e-4, rtol=1e-4)
        assert (together[:, alone.shape[1] :] == -torch.inf).all()


def test_the_loss_does_not_depend_on_blanks(model: Model) -> None:
    """A text that is short beside a long one is as likely as alone."""
    short, long = drawn(model, 3, 4, 0), drawn(model, 20, 4, 1)

    def losses(scores: Tensor, example: Example) -> Tensor:
        assert example.target is not None
        answers = torch.from_numpy(example.target.answers["point"])
        return torch.nn.functional.cross_entropy(scores, answers, reduction="none")

    together = losses(told(model, long, short)[1], short)
    assert together.isfinite().all()
    torch.testing.assert_close(together, losses(told(model, short)[0], short), atol=1e-5, rtol=1e-4)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=12)
def test_step_by_step_is_the_full_pass(model: Model, lengths: list[int], written: int, key: int) -> None:
    examples = [drawn(model, length, written, key, i) for i, length in enumerate(lengths)]
    columns = np.stack([e.target.answers["point"] for e in examples if e.target is not None])
    begun = [replace(e, target=Example.written("point", np.array([END]), start=2)) for e in examples]
    writer = Stepwise(model, begun, head="point")
    with torch.inference_mode():
        rows = [writer.start(), *(writer.next(torch.from_numpy(column)) for column in columns.T[:-1])]
    for i, example in enumerate(examples):
        whole = told(model, example)[0].log_softmax(dim=1)
        found = torch.stack([row[i] for row in rows])[:, : whole.shape[1]]
        torch.testing.assert_close(found, whole, atol=1e-4, rtol=1e-4)


def test_rows_that_change_places_take_what_they_point_at_along(model: Model) -> None:
    examples = [drawn(model, length, 3, 7, length) for length in (4, 8, 2)]
    begun = [replace(e, target=Example.written("point", np.array([END]), start=2)) for e in examples]
    writer, alone = (Stepwise(model, some, head="point") for some in (begun, begun[1:2]))
    said = torch.tensor([1 + count(model) + 8])  # a position that only the longest has
    with torch.inference_mode():
        writer.start()
        alone.start()
        writer.reorder(torch.tensor([1, 1]))
        told_alone = alone.next(said)
        torch.testing.assert_close(writer.next(said.repeat(2)), told_alone.repeat(2, 1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("beam", [1, 4])
def test_a_search_finds_columns_and_never_a_special_token(model: Model, beam: int) -> None:
    begun = [replace(e, target=Example.written("point", np.array([END]), start=2)) for e in
             (drawn(model, n, 2, n) for n in (3, 9, 5))]  # fmt: skip
    found = write(model, begun, head="point", search=Search(limit=12, beam=beam), end=0)
    for one, text in zip(found, begun, strict=True):
        positions = one.tokens[one.tokens > count(model)] - 1 - count(model)
        assert ((positions >= 1) & (positions < len(text) - 1)).all()


def test_labels_begin_as_the_mean_of_their_names_and_share_nothing() -> None:
    model = made("BART", "full")
    head, table = model.heads["point"], model.table
    assert isinstance(head, PointerScores)
    assert head.labels is not None
    before = table.weight.detach().clone()
    head.call(table)
    for vector, name in zip(head.labels.weight, LABELS, strict=True):
        torch.testing.assert_close(vector, torch.stack([before[token] for token in name]).mean(dim=0))
    with torch.no_grad():
        head.labels.weight.add_(1.0)
    assert torch.equal(table.weight, before), "the released code changes the row of a name's first token"


def test_without_a_text_there_is_nothing_to_point_at() -> None:
    model = made("BART", "full")
    read = source(4)
    with pytest.raises(ValueError, match="the text that a decoder looks at"):
        Step(model, Packed(Batch.pack([pair(read, [1], 3)]))).scores("point", torch.tensor([0]))
