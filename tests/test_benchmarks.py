"""The benchmarks at toy size: what they refuse, how turns alternate, what a result holds; no figure is judged."""

import gc
import json
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import dummy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import __main__ as command
from benchmarks import (
    accuracy,
    cores,
    corpora,
    drawing,
    fidelity,
    finetuning,
    generation,
    growth,
    harness,
    inference,
    memory,
    onnx,
    peers,
    plain,
    pretraining,
    show,
    star,
    steps,
    text,
    vectors,
)
from benchmarks.harness import Clock, Curve, Disagreement, Memory, Pair, Result, Row, Scale, Side, agree, versus
from matplotlib.figure import Figure
from typer.testing import CliRunner

from quire import recipe
from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.explain import Space
from quire.nn.model import Model
from quire.text.records import Record
from quire.text.shards import Shards
from quire.text.tokenizers import Tokenizer
from quire.train import checkpoint
from quire.train.feed import Fixed
from quire.train.loop import Job
from quire.train.optim import TrainPlan, factor
from quire.train.start import Base, started
from quire.train.weights import ModelFiles

TOY = Backbone(vocab=300, depth=2, width=32, heads=2, ffn=48, positions=64)
SCALE = Scale(
    pairs=2,
    batch=4,
    length=16,
    steps=2,
    skip=1,
    backbones={"2x32": TOY},
    samples=16,
    sentences=24,
    longest=24,
    lengths=(16, 32, 64),
    writers=(1, 3),
    written=6,
    vocabulary=310,
    lessons=2,
    reviews=8,
    reaches=(16, 32),
    widths=(32, 64),
    vocabularies=(300, 600),
    corpora=(10**6, 2 * 10**6),
)
MEASURES: dict[str, Callable[..., Result]] = {
    "pretraining": pretraining.measure,
    "finetuning": finetuning.measure,
    "inference": inference.measure,
    "steps": steps.measure,
}
PEERS = {
    "pretraining": ["Trainer", plain.PLAIN],
    "finetuning": ["Trainer", "Trainer, group_by_length", plain.BUCKETS],
    "steps": [plain.PLAIN] * 3,
    "inference": [
        *["transformers, file order", "transformers, by length", "sentence-transformers encode", "quire int8"],
        *["transformers, file order", "transformers, by length", "quire int8"],
    ],
}


STEADY = 1e11


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that always gives the same; what is measured of it would cost a test more than all it measures."""
    monkeypatch.setattr(harness, "product", lambda: STEADY)


@pytest.fixture(scope="module")
def sentences() -> list[text.Labelled]:
    return text.labelled(text.MANUAL)[:120]


@pytest.fixture(scope="module")
def base(sentences: list[text.Labelled]) -> Base:
    tokenizer = Tokenizer.train((sentence for sentence, _ in sentences), kind="wordpiece", size=TOY.vocab)
    spec = TOY.model_copy(update={"vocab": tokenizer.vocab.size})
    return Base("toy", ModelFiles(spec, heads={}, state=Model(spec, {}, seed=1).state_dict()), tokenizer)


@pytest.fixture(params=list(MEASURES))
def name(request: pytest.FixtureRequest) -> str:
    packages = {"inference": ("transformers", "sentence_transformers")}
    for package in packages.get(request.param, ("transformers", "accelerate")):
        pytest.importorskip(package, reason=f"{package} is not installed: the extra `bench`")
    return str(request.param)


def test_turns_alternate_and_ratios_are_of_neighbours() -> None:
    turns: list[str] = []

    def side(name: str, *seconds: float) -> Side:
        left = iter(seconds)

        def run() -> float:
            turns.append(name)
            return next(left)

        return Side(name, run)

    ours = side("quire", 1.0, 2.0, 4.0, 5.0)
    first, second = versus(
        "toy", ours, [side("b", 3.0, 8.0), side("c", 5.0, 5.0)], pairs=2, unit="things", work=6, flops=0
    )
    assert turns == ["quire", "b", "quire", "c"] * 2
    assert [(pair.ours, pair.peer) for pair in first.pairs] == [(1.0, 3.0), (4.0, 8.0)]
    assert [(pair.ours, pair.peer) for pair in second.pairs] == [(2.0, 5.0), (5.0, 5.0)]
    assert all(pair.peaks == (STEADY, STEADY) and pair.again == 0 for pair in first.pairs)


def test_a_pair_is_taken_again_when_the_machine_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of 100 and 80: thrown away; 100 and 95: kept; never alike: the last counts."""
    products = iter([100.0, 80.0, 100.0, 95.0, *[1.0, 2.0] * harness.TRIES])
    monkeypatch.setattr(harness, "product", lambda: next(products))
    seconds = iter(range(1, 100))
    turn = Side("quire", lambda: float(next(seconds)))
    (row,) = versus("toy", turn, [replace(turn, name="b")], pairs=2, unit="things", work=6, flops=1)
    first, second = row.pairs
    assert first == Pair(3.0, 4.0, (100.0, 95.0), again=1)
    last = 2 * (2 + harness.TRIES)
    assert second == Pair(last - 1.0, last, (1.0, 2.0), again=harness.TRIES - 1)
    assert (row.again, row.unlike) == (harness.TRIES, 1)
    assert "4 pairs were taken again" in show.noise([row])
    assert f"of the 2 that count, 1 still differ so after {harness.TRIES} tries" in show.noise([row])


