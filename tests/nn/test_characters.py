"""Vectors from characters: the formula, once a token, and a folder that knows how its tokens are spelled."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from quire.core.bodies import ALPHABET, Characters, Lstm
from quire.core.example import Batch, Example, Passage, Vocab
from quire.core.heads import TokenHead
from quire.nn.characters import SPELLINGS, CharacterTable
from quire.nn.model import Model, Packed, Step
from quire.text.spelling import TEXT, TEXT_END, WORD, WORD_END, spellings
from quire.text.tokenizers import Tokenizer

PLAN = Characters(width=3, filters=((1, 4), (2, 5), (4, 3)), highways=2, longest=9)
SPEC = Lstm(vocab=40, width=12, embedding=6, depth=1, dropout=0.0, characters=PLAN)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(
        ["to be or not to be, 好 be or to", "internationalisation to or 好"] * 2, kind="words", size=40
    )


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Model:
    made = Model(SPEC, {"mlm": TokenHead()}, seed=2).eval()
    known = torch.from_numpy(spellings(tokenizer, longest=9))
    made.get_buffer(SPELLINGS)[: len(known)] = known
    return made


def table_of(model: Model) -> CharacterTable:
    found: Any = model.backbone.embeddings.tokens
    assert isinstance(found, CharacterTable)
    return found


def by_hand(table: CharacterTable, ids: list[int]) -> Tensor:
    """One word of so many characters, each window that begins in it."""
    padded = torch.tensor(ids + [0] * 3)
    x = table.letters.weight[padded]
    parts = []
    for convolve in table.filters:
        w, b = convolve.get_parameter("weight"), convolve.get_parameter("bias")
        windows = [x[t : t + w.shape[2]].T for t in range(len(ids))]
        parts.append(torch.stack([F.relu((w * window).sum((1, 2)) + b) for window in windows]).amax(0))
    u = torch.cat(parts)
    for highway in table.highways:
        g = torch.sigmoid(highway.gate(u))  # type: ignore[operator]
        u = g * F.relu(highway.change(u)) + (1 - g) * u  # type: ignore[operator]
    return table.project(u)  # type: ignore[no-any-return]


def test_a_token_is_spelled_in_bytes_between_its_ends(tokenizer: Tokenizer) -> None:
    found = spellings(tokenizer, longest=9)
    known = {token: found[i][found[i] > 0].tolist() for token, i in tokenizer.backend.get_vocab().items()}
    assert known["be"] == [WORD, ord("b") + 1, ord("e") + 1, WORD_END]
    assert known["好"] == [WORD, *(byte + 1 for byte in "好".encode()), WORD_END]
    assert known["internationalisation"] == [WORD, *(ord(c) + 1 for c in "interna"), WORD_END]
    assert known["[CLS]"] == [WORD, TEXT, WORD_END]
    assert known["[SEP]"] == [WORD, TEXT_END, WORD_END]
    assert int(found.max()) < ALPHABET == 261


def test_a_vector_is_the_formula_however_long_the_others_are(tokenizer: Tokenizer, model: Model) -> None:
    table, vocab = table_of(model), tokenizer.backend.get_vocab()
    with torch.no_grad():
        whole = table.weight
        for token in ("be", "好", "[CLS]", "internationalisation"):
            ids = table.spellings[vocab[token]]
            expected = by_hand(table, ids[ids > 0].tolist())
            torch.testing.assert_close(table(torch.tensor([vocab[token]]))[0], expected, atol=1e-6, rtol=1e-5)
            torch.testing.assert_close(whole[vocab[token]], expected, atol=1e-6, rtol=1e-5)


def test_each_token_of_a_batch_is_computed_once(model: Model) -> None:
    table, counted = table_of(model), []
    hook = table.project.register_forward_hook(lambda _, given, __: counted.append(len(given[0])))
    found = table(torch.tensor([7, 5, 7, 7, 6]))
    hook.remove()
    assert counted == [3]
    assert found.shape == (5, 6)
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_a_highway_begins_by_passing_on(model: Model) -> None:
    for highway in table_of(model).highways:
        assert (highway.get_submodule("gate").get_parameter("bias") == -2).all()


def test_a_head_may_be_tied_to_vectors_from_characters(model: Model, vocab: Vocab) -> None:
    """It learns through them; what stands behind a word stays nothing."""
    learner = Model(SPEC.model_copy(update={"embedding": 12}), {"mlm": TokenHead(transform=False)}, seed=2)
    example = Example.of(vocab, Passage(np.array([7, 8, 9]), np.ones(3, dtype=bool)))
    learner.get_buffer(SPELLINGS).copy_(model.get_buffer(SPELLINGS))
    step = Step(learner, Packed(Batch.pack([example.ask("mlm", example.free, example.tokens)])))
    scores = step.logits("mlm")
    assert scores.shape == (3, 40)
    scores.square().sum().backward()  # type: ignore[no-untyped-call]
    letters = table_of(learner).letters.weight
    assert letters.grad is not None
    assert not letters.grad[0].any()
    assert not letters[0].any()
    assert letters.grad.any()


def test_spellings_are_saved_with_the_model(tmp_path: Path, model: Model, tokenizer: Tokenizer) -> None:
    from quire.train.weights import read_model, save_model

    save_model(
        tmp_path / "m",
        backbone=model.spec,
        heads=model.head_specs,
        state=model.state_dict(),
        labels=None,
        tokenizer_saver=tokenizer.save,
        vocab=tokenizer.vocab,
        card="",
        extra={},
    )
    files = read_model(tmp_path / "m")
    assert files.state[SPELLINGS].dtype == torch.int64
    assert files.backbone == SPEC
    again = Model(files.backbone, files.heads)
    again.load_state_dict(dict(files.state))
    assert torch.equal(table_of(again.eval()).weight, table_of(model).weight)
