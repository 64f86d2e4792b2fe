"""Pre-training on several languages as a person does it: by name or from a table, resumed, gone on with, refused."""

from pathlib import Path
from typing import Any

import pytest

from quire.core.errors import BadInput, Stopped
from quire.pretrain import pretrain
from quire.recipe import DataPlan, Recipe
from quire.train.signals import StopRequest
from quire.train.weights import read_model

SMALL = {"depth": 1, "width": 16, "heads": 2, "ffn": 16, "positions": 40}
EN, ZH = "one two three four five six seven eight", "一二三四五六七八九十"


def wanted(shape: str = "parallel", **changes: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "cite": "none",
            "survey": "none",
            "backbone": {
                "depth": 1, "width": 16, "heads": 2, "ffn": 16, "positions": 40, "segments": 0, "languages": 2
            },
            "data": {"length": 32, "shape": shape, "languages": ["en", "zh"], "tokenizer": {"size": 200}},
            "objectives": [{"mlm": {"select": {"bernoulli": 0.15}, "transform": False}}],
            "train": {"steps": 4, "batch": 4, "checkpoint_every": 2},
            **changes,
        }
    )  # fmt: skip


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, list[str]]:
    words = EN.split()
    return {
        "en": [" ".join(words[(i + k) % 8] for k in range(5 + i % 4)) for i in range(60)],
        "zh": ["".join(ZH[(i + k) % 10] for k in range(5 + i % 4)) for i in range(60)],
    }


@pytest.fixture
def corpus(texts: dict[str, list[str]], tmp_path: Path) -> dict[str, list[str | Path]]:
    """What each shape wants."""
    for language, lines in texts.items():
        (tmp_path / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    rows = ["en\tzh", *map("\t".join, zip(*texts.values(), strict=True))]
    (tmp_path / "table.tsv").write_text("\n".join(rows), encoding="utf-8")
    return {
        "streams": [f"{language}={tmp_path / language}.txt" for language in ("zh", "en")],
        "parallel": [tmp_path / "table.tsv"],
    }


def weights(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.safetensors")))


@pytest.mark.parametrize("shape", ["streams", "parallel"])
def test_a_stopped_run_goes_on_and_gives_the_same(
    corpus: dict[str, list[str | Path]], tmp_path: Path, shape: str
) -> None:
    stop = StopRequest()
    stop.note(15, None)
    recipe = wanted(shape)
    for _ in range(2):
        with pytest.raises(Stopped):
            pretrain(recipe, corpus=corpus[shape], out=tmp_path / "a", stop=stop)
    finished = pretrain(recipe, corpus=corpus[shape], out=tmp_path / "a")
    assert weights(finished) == weights(pretrain(recipe, corpus=corpus[shape], out=tmp_path / "b"))
    files = read_model(finished)
    assert files.backbone.languages == 2
    assert tuple(files.state["backbone.embeddings.languages.weight"].shape) == (2, 16)
    assert files.extra["languages"] == ["en", "zh"]


def test_parallel_text_goes_on_from_streams_in_the_same_languages(
    corpus: dict[str, list[str | Path]], tmp_path: Path
) -> None:
    first = pretrain(wanted("streams"), corpus=corpus["streams"], out=tmp_path / "a")
    second = pretrain(wanted(backbone=None, base=str(first)), corpus=corpus["parallel"], out=tmp_path / "b")
    assert read_model(second).backbone == read_model(first).backbone
    other = wanted(backbone=None, base=str(first), data={"length": 32, "shape": "parallel", "languages": ["zh", "en"]})
    with pytest.raises(BadInput, match=r"data\.languages \['zh', 'en'\]: base .* learnt \['en', 'zh'\]; name the same"):
        pretrain(other, corpus=corpus["parallel"], out=tmp_path / "c")


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (wanted("streams"), r"table\.tsv: which language is this\? Write LANGUAGE="),
        (wanted(data={"length": 32, "shape": "parallel", "languages": ["en", "fr"]}), "no column 'fr'"),
        (wanted(data={"length": 41, "shape": "parallel", "languages": ["en", "zh"]}), "has 40 positions"),
        (wanted(backbone={"depth": 1, "width": 16, "heads": 2, "ffn": 16}), "2 languages, the model knows 0"),
        (
            wanted(objectives=["pair", "mlm"], backbone={**SMALL, "languages": 2}),
            "pair: negatives: a random B must come",
        ),
    ],
    ids=["no name", "no column", "too long", "too few languages", "next sentence"],
)
def test_what_does_not_fit_is_one_line(
    corpus: dict[str, list[str | Path]], tmp_path: Path, recipe: Recipe, says: str
) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        pretrain(recipe, corpus=corpus["parallel"], out=tmp_path / "run")
    assert "\n" not in str(caught.value)


