"""config.json of every family with values that no model has: refused in one line before memory is taken, or fine."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.train.folders import QUIET
from torch import Tensor

from quire.core.errors import BadInput
from quire.train.convert import import_tensors
from quire.train.families import FAMILIES
from quire.train.sharded import read_weights

HERE = Path("here")
SIZES = {"vocab_size": 37, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
BERT = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20}
BERT |= {"max_position_embeddings": 16}
GPT = {"n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 16}
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertForPreTraining", BERT),
    "roberta": ("RobertaForMaskedLM", {**BERT, "pad_token_id": 1}),
    "distilbert": ("DistilBertForMaskedLM", {"dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 20}),
    "mpnet": ("MPNetForMaskedLM", BERT),
    "electra": ("ElectraForPreTraining", {**BERT, "embedding_size": 8}),
    "albert": ("AlbertForMaskedLM", {**BERT, "embedding_size": 8}),
    "mobilebert": (
        "MobileBertForMaskedLM",
        {**BERT, "embedding_size": 8, "intra_bottleneck_size": 6, "true_hidden_size": 6},
    ),
    "modernbert": ("ModernBertForMaskedLM", {**BERT, "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2}),
    "xlm": ("XLMWithLMHeadModel", {"emb_dim": 12, "n_layers": 2, "n_heads": 3, "sinusoidal_embeddings": True}),
    "xlnet": ("XLNetLMHeadModel", {"d_model": 12, "n_layer": 2, "n_head": 3, "d_inner": 20}),
    "openai-gpt": ("OpenAIGPTLMHeadModel", GPT),
    "gpt2": ("GPT2LMHeadModel", GPT),
    "bart": (
        "BartForConditionalGeneration",
        {"d_model": 12, "max_position_embeddings": 16}
        | {f"{side}_{field}": size for side in ("encoder", "decoder")
           for field, size in (("layers", 2), ("attention_heads", 3), ("ffn_dim", 20))},
    ),
    "t5": ("T5ForConditionalGeneration", {"d_model": 12, "num_layers": 2, "num_heads": 3, "d_ff": 20, "d_kv": 4}),
}  # fmt: skip
ODD: list[Any] = [-1, 10**12, 10**30, float("nan"), float("inf"), "wide\nand long " * 99]


def refusal(tensors: dict[str, Tensor], config: dict[str, Any]) -> str:
    """What is said against a configuration, if anything."""
    try:
        backbone = import_tensors(tensors, config, where=HERE).backbone
    except BadInput as error:
        return str(error)
    assert backbone.depth <= 1000
    return ""


@QUIET
@pytest.mark.parametrize("name", SMALL)
def test_a_field_that_no_model_has_is_refused_or_fine(name: str, tmp_path: Path) -> None:
    kind, sizes = SMALL[name]
    model = getattr(pytest.importorskip("transformers"), kind)
    model(model.config_class(**{**SIZES, **sizes})).save_pretrained(tmp_path)
    config, tensors = json.loads((tmp_path / "config.json").read_text()), read_weights(tmp_path)
    assert not refusal(tensors, config)
    family = FAMILIES[name]
    refused = 0
    for field in sorted({*family.fields.values(), family.activation, *sizes, "model_type"} - {""}):
        for value in ODD:
            said = refusal(tensors, {**config, field: value})
            assert not said or said.startswith(str(HERE)), (field, value)
            assert "\n" not in said, (field, value)
            assert len(said) < 600, (field, value)
            refused += bool(said)
    assert refused > 40, "most are no model's"


def test_every_family_is_tried() -> None:
    assert set(FAMILIES) <= {*SMALL, "xlm-roberta"}
