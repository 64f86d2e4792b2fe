"""The report of a made-up study: complete, safe, self-contained, and the same every time."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.calibration import calibration_curve

from quire.core.random import rng
from quire.core.results import (
    RIGHT,
    Arm,
    Cost,
    DataFacts,
    Environment,
    HeldOut,
    Histogram,
    Latency,
    MlmPoint,
    Point,
    Pretrained,
    Pretraining,
    Quantisation,
    SplitFacts,
    Study,
)
from quire.core.verdict import Verdict
from quire.judge import verdict
from quire.report import model_card, plots, render, words
from quire.report.page import calibration, confusion, confusions, considered
from quire.text.cut import KEPT

LABELS = ("acq", "crude", "earn", "grain", "利率", "money-fx", "ship", "trade & <b>")
HOSTILE = '<script>alert("x")</script> & <img src=x onerror="alert(1)"> {{ 7 * 7 }} 这家公司的季度利润 </td></table>'
COUNTS = (696, 121, 1083, 10, 81, 87, 36, 75)
# name, title, logit of the true class, milliseconds at batch 1 and 32, bytes, parameters, seconds, trained
ARMS = (
    ("majority", "Majority class", 0.0, 0.0004, 0.0001, 120, 0, 0.0, False),
    ("tfidf", "TF-IDF + logistic regression", 4.6, 0.31, 0.05, 1_900_000, 96_000, 0.9, False),
    ("frozen", "Frozen features + logistic regression", 4.2, 6.1, 3.2, 90_900_000, 22_700_000, 9.0, False),
    ("tuned", "Fine-tuned", 5.3, 6.2, 3.3, 90_900_000, 22_700_000, 41.0, True),
    ("mlm-tuned", "Further pre-trained by MLM, then fine-tuned", 5.9, 6.2, 3.3, 90_900_000, 22_700_000, 98.0, True),
    ("int8", "Further pre-trained, fine-tuned, int8", 5.85, 3.4, 1.9, 35_200_000, 22_700_000, 0.0, False),
)


def made_arm(truth: Any, row: tuple[Any, ...]) -> Arm:
    name, title, strength, one, many, size, parameters, seconds, trained = row
    draw = rng("arm", "mlm-tuned" if name == "int8" else name)
    logits_REC = draw.gumbel(0, 1, (3, len(truth), len(LABELS))) * 1.3
    logits_REC[:, np.arange(len(truth)), truth] += strength * (0.6 + 0.8 * draw.random(len(truth)))
    if name == "majority":
        logits_REC[:] = np.log(COUNTS)
    if name == "int8":
        logits_REC += rng("rounding").normal(0, 0.06, logits_REC.shape)
    probabilities = np.exp(logits_REC - logits_REC.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    steps = np.arange(0, 201, 10)
    curves = tuple(
        tuple(
            Point(
                step=int(s),
                loss=float(0.15 + 1.9 * np.exp(-s / (45 + 8 * strength)) + draw.normal(0, 0.03)),
                dev=float(0.93 - 0.7 * np.exp(-s / 35) + draw.normal(0, 0.006)) if s % 20 == 0 else None,
                rate=float(3e-5 * min(s / 20, (200 - s) / 180)),
            )
            for s in steps
        )
        for _ in range(3)
    )
    return Arm(
        name=name,
        title=title,
        how="One sentence that says what was done in this arm, and with which settings.",
        seeds=(0, 1, 2),
        dev=tuple(float(np.mean(probabilities[r].argmax(-1) == truth) + 0.01 - 0.004 * r) for r in range(3)),
        predictions=probabilities.argmax(-1),
        probabilities=None if name == "majority" else probabilities,
        parameters=parameters,
        bytes=size,
        latency=(
            Latency(batch=1, median=one, lower=0.96 * one, upper=1.09 * one),
            Latency(batch=32, median=many, lower=0.97 * many, upper=1.05 * many),
        ),
        threads=2,
        cost=tuple(Cost(seconds=seconds + r, tokens=412_000 * trained, steps=200 * trained) for r in range(3)),
        curves=curves if trained else (),
        notes=("Its learning rate was chosen on dev.",) if trained else (),
    )


def made_study() -> Study:
    truth = rng("report truth").permutation(np.repeat(np.arange(len(LABELS)), COUNTS))
    steps = np.arange(0, 1001, 25)
    losses = 2.6 + 3.1 * np.exp(-steps / 260) + rng("mlm").normal(0, 0.06, len(steps))
    edges = np.arange(0, 1025, 32)
    counts = (900 * np.exp(-((np.log(edges[1:]) - 4.6) ** 2) / 0.9)).astype(int)
    study = Study(
        title="Reuters R8, 25 labels a class",
        labels=LABELS,
        truth=truth,
        metric="accuracy",
        arms=tuple(made_arm(truth, row) for row in ARMS),
        selected="mlm-tuned",
        budget="5 minutes on 2 cores, shared evenly by the arms",
        data=DataFacts(
            splits=tuple(
                SplitFacts(
                    name=name, examples=sum(counts), labels=dict(zip(LABELS, counts, strict=True)), sha256=digest * 64
                )
                for name, counts, digest in (("train", (25,) * 8, "a"), ("dev", (8,) * 8, "b"), ("test", COUNTS, "c"))
            ),
            duplicates=4,
            conflicts=1,
            lengths=Histogram(edges=tuple(map(float, edges)), counts=tuple(map(int, counts))),
            limit=256,
            truncated=0.18,
            truncation=KEPT["windows"],
            proof="None of the 2,189 test texts is in the corpus: compared by hash of the normalised text.",
        ),
        environment=Environment(
            cpu="Some CPU @ 2.50 GHz",
            cores=2,
            threads=2,
            versions={"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"},
            command="quire adapt --train train.csv --out run/ --seeds 3",
            commit="0123456789abcdef",
        ),
        seconds=283.0,
        leaked=(3, 77, 512),
        pretraining=Pretraining(
            points=tuple(MlmPoint(step=int(s), loss=float(v)) for s, v in zip(steps, losses, strict=True)),
            unigram=5.61,
            bigram=3.12,
            most_frequent=0.051,
            corpus_tokens=640_000,
        ),
        quantisation=Quantisation(
            arm="int8", kept=True, why="1.8 times as fast on this machine.", speedup=1.82, loss=0.1
        ),
        usage={
            "Command line": 'quire predict run/ "it broke after two days"',
            "Python": 'import quire\n\nquire.load("run/")("it broke after two days")',
        },
    )
    texts = [f"{HOSTILE} 第 {i} 条 " + "Shares of the company rose in early trading. " * 9 for i in range(len(truth))]
    return study.with_texts(texts)


@pytest.fixture(scope="module")
def study() -> Study:
    return made_study()


@pytest.fixture(scope="module")
def judged(study: Study) -> Verdict:
    return verdict(study, resamples=400)


@pytest.fixture(scope="module")
def page(study: Study, judged: Verdict) -> str:
    return render(study, judged)


class Outline(HTMLParser):
    """Tags, ids, references and balance of a page."""

    VOID = frozenset({"meta", "br", "img", "link", "path", "use", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")


def test_every_tag_is_closed_and_every_id_stands_once(page: str) -> None:
    outline = Outline(page)
    assert (outline.faults, outline.open) == ([], [])
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(ids) == len(set(ids))
    references = [a[k] or "" for _, a in outline.tags for k in ("href", "xlink:href", "aria-labelledby") if k in a]
    references += re.findall(r"url\((#[^)]*)\)", page)
    assert references
    assert {r.removeprefix("#") for r in references} <= set(ids)


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    assert not re.search(r"@import|<link|<script|<img|<iframe|url\((?!#)", page)
    loading = [a for _, a in Outline(page).tags if {"src", "srcset", "action", "data"} & set(a)]
    assert loading == []
    addresses = re.findall(r"""(\S+)=["']https?://""", page)
    assert set(addresses) <= {"xmlns", "xmlns:xlink"}


