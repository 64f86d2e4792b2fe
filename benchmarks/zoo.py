"""Small models of transformers at sizes that somebody draws, one for each class that Quire reads.

Sizes are odd on purpose: what holds for heads 64 wide may fail for 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from quire.core.random import Rng, seed_of
from quire.train.families import FAMILIES
from quire.train.families.base import Family

VOCAB, LENGTH, PAD, END = 37, 19, 1, 2
"""Of every model: tokens, positions, and the ids of two tokens."""


@dataclass(frozen=True)
class Sizes:
    """What is drawn of a model; each family takes what it has."""

    heads: int = 3
    head_width: int = 5
    depth: int = 2
    decoder: int = 2
    ffn: int = 13
    segments: int = 2
    act: str = "gelu"
    eps: float = 1e-12
    embedding: int = 4
    shared: bool = True
    languages: int = 3
    sinusoidal: bool = False
    reach: int = 2
    every: int = 2
    trigrams: bool = True
    apart: bool = True
    pooled: bool = True
    gated: bool = True
    tied: bool = True
    scale: bool = True
    buckets: int = 8
    furthest: int = 12
    key: int = 0

    @property
    def width(self) -> int:
        return self.heads * self.head_width

    @classmethod
    def drawn(cls, rng: Rng) -> "Sizes":
        """Of all that `CHOICES` has."""
        return cls(**{name: options[rng.integers(len(options))] for name, options in CHOICES.items()})


_EITHER = (True, False)
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "heads": (3, 1, 5),
    "head_width": (5, 1, 3, 8),
    "depth": (2, 1, 3),
    "decoder": (2, 1, 3),
    "ffn": (7, 16, 33),
    "segments": (2, 1),
    "act": ("gelu", "gelu_new", "relu", "silu"),
    "eps": (1e-12, 1e-5, 1e-2),
    "embedding": (4, 7),
    "languages": (3, 1),
    "reach": (2, 1, 3, 4),
    "every": (2, 1, 3),
    "buckets": (4, 5, 7, 8),
    "furthest": (5, 12),
    "key": tuple(range(100)),
    **{field.name: _EITHER for field in fields(Sizes) if field.type is bool},
}
"""What is drawn from; the first of all is what a simple model has."""
CLASSES: Mapping[str, Family] = {name: family for family in FAMILIES.values() for name, _ in family.architectures}
"""Every class of theirs that Quire reads, and its family."""


def model(name: str, sizes: Sizes) -> Any:
    """Their model of the class `name`, in evaluation mode, with every parameter drawn large."""
    import transformers

    family = CLASSES[name]
    kind = getattr(transformers, name)
    if family.causal and "LMHead" not in name:  # untied and without its matrix, nothing says what a body sees
        sizes = replace(sizes, tied=True)
    config = kind.config_class(**settings(family, fitting(family, sizes)))
    config.num_labels = 2 if name.endswith(("ForPreTraining", "ForQuestionAnswering")) else 3
    theirs = kind(config)
    if name == "T5ForConditionalGeneration" and sizes.gated and not sizes.tied:
        theirs.lm_head.weight = torch.nn.Parameter(theirs.lm_head.weight.clone())  # as a folder with two is read
    drawn(theirs, sizes.key, but=fixed(name, sizes))
    if name == "BartForConditionalGeneration":
        theirs.final_logits_bias.normal_(generator=torch.Generator().manual_seed(sizes.key))
    if family.model_type == "mobilebert":  # shows the padding to the last token
        theirs.get_input_embeddings().weight.data[PAD] = 0
    return theirs


def fixed(name: str, sizes: Sizes) -> str:
    """The table that is computed, if any."""
    prefix = "" if name == "XLMModel" else "transformer."
    return f"{prefix}position_embeddings.weight" if CLASSES[name].computed and sizes.sinusoidal else ""


def drawn(theirs: Any, key: int, *, but: str = "") -> Any:
    """Their model with every parameter drawn large, but one that is fixed."""
    draw = torch.Generator().manual_seed(seed_of("parity", key))
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if name != but:
                parameter.normal_(std=0.3, generator=draw)
    return theirs.eval()


def fitting(family: Family, sizes: Sizes) -> Sizes:
    """What the family can have."""
    acts = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "silu": "silu"}
    if family.activation and acts[sizes.act] not in family.activations:
        sizes = replace(sizes, act="gelu")
    if sizes.width == 1:  # a norm over one value is 0, and its gradient rounding
        sizes = replace(sizes, head_width=2)
    if family.model_type == "albert" and sizes.width == sizes.embedding:
        sizes = replace(sizes, embedding=sizes.embedding + 1)
    if family.model_type in ("modernbert", "xlnet") and sizes.head_width % 2:  # pairs are turned; sines and cosines
        sizes = replace(sizes, head_width=2 * sizes.head_width)
    return sizes


def settings(family: Family, sizes: Sizes) -> dict[str, Any]:
    """What their configuration is made of."""
    common: dict[str, Any] = {"vocab_size": VOCAB, "pad_token_id": PAD, "eos_token_id": END}
    match family.model_type:
        case "gpt2" | "openai-gpt":
            return {**common, **_gpt(family.model_type, sizes)}
        case "bart" | "t5":
            return {**common, **(_bart(sizes) if family.model_type == "bart" else _t5(sizes))}
        case "xlm" | "xlnet" | "distilbert" | "modernbert":
            own = {"xlm": _xlm, "xlnet": _xlnet, "distilbert": _distilbert, "modernbert": _modernbert}
            return {**common, "tie_word_embeddings": sizes.tied, **own[family.model_type](sizes)}
    return {**common, **_bert(sizes), **_relative(family.model_type, sizes)}


def _body(sizes: Sizes) -> dict[str, Any]:
    return {
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.depth,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.ffn,
        "max_position_embeddings": LENGTH,
    }


def _bert(sizes: Sizes) -> dict[str, Any]:
    return {
        **_body(sizes),
        "type_vocab_size": sizes.segments,
        "hidden_act": sizes.act,
        "layer_norm_eps": sizes.eps,
        "tie_word_embeddings": sizes.tied,
    }


def _relative(model_type: str, sizes: Sizes) -> dict[str, Any]:
    """What a relative of BERT's has beside or in place of its settings."""
    match model_type:
        case "roberta" | "xlm-roberta" | "mpnet":
            return {"max_position_embeddings": LENGTH + PAD + 1}
        case "electra":
            return {"embedding_size": sizes.embedding}
        case "albert":
            return {"embedding_size": sizes.embedding, "num_hidden_groups": 1 if sizes.shared else sizes.depth}
        case "mobilebert":
            return {
                "hidden_size": sizes.width + sizes.embedding,
                "intra_bottleneck_size": sizes.width,
                "embedding_size": sizes.embedding,
                "num_feedforward_networks": sizes.every,
                "trigram_input": sizes.trigrams,
                "use_bottleneck_attention": not sizes.apart,
                "key_query_shared_bottleneck": sizes.apart,
                # All of its norms have 1e-5 where they are norms.
                "normalization_type": "layer_norm" if sizes.eps == 1e-5 else "no_norm",
                "classifier_activation": sizes.pooled,
                "tie_word_embeddings": True,
            }
    return {}


