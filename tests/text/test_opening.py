"""Folders with any of the ecosystem's vocabularies: transformers is the oracle for ids, on texts that break tokenizers.

Sentencepiece models are trained here; real vocabularies are read where $QUIRE_DATA has them.
"""

import json
import math
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.text.test_tokenizers import ENGLISH, NASTY, SPECIAL, oracle
from tokenizers import Tokenizer as Backend
from tokenizers import models

from quire.core.errors import BadInput
from quire.text import backends
from quire.text.tokenizers import Tokenizer

QUIET = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
MORE = [
    "\t tab first", "trailing newline\n", "a\n\n\nb", "a\rb", "ideographic\u3000space", "\u00a0nbsp\u00a0",
    "a" * 3000, "😀" * 50, "\u202eright to left\u202c שלום, עולם", "مرحبا، (بالعالم)", "👩🏽‍🚀 🏳️‍🌈 1️⃣",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞", "``quoted'' text", "9,000, 3, 12,5, (b) £5 -x- U.S.A.",
    "▁already ▁marked", "▁", "don't I'll we've", "x  y   z", "ＦＵＬＬ ｗｉｄｔｈ", "ﷺ ㍿ ½",
    "\u1680ogham", "a\u0000b", "\ufeffbom",
]  # fmt: skip
TEXTS = [*NASTY, *MORE]
SPELLED = [SPECIAL, "the <mask> </s> x", "a<s>b", "<extra_id_0> a <extra_id_1>", "x <|endoftext|>y", "[MASK]"]
SYLLABLES = [
    *("the", "la", "mp", "bro", "ke", "af", "ter", "two", "da", "ys", "lo", "ve", "ly", "cha", "ir", "slow", "com"),
    *("ing", "我们", "在", "玩", "üb", "é", "(b)", "£5", "3,0", "do", "n't", "-"),
]


def texts_to_learn() -> list[str]:
    draw = random.Random(5)
    words = ["".join(draw.choices(SYLLABLES, k=draw.choice((1, 2, 2, 3)))) for _ in range(300)]
    return [" ".join(draw.choices(words, k=12)) for _ in range(300)] + ENGLISH + [t for t in NASTY if "\0" not in t]


def learnt(place: Path, **options: Any) -> Path:
    """A small sentencepiece model."""
    library = pytest.importorskip("sentencepiece")
    quiet = {"minloglevel": 9, "num_threads": 1, "character_coverage": 0.99}
    settings = {"model_type": "unigram", "vocab_size": 160, **quiet, **options}
    with place.open("wb") as file:
        library.SentencePieceTrainer.train(sentence_iterator=iter(texts_to_learn()), model_writer=file, **settings)
    return place


ALBERT = {
    "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "pad_piece": "<pad>", "unk_piece": "<unk>",
    "control_symbols": ["[CLS]", "[SEP]", "[MASK]"], "user_defined_symbols": ["(", ")", "-", "£"],
}  # fmt: skip
XLNET = {"control_symbols": ["<cls>", "<sep>", "<pad>", "<mask>", "<eod>"], "user_defined_symbols": ["<eop>", ".", "("]}
T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
FALLBACK = {"byte_fallback": True, "vocab_size": 420}
PLAIN = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
TRAINED: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    # name: model_type, file, how it is trained, tokenizer_config.json
    "XLM-R": ("xlm-roberta", "sentencepiece.bpe.model", {}, {}),
    "ALBERT": ("albert", "spiece.model", ALBERT, {}),
    "ALBERT, cased": ("albert", "spiece.model", ALBERT, {"do_lower_case": False, "keep_accents": True}),
    "T5": ("t5", "spiece.model", T5, {}),
    "T5, few marks": ("t5", "spiece.model", T5, {"extra_ids": 7}),
    "XLNet": ("xlnet", "spiece.model", XLNET, {}),
    "XLNet, lower": ("xlnet", "spiece.model", XLNET, {"do_lower_case": True, "keep_accents": True}),
    "unigram": ("quire", "tokenizer.model", {"user_defined_symbols": ["day", "("]}, {}),
    "unigram, bytes": ("quire", "tokenizer.model", FALLBACK, {}),
    "BPE": ("quire", "tokenizer.model", {"model_type": "bpe"}, {}),
    "BPE, plain": ("quire", "tokenizer.model", {"model_type": "bpe", **PLAIN}, {}),
    "BPE, bytes": ("quire", "tokenizer.model", {"model_type": "bpe", **FALLBACK, **PLAIN}, {}),
    "BPE, own": ("quire", "tokenizer.model", {"model_type": "bpe", "user_defined_symbols": ["ad", "<sep>", "("]}, {}),
}


