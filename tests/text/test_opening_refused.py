"""Folders whose tokens Quire would get wrong are refused in one line, and it says what to do."""

import json
import sys
from collections.abc import Iterator
from functools import reduce
from itertools import islice
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from tests.text.test_opening import bert, folder, learnt

from quire.core.errors import BadInput
from quire.text.backends import Kind
from quire.text.tokenizers import Tokenizer


def _model(kind: str, file: str = "spiece.model", **options: Any) -> Any:
    def make(home: Path) -> None:
        learnt(folder(home, kind, {}) / file, **options)

    return make


def _with(content: bytes, file: str, *others: str, **config: Any) -> Any:
    def make(home: Path) -> None:
        folder(home, config.pop("model_type", "quire"), config)
        for name in (file, *others):
            (home / name).write_bytes(content)

    return make


def _bert(**files: Any) -> Any:
    return lambda home: bert(home, **files)


REFUSED: dict[str, tuple[Any, str]] = {
    "XLM": (_with(b"{}", "vocab.json", "merges.txt", model_type="xlm"), "a program .Moses., not a file; give it a tok"),
    "unknown": (_bert(tokenizer_config={"tokenizer_class": "BertJapaneseTokenizer"}), "not know the rules of BertJap"),
    "another file": (_bert(model_type="t5"), "no tokenizer.json and no sentencepiece model; copy one"),
    "no file": (
        _with(b"", "x"),
        "no tokenizer.json and no vocab.txt, vocab.json with merges.txt, sen",
    ),
    "no model": (
        _with(b"\x0a\xff", "spiece.model", model_type="t5"),
        "spiece.model: not an intact sent",
    ),
    "empty model": (_with(b"", "tokenizer.model"), "not an intact sentencepiece model"),
    "tiktoken": (_with(b"IQ== 0\nIg== 1\n", "tokenizer.model"), "not an intact sentencepiece model"),
    "words": (_model("quire", model_type="word"), "a sentencepiece model of words or characters"),
    "BPE": (_model("xlm-roberta", model_type="bpe"), "a BPE model, and this family has unigram ones"),
    "order": (_model("xlm-roberta", bos_id=-1), "its first pieces are not 3 of <pad>, <unk>, <s>"),
    "no merges": (_with(b"{}", "vocab.json", model_type="gpt2"), "vocab.json: not readable with merges.txt"),
    "bad merges": (_with(b"{}", "vocab.json", "merges.txt", model_type="roberta"), "not readable with merges.txt"),
    "number": (_bert(added_tokens={"<e1>": 18}), "the added token '<e1>' is said to be 18, and would be 16"),
    "list": (_bert(added_tokens=["<e1>"]), "added_tokens.json: expected a JSON object"),
    "word": (
        _bert(tokenizer_config={"do_lower_case": "perhaps"}),
        "json.do_lower_case: Input should be a valid",
    ),
    "token": (
        _bert(tokenizer_config={"unk_token": 5}),
        "config.json.unk_token: Input should be a",
    ),
    "decoder": (
        _bert(tokenizer_config={"added_tokens_decoder": [1]}),
        "added_tokens_decoder: Input should be",
    ),
    "marks": (_bert(tokenizer_config={"extra_ids": 10**9}), "extra_ids: Input should be less than or equal to 10000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_exactly_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    make(tmp_path / "m")
    with pytest.raises(BadInput, match=message) as caught:
        Tokenizer.load(tmp_path / "m")
    assert str(tmp_path / "m") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_sentencepiece_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with(b"", "spiece.model", model_type="t5")(tmp_path / "m")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(BadInput, match=r"needs `pip install -U 'quire\[hf\]'`"):
        Tokenizer.load(tmp_path / "m")


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand in JSON, the first few of a list."""
    yield above
    if isinstance(content, dict | list):
        keys = content if isinstance(content, dict) else range(len(content))
        for key in islice(keys, 12):
            yield from places(content[key], (*above, key))


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_a_tokenizer_with_any_value_changed_is_read_or_refused(kind: Kind, tmp_path: Path) -> None:
    texts = ["the lamp, the lamps"] * 3
    Tokenizer.train(texts, kind=kind, size=300).save(tmp_path)
    good = (tmp_path / "tokenizer.json").read_text("utf-8")
    odd: list[Any] = [None, 2**32 - 1, "x", [], {"type": "x"}]
    refused = 0
    for *above, last in filter(None, places(json.loads(good))):
        for value in odd:
            whole = json.loads(good)
            reduce(getitem, above, whole)[last] = value
            (tmp_path / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
            said = ""
            try:
                Tokenizer.load(tmp_path).encode(texts)
            except BadInput as error:
                said = str(error)
            assert "\n" not in said
            refused += bool(said)
    assert refused > 100