def translating(**changes: Any) -> Recipe:
    return wanted("translation", **{"backbone": {**SMALL, "decoder": 1}, "objectives": ["translate"], **changes})


@pytest.mark.parametrize("languages", [0, 2])
def test_a_translation_is_learnt_and_its_decoder_kept(
    corpus: dict[str, list[str | Path]], tmp_path: Path, languages: int
) -> None:
    """Languages are embedded where the backbone knows them; one that writes a single language need not."""
    recipe = translating(backbone={**SMALL, "decoder": 1, "languages": languages})
    files = read_model(pretrain(recipe, corpus=corpus["parallel"], out=tmp_path / "run"))
    assert files.backbone.decoder == 1
    assert "translate" in files.heads
    assert ("backbone.decoder.embeddings.languages.weight" in files.state) == bool(languages)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (translating(backbone=SMALL), r"0\.translate: a decoder writes, but the backbone has none"),
        (wanted(objectives=["translate"], backbone={**SMALL, "decoder": 1, "languages": 2}), "take data.shape transl"),
        (translating(backbone={**SMALL, "decoder": 1, "languages": 1}), "2 languages, the model knows 1"),
    ],
    ids=["no decoder", "no target", "one language"],
)
def test_what_cannot_be_translated_is_one_line(
    corpus: dict[str, list[str | Path]], tmp_path: Path, recipe: Recipe, says: str
) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        pretrain(recipe, corpus=corpus["parallel"], out=tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_text_without_its_translation_is_refused_with_its_place(
    corpus: dict[str, list[str | Path]], tmp_path: Path
) -> None:
    rows = (tmp_path / "table.tsv").read_text(encoding="utf-8").splitlines()
    rows[4] = rows[4].split("\t")[0] + "\t"
    (tmp_path / "table.tsv").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(BadInput, match=r"table\.tsv:5, column 'zh': empty text; fill it in or remove the row"):
        pretrain(translating(), corpus=corpus["parallel"], out=tmp_path / "run")


def test_a_text_without_a_token_is_found_before_it_moves_its_translations(
    corpus: dict[str, list[str | Path]], tmp_path: Path
) -> None:
    lines = (tmp_path / "table.tsv").read_text(encoding="utf-8").splitlines()
    lines[7] = lines[7].split("\t")[0] + "\t\u200b"
    (tmp_path / "table.tsv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(BadInput, match=r"text 7 of zh '\\u200b': no character that the tokenizer sees; remove the row"):
        pretrain(wanted(), corpus=corpus["parallel"], out=tmp_path / "run")


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"shape": "parallel", "languages": ["en", "en"]}, "one stands there twice: en, en"),
        ({"shape": "parallel", "languages": ["en"]}, "shape parallel needs languages, 2 or more"),
        (
            {"shape": "translation", "languages": ["en", "zh", "de"]},
            "shape translation needs two languages, that of the",
        ),
        ({"shape": "translation", "languages": ["en"]}, "shape translation needs languages, 2 or more"),
        ({"shape": "streams"}, "shape streams needs languages, 1 or more"),
        (
            {"shape": "blocks", "languages": ["en"]},
            "languages need the shape streams, parallel or translation, not blocks",
        ),
        ({"shape": "streams", "languages": ["../en"]}, "match pattern"),
        ({"shape": "blocks", "modes": [{"sees": "full"}]}, "modes need the shape sentence-pairs, not blocks"),
    ],
)
def test_plans_that_mean_nothing_are_refused(plan: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DataPlan.model_validate(plan)


def test_segments_beyond_the_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("one two three. four five.\n" * 50)
    data = {"shape": "sentence-pairs", "length": 32, "modes": [{"sees": "prefix", "segments": [4, 5]}]}
    recipe = wanted(data=data, backbone={"depth": 1, "width": 16, "heads": 2, "ffn": 16, "segments": 5})
    with pytest.raises(BadInput, match=r"data\.modes: segment 5 is one of 5, .* set backbone\.segments to 6"):
        pretrain(recipe, corpus=[tmp_path / "c.txt"], out=tmp_path / "run")
