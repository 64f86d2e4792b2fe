"""Graphs say what packed batches say, whatever the family, the number of sequences and their lengths."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.nn.test_padded import HEADS, drawn, model
from tests.train.folders import QUIET

from quire.core.errors import BadInput
from quire.export import graph as graphs
from quire.export.graph import write_graph
from quire.export.runtime import Runtime
from quire.export.subject import subject
from quire.nn.model import Model, Packed, Step
from quire.nn.padded import PaddedModel
from quire.predict.network import Network
from quire.text.tokenizers import Tokenizer

BATCHES = ([1], [14], [1, 12, 5, 7, 3, 1, 14], [4] * 7)
"""Lengths: one sequence and seven, the shortest and the longest, alone and together."""


def said(whole: Model, runtime: Runtime, lengths: list[int], *, head: str | None, segments: int) -> float:
    """How far apart the two are."""
    batch = drawn(lengths, 3, segments=segments)
    with torch.no_grad():
        step = Step(whole, Packed(batch))
        ours = step.encode() if head is None else step.scores(head, step.batch.first)
    return float(np.abs(ours.numpy() - runtime(batch)[0]).max())


@pytest.mark.parametrize("body", ["mpnet", "albert, sinusoids", "modern", "xlnet", "mobile", "prefix", "prompt"])
def test_states_are_ours(body: str, tmp_path: Path) -> None:
    whole = model(body, depth=3 if body == "modern" else 2)
    padded = PaddedModel(whole)
    write_graph(padded, tmp_path / "m.onnx")
    runtime = Runtime(tmp_path / "m.onnx")
    segments = 2 if "token_type_ids" in padded.inputs else 1
    assert tuple(runtime.inputs) == padded.inputs
    for lengths in BATCHES:
        assert said(whole, runtime, lengths, head=None, segments=segments) < 2e-5


def test_scores_are_ours_and_the_file_tells_no_paths(tmp_path: Path) -> None:
    import onnx

    whole = model("bert", HEADS["attention, none"], depth=2)
    write_graph(PaddedModel(whole, head="classify"), tmp_path / "m.onnx")
    for lengths in BATCHES:
        assert said(whole, Runtime(tmp_path / "m.onnx"), lengths, head="classify", segments=2) < 2e-5
    graph = onnx.load(tmp_path / "m.onnx").graph
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    axes = ["batch", "length"]
    assert shapes == {"input_ids": axes, "attention_mask": axes, "token_type_ids": axes, "logits": ["batch", 3]}
    assert b"quire/nn" not in (tmp_path / "m.onnx").read_bytes()


@QUIET
def test_a_folder_of_theirs_answers_as_theirs_does(tmp_path: Path) -> None:
    """RoBERTa, whose rows of positions begin behind the padding's."""
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 41, "hidden_size": 18, "num_hidden_layers": 2, "num_attention_heads": 3, "pad_token_id": 1}
    sizes |= {"intermediate_size": 20, "max_position_embeddings": 13, "type_vocab_size": 1, "num_labels": 4}
    config = transformers.RobertaConfig(**sizes, initializer_range=0.4)
    theirs = transformers.RobertaForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    Tokenizer.train(["a b c d e f g"], kind="wordpiece", size=37).save(tmp_path / "theirs")
    found = subject(tmp_path / "theirs")
    write_graph(found.graph, tmp_path / "m.onnx")
    mask = np.arange(11) < np.array([[11], [1], [6]])
    ids = np.where(mask, np.random.default_rng(0).integers(5, 37, mask.shape), 1)
    (ours,) = Runtime(tmp_path / "m.onnx").session.run(
        None, {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
    )
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask).long()).logits.numpy()
    np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_a_package_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "NEEDED", ("onnx", "no_such_module"))
    with pytest.raises(BadInput, match=r"^--onnx: no_such_module not installed; `pip install 'quire\[onnx\]'`$"):
        graphs.require()


def test_what_reads_in_windows_is_one_line(network: Network, tmp_path: Path) -> None:
    Network(network.model, network.task, network.tokenizer, length=9, how="windows").save(tmp_path / "m")
    with pytest.raises(
        BadInput, match=r"reads in windows, which has no ONNX form here; serve it with `quire predict`$"
    ):
        subject(tmp_path / "m")