def test_a_product_is_measured_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert len({harness.product() for _ in range(3)}) > 1


def test_figures_of_a_row() -> None:
    pairs = tuple(Pair(ours=1.0, peer=peer, peaks=(100.0, 50.0)) for peer in (2.0, 3.0, 4.0, 5.0, 60.0))
    row = Row("toy", "peer", "things", work=120, flops=50, pairs=pairs)
    assert (row.ratio.lower, row.ratio.median, row.ratio.upper) == (3.0, 4.0, 5.0)  # an outlier changes nothing
    assert [speed.median for speed in row.speeds] == [120.0, 30.0]
    assert [share.median for share in row.shares] == [0.5, 0.25]  # each by its own product


def test_the_clock_leaves_out_the_first_updates() -> None:
    clock = Clock()
    clock.ticks = [10.0, 17.0, 18.0, 20.0]
    assert (clock.seconds(0), clock.seconds(1)) == (10.0, 3.0)


@pytest.mark.parametrize("theirs", [[1.0, 2.001], [1.0, float("nan")]])
def test_results_that_differ_are_refused(theirs: list[float]) -> None:
    with pytest.raises(Disagreement, match=r"toy: the two sides differ by .*nothing was timed"):
        agree("toy", [1.0, 2.0], theirs)
    assert agree("toy", [1.0, 2.0], [1.0, 2.00001]).difference == pytest.approx(1e-5)


def test_the_manual_is_prose_of_varied_length() -> None:
    found = text.labelled(text.MANUAL)
    lengths = [len(sentence.split()) for sentence, _ in found]
    assert len(found) == len({sentence for sentence, _ in found}) > 1500
    assert np.percentile(lengths, 90) > 3 * np.percentile(lengths, 10)
    with pytest.raises(BadInput, match="did you mean 'python-manual'"):
        text.labelled("python-manul")


def test_a_benchmark_measures_what_it_says(
    name: str, sentences: list[text.Labelled], base: Base, tmp_path: Path
) -> None:
    found = MEASURES[name](sentences, base, SCALE, tmp_path)
    assert [row.peer for row in found.rows] == PEERS[name]
    assert all(len(row.pairs) == SCALE.pairs and row.ratio.median > 0 and row.flops > 0 for row in found.rows)
    assert found.agreements
    assert all(agreement.difference < 1e-4 for agreement in found.agreements)
    written = [json.loads(json.dumps(record)) for record in show.records(found)]
    assert [r["peer"] for r in written if r["record"] == "row"] == PEERS[name]
    assert written[0]["pairs"][0]["ours"] == found.rows[0].pairs[0].ours
    assert (
        found.rows[0].work == {"pretraining": 2 * 4 * 16, "finetuning": 16, "inference": 24, "steps": 2 * 4 * 16}[name]
    )