def test_a_hostile_text_is_only_text(study: Study, judged: Verdict) -> None:
    arms = [a.model_copy(update={"title": HOSTILE, "how": HOSTILE, "name": a.name}) for a in study.arms]
    hostile = study.model_copy(
        update={"title": HOSTILE, "arms": tuple(arms), "budget": HOSTILE, "usage": {HOSTILE: HOSTILE}}
    )
    page = render(hostile, judged.model_copy(update={"sentence": HOSTILE}))
    outline = Outline(page)
    assert outline.faults == []
    assert not {tag for tag, _ in outline.tags} & {"script", "img", "b"}
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert "{{ 7 * 7 }}" in page


def test_a_person_who_cannot_see_it_can_read_it(page: str) -> None:
    outline = Outline(page)
    assert dict(outline.tags[0][1]) == {"lang": "en"}
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    drawings = [a for tag, a in outline.tags if tag == "svg"]
    assert len(drawings) == 7
    assert all(a["role"] == "img" and a["aria-label"] for a in drawings)
    assert all("scope" in a for tag, a in outline.tags if tag == "th")


def test_everything_measured_is_shown(study: Study, judged: Verdict, page: str) -> None:
    text = re.sub(r"\s+", " ", page)
    assert judged.sentence in text
    for arm in study.arms:
        score = judged.score(arm.name).score
        row = text[text.index(f'<th scope="row">{arm.title}<small>') :][:1500]
        assert f"{words.percent(score.value)}<small>{words.between(score)}</small>" in row
        assert words.size(arm.bytes) in row
    assert text.count('<span class="mark">selected on dev</span>') == 1
    assert text.count('<span class="mark">deployed</span>') == 1
    for said in ("None of the 2,189 test texts", "3 test texts also in train", "Test was read once", "第", "利率"):
        assert said in text