def folder(place: Path, model_type: str, config: dict[str, Any]) -> Path:
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
    if config:
        (place / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return place


def agree(ours: Tokenizer, theirs: Any, texts: list[str], spelled: list[str] = SPELLED) -> None:
    """Ids of texts are theirs; and of texts with special tokens spelled out, in either way to read them."""
    for text, plain in zip(texts, ours.encode(texts), strict=True):
        assert plain.tokens.tolist() == theirs.encode(text, add_special_tokens=False), text
    marked = [*spelled, *texts]
    for text, read in zip(marked, ours.encode_marked(marked), strict=True):
        assert read.tokens.tolist() == theirs.encode(text, add_special_tokens=False), text
    unigram = ours._spec["model"]["type"] == "Unigram"
    special = ours.vocab.special - {ours.vocab.unk}
    for text, plain in zip(marked, ours.encode(marked), strict=True):
        found = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert not special & set(plain.tokens.tolist()), text
        assert plain.tokens.tolist() == found or (unigram and special & set(found)), text


@QUIET
@pytest.mark.parametrize("name", TRAINED)
def test_a_sentencepiece_model_gives_the_ids_of_transformers(name: str, tmp_path: Path) -> None:
    kind, file, options, config = TRAINED[name]
    home = folder(tmp_path / "theirs", kind, config)
    learnt(home / file, **options)
    ours, theirs = Tokenizer.load(home), oracle(home)
    texts = [*TEXTS, *texts_to_learn()[:20]]
    agree(ours, theirs, texts)
    saved = folder(tmp_path / "ours", kind, {})
    ours.save(saved)
    opened = oracle(saved)
    again = Tokenizer.load(saved)
    assert again.fingerprint == ours.fingerprint
    agree(again, opened, texts)
    assert opened("one").input_ids == theirs("one").input_ids
    assert opened("one", "two").input_ids == theirs("one", "two").input_ids


@pytest.mark.parametrize("name", ["unigram", "unigram, bytes", "BPE", "BPE, plain", "BPE, own", "T5"])
def test_letters_of_a_special_token_are_letters_as_in_the_sentencepiece_library(name: str, tmp_path: Path) -> None:
    kind, file, options, config = TRAINED[name]
    path = learnt(folder(tmp_path / "m", kind, config) / file, **options)
    library = pytest.importorskip("sentencepiece").SentencePieceProcessor(model_file=str(path))
    texts = ["a<s>b", "the </s> x", "</s>", "<pad> <unk> la mp", "<s><s>"]
    for text, passage in zip(texts, Tokenizer.load(path.parent).encode(texts), strict=True):
        assert passage.tokens.tolist() == library.encode(text), text


def test_scores_are_read_as_they_were_written() -> None:
    draw = random.Random(3)
    pieces = [("<unk>", 0.0)] + [(f"p{i}", float(np.float32(-draw.uniform(1e-4, 20)))) for i in range(4000)]
    backend = Backend(models.Unigram(pieces, unk_id=0, byte_fallback=False))

    def read(text: str) -> list[float]:
        return [score for _, score in json.loads(Backend.from_str(text).to_str())["model"]["vocab"]]

    missed = [
        abs(a - b) / math.ulp(b) for a, (_, b) in zip(read(backends.written(backend)), pieces, strict=True) if a != b
    ]
    assert len(missed) < 40
    assert max(missed) <= 1
    plain = [a != b for a, (_, b) in zip(read(backend.to_str()), pieces, strict=True)]
    assert sum(plain) > 400, "the library reads all: write as it does"


def vocabulary(name: str) -> Path:
    if "QUIRE_DATA" not in os.environ:
        pytest.skip("needs the vocabularies of $QUIRE_DATA/vocab")
    return Path(os.environ["QUIRE_DATA"]) / "vocab" / name


def _roberta(home: Path) -> None:
    """vocab.json of RoBERTa from fairseq's dict.txt, whose tokens are GPT-2's numbers."""
    gpt2 = {i: token for token, i in json.loads((vocabulary("gpt2") / "vocab.json").read_text("utf-8")).items()}
    lines = (vocabulary("roberta") / "dict.txt").read_text("utf-8").splitlines()
    entries = [line.split()[0] for line in lines if not line.startswith("madeupword")]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *(gpt2[int(e)] for e in entries if e.isdigit()), "<mask>"]
    (home / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    shutil.copy(vocabulary("gpt2") / "merges.txt", home)


REAL: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    # name: model_type, file -> its name in the folder, tokenizer_config.json
    "bert-base-uncased": ("electra", {"vocab.txt": "vocab.txt"}, {}),
    "bert-base-cased": ("distilbert", {"vocab.txt": "vocab.txt"}, {"do_lower_case": False}),
    "bert-base-chinese": ("bert", {"vocab.txt": "vocab.txt"}, {"strip_accents": False}),
    "gpt2": ("gpt2", {"vocab.json": "vocab.json", "merges.txt": "merges.txt"}, {}),
    "openai-gpt": ("openai-gpt", {"encoder_bpe_40000.json": "vocab.json", "vocab_40000.bpe": "merges.txt"}, {}),
    "roberta": ("roberta", {}, {}),
    "albert-base": ("albert", {"spiece.model": "spiece.model"}, {}),
    "t5": ("t5", {"spiece.model": "spiece.model"}, {}),
    "clue-xlnet-zh": ("xlnet", {"spiece.model": "spiece.model"}, {}),
    "llama2": ("quire", {"tokenizer.model": "tokenizer.model"}, {}),
}


