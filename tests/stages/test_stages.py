"""Sources at toy size: whose text each has, what is left out, what is judged, stops that change nothing, refusals."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import quire
from quire.adapt import measure
from quire.cli import app
from quire.core.errors import BadInput, Stopped
from quire.core.random import rng
from quire.multitask.job import Results, Shared
from quire.pretrain import pretrain
from quire.recipe import Recipe
from quire.stages import compare_sources
from quire.stages.job import Stages
from quire.stages.page import gains
from quire.stages.settings import StageSettings, kinds_of
from quire.train.progress import Silent
from quire.train.safe import read_json
from quire.train.signals import StopRequest

SMALL = ("finetune.epochs=1", "finetune.train.batch=8", "data.length=24", "train.batch=8", "strategy=full")
LABELS = {"mood": ("awful", "great"), "topic": ("paint", "goal")}
DOMAINS = ("mood=feeling", "topic=subject", "more=feeling")
SIZES = {"train": 40, "dev": 16, "test": 16}


def texts(task: str, split: str, count: int) -> Iterator[tuple[str, str]]:
    """A word tells the label, and a number makes each text one of its kind."""
    draw, tells = rng(task, split), LABELS[task]
    for i in range(count):
        words = draw.choice(["the", "phone", "camera", "screen", "was", "is", "really"], 4)
        yield " ".join([*words, tells[i % 2], f"{split}{i}"]), ["no", "yes"][i % 2]


@pytest.fixture(autouse=True)
def toy_size(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def shrink(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("quire.stages.job.LEAST", 4)
    patch.setattr(measure, "SECONDS", 0.02)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks, a corpus in which a test text of one task hides, and a base that was pre-trained on their words."""
    folder = tmp_path_factory.mktemp("person")
    for task in LABELS:
        for split, count in SIZES.items():
            with (folder / f"{task}-{split}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *texts(task, split, count)])
    [(held_out, _)] = texts("topic", "test", 1)
    own = [text for text, _ in texts("mood", "unlabelled", 60)]
    (folder / "more.txt").write_text("\n\n".join([*own, f"{held_out.upper()}"]), encoding="utf-8")
    everything = [text for task in LABELS for text, _ in texts(task, "train", 40)]
    (folder / "all.txt").write_text("\n\n".join(everything), encoding="utf-8")
    recipe = {
        "cite": "none",
        "survey": "none",
        "backbone": {"depth": 1, "width": 16, "heads": 2, "ffn": 16, "positions": 40},
        "data": {"length": 24, "tokenizer": {"size": 160}},
        "train": {"steps": 4, "batch": 8},
    }
    pretrain(Recipe.model_validate(recipe), corpus=[folder / "all.txt"], out=folder / "base")
    return folder


def task(person: Path, name: str) -> str:
    return f"{name}=" + ",".join(str(person / f"{name}-{split}.csv") for split in SIZES)


def run(person: Path, out: Path, sources: str = "sets,domains,all", **changes: Any) -> Shared:
    given: dict[str, Any] = {
        "tasks": [task(person, name) for name in LABELS],
        "corpora": [f"more={person / 'more.txt'}"],
        "domains": DOMAINS,
        "base": str(person / "base/model"),
        "changes": SMALL,
        "budget": "4steps",
        "seeds": 2,
        **changes,
    }
    return compare_sources(sources, out=out, **given)


@pytest.fixture(scope="module")
def read() -> dict[str, list[str]]:
    """The text of each source, as it was read."""
    return {}


@pytest.fixture(scope="module")
def done(person: Path, read: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Shared:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        real = Stages.try_all

        def told(self: Stages) -> None:
            real(self)
            read.update({name: list(material.texts()) for name, material in self.materials.items()})

        patch.setattr(Stages, "try_all", told)
        return run(person, tmp_path_factory.mktemp("stages") / "run")


ROWS = ["none", "mood", "topic", "more", "all-feeling", "all"]


def test_every_source_is_a_row_and_every_task_a_column_with_a_study_and_a_model(done: Shared) -> None:
    assert [row.name for row in done.table.rows] == ROWS
    assert done.table.tasks == tuple(LABELS)
    assert all(row.gain is None if row.name == "none" else row.gain is not None for row in done.table.rows)
    for name, study in done.results.studies.items():
        assert [arm.seeds for arm in study.arms] == [(0, 1)] * len(ROWS)
        assert quire.load(done.folder / "tasks" / name)("the phone was really great").label in ("no", "yes")
    assert not (done.folder / "sources" / "all").exists(), "what is not deployed is not kept"
    read = Results.model_validate_json((done.folder / "results.json").read_text())
    assert read.model_dump_json() == done.results.model_dump_json()


def test_each_source_has_its_own_text_and_never_what_is_held_out_in_any_task(
    done: Shared, read: dict[str, list[str]]
) -> None:
    own = {name: [text for text, _ in texts(name, "train", 40)] for name in LABELS}
    more = [text for text, _ in texts("mood", "unlabelled", 60)]
    assert {name: read[name] for name in LABELS} == own
    assert read["more"] == more, "a test text of another domain's task, in capitals, is left out"
    assert read["all-feeling"] == [*own["mood"], *more]
    assert read["all"] == [*own["mood"], *own["topic"], *more]
    proof = "140 documents were compared with 64 held-out texts after folding case and blanks, and 1 that"
    assert all(proof in study.data.proof for study in done.results.studies.values())
    assert proof in done.report.read_text(encoding="utf-8")


def test_all_sources_have_as_many_updates_and_a_run_pays_its_share(done: Shared) -> None:
    for study in done.results.studies.values():
        steps = {arm.name: {cost.steps for cost in arm.cost} for arm in study.arms}
        assert steps["none"] == {5}, "40 texts in batches of 8"
        assert all(steps[name] == {5 + 4 // 2} for name in ROWS[1:])


def test_going_on_changes_the_body_that_is_fine_tuned(done: Shared) -> None:
    study = done.results.studies["mood"]
    rows = {name: study.arm(name).probabilities for name in ROWS}
    assert len({np.asarray(row).tobytes() for row in rows.values()}) == len(ROWS)


def test_what_a_source_is_to_a_task_follows_from_the_domains(done: Shared, person: Path) -> None:
    settings = settings_of(done)
    told = {source: [settings.relation(source, name) for name in LABELS] for source in ROWS[1:]}
    assert told == {
        "mood": ["within-task", "cross-domain"],
        "topic": ["cross-domain", "within-task"],
        "more": ["in-domain", "cross-domain"],
        "all-feeling": ["in-domain", "cross-domain"],
        "all": ["mixed", "mixed"],
    }
    cells = {name: (gain, count) for name, gain, count in gains(settings, done.table)}
    assert {name: count for name, (_, count) in cells.items()} == {
        "within-task": 2,
        "in-domain": 2,
        "cross-domain": 4,
        "mixed": 2,
    }
    own = [done.table.rows[i + 1].cells[name].test.value for i, name in enumerate(LABELS)]
    without = [done.table.rows[0].cells[name].test.value for name in LABELS]
    assert cells["within-task"][0] == pytest.approx(np.mean(own) - np.mean(without))


def settings_of(done: Shared) -> StageSettings:
    """As they were written down."""
    from quire.core.config import parse, read_yaml

    return parse(StageSettings, read_yaml(done.folder / "recipe.yaml"), where="recipe.yaml")


class Stopping(Silent):
    """Asks to stop when a phase begins that is called so, after some of its steps."""

    def __init__(self, phase: str, stop: StopRequest) -> None:
        self.phase, self.stop, self.title = phase, stop, ""

    def start(self, title: str, total: int, done: int = 0) -> None:
        self.title = title

    def update(self, step: int, figures: str) -> None:
        if self.phase == self.title and step >= 2:
            self.stop.reason = "a test"


def test_a_stopped_comparison_goes_on_and_finds_the_same(person: Path, tmp_path: Path, done: Shared) -> None:
    began = []
    for phase in ("Going on with topic", "topic, mood, seed 1", "Going on with all", "none, topic, seed 0"):
        stop = StopRequest()
        with pytest.raises(Stopped):
            run(person, tmp_path / "run", stop=stop, progress=Stopping(phase, stop))
        began.append(sorted(path.parent.name for path in (tmp_path / "run").glob("sources/*/base")))
    assert began[:2] == [["mood"], ["mood", "topic"]], "each is gone on with once, when it is wanted first"
    found = run(person, tmp_path / "run")
    for name, study in done.results.studies.items():
        for arm in study.arms:
            np.testing.assert_array_equal(arm.probabilities, found.results.studies[name].arm(arm.name).probabilities)
    assert run(person, tmp_path / "run").results.model_dump_json() == found.results.model_dump_json()
    with pytest.raises(BadInput, match="other settings"):
        run(person, tmp_path / "run", budget="5steps")


def test_few_labels_are_learnt_from_and_all_text_is_read(person: Path, tmp_path: Path) -> None:
    found = run(person, tmp_path / "run", "all", tasks=[task(person, "mood")], domains=(), per_class=4, seeds=1)
    assert found.results.studies["mood"].data.splits[0].examples == 8
    assert "101 documents were compared" in found.report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sources": "sets,domain"}, "--further: no kind of source called 'domain'; did you mean 'domains'"),
        ({"sources": ","}, "--further: give one or more of sets, domains, all"),
        ({"sources": "domains", "domains": ()}, "no domain has two sets; say which do"),
        ({"domains": ["mod=feeling"]}, "--domain: no set called 'mod'; did you mean 'mood'"),
        ({"domains": ["mood"]}, "--domain mood: expected NAME=DOMAIN"),
        ({"domains": ["mood=a", "mood=b"]}, "--domain: 'mood' stands there twice"),
        ({"corpora": ["more.txt"]}, "--corpus more.txt: expected NAME=FILE"),
        ({"corpora": ["mood=more.txt"]}, "'mood' is a task and a corpus; rename one"),
        ({"corpora": ["none={more.txt}"], "domains": ()}, "two rows would be called 'none'"),
        ({"corpora": ["more={nowhere.txt}"], "domains": ()}, "nowhere.txt: cannot be read: No such file"),
        ({"corpora": ["more={short.txt}"], "domains": ()}, "tokens"),
        ({"budget": "5m"}, "count tokens or steps of pre-training, not seconds"),
        ({"changes": [*SMALL, "data.extend=5"]}, "data.extend: words of each source"),
        ({"base": None, "changes": [*SMALL, "base=null", "backbone={}"]}, "no base to go on from"),
        ({"base": "nowhere"}, "base nowhere: no such folder"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_leaves_nothing(
    change: dict[str, Any], says: str, person: Path, tmp_path: Path
) -> None:
    (person / "short.txt").write_text("a phone")
    if "corpora" in change:
        files = [text.replace("{", f"{person}/").replace("}", "") for text in change["corpora"]]
        change = {**change, "corpora": files}
    with pytest.raises(BadInput, match=says) as caught:
        run(person, tmp_path / "run", **change)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_test_text_among_the_labels_of_another_task_is_left_out(person: Path, tmp_path: Path) -> None:
    [(leak, _)] = texts("topic", "test", 1)
    rows = [*texts("mood", "train", 40), (f"It said: {leak}", "yes")]
    with (tmp_path / "leaky.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows, (leak.title(), "no")])
    leaky = f"mood={tmp_path / 'leaky.csv'},{person / 'mood-dev.csv'},{person / 'mood-test.csv'}"
    given = {"tasks": [leaky, task(person, "topic")], "corpora": (), "domains": (), "seeds": 1}
    found = run(person, tmp_path / "run", "all", **given)
    assert found.results.studies["mood"].data.splits[0].examples < 42
    assert "topic/test" in read_json(tmp_path / "run" / "run.json")["data"]


def test_the_command_prints_the_table_and_refuses_options_of_other_comparisons(person: Path, done: Shared) -> None:
    given = [
        *(f"--task={task(person, name)}" for name in LABELS),
        *(f"--domain={domain}" for domain in DOMAINS),
        *(f"--set={change}" for change in SMALL),
        f"--corpus=more={person / 'more.txt'}",
        f"--base={person / 'base/model'}",
        "--further=all,sets,domains",
        "--budget=4steps",
        "--seeds=2",
    ]
    found = CliRunner().invoke(app, ["compare", *given, f"--out={done.folder}"], catch_exceptions=False)
    lines = found.output.splitlines()
    assert next(line for line in lines if line.startswith("way")).split() == ["way", *LABELS, "gain"]
    assert sum(line.split()[:1] == ["all-feeling"] for line in lines) == 1
    for more, says in (
        ("--labels=4,all", "--labels 4,all: with --further give one number"),
        ("--strategies=full", "--strategies: means nothing with --further"),
        ("--dev=x.csv", "--dev: means nothing with --further"),
    ):
        refused = CliRunner().invoke(app, ["compare", *given, more, "--out=x"]).exception
        assert isinstance(refused, BadInput)
        assert str(refused).startswith(says)
    alone = CliRunner().invoke(app, ["compare", "--task=a.csv", "--arms=mlm", "--domain=a=b", "--out=x"]).exception
    assert str(alone) == "--domain: needs --further"


def test_kinds_are_read_in_the_order_of_the_table() -> None:
    assert kinds_of("all, sets") == ("sets", "all")