def _distilbert(sizes: Sizes) -> dict[str, Any]:
    return {
        "dim": sizes.width,
        "n_layers": sizes.depth,
        "n_heads": sizes.heads,
        "hidden_dim": sizes.ffn,
        "max_position_embeddings": LENGTH,
        "activation": sizes.act,
        "sinusoidal_pos_embds": sizes.sinusoidal,
    }


def _modernbert(sizes: Sizes) -> dict[str, Any]:
    return {
        **_body(sizes),
        "hidden_activation": sizes.act,
        "classifier_activation": sizes.act,
        "norm_eps": sizes.eps,
        "local_attention": 2 * sizes.reach,
        "layer_types": ["sliding_attention" if i % sizes.every else "full_attention" for i in range(sizes.depth)],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 160.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10.0},
        },
    }


def _xlm(sizes: Sizes) -> dict[str, Any]:
    return {
        "emb_dim": sizes.width,
        "n_layers": sizes.depth,
        "n_heads": sizes.heads,
        "max_position_embeddings": LENGTH,
        "layer_norm_eps": sizes.eps,
        "gelu_activation": sizes.act != "relu",
        "sinusoidal_embeddings": sizes.sinusoidal,
        "n_langs": sizes.languages,
    }


def _xlnet(sizes: Sizes) -> dict[str, Any]:
    return {
        "d_model": sizes.width,
        "n_layer": sizes.depth,
        "n_head": sizes.heads,
        "d_inner": sizes.ffn,
        "ff_activation": sizes.act,
        "layer_norm_eps": sizes.eps,
    }


def _gpt(model_type: str, sizes: Sizes) -> dict[str, Any]:
    own = {"activation_function": sizes.act, "n_inner": sizes.ffn if sizes.shared else None}
    of_gpt = {"afn": sizes.act.removesuffix("_new")}  # its gelu is the tanh's, its layers four times as wide inside
    return {
        "n_embd": sizes.width,
        "n_layer": sizes.depth,
        "n_head": sizes.heads,
        "n_positions": LENGTH,
        "layer_norm_epsilon": sizes.eps,
        "tie_word_embeddings": sizes.tied,
        **(own if model_type == "gpt2" else of_gpt),
    }


def _bart(sizes: Sizes) -> dict[str, Any]:
    both = {"attention_heads": sizes.heads, "ffn_dim": sizes.ffn}
    return {
        "d_model": sizes.width,
        "encoder_layers": sizes.depth,
        "decoder_layers": sizes.decoder,
        **{f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in both.items()},
        "max_position_embeddings": LENGTH,
        "activation_function": sizes.act,
        "scale_embedding": sizes.scale,
        "decoder_start_token_id": END,
    }


def _t5(sizes: Sizes) -> dict[str, Any]:
    """Distances reach far beyond the buckets that stand for one distance each, and beyond the furthest."""
    gated = "gated-gelu" if "gelu" in sizes.act else f"gated-{sizes.act}"
    return {
        "d_model": sizes.width + sizes.embedding,
        "d_kv": sizes.head_width,
        "d_ff": sizes.ffn,
        "num_layers": sizes.depth,
        "num_decoder_layers": sizes.decoder,
        "num_heads": sizes.heads,
        "relative_attention_num_buckets": sizes.buckets,
        "relative_attention_max_distance": sizes.furthest,
        "layer_norm_epsilon": sizes.eps,
        "feed_forward_proj": gated if sizes.gated else sizes.act,
        "tie_word_embeddings": not sizes.gated,
        "decoder_start_token_id": PAD,
    }