def test_what_is_kept_of_long_texts_is_said(study: Study, judged: Verdict, page: str) -> None:
    said = "The model reads 256 tokens at a time; 18.0 % of the texts are longer"
    assert f"{said}; kept is all that 16 windows of that length hold, each read by itself.</li>" in page
    short = study.data.model_copy(update={"truncated": 0.0})
    assert "; kept is" not in render(study.model_copy(update={"data": short}), judged)


def test_a_gpu_is_named_where_one_trained(study: Study, judged: Verdict, page: str) -> None:
    where = study.environment.model_copy(update={"accelerator": "Some GPU 80GB"})
    there = study.model_copy(update={"environment": where})
    assert "<dt>Networks trained on</dt><dd>Some GPU 80GB</dd>" in render(there, judged)
    assert "Networks trained on" not in page
    assert "\n- Networks trained on: Some GPU 80GB\n" in model_card(there, judged)
    assert "Networks trained on" not in model_card(study, judged)


def test_sections_with_nothing_to_show_are_left_out(study: Study, judged: Verdict, page: str) -> None:
    nothing = {"curves": (), "probabilities": None, "latency": (), "cost": (), "notes": ()}
    bare = study.model_copy(
        update={
            "arms": tuple(arm.model_copy(update=nothing) for arm in study.arms),
            "pretraining": None,
            "quantisation": None,
            "texts": {},
            "usage": {},
            "data": DataFacts(splits=()),
        }
    )
    left = render(bare, judged)
    for section in ("pareto", "pretraining", "curves", "int8", "calibration", "mistakes"):
        assert f'id="{section}"' in page
        assert f'id="{section}"' not in left
        assert f'href="#{section}"' not in left
    assert "<svg" not in left
    assert Outline(left).faults == []


def test_the_same_study_gives_the_same_page(study: Study, page: str) -> None:
    """Also when it comes back from JSON, and in a process where much was drawn before."""
    again = Study.from_json(study.to_json())
    assert render(again, verdict(again, resamples=400)) == page