@QUIET
@pytest.mark.parametrize("name", REAL)
def test_a_real_vocabulary_gives_the_ids_of_transformers(name: str, tmp_path: Path) -> None:
    kind, files, config = REAL[name]
    home = folder(tmp_path / "theirs", kind, config)
    for there, here in files.items():
        shutil.copy(vocabulary(name) / there, home / here)
    if not files:
        _roberta(home)
    ours, theirs = Tokenizer.load(home), oracle(home)
    agree(ours, theirs, TEXTS)
    assert ours.vocab.size == len(theirs)
    saved = folder(tmp_path / "ours", kind, {})
    ours.save(saved)
    opened = oracle(saved)
    again = Tokenizer.load(saved)
    assert again.fingerprint == ours.fingerprint
    agree(again, opened, TEXTS)
    assert opened("one", "two").input_ids == theirs("one", "two").input_ids


TOKENS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "lamp",
    "The",
    "##s",
    "b",
    "<",
    ">",
    "e",
    "##1",
    "1",
    "/",
]
WORDY = ["the lamp lamps The <e1>b</e1> b", "a<e1>", "<E1> b", "<e1> <new> </e1>"]


def bert(place: Path, tokens: list[str] = TOKENS, **files: Any) -> Path:
    """A folder with vocab.txt; others of `files` by their names without `.json`."""
    home = folder(place, files.pop("model_type", "bert"), {})
    (home / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    for name, content in files.items():
        (home / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return home


NEW = {"content": "<new>", "special": False, "normalized": True, "lstrip": False, "rstrip": True, "single_word": False}
BESIDE: dict[str, dict[str, Any]] = {
    "added_tokens.json": {"added_tokens": {"<e1>": 16, "</e1>": 17}},
    "some of them special": {
        "added_tokens": {"<e1>": 16, "</e1>": 17},
        "tokenizer_config": {"additional_special_tokens": ["<e1>"]},
    },
    "a decoder": {"tokenizer_config": {"added_tokens_decoder": {"16": NEW, "17": {**NEW, "content": "<e1>"}}}},
    "special alone": {"tokenizer_config": {"extra_special_tokens": ["<e1>", "<new>"]}},
    "cased": {"tokenizer_config": {"do_lower_case": False}},
    "MPNet": {
        "model_type": "mpnet",
        "tokens": ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", *TOKENS[5:]],
    },
    "named in config.json": {"config": {"model_type": "roberta", "tokenizer_class": "BertTokenizerFast"}},
}


@QUIET
@pytest.mark.parametrize("name", BESIDE)
def test_what_lies_beside_a_vocabulary_gives_the_ids_of_transformers(name: str, tmp_path: Path) -> None:
    home = bert(tmp_path / "m", **BESIDE[name])
    ours, theirs = Tokenizer.load(home), oracle(home)
    agree(ours, theirs, NASTY, WORDY)
    assert ours.vocab.size == len(theirs)
    assert theirs("the b").input_ids == [ours.vocab.cls, *ours.encode(["the b"])[0].tokens.tolist(), ours.vocab.sep]


@QUIET
def test_the_configuration_has_the_last_word_on_lower_case(tmp_path: Path) -> None:
    Tokenizer.load(bert(tmp_path / "m")).save(home := tmp_path / "n")
    bert(tmp_path / "o", tokenizer_config={"tokenizer_class": "BertTokenizer", "do_lower_case": False})
    shutil.copy(home / "tokenizer.json", tmp_path / "o")
    assert Tokenizer.load(home).pieces("The") == ["the"]
    assert Tokenizer.load(tmp_path / "o").pieces("The") == oracle(tmp_path / "o").tokenize("The") == ["The"]


def test_line_ends_of_windows_are_line_ends(tmp_path: Path) -> None:
    home = bert(tmp_path / "m")
    (home / "vocab.txt").write_bytes("\r\n".join([*TOKENS, ""]).encode())
    assert Tokenizer.load(home).vocab == Tokenizer.load(bert(tmp_path / "n")).vocab


@pytest.mark.parametrize("name", ["gpt2", "roberta", "neither"])
def test_bytes_without_a_class_are_known_by_their_special_tokens(name: str, tmp_path: Path) -> None:
    special = {"gpt2": ["<|endoftext|>"], "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "neither": []}[name]
    vocab = {token: i for i, token in enumerate([*special, "a", "b", "ab"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n", encoding="utf-8")
    if special:
        ours = Tokenizer.load(tmp_path)
        assert (ours.pieces("ab"), ours.vocab.cls, ours.vocab.special) == (["ab"], 0, frozenset(range(len(special))))
    else:
        with pytest.raises(BadInput, match=r"vocab.json: whose vocabulary is this\? name its tokenizer_class"):
            Tokenizer.load(tmp_path)
