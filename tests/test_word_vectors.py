"""Word vectors on disk: what word2vec's readers find is what was learnt, and other models leave no such file."""

from pathlib import Path

import numpy as np
import pytest

import quire
from quire import recipe
from quire.core.errors import BadInput
from quire.explain import Space, read_vectors, write_vectors
from quire.pretrain import pretrain
from quire.text.tokenizers import Tokenizer
from quire.train.weights import read_model


@pytest.fixture(scope="module")
def run(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("vectors")
    (home / "text.txt").write_text("\n\n".join(texts), encoding="utf-8")
    small = recipe.load("word2vec-skipgram", changes=["train.steps=5"]).shrunk()
    pretrain(small, corpus=[home / "text.txt"], out=home / "run")
    return home / "run"


def test_every_word_has_a_line_with_its_row_of_the_table(run: Path) -> None:
    vocab, backend = (tokenizer := Tokenizer.load(run / "model")).vocab, tokenizer.backend
    rows = read_model(run / "model").state["backbone.embeddings.tokens.weight"].numpy()
    first, *lines = (run / "vectors.txt").read_text(encoding="utf-8").split("\n")
    ordinary = [i for i in range(vocab.size) if i not in vocab.special]
    assert first == f"{len(ordinary)} {rows.shape[1]}"
    assert lines.pop() == ""
    for i, line in zip(ordinary, lines, strict=True):
        word, *values = line.split(" ")
        assert word == backend.id_to_token(i)
        assert np.array(values, dtype=np.float32).tobytes() == rows[i].tobytes()


def test_python_finds_the_same_in_the_folder_and_in_the_file(run: Path) -> None:
    vectors = quire.load_vectors(run)
    assert vectors.names == (written := quire.load_vectors(run / "vectors.txt")).names
    assert (vectors.vectors_PW == written.vectors_PW).all()
    word = vectors.names[7]
    assert (vectors[word] == vectors.vectors_PW[7]).all()
    with pytest.raises(BadInput, match=f"no vector for the word '{word}xq'; did you mean"):
        vectors[word + "xq"]


def test_gensim_finds_the_same(run: Path) -> None:
    models = pytest.importorskip("gensim.models", reason="gensim is not installed: the extra `bench`")
    vectors = quire.load_vectors(run)
    opened = models.KeyedVectors.load_word2vec_format(str(run / "vectors.txt"))
    assert opened.index_to_key == list(vectors.names)
    assert (opened.vectors == vectors.vectors_PW).all()


def test_other_models_leave_no_such_file(texts: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(texts), encoding="utf-8")
    for number, changes in enumerate((["objectives=[mlm]"], ["data.tokenizer.kind=wordpiece"])):
        small = recipe.load("word2vec-skipgram", changes=["train.steps=2", *changes]).shrunk()
        out = tmp_path / str(number)
        pretrain(small, corpus=[tmp_path / "text.txt"], out=out)
        assert (out / "model").is_dir()
        assert not (out / "vectors.txt").exists()


def test_what_is_written_is_read_again_to_the_last_bit(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(4, 7)).astype(np.float32)
    rows[0, :4] = [1e-45, -3.4028235e38, 1 / 3, -0.0]
    names = ["a\u00a0b", "好", "%s", "e\u0301"]
    write_vectors(tmp_path / "v.txt", Space("word", "here", "", names, rows))
    found = read_vectors(tmp_path / "v.txt")
    assert found.names == names
    assert found.vectors_PW.tobytes() == rows.tobytes()
