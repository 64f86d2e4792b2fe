"""What tests of the bridge share: small models of transformers with large weights, and Quire's loss on the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.nn.parity import drawn
from torch import Tensor

from quire.core.example import Batch
from quire.core.heads import TokenHead
from quire.hf import Bridge
from quire.nn.model import Model, Packed, Step
from quire.train.convert import import_tensors
from quire.train.loop import planned

LENGTH, SIZE = 40, 90
WIDE = {"vocab_size": SIZE, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3}
BERT = {**WIDE, "intermediate_size": 20, "max_position_embeddings": 48, "pad_token_id": 0}
GPT = {"vocab_size": SIZE, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 48}
IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
MODELS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "albert": ("AlbertForMaskedLM", {**BERT, "embedding_size": 7}),
    "bert": ("BertForMaskedLM", {**BERT, "type_vocab_size": 3}),
    "bert-bare": ("BertModel", BERT),
    "bert-both": ("BertForPreTraining", BERT),
    "deberta": ("DebertaV2ForMaskedLM", BERT),
    "distilbert": (
        "DistilBertForMaskedLM",
        {"vocab_size": SIZE, "dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 20, "max_position_embeddings": 48},
    ),
    "electra": ("ElectraForPreTraining", {**BERT, "embedding_size": 9}),
    "mobilebert": ("MobileBertForMaskedLM", {**BERT, "embedding_size": 24, "intra_bottleneck_size": 24}),
    "modernbert": ("ModernBertForMaskedLM", {**BERT, **IDS, "cls_token_id": 2, "sep_token_id": 3}),
    "mpnet": ("MPNetForMaskedLM", BERT),
    "roberta": ("RobertaForMaskedLM", {**BERT, "pad_token_id": 1}),
    "roberta-odd": ("RobertaForMaskedLM", {**BERT, "pad_token_id": 0}),
    "xlm": (
        "XLMWithLMHeadModel",
        {"vocab_size": SIZE, "emb_dim": 24, "n_layers": 2, "n_heads": 3, "max_position_embeddings": 48}
        | {"n_langs": 2, "pad_index": 0},
    ),
    "xlnet": ("XLNetLMHeadModel", {"vocab_size": SIZE, "d_model": 24, "n_layer": 2, "n_head": 3, "d_inner": 20}),
    "gpt": ("OpenAIGPTLMHeadModel", GPT),
    "gpt2": ("GPT2LMHeadModel", {**GPT, **IDS}),
    "bart": (
        "BartForConditionalGeneration",
        {"vocab_size": SIZE, "d_model": 24, "max_position_embeddings": 48, **IDS, "decoder_start_token_id": 3}
        | {"encoder_layers": 2, "encoder_ffn_dim": 20, "encoder_attention_heads": 3}
        | {"decoder_layers": 1, "decoder_ffn_dim": 20, "decoder_attention_heads": 3},
    ),
    "t5": (
        "T5ForConditionalGeneration",
        {"vocab_size": SIZE, "d_model": 24, "d_kv": 8, "d_ff": 20, "num_layers": 2, "num_heads": 3}
        | {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0},
    ),
}
"""A class of transformers and the settings of its configuration."""


def theirs(kind: str) -> Any:
    """A model without dropout, with large weights."""
    name, settings = MODELS[kind]
    made = getattr(pytest.importorskip("transformers"), name)
    return drawn(made(made.config_class(**settings)), 3, but="position_embeddings.weight" if kind == "xlm" else "")


def mirrored(bridge: Bridge) -> Model:
    """Quire's model with the weights of theirs and of what stands beside it."""
    host = bridge.host
    found = import_tensors(bridge.model.state_dict(), bridge.model.config.to_dict(), where=Path("theirs"))
    parts = planned(bridge.objectives, found.backbone, bridge.damage.world)
    state = {name: tensor for name, tensor in found.state.items() if name.startswith("backbone.")}
    state |= {name: tensor for name, tensor in host.state_dict().items() if name.startswith(("heads.", "bodies."))}
    for slot in host.at_home:
        [(place, spec)] = [(p, s) for p, s in found.heads.items() if isinstance(s, TokenHead)]
        parts[slot] = spec
        inner = {n.split(".", 2)[2]: t for n, t in found.state.items() if n.startswith(f"heads.{place}.")}
        state |= {f"heads.{slot}.{name}": tensor for name, tensor in inner.items()}
    model = Model(found.backbone, parts).eval()
    model.load_state_dict(state)
    return model


def quires_loss(bridge: Bridge, batch: Batch) -> Tensor:
    """What Quire computes on the same weights and batch."""
    step = Step(mirrored(bridge), Packed(batch))
    return torch.stack([o.weight * o.loss(step) for o in bridge.objectives]).sum()


def seeded(loss: Any, *arguments: Any) -> Tensor:
    """A loss, where ELECTRA's samples are always the same."""
    torch.manual_seed(1)
    found = loss(*arguments)
    drawn_loss: Tensor = found["loss"] if isinstance(found, dict) else found
    return drawn_loss


def same_loss(bridge: Bridge, rows: Any) -> Tensor:
    """Theirs and ours agree on rows; theirs."""
    batch = bridge.eval().collate(rows)["batch"]
    loss = seeded(bridge, batch)
    torch.testing.assert_close(loss, seeded(quires_loss, bridge, batch), atol=1e-5, rtol=1e-5)
    return loss
