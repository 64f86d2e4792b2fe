"""The whole way: a folder that answers without us, graphs that are wrong, and what has none."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from tests.export.conftest import LABELS, LENGTH, TEXTS

from quire import cli
from quire.core.errors import BadInput
from quire.core.spec import Backbone
from quire.export import Outcome, export_onnx, job
from quire.export.acceptance import Comparison, Say, batches, compare, rows
from quire.export.runtime import Runtime
from quire.export.subject import Subject, subject
from quire.nn.model import Model
from quire.predict.features import Features
from quire.predict.linear import Scores
from quire.predict.majority import Majority
from quire.predict.network import Int8Network, Network
from quire.predict.vote import Voting
from quire.text.joined import parts


def snippet(card: str) -> dict[str, Any]:
    """What the code of a card defines, run in the folder that we are in."""
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_the_card_tells_how_to_answer_without_us(
    exported: Outcome, network: Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(exported.folder)
    card = (exported.folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Its card\n")
    names = snippet(card.replace("onnx/model_quantized.onnx", "onnx/model.onnx"))
    assert names["labels"] == list(LABELS)
    assert capsys.readouterr().out.startswith("[")
    found = softmax(names["answer"](TEXTS), axis=1)
    np.testing.assert_allclose(found, network.probabilities(TEXTS), atol=1e-5)
    assert f"{exported.export.compared.difference:.1e}" in card


def test_the_folder_stands_beside_the_models_and_says_what_was_measured(exported: Outcome, folder: Path) -> None:
    home = exported.folder
    assert home == folder.with_name("model-onnx")
    assert {path.name for path in home.iterdir()} >= {"config.json", "tokenizer.json", "onnx", "export.json"}
    assert json.loads((home / "config.json").read_text(encoding="utf-8"))["id2label"]["0"] == LABELS[0]
    record = json.loads((home / "export.json").read_text(encoding="utf-8"))
    assert record == exported.export.model_dump(mode="json")
    assert record["compared"]["texts"] == len([text for text in TEXTS if text])
    assert record["compared"]["longest"] == LENGTH
    assert record["compared"]["difference"] < 1e-5
    assert len(record["tried"]) == 4
    kept = {one["way"]: one["bytes"] for one in record["tried"]}.get(record["kept"])
    assert sorted(path.name for path in (home / "onnx").iterdir()) == ["model.onnx"] + ["model_quantized.onnx"] * bool(
        kept
    )


def edited(change: Callable[[Any, dict[str, Any]], None], path: Path, into: Path) -> Path:
    """The graph with a fault: `change` gets the graph and its learnt arrays by name, which it may replace."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load(path)
    arrays = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in proto.graph.initializer}
    change(proto.graph, arrays)
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    onnx.save(proto, into)
    return into


def shift(graph: Any, arrays: dict[str, Any]) -> None:
    """Positions begin a row too late."""
    (table,) = (name for name, array in arrays.items() if array.shape == (23, 24))
    arrays[table] = np.roll(arrays[table], -1, axis=0)


def unmask(graph: Any, arrays: dict[str, Any]) -> None:
    """Every token is seen: the exporter, given one tensor as two inputs, makes one of them."""
    for node in graph.node:
        node.input[:] = ["input_ids" if name == "attention_mask" else name for name in node.input]


def spoil(graph: Any, arrays: dict[str, Any]) -> None:
    """Not a number."""
    (table,) = (name for name, array in arrays.items() if array.shape == (23, 24))
    arrays[table][-7] = np.nan


