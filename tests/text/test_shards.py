"""Corpora on disk."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from quire.core.errors import BadInput
from quire.core.random import rng
from quire.text.corpus import sentences
from quire.text.shards import Shards
from quire.text.tokenizers import Tokenizer
from quire.text.writing import write

DOCUMENTS = [
    "The fox runs. The dog sleeps! Who jumps over the dog?",
    "",
    "One line.\nAnother line, a longer one, of the same document.",
    " \n ",
    "我们在动物园。狐狸在睡觉！",
    "fox",
    "The dog. " * 40,
]
KEPT = [text for text in DOCUMENTS if text.strip()]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(DOCUMENTS, kind="wordpiece", size=200)


@pytest.fixture
def shards(tokenizer: Tokenizer, tmp_path: Path) -> Shards:
    return write(tmp_path / "corpus", DOCUMENTS, tokenizer=tokenizer, shard_tokens=20)


def test_every_document_and_sentence_comes_back(shards: Shards, tokenizer: Tokenizer) -> None:
    assert len(shards.documents) == shards.index.documents == len(KEPT)
    assert shards.index.skipped == len(DOCUMENTS) - len(KEPT)
    assert len(shards.index.shards) > 2
    for i, text in enumerate(KEPT):
        cut = sentences(text)
        for found, passage in zip(shards.sentences(i), tokenizer.encode(cut), strict=True):
            assert found.tokens.tolist() == passage.tokens.tolist()
            assert found.starts.tolist() == passage.starts.tolist()
            assert found.document == i
        whole = shards.document(i)
        assert whole.tokens.tolist() == tokenizer.encode([text])[0].tokens.tolist()
        assert (whole.document, whole.tokens.dtype, whole.starts.dtype) == (i, np.dtype("int64"), np.dtype("bool"))


def test_slices_cross_shards_and_documents(shards: Shards) -> None:
    everything = np.concatenate([shards.document(i).tokens for i in range(len(KEPT))])
    assert len(shards) == len(everything) == sum(shards.index.shards)
    for start in range(0, len(shards), 7):
        for stop in (start, start + 1, min(start + 50, len(shards)), len(shards)):
            passage = shards.slice(start, stop)
            assert passage.tokens.tolist() == everything[start:stop].tolist()
            assert shards.documents[passage.document] <= start
    with pytest.raises(IndexError):
        shards.slice(0, len(shards) + 1)


def test_sharding_changes_nothing_but_the_files(shards: Shards, tokenizer: Tokenizer, tmp_path: Path) -> None:
    one = write(tmp_path / "one", DOCUMENTS, tokenizer=tokenizer)
    assert len(one.index.shards) == 1
    assert one.slice(0, len(one)).tokens.tolist() == shards.slice(0, len(shards)).tokens.tolist()


def test_fingerprints_tell_corpora_apart(shards: Shards, tokenizer: Tokenizer, tmp_path: Path) -> None:
    same = write(tmp_path / "same", iter(DOCUMENTS), tokenizer=tokenizer, shard_tokens=20)
    assert same.fingerprint == shards.fingerprint
    joined = write(tmp_path / "joined", ["\n".join(DOCUMENTS)], tokenizer=tokenizer, shard_tokens=20)
    assert joined.slice(0, len(joined)).tokens.tolist() == same.slice(0, len(same)).tokens.tolist()
    assert joined.fingerprint != same.fingerprint
    words = write(tmp_path / "words", DOCUMENTS, tokenizer=tokenizer, shard_tokens=20, segment=lambda text: [text])
    assert words.fingerprint != same.fingerprint
    assert words.document(0).starts.sum() == 3  # the segmenter says that a sentence is a word


def test_a_large_vocabulary_takes_four_bytes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    large = replace(tokenizer, vocab=replace(tokenizer.vocab, size=65_537))
    found = write(tmp_path / "large", DOCUMENTS, tokenizer=large)
    assert found.index.dtype == "uint32"
    assert found.document(0).tokens.tolist() == tokenizer.encode([DOCUMENTS[0]])[0].tokens.tolist()
    small = replace(tokenizer, vocab=replace(tokenizer.vocab, size=65_536))
    assert write(tmp_path / "small", DOCUMENTS, tokenizer=small).index.dtype == "uint16"


def test_entropies_are_those_of_the_counts(
    shards: Shards, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    def entropy(counts: Counter[int] | Counter[tuple[int, int]]) -> float:
        total = counts.total()
        return -sum(n / total * math.log(n / total) for n in counts.values())

    tokens = [shards.document(i).tokens.tolist() for i in range(len(KEPT))]
    single = Counter(token for document in tokens for token in document)
    pairs = Counter(pair for document in tokens for pair in pairwise(document))
    before = Counter(first for document in tokens for first in document[:-1])
    for chunk in (1 << 22, 7, 1):
        monkeypatch.setattr("quire.text.shards.CHUNK", chunk)
        found = shards.entropies()
        assert found.unigram == pytest.approx(entropy(single))
        assert found.bigram == pytest.approx(entropy(pairs) - entropy(before))
        assert found.floor == pytest.approx(max(single.values()) / single.total())
        assert {i: n for i, n in enumerate(shards.unigram_counts().tolist()) if n} == dict(single)
    lone = write(tmp_path / "lone", ["fox"], tokenizer=tokenizer)
    assert lone.entropies().bigram == 0


def test_random_passages_begin_a_sentence_and_stay_in_their_document(shards: Shards) -> None:
    seen = set()
    for i in range(200):
        passage = shards.passage(5, rng(0, i))
        assert 1 <= len(passage) <= 5
        start = shards.documents[passage.document]
        whole = shards.document(passage.document).tokens.tolist()
        bounds = shards.sentence_bounds - start
        places = [p for p in bounds.tolist() if 0 <= p < len(whole)]
        assert any(whole[p : p + len(passage)] == passage.tokens.tolist() for p in places)
        seen.add(passage.document)
    assert seen == set(range(len(KEPT)))


def test_too_little_text_is_refused_with_its_count_and_leaves_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has 1 tokens; 1,000 or more"):
        write(tmp_path / "few", ["fox"], tokenizer=tokenizer, at_least=1000)
    with pytest.raises(BadInput, match="has 0 tokens; 1 or more"):
        write(tmp_path / "none", [], tokenizer=tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    def documents() -> Iterator[str]:
        yield "fox"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "corpus", documents(), tokenizer=tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(shards: Shards, tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="exists already"):
        write(shards.folder, DOCUMENTS, tokenizer=tokenizer)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        write(tmp_path / "file" / "corpus", DOCUMENTS, tokenizer=tokenizer)


def test_open_gives_what_was_written_and_refuses_another_tokenizer(shards: Shards, tokenizer: Tokenizer) -> None:
    again = Shards.open(shards.folder, tokenizer=tokenizer.fingerprint, verify=True)
    assert again.fingerprint == shards.fingerprint
    with pytest.raises(BadInput, match="made by another tokenizer"):
        Shards.open(shards.folder, tokenizer="0" * 64)


def test_what_follows_from_a_corpus_is_made_once_and_never_taken_for_that_of_another(
    shards: Shards, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    assert shards.kept("places", lambda: np.array([1, 2])).tolist() == [1, 2]
    assert Shards.open(shards.folder, verify=True).kept("places", lambda: np.array([3])).tolist() == [1, 2]
    assert shards.kept("others", lambda: np.array([3])).tolist() == [3]
    [file] = shards.folder.glob("places*")
    other = write(tmp_path / "another", ["Something else."], tokenizer=tokenizer)
    file.rename(other.folder / file.name)  # left behind by a corpus that stood here before
    assert other.kept("places", lambda: np.array([4])).tolist() == [4]


def test_what_is_kept_is_made_anew_where_its_file_is_cut_or_cannot_be_written(shards: Shards) -> None:
    shards.kept("places", lambda: np.arange(9))
    [file] = shards.folder.glob("places*")
    for left in (-8, 0):
        file.write_bytes(file.read_bytes()[:left])
        assert shards.kept("places", lambda: np.arange(9)).tolist() == [*range(9)]
    file.unlink()
    file.mkdir()
    assert shards.kept("places", lambda: np.arange(9)).tolist() == [*range(9)]
    assert [path.name for path in shards.folder.glob("*places*")] == [file.name], "no draft is left"


def test_a_cut_missing_or_altered_file_is_named(shards: Shards) -> None:
    path = shards.folder / "tokens-00001.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(BadInput, match=r"tokens-00001.bin: [\d,]+ bytes, not"):
        Shards.open(shards.folder)
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    Shards.open(shards.folder)
    with pytest.raises(BadInput, match="sha256 differs"):
        Shards.open(shards.folder, verify=True)
    path.unlink()
    with pytest.raises(BadInput, match="missing"):
        Shards.open(shards.folder)


def test_an_altered_index_is_named(shards: Shards) -> None:
    path = shards.folder / "index.json"
    whole = json.loads(path.read_text())
    for change, message in (
        ({"tokens": whole["tokens"] - 1}, "altered since it was written"),
        ({"format": 1}, "index.json.format"),
        ({"tokns": 1}, "did you mean 'tokens'"),
        ({"dtype": "object"}, "index.json.dtype"),
        ({"fingerprint": "0"}, "altered since it was written"),
    ):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(BadInput, match=message) as error:
            Shards.open(shards.folder)
        assert "\n" not in str(error.value)
    path.write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        Shards.open(shards.folder)
    path.unlink()
    with pytest.raises(BadInput, match="not a written corpus"):
        Shards.open(shards.folder)


def test_an_error_of_the_reader_is_not_taken_for_one_of_the_disk(tokenizer: Tokenizer, tmp_path: Path) -> None:
    def documents() -> Iterator[str]:
        yield "fox"
        raise OSError("the source broke")

    with pytest.raises(OSError, match="the source broke"):
        write(tmp_path / "corpus", documents(), tokenizer=tokenizer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", [0, 50, 500])  # bytes that a file may hold
def test_a_full_disk_is_one_line_and_leaves_nothing(tokenizer: Tokenizer, tmp_path: Path, room: int) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(BadInput, match=r"cannot be written: .*File too large"):
            write(tmp_path / "corpus", DOCUMENTS * 9, tokenizer=tokenizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
