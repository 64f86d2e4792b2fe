"""Streams by language and translations side by side: frames, positions, languages, rates, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Example, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives.mlm import Mlm
from quire.text.parallel import Parallel, Streams, Translations, columns, named, split
from quire.text.shards import Shards
from quire.text.tokenizers import Tokenizer
from quire.text.writing import write

WORDS = {"en": "one two three four five six seven eight", "de": "eins zwei drei vier fünf sechs sieben acht"}
SIZES = [2, 5, 3, 9, 4, 1, 8, 6]  # words of each pair


def lines(language: str, count: int = 8) -> list[str]:
    words = WORDS[language].split()
    return [" ".join(words[(i + k) % 8] for k in range(SIZES[i % 8])) for i in range(count)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([*WORDS.values()] * 5, kind="wordpiece", size=200, lowercase=False)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> dict[str, Shards]:
    home = tmp_path_factory.mktemp("pairs")
    return {language: write(home / language, lines(language), tokenizer=tokenizer) for language in WORDS}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> dict[str, Shards]:
    """Sixteen times as much English as German."""
    home = tmp_path_factory.mktemp("uneven")
    return {
        language: write(home / language, lines(language, count), tokenizer=tokenizer)
        for language, count in (("en", 1600), ("de", 100))
    }


def test_a_pair_is_two_framed_texts_whose_positions_and_languages_tell_them_apart(
    pairs: dict[str, Shards], tokenizer: Tokenizer
) -> None:
    found = Parallel(pairs, tokenizer.vocab, length=64, seed=1)
    assert len(found) == 8
    orders = set()
    for epoch in range(6):
        for i in range(8):
            example = found.example(i, epoch=epoch)
            special = np.flatnonzero(~example.free)
            assert example.tokens[special].tolist() == [tokenizer.vocab.cls, tokenizer.vocab.sep] * 2, "four a pair"
            second = int(special[2])
            one, two = int(example.languages[0]), int(example.languages[second])  # type: ignore[index]
            assert {one, two} == {0, 1}
            orders.add((one, two))
            for language, here in ((one, slice(0, second)), (two, slice(second, len(example)))):
                size = len(example.tokens[here])
                assert example.positions is not None
                assert example.languages is not None
                assert example.positions[here].tolist() == list(range(size)), "y counts from 0 again"
                assert example.languages[here].tolist() == [language] * size
                text = tokenizer.decode(example.tokens[here])
                assert text == lines(list(WORDS)[language])[i]
    assert orders == {(0, 1), (1, 0)}


def test_pairs_are_pure_functions_of_seed_epoch_and_index(pairs: dict[str, Shards], tokenizer: Tokenizer) -> None:
    one, two, other = (Parallel(pairs, tokenizer.vocab, length=64, seed=seed) for seed in (1, 1, 2))
    shown = [[p.example(i, epoch=e).tokens.tolist() for e in range(4) for i in range(8)] for p in (one, two, other)]
    assert shown[0] == shown[1] != shown[2]


def test_of_several_languages_two_are_drawn(pairs: dict[str, Shards], tokenizer: Tokenizer) -> None:
    found = Parallel({**pairs, "en2": pairs["en"]}, tokenizer.vocab, length=64, seed=1)
    drawn = [found.example(i, epoch=e).languages for e in range(30) for i in range(8)]
    assert {tuple(np.unique(languages).tolist()) for languages in drawn} == {(0, 1), (0, 2), (1, 2)}  # type: ignore[arg-type]


def test_pairs_that_are_too_long_are_left_out(pairs: dict[str, Shards], tokenizer: Tokenizer) -> None:
    sizes = [len(pairs["en"].document(i)) + len(pairs["de"].document(i)) for i in range(8)]
    found = Parallel(pairs, tokenizer.vocab, length=max(sizes) + 3)
    assert len(found) == 8 - sizes.count(max(sizes))
    assert max(len(found.example(i, epoch=0)) for i in range(len(found))) <= max(sizes) + 3
    with pytest.raises(BadInput, match="no pair of translations is as short"):
        Parallel(pairs, tokenizer.vocab, length=4)


def test_a_token_of_the_translation_changes_every_state(
    pairs: dict[str, Shards], tokenizer: Tokenizer, tiny: Backbone
) -> None:
    spec = tiny.model_copy(update={"vocab": tokenizer.vocab.size, "segments": 0, "languages": 2, "init_std": 0.2})
    model = Model(spec, {}, seed=1).eval()
    example = Parallel(pairs, tokenizer.vocab, length=64).example(3, epoch=0)

    def states(shown: Example) -> torch.Tensor:
        return Step(model, Packed(Batch.pack([shown]))).encode().detach()

    other = example.tokens.copy()
    other[-2] = 9 if other[-2] != 9 else 10
    assert ((states(example) - states(Example(**{**vars(example), "tokens": other}))).abs().amax(dim=1) > 1e-6).all()
    mute = states(Example(**{**vars(example), "languages": np.zeros(len(example), dtype=np.int64)}))
    assert not torch.allclose(states(example), mute), "the model is told the languages"


def test_hidden_tokens_are_a_share_and_never_special(pairs: dict[str, Shards], tokenizer: Tokenizer) -> None:
    found, tlm = Parallel(pairs, tokenizer.vocab, length=64), Mlm.model_validate({"select": {"bernoulli": 0.15}})
    asked = free = 0
    for epoch in range(60):
        for i in range(8):
            example = found.example(i, epoch=epoch)
            damaged = tlm.corrupt(example, World(tokenizer.vocab), rng(0, epoch, i))
            where = damaged.answers["mlm"] != IGNORE
            assert example.free[where].all()
            asked, free = asked + int(where.sum()), free + int(example.free.sum())
    assert abs(asked / free - 0.15) < 4 * np.sqrt(0.15 * 0.85 / free)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_languages_are_drawn_by_their_size_to_the_power_of_alpha(
    uneven: dict[str, Shards], tokenizer: Tokenizer, alpha: float
) -> None:
    found = Streams(uneven, tokenizer.vocab, length=12, alpha=alpha, seed=3)
    blocks = [len(found.blocks[language]) for language in uneven]
    assert len(found) == sum(blocks)
    drawn = [found.example(place % len(found), epoch=place // len(found)) for place in range(2000)]
    counts = np.bincount([int(example.languages[0]) for example in drawn], minlength=2)  # type: ignore[index]
    weights = np.array(blocks, dtype=float) ** alpha
    assert np.abs(counts / 2000 - weights / weights.sum()).max() < 0.001  # exact in every thousand
    german = [tuple(example.tokens.tolist()) for example in drawn if example.languages[0] == 1]  # type: ignore[index]
    assert len(set(german)) > 1
    for example in drawn[:50]:
        assert example.tokens[[0, -1]].tolist() == [tokenizer.vocab.cls, tokenizer.vocab.sep]
        assert len(example) <= 12
        assert example.languages is not None
        words = set(WORDS[list(WORDS)[int(example.languages[0])]].split())
        assert set(tokenizer.decode(example.tokens).split()) <= words


def test_a_stream_shows_every_block_before_one_again(uneven: dict[str, Shards], tokenizer: Tokenizer) -> None:
    found = Streams({"de": uneven["de"]}, tokenizer.vocab, length=12)
    shown = [found.example(i, epoch=0).tokens[1:-1].tolist() for i in range(len(found))]
    shards = uneven["de"]
    assert [t for tokens in shown for t in tokens] == shards.slice(0, len(shards)).tokens.tolist()


def test_fingerprints_tell_data_and_settings(uneven: dict[str, Shards], tokenizer: Tokenizer) -> None:
    vocab, back = tokenizer.vocab, dict(reversed(uneven.items()))
    made = [Streams(uneven, vocab, length=12), Streams(back, vocab, length=12), Streams(uneven, vocab, length=13),
            Streams(uneven, vocab, length=12, alpha=0.5)]  # fmt: skip
    assert len({streams.fingerprint for streams in made}) == 4
    assert Streams(uneven, vocab, length=12).fingerprint == made[0].fingerprint


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("en=en.txt", ("en", "en.txt")),
        ("en=/data/a=b.txt", ("en", "/data/a=b.txt")),
        ("en.txt", ("", "en.txt")),
        ("/data/run=3/en.txt", ("", "/data/run=3/en.txt")),
        ("en=", ("", "en=")),
    ],
)
def test_a_name_stands_before_the_first_equals_sign(source: str, found: tuple[str, str]) -> None:
    assert split(source) == found


def test_texts_are_read_by_language_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "two"), ("c", "drei")):
        (tmp_path / f"{name}.txt").write_text(f"{text}\n", encoding="utf-8")
    found = named([f"de={tmp_path}/c.txt", f"en={tmp_path}/a.txt", f"en={tmp_path}/b.txt"], ("en", "de"))
    assert {language: list(texts()) for language, texts in found.items()} == {"en": ["one", "two"], "de": ["drei"]}
    assert list(found) == ["en", "de"]
    assert list(found["en"]()) == ["one", "two"], "twice the same"


@pytest.mark.parametrize(
    ("corpus", "says"),
    [
        (["en.txt"], r"en\.txt: which language is this\? Write LANGUAGE=en\.txt, with one of en, de"),
        (["en=a.txt", "ed=b.txt"], r"ed=b\.txt: data\.languages has no 'ed'; known: de, en|did you mean"),
        (["en=a.txt"], r"data\.languages: no corpus for 'de'; give it as de=FILE"),
    ],
)
def test_a_corpus_without_its_language_is_refused(corpus: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        named(corpus, ("en", "de"))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("en\tfr\na\tb\n", r"t\.tsv: no column 'de'; known: en, fr"),
        ("en\tde\na\tb\nc\t\n", r"t\.tsv:3, column 'de': empty text; fill it in or remove the row"),
        ("en\tde\na\tb\nc\n", r"t\.tsv:3: expected 2 fields, found 1"),
    ],
)
def test_a_table_without_a_translation_is_refused(tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "t.tsv").write_text(table)
    with pytest.raises(BadInput, match=says):
        [list(texts()) for texts in columns([tmp_path / "t.tsv"], ("en", "de")).values()]


def test_a_translation_stands_beside_its_text_and_nothing_is_asked_for_yet(
    pairs: dict[str, Shards], tokenizer: Tokenizer
) -> None:
    vocab = tokenizer.vocab
    found = Translations(pairs, vocab, length=64)
    assert len(found) == 8
    for i in range(8):
        example = found.example(i, epoch=3)
        assert example.target is not None
        assert tokenizer.decode(example.tokens) == lines("en")[i]
        assert example.tokens[[0, -1]].tolist() == [vocab.cls, vocab.sep]
        assert tokenizer.decode(example.target.truth) == lines("de")[i]
        assert example.target.truth[-1] == vocab.sep
        assert example.target.tokens.tolist() == [vocab.sep, *example.target.truth[:-1].tolist()]
        assert not example.answers
        assert not example.target.answers
        assert example.languages is not None
        assert example.target.languages is not None
        assert set(example.languages.tolist()) == {0}
        assert set(example.target.languages.tolist()) == {1}


def test_pairs_with_a_side_that_is_too_long_are_left_out(pairs: dict[str, Shards], tokenizer: Tokenizer) -> None:
    found = Translations(pairs, tokenizer.vocab, length=8)
    assert len(found) < 8
    for i in range(len(found)):
        example = found.example(i, epoch=0)
        assert example.target is not None
        assert max(len(example), len(example.target)) <= 8
    assert found.fingerprint != Translations(pairs, tokenizer.vocab, length=9).fingerprint
    with pytest.raises(BadInput, match=r"data.length 2: no pair of translations is as short as that; take more"):
        Translations(pairs, tokenizer.vocab, length=2)