def test_plots_take_the_colours_of_the_page(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 7
    for drawing in drawings:
        assert set(re.findall(r"#[0-9a-f]{6}", drawing)) <= {"#000000", "#ffffff"}
        assert "var(--ink)" in drawing
    defined = set(re.findall(r"(--[a-z0-9-]+):", page))
    assert set(re.findall(r"var\((--[a-z0-9-]+)", page)) <= defined


def test_chinese_stays_text_in_a_plot(study: Study) -> None:
    """Also where matplotlib's own fonts lack the signs: a warning would fail this test."""
    names = {arm.name: f"微调 {number} <b>" for number, arm in enumerate(study.arms)}
    arms = tuple(arm.model_copy(update={"name": names[arm.name]}) for arm in study.arms)
    renamed = study.model_copy(update={"arms": arms, "selected": names[study.selected], "quantisation": None})
    drawing = plots.pareto(renamed, verdict(renamed, resamples=50))
    assert all(f"{escaped}</text>" in drawing for escaped in (n.replace("<b>", "&lt;b&gt;") for n in names.values()))


def test_a_cheaper_arm_that_does_not_lose_is_advised(study: Study, judged: Verdict, page: str) -> None:
    assert "Consider" not in page
    advised = render(study, judged.model_copy(update={"cheaper": ("tfidf", "frozen")}))
    assert "<strong>Consider TF-IDF + logistic regression:</strong>" in advised
    assert "11 times as fast and takes 1.9 MB" in advised
    assert "Consider Frozen" not in advised  # slower than the int8 arm that is deployed


def test_only_a_real_gain_is_advised_and_at_most_twice(study: Study, judged: Verdict) -> None:
    """Neither the majority class, nor what is faster within noise, nor more than two arms."""
    deployed = study.deployed
    assert considered(study, judged.model_copy(update={"cheaper": ("majority",)})) == []

    def advised(*rows: tuple[float, float]) -> list[str]:
        arms = tuple(
            deployed.model_copy(
                update={
                    "name": f"arm{number}",
                    "latency": (Latency(batch=1, median=median, lower=median, upper=upper),),
                }
            )
            for number, (median, upper) in enumerate(rows)
        )
        wider = study.model_copy(update={"arms": (*study.arms, *arms)})
        cheap = judged.model_copy(update={"cheaper": tuple(arm.name for arm in arms)})
        return [f"{arm.name} {gains}" for arm, gains in considered(wider, cheap)]

    assert advised((3.3, 3.31)) == []  # of 3.4 ms: 1.0 times as fast
    assert advised((2.5, 3.3)) == []  # quartiles overlap
    assert advised((2.0, 2.1), (1.0, 1.1), (1.7, 1.8)) == ["arm1 is 3.4 times as fast", "arm2 is 2.0 times as fast"]


def test_one_seed_is_said_to_leave_the_luck_of_training_out(study: Study, judged: Verdict, page: str) -> None:
    assert "Paired bootstrap over test texts and seeds," in page
    assert "Mean over seeds" in page
    once = tuple(c.model_copy(update={"seeds": (0,)}) for c in judged.comparisons)
    alone = judged.model_copy(update={"comparisons": once})
    shown = render(study, alone)
    assert "Paired bootstrap over test texts alone: one seed says nothing of the luck of training," in shown
    assert "One seed; below it the 95 % interval on test. Latency" in shown
    assert "test texts alone: one seed" in model_card(study, alone)


def test_structures_have_no_classes_to_count(study: Study, page: str) -> None:
    """Whether an answer is wholly right is no label of the data."""
    truth = np.ones(40, dtype=int)
    right = rng("right").integers(0, 2, (2, 2, 40))
    arms = tuple(
        Arm(name=name, title=name, how="", seeds=(0, 1), dev=(1, 1), predictions=right_RE,
            marks=np.stack([right_RE, np.ones_like(right_RE)], axis=-1))
        for name, right_RE in zip("ab", right, strict=True)
    )  # fmt: skip
    data = DataFacts(splits=(SplitFacts(name="test", examples=40),))
    changed = {"labels": RIGHT, "truth": truth, "metric": "f1", "arms": arms, "selected": "a", "data": data}
    plain: dict[str, Any] = {"quantisation": None, "texts": {}, "leaked": (), "pretraining": None}
    structures = study.model_copy(update={**changed, **plain})
    judged = verdict(structures, resamples=50)
    shown = render(structures, judged)
    assert not any(f"<bdi>{label}</bdi>" in shown for label in RIGHT)
    assert "Texts wholly right:<br>only it / only selected" in shown
    assert "classes" not in model_card(structures, judged)
    assert "<bdi>earn</bdi>" in page
    assert "wholly right" not in page


def test_the_range_on_dev_is_no_interval_but_looks_like_one(study: Study, page: str) -> None:
    assert "below it the 95 % interval on test, and on dev the range over seeds" in page
    dev = study.deployed.dev
    assert f"<small>{100 * min(dev):.1f} to {100 * max(dev):.1f} %</small>" in page


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ((4_000, 9_000), ("5 k",)),
        ((30_000, 300_000), ("50 k", "100 k", "200 k")),
        ((42_000, 43_000), ("42.6 k",)),
        ((9_000, 23_000_000), ("10 k", "1 M", "10 M")),
    ],
)
def test_a_log_axis_has_numbers_however_short_it_is(
    study: Study, judged: Verdict, counts: tuple[int, ...], shown: tuple[str, ...]
) -> None:
    arms = tuple(arm.model_copy(update={"trainable": count}) for arm, count in zip(study.arms[:2], counts, strict=True))
    drawing = plots.learnt(study.model_copy(update={"arms": (*arms, *study.arms[2:])}), judged)
    assert all(f">{number}</text>" in drawing for number in shown)


