"""What reviews say, as lines, as JSON, summed up by aspect, and on a page; and the command line over a model."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.predict.test_pointer import begun, learnt
from typer.testing import CliRunner

import quire
from quire.cli import app
from quire.core.errors import BadInput
from quire.core.opinions import POLARITIES, Opinion, Review
from quire.objectives.point import Point
from quire.predict.majority import Majority
from quire.report.reviews import lines, marks, page, quote, spelled, summary
from quire.text.words import word_places

TEXT = "The <b>Wine</b> list & service were awful, the wine list slow."


def said(text: str, *opinions: Opinion) -> Review:
    return Review(text, word_places(text), opinions, "here")


def two() -> list[Review]:
    words = [TEXT[a:b] for a, b in word_places(TEXT)]
    service, awful, slow = (words.index(word) for word in ("service", "awful", "slow"))
    return [
        said(
            TEXT,
            Opinion((service, service + 1), (awful, awful + 1), "negative"),
            Opinion((slow - 2, slow), (slow, slow + 1), "negative"),
        ),
        said("WINE  LIST good", Opinion((0, 2), (2, 3), "positive")),
        said("屏幕很好", Opinion((0, 2), (3, 4), "positive", "屏幕")),
        said("never again", Opinion(None, (0, 2), "negative", "RESTAURANT#GENERAL")),
    ]


def test_json_tells_characters_and_lines_tell_words() -> None:
    first, _, chinese, implicit = two()
    [service, wine] = spelled(first)
    assert [TEXT[part["start"] : part["end"]] for part in (wine["aspect"], wine["opinion"])] == ["wine list", "slow"]
    assert (service["polarity"], service["category"]) == ("negative", None)
    assert [*lines(first)] == ["service\tawful\tnegative", "wine list\tslow\tnegative"]
    assert [*lines(chinese)] == ["屏幕\t好\tpositive\t屏幕"]
    assert [*lines(implicit)] == ["-\tnever again\tnegative\tRESTAURANT#GENERAL"]
    assert spelled(implicit)[0]["aspect"] is None


def test_aspects_are_counted_whatever_their_case_and_blanks() -> None:
    found = summary(two())
    assert [(aspect.name, aspect.times, dict(aspect.polarities)) for aspect in found] == [
        ("wine list", 2, {"negative": 1, "positive": 1}),
        ("RESTAURANT#GENERAL", 1, {"negative": 1}),
        ("service", 1, {"negative": 1}),
        ("屏幕", 1, {"positive": 1}),
    ]
    assert [quote.text for quote, _ in found[0].quotes] == [TEXT, "WINE  LIST good"]
    many = summary([two()[1]] * 2 + [two()[1]] * 9)
    assert (many[0].times, len(many[0].quotes)) == (11, 1), "a review is quoted once"
    assert summary([]) == ()


@st.composite
def drawn(draw: st.DrawFn) -> Review:
    text = draw(st.text("ab ,<&好", min_size=1, max_size=20).filter(str.strip))
    count = len(word_places(text))
    run = st.tuples(st.integers(0, count - 1), st.integers(1, 3)).map(lambda r: (r[0], min(r[0] + r[1], count)))
    parts = st.builds(Opinion, run | st.none(), run, st.sampled_from(POLARITIES) | st.none())
    return said(text, *draw(st.lists(parts, max_size=4)))


@given(drawn())
def test_marks_are_the_text_and_show_every_part(one: Review) -> None:
    found = marks(one)
    assert "".join(mark.text for mark in found) == one.text
    shown = [kind for mark in found for kind in [(mark.aspect, mark.opinion)] * len(mark.text)]
    for opinion in one.opinions:
        for column, words in enumerate((opinion.aspect, opinion.opinion)):
            if words:
                assert all(shown[at][column] for at in range(one.places[words[0]][0], one.places[words[1] - 1][1]))
    assert sum(len(mark.sign) for mark in found) <= sum(opinion.aspect is not None for opinion in one.opinions)


def test_the_page_escapes_texts_and_loads_nothing() -> None:
    html = page(two(), title="<i>Mine</i>", source="a & b")
    assert "<b>Wine" not in html
    assert "&lt;b&gt;" in html
    assert "<i>Mine" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert html.count('<span class="aspect') == 1 + 4, "of the key, and of four that are named"
    assert "1 positive, 1 negative" in html
    assert "Nothing was found" in page([said("fine")], title="t", source="s")


def test_a_category_without_words_stands_beside_its_review() -> None:
    html = page([said("fine", Opinion(polarity="positive", category="food"))], title="t", source="s")
    assert "<li><bdi>positive</bdi> · <bdi>food</bdi></li>" in html
    assert "what is said of it" not in html, "no word is marked, and the key names no such mark"
    assert "what is said of it" in page(two(), title="t", source="s")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pointer that has learnt a toy language, and reviews."""
    folder = tmp_path_factory.mktemp("pointer")
    learnt(("triplet",)).save(folder / "model")
    truth = [{"aspect": "food", "opinion": "awful", "polarity": "negative"}]
    rows = [json.dumps({"text": "the food is awful", "opinions": truth})] * 2
    (folder / "reviews.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder


def test_the_command_line_reads_reviews(model: Path, tmp_path: Path) -> None:
    def told(*given: str) -> str:
        found = CliRunner().invoke(app, [given[0], str(model), *given[1:]])
        assert found.exit_code == 0, found.output
        return found.output

    texts = ["the food is awful", "the beer is superb"]
    rows = [json.loads(line) for line in told("predict", *texts, "--json").splitlines()]
    assert [row["text"] for row in rows] == texts
    ours = [quire.load_pointer(model)(text) for text in texts]
    assert all(one.opinions for one in ours)
    assert [row["opinions"] for row in rows] == [spelled(one) for one in ours]
    assert told("predict", *texts).splitlines() == [
        line for one in ours for line in (lines(one) if one.opinions else "-")
    ]
    html = str(tmp_path / "page.html")
    assert told("predict", "--file", str(model / "reviews.jsonl"), "--html", html) == f"{html}: 2 reviews\n"
    assert "2 reviews" in (tmp_path / "page.html").read_text(encoding="utf-8")
    counted = sum(int(line.split()[0]) for line in told("predict", *texts, "--summary").splitlines())
    assert counted == sum(len(dict.fromkeys(one.opinions)) for one in ours)
    scores = json.loads(told("evaluate", "--data", str(model / "reviews.jsonl"), "--json"))
    assert scores["reviews"] == 2
    assert {"f1", "official_f1"} <= scores.keys()
    said = CliRunner().invoke(app, ["predict", str(model), texts[0], f"{texts[0]} " * 20])
    assert "50% of the texts are longer than 48 tokens and were cut" in said.stderr


def test_what_reads_no_reviews_has_no_summary(model: Path, tmp_path: Path) -> None:
    Majority.fit(("a", "b"), ["a"]).save(tmp_path / "majority")
    refused = CliRunner().invoke(app, ["predict", str(tmp_path / "majority"), "a text", "--summary"])
    assert isinstance(refused.exception, BadInput)
    assert "--summary: is of reviews" in str(refused.exception)


def test_every_opener_names_the_right_one(model: Path, tmp_path: Path) -> None:
    Majority.fit(("a", "b"), ["a"]).save(tmp_path / "majority")
    openers: dict[str, Callable[[Path], object]] = {
        "load": quire.load,
        "load_pointer": quire.load_pointer,
        "load_rater": quire.load_rater,
        "load_solver": quire.load_solver,
        "load_writer": quire.load_writer,
    }
    of_kinds = {"load_pointer": (model, "points at what reviews say"), "load": (tmp_path / "majority", "labels texts")}
    for right, (folder, verb) in of_kinds.items():
        for name, opener in openers.items():
            if name != right:
                with pytest.raises(BadInput, match=rf"{verb}; open it with quire\.{right}$"):
                    opener(folder)


def refused(*given: object) -> str:
    """The one line of what the command line refuses."""
    found = CliRunner().invoke(app, ["predict", *map(str, given)])
    assert isinstance(found.exception, BadInput), found.output
    line = str(found.exception)
    assert "\n" not in line
    assert found.stdout == ""
    return line


@pytest.fixture(scope="module")
def of_aspects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pointer that tells how a given aspect is liked, at random."""
    folder = tmp_path_factory.mktemp("alsc")
    begun(Point(subtasks=("alsc",))).save(folder)
    return folder


def test_the_command_line_asks_about_aspects(model: Path, of_aspects: Path, tmp_path: Path) -> None:
    def told(*given: object) -> list[list[str]]:
        found = CliRunner().invoke(app, ["predict", *map(str, (of_aspects, *given))])
        assert found.exit_code == 0, found.output
        return [line.split("\t")[:2] for line in found.stdout.splitlines()]

    texts = ["The Food is superb, the wine list awful", "the beer is superb"]
    assert told("--aspect", "food", "--aspect", "wine list", *texts) == [["Food", "-"], ["wine list", "-"], ["-"]]
    assert told("--file", model / "reviews.jsonl") == [["food", "-"]] * 2, "a person's own, as it was trained on"
    assert told("--file", model / "reviews.jsonl", "--aspect", "the") == [["the", "-"]] * 2
    (tmp_path / "plain.jsonl").write_text(json.dumps({"text": texts[0]}), encoding="utf-8")
    for source in (texts, ["--file", tmp_path / "plain.jsonl"]):
        assert "asked about aspects of a review: give some, like --aspect food" in refused(of_aspects, *source)
    assert "--aspect: the model is asked about whole reviews" in refused(model, "--aspect", "food", texts[0])
    assert "none blank" in refused(of_aspects, "--aspect", " ", texts[0])


ANNOTATED = {
    "aste.txt": "the food is awful####[([1], [3], 'NEG')]\n",
    "asqp.txt": "the food is awful####[['food', 'food quality', 'negative', 'awful']]\n",
    "semeval.xml": '<sentences><sentence id="1"><text>the food is awful</text><aspectTerms><aspectTerm term="food" '
    'polarity="negative" from="4" to="8"/></aspectTerms></sentence></sentences>',
    "bartabsa.json": '[{"raw_words": "the food is awful", "words": ["the", "food", "is", "awful"], "aspects": ['
    '{"index": 0, "from": 1, "to": 2, "polarity": "NEG", "term": ["food"]}], "opinions": [{"index": 0, "from": 3, '
    '"to": 4, "term": ["awful"]}]}]',
    "sentihood.json": '[{"id": 1, "text": "the food is awful", "opinions": [{"target_entity": "food", "aspect": '
    '"price", "sentiment": "Negative"}]}]',
}


@pytest.mark.parametrize("name", ANNOTATED)
def test_annotated_files_are_read_for_their_texts(name: str, model: Path, of_aspects: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text(ANNOTATED[name], encoding="utf-8")
    for folder, wanted in ((model, ["food", "awful", "negative"]), (of_aspects, ["food", "-"])):
        found = CliRunner().invoke(app, ["predict", str(folder), "--file", str(tmp_path / name)])
        assert found.stdout.strip().split("\t")[: len(wanted)] == wanted, found.output


def test_texts_that_are_not_annotated_are_read_as_they_were(model: Path, tmp_path: Path) -> None:
    files = {
        "a.txt": "<3 the food is awful\n[the beer is superb\n",
        "b.csv": "text\n<3 the food is awful\n[the beer is superb\n",
        "c.jsonl": '{"text": "<3 the food is awful", "opinions": 5}\n{"text": "[the beer is superb"}\n',
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        found = CliRunner().invoke(app, ["predict", str(model), "--json", "--file", str(tmp_path / name)])
        rows = [json.loads(line)["text"] for line in found.stdout.splitlines()]
        assert rows == ["<3 the food is awful", "[the beer is superb"], found.output


@pytest.mark.parametrize(
    "given",
    ["limit=3", "beam=2", "temperature=1", "top-k=3", "top-p=0.5", "stop=a", "seed=1", "stream"],
)
def test_options_that_mean_nothing_are_refused(given: str, model: Path, tmp_path: Path) -> None:
    Majority.fit(("a", "b"), ["a"]).save(tmp_path / "majority")
    for folder in (model, tmp_path / "majority"):
        line = refused(folder, f"--{given}", "the food is awful")
        assert line == f"--{given.partition('=')[0]}: is of a generator, and {folder} writes nothing"


def test_reviews_are_single_texts(model: Path) -> None:
    line = refused(model, "--pair-column", "b", "--file", model / "reviews.jsonl")
    assert line == f"--pair-column: means nothing here; {model} reads single reviews"


def test_a_page_is_refused_before_anything_is_read(model: Path, tmp_path: Path) -> None:
    missing = tmp_path / "no-model"
    assert "is a folder; name a file in it" in refused(missing, "a", "--html", tmp_path)
    assert f"there is no folder {tmp_path / 'no'}; make it first" in refused(
        missing, "a", "--html", tmp_path / "no/page.html"
    )
    for other in ("--summary", "--json"):
        assert refused(missing, "a", "--html", tmp_path / "page.html", other).startswith(f"{other}: means nothing with")
    assert [*tmp_path.iterdir()] == []


def test_a_summary_of_nothing_says_so(of_aspects: Path) -> None:
    given = ["predict", str(of_aspects), "--aspect", "beer", "--summary", "the food"]
    found = CliRunner().invoke(app, given)
    assert found.stdout == "Nothing was found in 1 review.\n"
    found = CliRunner().invoke(app, [*given, "the wine", "--json"])
    assert (found.stdout, found.stderr) == ("", "Nothing was found in 2 reviews.\n")


LONG = (
    "We went there on a Tuesday evening with twelve people, and after we had waited for ages the semi-sweet wine was "
    "really awful, but nobody cared, since we had so much to tell each other about that long winter."
)


def meant(text: str, *words: str) -> tuple[Review, Opinion]:
    """A review, and an opinion whose aspect and opinion are these words."""
    places = word_places(text)
    at = [next(i for i, (a, _) in enumerate(places) if text.startswith(word, a)) for word in words]
    ends = [
        next(i for i, (_, b) in enumerate(places) if b >= places[a][0] + len(w)) for a, w in zip(at, words, strict=True)
    ]
    runs = [(a, b + 1) for a, b in zip(at, ends, strict=True)]
    opinion = Opinion(runs[0], runs[1] if runs[1:] else None) if runs else Opinion(category="food")
    return said(text, opinion), opinion


def test_what_is_quoted_is_the_evidence() -> None:
    def quoted(text: str, *words: str, length: int = 60) -> str:
        return quote(*meant(text, *words), length=length)

    assert quoted(LONG, "wine", "awful") == "…the semi-sweet wine was really awful, but nobody cared,…"
    assert quoted(LONG, "awful", "wine") == quoted(LONG, "wine", "awful")
    assert quoted(LONG, "Tuesday", "tell") == "…there on a Tuesday evening … so much to tell each other…"
    assert quoted(LONG, "winter") == "…we had so much to tell each other about that long winter."
    assert quoted(LONG) == "We went there on a Tuesday evening with twelve people, and…"
    assert quoted("the  wine\nis awful", "wine", "awful") == "the wine is awful"
    assert quoted(LONG, "wine", "awful", length=400) == LONG
    chinese = quoted("好" * 100 + "屏幕很坏" + "吗" * 100, "屏", "坏")
    assert "好屏幕很坏吗" in chinese
    assert len(chinese.strip("…")) == 60
    assert quoted("x" * 300) == "x" * 60 + "…"
    assert quoted("x" * 300 + " wine", "x" * 300, "wine") == "x" * 30 + " … wine"
    assert quoted("wine " + "x" * 100, "wine", "x" * 100) == "wine " + "x" * 30 + "…", "what adjoins is one piece"
    assert "wine," in quoted("we waited " * 20 + "wine," + "y" * 100, "wine"), "though no blank is near behind it"


@given(st.lists(st.sampled_from(["ab", "a,b", "好屏", "wine"]), min_size=1), st.data(), st.integers(20, 60))
def test_a_quotation_holds_its_words_and_cuts_none(parts: list[str], data: st.DataObject, length: int) -> None:
    text = " ".join(parts)
    places = word_places(text)
    runs = [(at, at + 1) for at in data.draw(st.lists(st.integers(0, len(places) - 1), min_size=2, max_size=2))]
    shown = quote(said(text), Opinion(runs[0], runs[1]), length=length)
    assert len(shown) <= length + 5, "with up to three …"
    pieces = [piece.strip() for piece in shown.split("…") if piece.strip()]
    assert all(piece in text for piece in pieces)
    assert {*re.findall("[a-z,]+|[好屏]", shown)} <= {*re.findall("[a-z,]+|[好屏]", text)}
    assert all(any(said(text).quoted(run) in piece for piece in pieces) for run in runs)
    assert len(shown) > length // 3 or shown == text


def test_both_show_the_same_quotation(of_aspects: Path) -> None:
    text = f"{'the beer is superb , ' * 3}and {'we waited ' * 9}the food is awful"
    review, opinion = meant(text, "food", "awful")
    assert "the food is awful" in quote(review, opinion, length=60)
    html = page([review], title="t", source="s")
    assert f"“{quote(review, opinion, length=160)}”" in html
    given = ["predict", str(of_aspects), "--aspect", "beer", "--summary"]
    found = CliRunner().invoke(app, [*given, "the " * 25 + "beer is superb"])
    assert found.stdout.endswith(" …the the the the the the the the the the the beer is superb\n")


def test_an_aspect_that_is_liked_in_two_ways_is_mixed() -> None:
    text = "the food is fresh and dear"
    both = (Opinion((1, 2), (3, 4), "positive"), Opinion((1, 2), (5, 6), "negative"))
    food, fresh, dear = [mark for mark in marks(said(text, *both)) if mark.polarity]
    assert (food.text, food.polarity, food.sign) == ("food", "conflict", "±")
    assert [(mark.text, mark.polarity) for mark in (fresh, dear)] == [("fresh", "positive"), ("dear", "negative")]
    html = page([said(text, *both)], title="t", source="s")
    assert '<sup class="said conflict">±</sup>' in html
    assert '<li><span class="said conflict">±</span> conflict</li>' in html, "the key names the sign"
    assert '<span class="said conflict">±</span> <bdi>“the food is fresh and dear”' in html, "quoted by the summary"
    assert "1 positive, 1 negative" in html
    twice = marks(said(text, both[0], Opinion((1, 2), (5, 6), "positive"), Opinion((1, 2))))
    assert [(mark.polarity, mark.sign) for mark in twice if mark.aspect] == [("positive", "+")]
    assert "conflict</li>" not in page([said(text, both[0])], title="t", source="s")


def test_the_header_counts_as_the_table_does() -> None:
    once = Opinion((1, 2), (3, 4), "positive")
    html = page([said("the food is fresh", once, once)], title="t", source="s")
    assert "1 review, 1 opinion about 1 aspect" in html
    assert html.count("<li><bdi>food</bdi>") == 1