def test_what_making_batches_takes_is_told(sentences: list[text.Labelled], base: Base, tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed: the extra `bench`")
    found = pretraining.measure(sentences, base, replace(SCALE, pairs=1), tmp_path)
    assert found.remarks[-1].startswith("pre-training 2x32: making a batch, damage included, is ")
    share = float(found.remarks[-1].removesuffix("% of a step.").rpartition(" ")[2])
    assert 0 < share < 50


def test_batches_of_a_plain_loop_are_of_near_lengths_in_random_order() -> None:
    lengths = [int(n) for n in rng("lengths").integers(3, 60, size=40)]
    found = plain.by_length(lengths, batch=8, draw=rng("batches"))
    epochs = [[next(found).tolist() for _ in range(5)] for _ in range(2)]
    for epoch in epochs:
        assert sorted(i for batch in epoch for i in batch) == list(range(40))
        near = sorted(sorted(lengths[i] for i in batch) for batch in epoch)
        assert [n for batch in near for n in batch] == sorted(lengths)
        assert [min(lengths[i] for i in batch) for batch in epoch] != [batch[0] for batch in near]
    assert epochs[0] != epochs[1]


def test_a_plain_loop_follows_the_plan() -> None:
    """Clipped gradients, rates of the schedule, decay of matrices alone: as AdamW's first updates have it."""
    plan = TrainPlan(steps=3, batch=2, lr=0.1, warmup=1, weight_decay=0.5, clip=1e-6, eps=1.0)
    model = Doubled()
    side = plain.plain_training("toy", model, [{"input_ids": [1]}] * 4, lambda rows: {"rows": rows}, plan=plan, skip=1)
    assert side.run() > 0
    kept = np.prod([1 - plan.lr * factor(plan)(t) * plan.weight_decay for t in range(plan.steps)])
    assert model.matrix.detach().numpy() == pytest.approx(kept * np.ones((2, 2)), abs=1e-5)
    assert model.bias.detach().numpy() == pytest.approx(np.ones(2), abs=1e-5)
    assert (model.training, model.seen) == (True, [2, 2, 2])


class Doubled(torch.nn.Module):
    """A model whose gradient is far above what is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.bias = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2), (2,)))
        self.seen: list[int] = []

    def forward(self, rows: list[Any]) -> Any:
        self.seen.append(len(rows))
        return SimpleNamespace(loss=1e3 * (self.matrix.sum() + self.bias.sum()))


@pytest.mark.parametrize(
    ("system", "inputs", "wrong"),
    [
        ("ELECTRA", "labels", lambda labels: labels.where(torch.arange(labels.shape[1]) < 10, -100)),
        ("XLNet", "perm_mask", torch.zeros_like),
        ("XLNet", "target_mapping", lambda at: at.roll(1, dims=2)),
        ("T5", "attention_mask", lambda shown: shown * (torch.arange(shown.shape[1]) > 3)),
    ],
)
def test_a_peer_that_is_asked_something_else_is_refused(
    system: str,
    inputs: str,
    wrong: Callable[[torch.Tensor], torch.Tensor],
    sentences: list[text.Labelled],
    base: Base,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: the extra `bench`")
    right = steps.SYSTEMS[system]

    def asked(examples: Sequence[Example], slot: str) -> steps.Inputs:
        found = right.inputs(examples, slot)
        return {**found, inputs: wrong(found[inputs])}

    monkeypatch.setattr(steps, "SYSTEMS", {system: replace(right, inputs=asked)})
    with pytest.raises(Disagreement, match=f"{system} 2x32: .*nothing was timed"):
        steps.measure(sentences, base, SCALE, tmp_path)


def test_two_cores_are_measured_against_one(
    sentences: list[text.Labelled], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)  # two of them take seconds where others have a core
    monkeypatch.setattr(cores, "get_context", lambda _: dummy)  # no processes here: the command starts some
    monkeypatch.setattr(cores, "by_workers", lambda *_, number: 0.5)
    monkeypatch.setenv(cores.PARALLEL, "true")
    found = cores.measure(sentences, base, SCALE, tmp_path / "right")
    names = [f"{what}, 2 {how}" for what in ("pre-training 2x32", "embedding") for how in ("threads", "workers")]
    assert [(row.benchmark, row.peer) for row in found.rows] == [(name, cores.ONE) for name in names]
    assert [row.work for row in found.rows] == [2 * 4 * 16, 2 * 4 * 16, 24, 24]
    assert {pair.ours for pair in found.rows[1].pairs} == {0.5}
    assert all(len(row.pairs) == SCALE.pairs and row.ratio.median > 0 for row in found.rows)
    assert [agreement.what for agreement in found.agreements] == names[2:]
    turns = 4 * SCALE.pairs + 1  # on one thread, and the truth
    assert threads[0] == 2
    assert threads.count(1) >= turns + 2, "each worker has one too"
    monkeypatch.setattr(cores, "Workers", Swapped)
    with pytest.raises(Disagreement, match=r"embedding, 2 workers: .*nothing was timed"):
        cores.measure(sentences, base, SCALE, tmp_path / "wrong")


def test_two_processes_train_one_model_in_a_turn(sentences: list[text.Labelled], base: Base) -> None:
    objective, world = pretraining.masked(), World(base.tokenizer.vocab)
    blocks = pretraining.blocks([sentence for sentence, _ in sentences], base.tokenizer, SCALE)
    job = Job(Fixed(blocks, "cores"), (objective,), world, pretraining.plan(SCALE))
    assert 0 < cores.by_workers(base.files.backbone, job, SCALE.skip, number=2) < 60


class Swapped:
    """Workers whose halves come back in the wrong order, without their processes."""

    def __init__(self, folder: Path, *, number: int, longest: int) -> None:
        self.base, self.longest = Base.load(str(folder)), longest

    def __enter__(self) -> "Swapped":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def vectors(self, sentences: Sequence[str]) -> Any:
        model = started(self.base.files, {}, seed=0).eval()
        return cores.vectors(model, self.base.tokenizer, [*sentences[1::2], *sentences[::2]], self.longest)


def test_one_side_has_one_thread_and_the_other_two(monkeypatch: pytest.MonkeyPatch) -> None:
    def had() -> tuple[int, str]:
        return torch.get_num_threads(), os.environ[cores.PARALLEL]

    monkeypatch.setenv(cores.PARALLEL, "here")
    with cores.threads(2):
        assert (had(), cores.alone(had), had()) == ((2, "true"), (1, "false"), (2, "true"))
    assert os.environ[cores.PARALLEL] == "here"


def test_memory_is_measured_on_both_sides(
    sentences: list[text.Labelled], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("transformers", "accelerate"):
        pytest.importorskip(package, reason=f"{package} is not installed: the extra `bench`")
    travelled: list[str] = []

    def here(work: Callable[[], int]) -> int:
        """Without the start of a process; what is sent to one must still bear it."""
        there: Callable[[], int] = pickle.loads(pickle.dumps(work))
        travelled.append(there.__name__)
        return there()

    monkeypatch.setattr(memory, "alone", here)
    result = memory.measure(sentences, base, SCALE, tmp_path)
    assert travelled == ["ours", "theirs"] * 4
    assert [found.benchmark for found in result.memory] == ["a step of pre-training 2x32", "a step of fine-tuning"]
    assert all(bytes_ >= 0 for found in result.memory for bytes_ in (*found.ours, *found.theirs))
    assert len(result.agreements) == 4
    monkeypatch.setattr(memory, "PROC", tmp_path)
    with pytest.raises(BadInput, match=r"^memory is measured on Linux alone"):
        memory.measure(sentences, base, SCALE, tmp_path)


@pytest.mark.skipif(not (memory.PROC / "clear_refs").exists(), reason="the peak of a process is told by Linux alone")
def test_growth_is_measured_at_every_size(
    sentences: list[text.Labelled], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "alone", lambda work: pickle.loads(pickle.dumps(work))())  # without a process
    monkeypatch.setattr(gc, "collect", lambda: 0)  # a quarter of a second each time
    scale = replace(SCALE, pairs=1)
    curves = growth.measure(sentences, base, scale, tmp_path).curves
    found = [(curve.title, curve.over, tuple(curve.points)) for curve in curves]
    trained = {"length": scale.reaches, "width": scale.widths, "vocabulary": scale.vocabularies}
    speeds = [(f"training, {what}", over, at) for over, at in trained.items() for what in ("tokens/s", "share of peak")]
    memories = [(f"a step's memory, batch {batch}, MB", "vocabulary", scale.vocabularies) for batch in (1, 4)]
    assert found == [*speeds, *memories]
    assert all(len(runs) == 1 for curve in curves for runs in curve.points.values())
    assert all(run > 0 for curve in curves if "memory" not in curve.title for (run,) in curve.points.values())
    (record, *_) = [json.loads(json.dumps(record)) for record in show.records(Result((), (), curves=curves))]
    assert record["points"]["16"] == [record["spreads"]["16"]["median"]] == list(curves[0].points[16])


@pytest.mark.skipif(not (memory.PROC / "clear_refs").exists(), reason="the peak of a process is told by Linux alone")
def test_a_corpus_is_measured_at_every_size(
    sentences: list[text.Labelled], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "alone", lambda work: pickle.loads(pickle.dumps(work))())  # without a process
    monkeypatch.setattr(gc, "collect", lambda: 0)
    curves = corpora.measure(sentences, base, replace(SCALE, pairs=1), tmp_path).curves
    figures = ("start, seconds", "resumption, seconds", "memory at the peak, MB", "memory without files, MB")
    once = [f"where pairs begin, once: {figure}" for figure in ("seconds", "memory without files, MB")]
    starts = [*once, *(f"{shape}: {figure}" for shape in corpora.SHAPES for figure in figures)]
    found = [(curve.title, curve.over, tuple(curve.points)) for curve in curves]
    assert found == [(title, "MB of shards", (1, 2)) for title in starts]
    assert all(len(runs) == 1 for curve in curves for runs in curve.points.values())
    assert all(run > 0 for curve in curves if "memory" not in curve.title for (run,) in curve.points.values())
    assert not list(tmp_path.glob("*0")), "the corpora are gone"


def test_what_is_trained_over_the_length_has_as_many_tokens() -> None:
    axes = growth._axes(TOY, replace(SCALE, batch=8, reaches=(8, 16, 64)))
    assert [(one.batch, one.length) for one in axes["length"].values()] == [(16, 8), (8, 16), (2, 64)]
    assert {one.tokens for one in axes["length"].values()} == {2 * 8 * 16}
    assert {len(example) for one in axes["length"].values() for example in one.examples} == {8, 16, 64}
    assert [(one.spec.width, one.spec.heads, one.spec.ffn) for one in axes["width"].values()] == [
        (32, 2, 128),
        (64, 4, 256),
    ]
    assert [one.spec.vocab for one in axes["vocabulary"].values()] == [300, 600]


def test_curves_are_drawn_whole_and_no_panel_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: figures.append(figure))
    curve = Curve.of("memory, MB", "vocabulary", {10: [2.0, 8.0], 1000: [6.0]})
    drawing.save([curve] * 4, tmp_path / "curves.svg")
    shown = [axes for axes in figures[0].axes if axes.get_visible()]
    assert len(shown) == 4
    for axes in shown:
        assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[10, 5], [1000, 6]]
        assert axes.get_ylim()[0] == 0 < 6.5 < axes.get_ylim()[1], "quartiles have room"


def test_a_corpus_is_many_times_a_small_one(sentences: list[text.Labelled], base: Base, tmp_path: Path) -> None:
    small = corpora.written(sentences, base, tmp_path / "small")
    corpora.enlarged(small, tmp_path / "large", size=200_000)
    large = Shards.open(tmp_path / "large", tokenizer=base.tokenizer.fingerprint, verify=True)
    times, documents = len(large) // len(small), len(small.documents)
    assert times > 3
    assert 200_000 <= 3 * len(large) < 200_000 + 3 * len(small), "two bytes for a token, one for its beginning"
    assert (large.unigram_counts() == times * small.unigram_counts()).all()
    for number in (0, documents - 1):
        for copy in (1, times - 1):
            ours, theirs = large.sentences(number + copy * documents), small.sentences(number)
            assert [one.tokens.tolist() for one in ours] == [one.tokens.tolist() for one in theirs]
            assert [one.starts.tolist() for one in ours] == [one.starts.tolist() for one in theirs]
    assert len(large.documents) == times * documents == large.index.documents


@pytest.mark.skipif(not (memory.PROC / "clear_refs").exists(), reason="the peak of a process is told by Linux alone")
def test_a_start_stops_after_an_update_and_the_next_goes_on(
    sentences: list[text.Labelled], base: Base, tmp_path: Path
) -> None:
    base.tokenizer.save(tmp_path / "tokenizer")
    corpora.written(sentences, base, tmp_path / "corpus")
    for stopping, made in ((True, 1), (False, 2)):
        corpora.Start(tmp_path, "documents", 16, stopping).run()
        saved = checkpoint.latest(tmp_path / "documents" / "checkpoints")
        assert saved
        assert checkpoint.load(saved).step == made


def test_memory_is_that_of_ours_by_that_of_the_peer() -> None:
    found = Memory("toy", "peer", ours=(10, 30, 20), theirs=(40, 40, 40))
    (record, *_) = show.records(Result((), (), memory=(found,)))
    assert (record["record"], record["ours"], record["ratio"]["median"]) == ("memory", (10, 30, 20), 0.5)


def test_a_run_alone_has_a_process_of_its_own() -> None:
    assert memory.alone(os.getppid) == os.getpid()


@pytest.mark.skipif(not (memory.PROC / "clear_refs").exists(), reason="the peak of a process is told by Linux alone")
def test_a_gauge_tells_the_peak_from_the_beginning_of_training() -> None:
    gauge, size = memory.Gauge(), 2**26
    before = np.ones(2 * size, dtype=np.uint8)
    del before  # a peak that was reached earlier does not count
    kept = np.ones(size, dtype=np.uint8)  # nor what is there already
    gauge.start()
    assert gauge.risen() < size / 8
    later = np.ones(size, dtype=np.uint8)
    del later  # the peak counts, not what is left
    assert 7 / 8 * size < gauge.risen() < 9 / 8 * size
    assert kept.any()


def test_a_wrong_weight_is_refused(
    name: str, sentences: list[text.Labelled], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = peers.opened

    def wrong(folder: Path, auto: str) -> Any:
        model = right(folder, auto)
        last = [p for name, p in model.named_parameters() if "layer.1.output.dense.weight" in name]
        with torch.no_grad():
            last[0][0, 0] += 0.5
        return model

    monkeypatch.setattr(peers, "opened", wrong)
    with pytest.raises(Disagreement, match="nothing was timed"):
        MEASURES[name](sentences, base, SCALE, tmp_path)


def test_another_classifier_is_refused(
    sentences: list[text.Labelled], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that thinks a label a little less likely: its probabilities are equal within what is allowed."""
    pytest.importorskip("transformers", reason="transformers is not installed: the extra `bench`")
    right = peers.opened

    def wrong(folder: Path, auto: str) -> Any:
        model = right(folder, auto)
        if auto == "AutoModelForSequenceClassification":
            with torch.no_grad():
                model.classifier.bias[0] -= 3e-4
        return model

    monkeypatch.setattr(peers, "opened", wrong)
    with pytest.raises(Disagreement, match=r"classification: quire, transformers, file order: .*nothing was timed"):
        inference.measure(sentences, base, SCALE, tmp_path)


def test_training_with_another_gradient_is_refused(
    sentences: list[text.Labelled], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that freezes a part has the same loss, less work, and is no peer."""
    pytest.importorskip("accelerate", reason="accelerate is not installed: the extra `bench`")
    right = peers.opened

    def frozen(folder: Path, auto: str) -> Any:
        model = right(folder, auto)
        model.bert.embeddings.requires_grad_(False)
        return model

    monkeypatch.setattr(peers, "opened", frozen)
    with pytest.raises(Disagreement, match="norm of its gradient"):
        finetuning.measure(sentences, base, SCALE, tmp_path)


def test_a_peer_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.MODULES, "accelerate", "no_such_module")
    with pytest.raises(BadInput, match=r"^accelerate not installed; `pip install") as caught:
        peers.require("transformers", "accelerate")
    assert "\n" not in str(caught.value)


def test_the_command_goes_on_without_a_peer_and_writes_json_lines(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed: the extra `bench`")
    for name in ("RAYON_NUM_THREADS", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setitem(peers.MODULES, "accelerate", "no_such_module")
    few = replace(SCALE, reaches=(16,), widths=(32,), vocabularies=(300,), corpora=(10**6,))
    monkeypatch.setattr(command, "QUICK", few)
    monkeypatch.setattr(memory, "alone", lambda work: work())
    monkeypatch.setattr(gc, "collect", lambda: 0)
    monkeypatch.setattr(cores, "CORES", 1)  # see test_two_cores_are_measured_against_one
    monkeypatch.setattr(cores, "by_workers", lambda *_, number: 0.5)
    monkeypatch.setattr(Base, "load", lambda _: base)
    out, threads = tmp_path / "out.jsonl", str(torch.get_num_threads())
    done = CliRunner().invoke(
        command.app,
        [*["--quick", "--threads", threads], *["--out", str(out)], *["--plot", str(tmp_path / "growth.svg")]],
    )
    assert done.exit_code == 0, done.output
    assert "pretraining is left out: accelerate not installed" in done.output
    assert "SMOKE TEST, not a measurement" in done.output
    began, *found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert began["threads"] == torch.get_num_threads()
    assert {"processor", "torch", "transformers"} <= began["environment"].keys()
    rows = [record for record in found if record["record"] == "row"]
    damage = {row["benchmark"] for row in rows if row["benchmark"].startswith("corruption ")}
    others = [row["peer"] for row in rows if row["benchmark"] not in damage]
    words = [vectors.PEER] * 2 if find_spec("gensim") else []
    graphs = [onnx.OURS_INT8, onnx.FP32, *onnx.INT8.values()] * 2
    assert ("vectors is left out: gensim not installed" in done.output) == (not words)
    assert others == [
        *PEERS["steps"],
        *PEERS["inference"],
        *[cores.ONE] * 4,
        *[star.FUSED, star.NAIVE] * 3,
        *[generation.PEER] * 4,
        *words,
        *graphs,
    ]
    curves = [record for record in found if record["record"] == "curve"]
    assert (tmp_path / "growth.svg").read_text().count("<!-- MB of shards -->") == 14 < len(curves) == 22
    asked = {f"corruption {n}: {objective.slot}" for n in recipe.names() for objective in recipe.load(n).objectives}
    assert damage == asked, "every objective of every recipe is timed"


def test_writing_is_timed_where_the_tokens_are_the_same(
    sentences: list[text.Labelled], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: the extra `bench`")
    found = generation.measure(sentences, base, SCALE, tmp_path / "right")
    assert [(row.peer, row.work) for row in found.rows] == [(generation.PEER, n) for n in (6, 6, 18, 18)]
    assert [row.benchmark for row in found.rows][1::2] == [f"writing in int8, {n} at once" for n in SCALE.writers]
    assert [agreement.difference for agreement in found.agreements] == [0, 0]
    right = peers.opened

    def wrong(folder: Path, auto: str) -> Any:
        model = right(folder, auto)
        with torch.no_grad():
            model.transformer.h[1].mlp.c_proj.weight.mul_(-1)
        return model

    monkeypatch.setattr(peers, "opened", wrong)
    with pytest.raises(Disagreement, match=r"writing, 1 at once: tokens.*nothing was timed"):
        generation.measure(sentences, base, SCALE, tmp_path / "wrong")


def test_what_int8_costs_is_told_of_text_that_nobody_has_seen(sentences: list[text.Labelled]) -> None:
    tokenizer = Tokenizer.train((sentence for sentence, _ in sentences), kind="wordpiece", size=TOY.vocab)
    passages, vocab = tokenizer.encode([sentence for sentence, _ in sentences]), tokenizer.vocab
    spec = TOY.model_copy(update={"vocab": vocab.size, "init_std": 0.3})
    one, other = (Model(spec, fidelity.LM.parts(spec, World(vocab)), seed=seed).eval() for seed in (1, 2))
    same = fidelity.compared(one, one, passages, vocab)
    assert (same.same_next, same.same_written, same.perplexity_int8) == (1, 1, same.perplexity)
    assert same.perplexity > vocab.size, "weights as large as these know less than one who guesses"
    found = fidelity.compared(one, other, passages, vocab)
    assert found.perplexity == same.perplexity
    assert found.perplexity_int8 == fidelity.compared(other, one, passages, vocab).perplexity
    assert found.same_next < 0.2
    assert found.same_written < 0.2


def test_what_int8_costs_a_classifier_is_told_on_the_same_sentences(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Record(f"a {word} one", label, "") for word, label in 6 * [("good", "positive"), ("bad", "negative")]]
    network = accuracy.taught(rows, base, SCALE, longest=24)
    truth = [network.labels.index(str(row.label)) for row in rows[:5]]
    full = float(np.mean(network.probabilities([row.text for row in rows[:5]]).argmax(1) == truth))

    class Contrary:
        """Says the other class of every text but the first."""

        def probabilities(self, texts: Sequence[str]) -> Any:
            found = network.probabilities(texts)
            return np.concatenate([found[:1], found[1:, ::-1]])

    monkeypatch.setattr("benchmarks.accuracy.Int8Network.quantised", lambda one: Contrary())
    found = accuracy.compared(network, rows[:5])
    first = network.probabilities([rows[0].text]).argmax(1)[0] == truth[0]
    assert (found.full, found.same) == pytest.approx((full, 1 / 5))
    assert found.int8 == pytest.approx(1 - full + (2 * first - 1) / 5)


def test_word_vectors_are_timed_where_the_words_are_the_same(
    sentences: list[text.Labelled], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gensim", reason="gensim is not installed: the extra `bench`")
    monkeypatch.setattr(vectors, "_measures", lambda _: {"words": lambda space: len(space.names)})
    found = vectors.measure(sentences, base, SCALE, tmp_path / "right")
    assert [(row.benchmark, row.peer) for row in found.rows] == [(name, vectors.PEER) for name in vectors.RATES]
    assert [agreement.difference for agreement in found.agreements] == [0, 0]
    lines = (tmp_path / "right" / "lines.txt").read_text(encoding="utf-8").split()
    assert {row.work for row in found.rows} == {5 * len(lines)}
    words = len(set(lines))
    assert f"words {words:.1f} +- 0.0 (quire), {words:.1f} +- 0.0 ({vectors.PEER})" in found.remarks[-1]
    right = vectors._word
    monkeypatch.setattr(vectors, "_word", lambda tokenizer, i: right(tokenizer, i).replace("the", "thee"))
    monkeypatch.setattr(vectors, "_counts", lambda material: {w: lines.count(w) for w in set(lines)})
    with pytest.raises(Disagreement, match=r"counts of words.*nothing was timed"):
        vectors.measure(sentences, base, SCALE, tmp_path / "wrong")


def test_documents_come_from_all_parts_of_a_text() -> None:
    sentences = [f"{i} {i}" for i in range(10 * vectors.SENTENCES)]
    assert vectors.spread(sentences, words=10**9) == ["\n".join(sentences[i : i + 400]) for i in range(0, 4000, 400)]
    begins = [document.split()[0] for document in vectors.spread(sentences, words=5 * 2 * 400)]
    assert begins == ["0", "800", "1600", "2400", "3200"]


def test_similarity_is_the_rank_correlation_of_known_pairs() -> None:
    rows = np.array([[1, 0], [1, 0.1], [1, 1], [0, 1]], dtype=np.float32)
    space = Space("word", "here", "", ["a", "b", "c", "d"], rows)
    pairs = [("a", "b", 9.0), ("a", "c", 5.0), ("a", "d", 1.0), ("a", "unknown", 0.0)]
    assert vectors.similarity(space, pairs) == pytest.approx(100)
    assert vectors.similarity(space, [(a, b, -score) for a, b, score in pairs]) == pytest.approx(-100)


def test_star_counts_memory_exactly_and_fits_the_exponents(base: Base, tmp_path: Path) -> None:
    scale = replace(SCALE, pairs=1, lengths=(128, 256, 512))
    found = star.measure([], base, scale, tmp_path)
    assert [row.peer for row in found.rows] == [star.FUSED, star.NAIVE] * 3
    assert {row.work for row in found.rows} == {512}
    assert found.agreements[0].difference < 1e-4
    memory = {
        line.partition(":")[0]: float(line.partition("that of memory is ")[2].split()[0])
        for line in found.remarks
        if "that of memory is" in line
    }
    assert abs(memory[star.STAR] - 1) < 0.02 < 0.15 < memory[star.NAIVE] - 1
    assert "quicker than full attention, fused from" in found.remarks[-1]


def test_exponents_are_slopes() -> None:
    assert star.exponent({n: 3.0 * n**1.5 for n in (2, 8, 64)}) == pytest.approx(1.5)
    assert star.winning((1, 2, 3, 4), (1, 3, 4)) == "3"
    assert star.winning((1, 2), (1,)) == "more than the longest of these"


def test_one_label_cannot_be_learnt(base: Base, tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed: the extra `bench`")
    with pytest.raises(BadInput, match="two labels or more"):
        finetuning.measure([("A short sentence.", "only")] * 8, base, SCALE, tmp_path)