def test_many_classes_are_listed_and_not_drawn(study: Study, judged: Verdict) -> None:
    nothing = {"curves": (), "probabilities": None, "latency": ()}
    arms = tuple(arm.model_copy(update=nothing) for arm in study.arms)
    many = study.model_copy(update={"labels": tuple(f"class {i}" for i in range(30)), "arms": arms})
    page = render(many, judged)
    assert 'class="matrix"' not in page
    assert "The most frequent mistakes" in page


def test_confusions_agree_with_the_matrix(study: Study) -> None:
    matrix = np.array(confusion(study).counts_CC)
    assert matrix.sum() == len(study.truth)
    assert matrix.sum(axis=1).tolist() == list(COUNTS)
    for truth, predicted, count in confusions(study):
        assert matrix[LABELS.index(truth), LABELS.index(predicted)] == count
    assert confusions(study)[0][2] == (matrix - np.diag(np.diag(matrix))).max()


def test_calibration_equals_sklearns_bins_and_hand_calculation(study: Study) -> None:
    found = calibration(study)
    assert found is not None
    arm = study.deployed
    assert arm.probabilities is not None
    predicted = arm.predictions[arm.best_run]
    confidence = arm.probabilities[arm.best_run].astype(np.float64)[np.arange(len(predicted)), predicted]
    right = predicted == study.truth
    accuracy_B, confidence_B = calibration_curve(right, confidence, n_bins=10)
    np.testing.assert_allclose(found.accuracy_B, accuracy_B)
    np.testing.assert_allclose(found.confidence_B, confidence_B, rtol=1e-5)
    assert found.error == pytest.approx((found.count_B * abs(accuracy_B - confidence_B)).sum() / len(right), rel=1e-4)


def test_calibration_of_a_boaster_is_its_lack_of_accuracy(study: Study) -> None:
    """Always sure, right in 60 of 100: the error is 40 points."""
    certain = np.tile([1.0, 0.0], (1, 100, 1))
    boaster = Arm(name="b", title="b", how="", seeds=(0,), dev=(1,), predictions=[[0] * 100], probabilities=certain)
    one = study.model_copy(
        update={"arms": (boaster,), "selected": "b", "quantisation": None, "truth": np.repeat([0, 1], [60, 40])}
    )
    found = calibration(one)
    assert found is not None
    assert found.error == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ((9.0, 6.5, 4.4, 3.2, 2.9, 2.8), "Healthy"),
        ((9.0, 6.5, 5.0, 4.5, 4.3, 4.2), "On its way"),
        ((9.0, 7.0, 6.3, 6.3, 6.2, 6.3), "Not healthy: the loss went"),
        ((4.0, 3.0, 2.5, 4.1, 5.0, 5.5), "Not healthy: the loss rose"),
        ((2.8, 2.8, 2.8, 2.8, 2.8, 2.8), "Little to gain"),
        ((9.0, 2.0), "too few points"),
    ],
)
def test_health_says_what_the_curve_shows(losses: tuple[float, ...], said: str) -> None:
    points = tuple(MlmPoint(step=i, loss=loss) for i, loss in enumerate(losses))
    assert said in words.health(Pretraining(points=points, unigram=6.2, bigram=3.5))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.percent(0.9342), "93.4 %"),
        (words.size(90_900_000), "90.9 MB"),
        (words.size(999), "999 B"),
        (words.number(22_700_000), "22.7 M"),
        (words.number(0), "0"),
        (words.duration(0.42), "0.4 s"),
        (words.duration(59.96), "60 s"),
        (words.duration(283), "4 min 43 s"),
        (words.duration(7500), "2 h 5 min"),
        (words.milliseconds(0.0004), "< 0.001"),
        (words.milliseconds(6.0), "6.0"),
        (words.milliseconds(143.2), "143"),
        (words.probability(0.00019), "< 0.001"),
        (words.counted(1, "seed"), "1 seed"),
        (words.shortened("a \n b", length=10), "a b"),
        (words.shortened("one two three", length=9), "one two…"),
    ],
)
def test_numbers_read_well(shown: str, expected: str) -> None:
    assert shown == expected


