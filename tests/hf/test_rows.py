"""What a collator is given, and what it draws."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.hf.theirs import LENGTH
from torch.utils.data import DataLoader, Dataset

from quire import recipe
from quire.core.errors import BadInput
from quire.core.example import Example
from quire.core.random import rng
from quire.hf import Bridge, Collator
from quire.hf.rows import Damage
from quire.text.tokenizers import Tokenizer

transformers = pytest.importorskip("transformers")
WORDS = {"mlm": {"select": "whole_word"}}


@pytest.fixture(scope="module")
def fast(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


class Repeated(Dataset[str]):
    """One text, four times."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> str:
        return self.text


def plain(damage: Damage, row: Any) -> Example:
    return damage.example(row, rng(0))


def test_the_same_seed_makes_the_same_batches(tokenizer: Tokenizer, rows: list[Any]) -> None:
    one, two, other = (Collator(tokenizer, [WORDS], length=LENGTH, seed=seed) for seed in (4, 4, 5))
    first, second = one(rows), one(rows)
    again = two(rows)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert torch.equal(two(rows)["labels"], second["labels"])
    assert not torch.equal(first["labels"], second["labels"])
    assert not torch.equal(first["labels"], other(rows)["labels"])


def test_workers_draw_apart_and_again_from_the_same_seed(tokenizer: Tokenizer, rows: list[Any]) -> None:
    collate = Collator(tokenizer, [WORDS], length=LENGTH)

    def epochs() -> list[torch.Tensor]:
        torch.manual_seed(3)
        loader: DataLoader[Any] = DataLoader(Repeated(rows[-1]), batch_size=1, num_workers=2, collate_fn=collate)
        return [batch["labels"] for _ in range(2) for batch in loader]

    found, again = epochs(), epochs()
    assert all(torch.equal(one, two) for one, two in zip(found, again, strict=True))
    assert len({tuple(labels.flatten().tolist()) for labels in found}) > 5, "of 8 batches of one text"


def test_rows_come_padded_in_their_order(tokenizer: Tokenizer, rows: list[Any]) -> None:
    made = Collator(tokenizer, [WORDS], length=LENGTH)(rows[::-1])
    lengths = [min(len(p) + 2, LENGTH) for p in tokenizer.encode(rows[::-1])]
    assert made["attention_mask"].sum(1).tolist() == lengths
    assert (made["labels"][made["attention_mask"] == 0] == -100).all()
    assert (made["input_ids"][:, 0] == tokenizer.vocab.cls).all()


def test_pairs_have_types_where_they_are_types(tokenizer: Tokenizer) -> None:
    """A GPT-2 that is given `token_type_ids` adds the vectors of the tokens 0 and 1."""
    pair = {"text": "ka mo", "text_pair": "ri"}
    made = Collator(tokenizer, [WORDS], length=LENGTH)([pair])
    assert made["token_type_ids"][0, -1] == 1
    assert "token_type_ids" not in Collator(tokenizer, ["lm"], length=LENGTH)([pair])


def test_their_tokenizer_is_read_and_left_alone(fast: Any, tokenizer: Tokenizer, rows: list[Any]) -> None:
    text = "ka [SEP] mo"
    before = fast(text)["input_ids"]
    damage = Damage(fast, ["mlm"], length=LENGTH)
    assert damage.tokenizer.vocab == tokenizer.vocab
    assert (plain(damage, text).truth == Example.of(tokenizer.vocab, *tokenizer.encode([text])).truth).all()
    assert fast(text)["input_ids"] == before, "for transformers [SEP] in a text is still the separator"
    ours, theirs = (Collator(t, [WORDS], length=LENGTH)(rows) for t in (tokenizer, fast))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours.keys() | theirs.keys())


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_tokens_will_do_for_texts(kind: Any, texts: list[str], tmp_path: Path) -> None:
    """As `datasets.map` leaves them, with special tokens, in one segment or two."""
    trained = Tokenizer.train(texts, kind=kind, size=320)
    trained.save(tmp_path)
    fast, damage = transformers.AutoTokenizer.from_pretrained(tmp_path), Damage(trained, ["mlm"], length=64)
    words = [text.replace(".", "").replace("\n", " ") for text in texts[:2]]  # spelled words know no others
    pair = {"text": words[0], "text_pair": words[1]}
    for row, given in ((words[0], fast(words[0])), (pair, fast(*words))):
        one, two = plain(damage, row), plain(damage, dict(given))
        assert (one.truth == two.truth).all()
        assert (one.segments == two.segments).all()
        assert (one.starts == two.starts).all()


def test_a_pair_is_cut_from_a_text_and_partners_come_from_the_corpus(texts: list[str], tokenizer: Tokenizer) -> None:
    pair = {"pair": {"negatives": ["random"], "rate": 0.5}}
    damage = Damage(tokenizer, [pair], length=64, corpus=texts)
    whole = texts[0].replace("\n", " ")
    example = plain(damage, whole)
    a = example.truth[(example.segments == 0)]
    assert a[-2] in tokenizer.vocab.stops
    assert (example.segments == 1).any()
    made = damage([texts[0]] * 200)
    answers = np.array([e.answers["pair"][0] for e in made])
    assert 0.35 < answers.mean() < 0.65
    here = set(tokenizer.encode([whole])[0].tokens.tolist())
    strange = [len(set(e.truth[e.segments == 1].tolist()) - here) > 2 for e in made]
    assert (np.array(strange) == (answers == 1)).mean() > 0.9


def test_a_recipe_may_say_what_is_asked(tokenizer: Tokenizer, texts: list[str]) -> None:
    """SpanBERT's random tokens are as frequent as in the corpus."""
    objectives = recipe.load("spanbert-base").objectives
    assert len(Damage(tokenizer, objectives, length=LENGTH, corpus=texts)(texts[:2])) == 2
    with pytest.raises(BadInput, match="no corpus was counted"):
        Damage(tokenizer, objectives, length=LENGTH)(texts * 9)


def test_what_is_no_row_is_told(tokenizer: Tokenizer, fast: Any) -> None:
    with pytest.raises(BadInput, match=r"columns label .*remove_unused_columns=False"):
        Damage(tokenizer, ["mlm"])([{"label": 1}])
    with pytest.raises(BadInput, match="mlm2"):
        Damage(tokenizer, ["mlm2"])
    with pytest.raises(BadInput, match="denoise writes the texts anew"):
        Damage(tokenizer, ["denoise", "mlm"])
    with pytest.raises(BadInput, match=r"tokenizer\.json"):
        Bridge(None, object(), ["mlm"])
