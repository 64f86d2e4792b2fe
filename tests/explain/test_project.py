"""From a model or a file to a page: whole, safe, the same every time; and nothing where it cannot be."""

import csv
import re
from html import unescape
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from tests.test_report import Outline
from typer.testing import CliRunner

from quire.cli import app
from quire.core.errors import BadInput
from quire.core.example import Batch, World
from quire.core.random import rng
from quire.core.spec import Backbone, Pool
from quire.explain import project
from quire.explain.encoder import Encoder
from quire.explain.scatter import GROUPS, groups
from quire.nn.heads import SequenceScores
from quire.nn.model import Model, Packed, Step
from quire.paradigms.classify import Classify
from quire.predict.encode import encode
from quire.predict.majority import Majority
from quire.predict.network import Int8Network, Network
from quire.text.backends import Kind
from quire.text.cut import Cut
from quire.text.tokenizers import Tokenizer

TEXTS = ["a good and lovely film 很好", "bad bad film 很差", "it is fine", "lovely and fine film", "bad it is"]
HOSTILE = [
    "<script>alert(1)</script>",
    "</svg><img/src=x>",
    "$x^2$",
    "a&b",
    "{{7*7}}",
    "好吧",
    "שלום",
    'q"uote',
    "don't",
]
FIRST = {"good": "good", "bad": "bad", "<b>fine</b>": "fine"}
"""Labels, and the word that a text of each begins with."""


