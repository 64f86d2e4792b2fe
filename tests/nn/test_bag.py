"""A bag's states are its table's rows, whoever stands beside them, and its folder opens again."""

from pathlib import Path

import numpy as np
import torch

from quire.core.bodies import Bag
from quire.core.example import Batch, Example, Passage, Vocab
from quire.nn.model import Model, Packed, Step
from quire.text.tokenizers import Tokenizer
from quire.train.weights import read_model, save_model


def test_states_are_rows_of_the_table(vocab: Vocab) -> None:
    model = Model(Bag(vocab=60, width=7), {}, seed=3)
    packed = Packed(Batch.pack([Example.of(vocab, Passage(np.arange(9, 9 + n), np.ones(n, bool))) for n in (4, 1)]))
    assert [name for name, _ in model.named_parameters()] == ["backbone.embeddings.tokens.weight"]
    table = model.backbone.embeddings.tokens.weight
    assert torch.equal(Step(model, packed).encode(), table[packed.tokens])
    assert torch.equal(Step(model, packed).states(packed.first), table[vocab.cls].expand(2, 7))


def test_a_folder_opens_again(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["to be or not to be"] * 2, kind="words", size=50)
    model = Model(Bag(vocab=tokenizer.vocab.size, width=7), {}, seed=3)
    save_model(
        tmp_path / "model",
        backbone=model.spec,
        heads={},
        state=model.state_dict(),
        labels=None,
        tokenizer_saver=tokenizer.save,
        card="",
        extra={},
        vocab=tokenizer.vocab,
    )
    found = read_model(tmp_path / "model")
    assert found.backbone == model.spec
    assert all(torch.equal(found.state[name], tensor) for name, tensor in model.state_dict().items())
