"""Folders of GPT, GPT-2, BART and T5: which tokens play the roles, where a vocabulary has fewer than BERT's five."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from quire.core.errors import BadInput
from quire.core.example import Example, Passage, World
from quire.core.random import rng
from quire.objectives.lm import Lm
from quire.objectives.mlm import Mlm
from quire.text.tokenizers import Tokenizer

LETTERS = list("abcdefgh")
GPT2 = ["<|endoftext|>"]
T5 = ["<pad>", "</s>", "<unk>"]
BART = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ROLES: dict[str, tuple[list[str], dict[str, str], tuple[int | None, ...]]] = {
    # special tokens, configuration, (pad, unk, cls, sep, mask)
    "GPT-2": (GPT2, {}, (0, 0, 0, 0, None)),
    "GPT-2, named": (GPT2, dict.fromkeys(("bos_token", "eos_token", "unk_token"), GPT2[0]), (0, 0, 0, 0, None)),
    "GPT-2, padded": ([*GPT2, "<pad>"], {"eos_token": GPT2[0]}, (1, 0, 0, 0, None)),
    "GPT": (["<unk>"], {}, (0, 0, 0, 0, None)),
    "T5": (T5, {"eos_token": "</s>", "pad_token": "<pad>"}, (0, 2, 0, 1, None)),
    "BART": (BART, {}, (1, 3, 0, 2, 4)),
}


def folder(place: Path, special: list[str], config: dict[str, str]) -> Path:
    vocab = {token: i for i, token in enumerate([*special, *LETTERS])}
    backend = Backend(models.BPE(vocab=vocab, merges=[], unk_token=special[0]))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(special)
    place.mkdir()
    backend.save(str(place / "tokenizer.json"))
    (place / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return place


@pytest.mark.parametrize("name", ROLES)
def test_roles_fall_to_what_is_there_and_stay_when_saved(tmp_path: Path, name: str) -> None:
    special, config, expected = ROLES[name]
    ours = Tokenizer.load(folder(tmp_path / "theirs", special, config))
    ours.save(tmp_path / "ours")
    for tokenizer in (ours, Tokenizer.load(tmp_path / "ours")):
        vocab = tokenizer.vocab
        assert (vocab.pad, vocab.unk, vocab.cls, vocab.sep, vocab.mask) == expected
        assert vocab.special == frozenset(range(len(special)))
        assert tokenizer.pieces("ab") == ["a", "b"]


@pytest.mark.parametrize(("name", "shown"), [("GPT-2", [0, 1, 2, 0]), ("T5", [3, 4, 1]), ("BART", [0, 5, 6, 2])])
def test_a_text_begins_and_ends_as_the_family_writes_it(tmp_path: Path, name: str, shown: list[int]) -> None:
    ours = Tokenizer.load(folder(tmp_path / "theirs", *ROLES[name][:2]))
    assert Example.of(ours.vocab, *ours.encode(["ab"])).tokens.tolist() == shown
    nothing = Passage(np.empty(0, dtype=np.int64), np.empty(0, dtype=bool))
    assert Example.of(ours.vocab, nothing).tokens.tolist() == [shown[0], shown[-1]][-len(shown) + 2 :]


def test_a_mask_that_is_not_there_is_asked_for_in_one_line(tmp_path: Path) -> None:
    ours = Tokenizer.load(folder(tmp_path / "theirs", GPT2, {}))
    world, example = World(ours.vocab), Example.of(ours.vocab, *ours.encode(["abcdefgh"]))
    with pytest.raises(BadInput, match="the tokenizer has no mask token") as caught:
        Mlm().corrupt(example, world, rng(0))
    assert "\n" not in str(caught.value)
    assert Lm().corrupt(example, world, rng(0)).answers["lm"].tolist() == [*range(1, 9), 0, -100]


def test_an_encoder_without_a_mask_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no mask token '\[MASK\]'; name it in tokenizer_config.json"):
        Tokenizer.load(folder(tmp_path / "a", BART[:-1], {}))
    with pytest.raises(BadInput, match=r"no pad token '\[PAD\]'"):
        Tokenizer.load(folder(tmp_path / "b", ["x"], {}))
    with pytest.raises(BadInput, match="no pad token '<pad>'"):
        Tokenizer.load(folder(tmp_path / "c", GPT2, {"pad_token": "<pad>"}))