def network(pool: Pool, how: Cut = "head") -> Network:
    tokenizer = Tokenizer.train(TEXTS * 3, kind="wordpiece", size=90)
    task = Classify(labels=("bad", "good"), pool=pool, windows="attention")
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=24, heads=3, ffn=20, positions=40, init_std=0.2)
    return Network(Model(spec, task.parts(spec, World(tokenizer.vocab)), seed=3), task, tokenizer, length=9, how=how)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("run") / "model"
    network("first").save(home)
    return home


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty texts under the label that they begin with."""
    path = tmp_path_factory.mktemp("table") / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        draw = rng("table")
        for number in range(30):
            label = [*FIRST][number % 3]
            rows.writerow([" ".join([FIRST[label], *draw.permutation(["film", "it", "is", "and", "lovely"])]), label])
    return path


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "vectors.txt"
    rows = rng("vectors").normal(size=(40, 6))
    names = [*HOSTILE, *(f"word{number}" for number in range(40 - len(HOSTILE)))]
    lines = (f"{name} {' '.join(map(str, row))}\n" for name, row in zip(names, rows, strict=True))
    path.write_text(f"40 6\n{''.join(lines)}", encoding="utf-8")
    return path


def test_hostile_words_are_only_text(vectors: Path, tmp_path: Path) -> None:
    project(vectors, out=tmp_path / "p.html", words=HOSTILE)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    outline = Outline(page)
    assert (outline.faults, outline.open) == ([], [])
    assert not {tag for tag, _ in outline.tags} & {"script", "img", "link"}
    assert not re.search(r"@import|url\((?!#)|src=[\"']?https?", page.replace("src=x", ""))
    for word in ("&lt;script&gt;alert(1)&lt;/script&gt;", "$x^2$", "a&amp;b", "{{7*7}}", "好吧", "שלום"):
        assert page.count(f"<title>{word}</title>") == 2  # one in each picture
        assert f">{word}</text>" in page
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all("scope" in attributes for tag, attributes in outline.tags if tag == "th")


def test_the_same_seed_gives_the_same_file(vectors: Path, tmp_path: Path) -> None:
    pages = []
    for number, seed in enumerate((1, 1, 2)):
        project(vectors, out=tmp_path / f"{number}.html", seed=seed)
        pages.append((tmp_path / f"{number}.html").read_bytes())
    assert pages[0] == pages[1] != pages[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.html", "1.html", "2.html"]


def test_colours_and_shapes_follow_the_labels(folder: Path, table: Path, tmp_path: Path) -> None:
    found = project(folder, out=tmp_path / "p.html", file=table)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    [key, _] = re.findall(r'<ul class="key signs">.*?</ul>', page, re.DOTALL)
    label_of = dict(re.findall(r"var\(--(series-\d)\)\">.</span> <bdi>(.*?)</bdi>", key))
    assert label_of == {"series-1": "&lt;b&gt;fine&lt;/b&gt;", "series-2": "bad", "series-3": "good"}
    points = re.findall(r'<g><title>(.*?): (.*?)</title><use [^>]*href="(#[^"]*)"[^>]*var\(--(series-\d)\)', page)
    assert len(points) == 2 * 30
    for label, text, _, color in points:
        assert label_of[color] == label
        assert text.split()[0] == FIRST[unescape(label)]
    assert len({(shape, color) for _, _, shape, color in points}) == 2 * 3  # of each picture
    assert found.alike is not None
    assert found.chance == pytest.approx(9 / 29)


def test_many_labels_have_each_its_look_and_the_rarest_share_one() -> None:
    labels = [f"l{number:02}" for number in range(40) for _ in range(40 - number)]
    found = groups(labels)
    assert len(found) == GROUPS + 1
    assert len({(group.color, group.shape) for group in found}) == GROUPS + 1
    assert found[-1].label == f"{40 - GROUPS} rarer labels"
    assert sorted(point for group in found for point in group.points) == list(range(len(labels)))
    assert {labels[point] for point in found[3].points} == {"l03"}


def test_words_are_rows_of_the_table_of_tokens(folder: Path, tmp_path: Path) -> None:
    found = project(folder, out=tmp_path / "p.html", words=["good", "bad", "film", "好"])
    whole = Encoder.load(folder)
    table = whole.model.backbone.embeddings.tokens.weight.detach().numpy()
    for name, row in zip(found.space.names, found.space.vectors_PW, strict=True):
        [passage] = whole.tokenizer.encode([name])
        assert np.array_equal(table[passage.tokens], [row])
    names = whole.words().names
    assert len(names) == len(set(names))
    assert not any(name.startswith(("##", "[")) and len(name) > 1 for name in names)


@pytest.mark.parametrize(
    ("kind", "whole"),
    [
        *((kind, {"good", "film", "lovely", "fine"}) for kind in ("wordpiece", "bpe", "words")),
        ("unigram", {"a"}),  # it cuts the rest of so little text to pieces
    ],
)
def test_whole_words_are_found_whatever_cuts_them(kind: Kind, whole: set[str]) -> None:
    tokenizer = Tokenizer.train(TEXTS * 9, kind=kind, size=340)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=1, width=12, heads=3, ffn=20, positions=40)
    names = Encoder("here", Model(spec, {}), tokenizer, 9, "head").words().names
    assert whole <= set(names)
    assert not {"", "ood", "##ood", "Ġgood", "▁good", "[MASK]", " good"} & set(names)


@pytest.mark.parametrize("how", ["head", "windows"])
@pytest.mark.parametrize("pool", get_args(Pool))
def test_a_text_is_what_the_pool_of_the_classifier_makes_of_it(pool: Pool, how: Cut, tmp_path: Path) -> None:
    trained = network(pool, how)
    trained.save(tmp_path / "model")
    rows = Encoder.load(tmp_path / "model").texts(TEXTS).vectors_PW
    head = trained.model.heads["classify"]
    assert isinstance(head, SequenceScores)
    for text, row in zip(TEXTS, rows, strict=True):
        [example] = encode(trained.task, trained.tokenizer, [text], length=9, how=how)
        step = Step(trained.model, Packed(Batch.pack([example])))
        with torch.no_grad():
            expected = step.scores("classify", step.batch.first)[0]
            found = head.out(torch.tanh(head.pooler(torch.tensor(row))))
        assert torch.allclose(found, expected, atol=1e-5)


def test_an_int8_network_has_vectors_too(tmp_path: Path) -> None:
    Int8Network.quantised(network("mean")).save(tmp_path / "model")
    found = project(tmp_path, out=tmp_path / "p.html", words=["good", "bad", "film"])
    exact = network("mean").model.backbone.embeddings.tokens.weight.detach().numpy()
    [good] = network("mean").tokenizer.encode(["good"])
    np.testing.assert_allclose(found.space.vectors_PW[0], exact[good.tokens[0]], atol=0.01)


def test_a_sample_of_texts_is_drawn_by_the_seed_and_told(folder: Path, table: Path, tmp_path: Path) -> None:
    one, other = (project(folder, out=tmp_path / "p.html", file=table, most=12, seed=seed) for seed in (0, 1))
    assert one.space.names != other.space.names
    assert len(one.space.names) == len(one.space.labels) == 12
    assert f"12 of 30 texts of {table}" in (tmp_path / "p.html").read_text(encoding="utf-8")
    assert all(name.split()[0] == FIRST[label] for name, label in zip(one.space.names, one.space.labels, strict=True))


def test_texts_without_labels_have_one_look(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    found = project(folder, out=tmp_path / "p.html", file=tmp_path / "texts.txt")
    assert found.alike is None
    assert found.space.names == TEXTS
    assert 'class="key signs"' not in (tmp_path / "p.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["{folder}", "--words", "good,gooood,bad"], "no vector for the word 'gooood'"),
        (["{folder}", "--words", "good,bad"], "2 words to draw; give three or more"),
        (["{folder}", "--words", "nowhere.txt"], "nowhere.txt: cannot be read"),
        (["{folder}", "--file", "{table}", "--label-column", "lable"], "no column 'lable'; did you mean 'label'?"),
        (["{folder}", "--file", "{table}", "--text-column", "review"], "no column 'review'"),
        (["{folder}", "--file", "{table}", "--words", "good"], "give words or a file of texts, not both"),
        (["{folder}", "--most", "2"], "most 2: draw from 3 to 5,000 points"),
        (["{folder}", "--perplexity", "900"], "perplexity 900: take 1 or more"),
        (["{vectors}", "--file", "{table}"], "a file of word vectors makes none of texts"),
        (["{empty}"], "holds no finished model"),
        (["{majority}"], "holds no network, so no vectors of tokens"),
        (["{table}"], "reviews.csv:1: expected the count of words and their width"),
    ],
)
def test_bad_input_is_told_in_a_line_and_nothing_is_written(
    arguments: list[str], says: str, folder: Path, table: Path, vectors: Path, tmp_path: Path
) -> None:
    empty, majority, out = tmp_path / "empty", tmp_path / "majority", tmp_path / "new" / "p.html"
    empty.mkdir()
    Majority.fit(("bad", "good"), ["bad", "good"]).save(majority)
    places = {"folder": folder, "table": table, "vectors": vectors, "empty": empty, "majority": majority}
    given = [argument.format(**places) for argument in arguments]
    done = CliRunner().invoke(app, ["explain", "project", *given, "--out", str(out)])
    assert isinstance(done.exception, BadInput)
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not out.parent.exists()


def test_a_place_that_is_taken_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out, says in ((tmp_path, "a directory"), (tmp_path / "file" / "p.html", "is no directory")):
        with pytest.raises(BadInput, match=says):
            project("nowhere", out=out)
    assert (tmp_path / "file").read_text() == "mine"


def test_the_command_says_how_much_to_believe(vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("好吧\nword1\n\nword2\nword3\n", encoding="utf-8")
    arguments = ["explain", "project", str(vectors), "--words", str(tmp_path / "words.txt")]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "p.html")], catch_exceptions=False)
    assert done.exit_code == 0
    assert re.search(r"PCA .*% of the variance.*kept \d+\.\d %; trustworthiness \d\.\d{3}\.", done.output)
    assert re.search(r"t-SNE .*KL divergence", done.output)
    assert "4 words, vectors of width 6" in (tmp_path / "p.html").read_text(encoding="utf-8")