def test_the_model_card_has_front_matter_and_every_arm(study: Study, judged: Verdict) -> None:
    card = model_card(study, judged)
    _, front, body = card.split("---\n", 2)
    metadata = yaml.safe_load(front)
    metrics = {m["type"]: m["value"] for m in metadata["model-index"][0]["results"][0]["metrics"]}
    assert metrics["accuracy"] == round(judged.score("int8").accuracy, 4)
    for arm in study.arms:
        [row] = [line for line in body.splitlines() if line.startswith(f"| {arm.title}")]
        assert words.percent(judged.score(arm.name).score.value) in row
        assert row.count("|") == 7
    assert "a" * 64 in body
    assert study.budget in body


def test_a_hostile_title_does_not_break_the_card(study: Study, judged: Verdict) -> None:
    card = model_card(study.model_copy(update={"title": 'a | b\n---\n<script> "quoted": [x]'}), judged)
    _, front, body = card.split("\n---\n", 1)[0], *card.removeprefix("---\n").split("\n---\n\n", 1)
    assert yaml.safe_load(front)["model-index"][0]["results"][0]["dataset"]["name"].startswith("a | b")
    assert "<script>" not in body


def test_nine_arms_have_nine_styles() -> None:
    runs = [
        Pretrained(
            arm=f"arm{i}",
            seed=0,
            cost=Cost(steps=2, tokens=20),
            flops=1e12,
            points=tuple(
                HeldOut(step=s, tokens=10 * s, losses={"mlm": 5.0}, figures={"mlm.nats": 5.0 - i / 10}) for s in (0, 2)
            ),
        )
        for i in range(9)
    ]
    drawing = plots.pretrained(
        runs, Pretraining(points=(), unigram=6.0, bigram=3.0), {run.arm: i for i, run in enumerate(runs)}
    )
    lines = re.findall(r'style="fill: none; (stroke-dasharray: [^;]*; )?[^"]*stroke: (var\(--series-\d\))', drawing)
    assert len(lines) == 9
    assert len({(color, bool(dash), dash) for dash, color in lines}) == 9


def test_the_score_is_set_against_what_training_cost(study: Study, judged: Verdict) -> None:
    costs = [(Cost(seconds=seconds), Cost(seconds=3 * seconds)) for seconds in (10.0, 100.0)]
    arms = tuple(arm.model_copy(update={"cost": cost}) for arm, cost in zip(study.arms[:2], costs, strict=True))
    free = tuple(arm.model_copy(update={"cost": ()}) for arm in study.arms[2:])
    drawing = plots.spent(study.model_copy(update={"arms": (*arms, *free)}), judged)
    assert all(f">{arm.name}</text>" in drawing for arm in arms), "from 20 to 200 seconds"
    assert not any(f">{arm.name}</text>" in drawing for arm in free), "what is not trained costs nothing"
    assert ">50</text>" in drawing
    assert ">100</text>" in drawing
    assert plots.spent(study.model_copy(update={"arms": (arms[0], *free)}), judged) == "", "one is no comparison"