@pytest.mark.parametrize("fault", [shift, unmask, spoil])
def test_a_wrong_graph_is_not_accepted(
    fault: Callable[[Any, dict[str, Any]], None], exported: Outcome, folder: Path, tmp_path: Path
) -> None:
    found = subject(folder)
    compare(found, Runtime(exported.folder / "onnx/model.onnx"), TEXTS)
    with pytest.raises(BadInput, match=r"apart by (\d|nan).* at lengths 2, 3, .*; nothing was written"):
        compare(found, Runtime(edited(fault, exported.folder / "onnx/model.onnx", tmp_path / "wrong.onnx")), TEXTS)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["quire", "export", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_what_is_not_accepted_is_not_written(
    exported: Outcome,
    folder: Path,
    reviews: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph = exported.folder / "onnx/model.onnx"
    monkeypatch.setattr(job, "write_graph", lambda _, into: edited(shift, graph, into))
    assert command(monkeypatch, folder, "--onnx", "--texts", reviews, "--out", tmp_path / "out") == 2
    assert "the graph is not the model" in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(job, "write_graph", lambda _, into: shutil.copy(graph, into))
    assert command(monkeypatch, folder, "--onnx", "--texts", reviews, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "model.onnx says what Quire says" in said
    assert said.splitlines()[-1] == f"written to {tmp_path / 'out'}"


def test_it_is_compared_on_pairs_where_there_is_a_second_column(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pairs.csv").write_text("text,other\na good film,很好\nbad,很差的\n", encoding="utf-8")
    seen: list[str] = []

    def looking(found: Subject, say: Say, texts: Sequence[str]) -> Comparison:
        seen.extend(texts)
        return compare(found, say, texts)

    monkeypatch.setattr(job, "compare", looking)
    given = ("--texts", tmp_path / "pairs.csv", "--pair-column", "other", "--out", tmp_path / "out")
    assert command(monkeypatch, folder, "--onnx", *given) == 0
    assert [parts(text) for text in seen] == [("a good film", "很好"), ("bad", "很差的")]


def writer(home: Path, network: Network) -> Path:
    from quire.core.heads import TokenHead
    from quire.train.weights import save_model

    spec = network.model.spec
    heads = {"lm": TokenHead(transform=False)}
    save_model(
        home,
        backbone=spec,
        heads=heads,
        state=Model(spec, heads).state_dict(),
        labels=None,
        tokenizer_saver=network.tokenizer.save,
        card="",
        extra={},
        vocab=network.tokenizer.vocab,
    )
    return home


def test_what_cannot_be_exported_is_one_line(
    network: Network, folder: Path, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Majority.fit(LABELS, [LABELS[0]]).save(tmp_path / "majority")
    Int8Network.quantised(network).save(tmp_path / "int8")
    Voting([network, network]).save(tmp_path / "vote")
    writer(tmp_path / "writer", network)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "thesis.txt").touch()
    refused: dict[str, dict[str, Any]] = {
        "holds no network": {"model": tmp_path / "majority"},
        "2 networks that vote, which no one graph holds; export one of them": {"model": tmp_path / "vote"},
        "holds int8 weights of ours; export the fp32 folder": {"model": tmp_path / "int8"},
        "writes texts, which has no ONNX form": {"model": tmp_path / "writer"},
        "no such folder": {"model": tmp_path / "nowhere"},
        "give --texts": {"model": folder, "texts": None},
        "was not written by `quire export`": {"model": folder, "out": tmp_path / "else"},
        "say where to with --out": {"model": "minilm"},
    }
    monkeypatch.setattr("quire.export.subject.embedded", lambda name: folder)
    for why, options in refused.items():
        with pytest.raises(BadInput, match=re.escape(why)) as caught:
            export_onnx(**{"texts": reviews, **options})
        assert "\n" not in str(caught.value)
    assert command(monkeypatch, folder) == 2


def test_features_are_exported_with_their_regression(network: Network, reviews: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    linear = Scores(draw.normal(size=(3, 24)).astype(np.float32), np.array([0.1, 0.2, 0.3], dtype=np.float32))
    spec: Backbone = network.model.spec
    features = Features(Model(spec, {}, seed=4), network.tokenizer, linear, LABELS, length=LENGTH, how="tail")
    features.save(tmp_path / "run" / "model")
    outcome = export_onnx(tmp_path / "run", texts=reviews)
    assert outcome.folder == tmp_path / "run" / "model-onnx"
    found = subject(tmp_path / "run")
    scores = rows(Runtime(outcome.folder / "onnx/model.onnx"), batches(found, TEXTS))
    np.testing.assert_allclose(softmax(scores, axis=1), features.probabilities(TEXTS), atol=1e-5)
