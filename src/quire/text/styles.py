"""The tokenizer classes of transformers whose files Quire reads: what each adds to a vocabulary, as data.

A class is looked for where AutoTokenizer looks: in tokenizer_config.json, in config.json, by the kind of the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

WORDPIECE, BPE, PIECES = "vocab.txt", "vocab.json with merges.txt", "sentencepiece model"
"""The files that hold a vocabulary."""
Names: TypeAlias = Mapping[str, str]
"""Role -> token, as in `backends.ROLES`; of generators also `bos` and `eos`."""

_BERT = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}


@dataclass(frozen=True)
class Style:
    """What a class of theirs knows that its files do not say."""

    files: str
    names: Names
    single: str = "$A"
    """What stands around a text, roles in braces; after a colon the segment."""
    pair: str = "$A $B"
    words: bool = False
    """Of BPE: whether it joins letters of words, which are cut as BERT's and end in `</w>`; else bytes, as GPT-2's."""
    own: bool = True
    """Of pieces: whether the class has rules of its own, or leaves all to the file."""
    first: tuple[str, ...] = ()
    """Roles that stand before the pieces, in place of as many as `dropped` of them; fairseq's numbering."""
    dropped: int = 0
    last: tuple[str, ...] = ()
    """Roles that stand after the pieces."""
    sentinels: int = 0
    """How many marks stand at the end, where the configuration does not say."""
    plain: bool = False
    """Whether `` and '' become ", and accents go before the pieces' own normalization; `keep_accents` saves them."""
    keeps_accents: bool = False
    """Whether `keep_accents` is heeded."""
    lowercase: bool = False
    """Of pieces: whether `do_lower_case` holds where the configuration does not say."""


_BERT_STYLE = Style(WORDPIECE, _BERT, "{cls}:0 $A:0 {sep}:0", "{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1")
_AROUND = ("{cls} $A {sep}", "{cls} $A {sep} {sep} $B {sep}")

STYLES: Mapping[str, Style] = {
    "BertTokenizer": _BERT_STYLE,
    "DistilBertTokenizer": _BERT_STYLE,
    "ElectraTokenizer": _BERT_STYLE,
    "MobileBertTokenizer": _BERT_STYLE,
    "MPNetTokenizer": Style(WORDPIECE, {**_ROBERTA, "unk": "[UNK]"}, *_AROUND),
    "RobertaTokenizer": Style(BPE, _ROBERTA, *_AROUND),
    "BartTokenizer": Style(BPE, _ROBERTA, *_AROUND),
    "GPT2Tokenizer": Style(BPE, dict.fromkeys(("unk", "bos", "eos"), "<|endoftext|>")),
    "OpenAIGPTTokenizer": Style(BPE, {"unk": "<unk>"}, words=True),
    "XLMRobertaTokenizer": Style(
        PIECES, _ROBERTA, *_AROUND, first=("cls", "pad", "sep", "unk"), dropped=3, last=("mask",)
    ),
    "AlbertTokenizer": Style(
        PIECES,
        {**_BERT, "pad": "<pad>", "unk": "<unk>"},
        "{cls}:0 $A:0 {sep}:0",
        "{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        plain=True,
        keeps_accents=True,
        lowercase=True,
    ),
    "T5Tokenizer": Style(
        PIECES,
        {"pad": "<pad>", "unk": "<unk>", "eos": "</s>"},
        "$A {eos}",
        "$A {eos} $B {eos}",
        sentinels=100,
    ),
    "XLNetTokenizer": Style(
        PIECES,
        {**_ROBERTA, "cls": "<cls>", "sep": "<sep>"},
        "$A:0 {sep}:0 {cls}:2",
        "$A:0 {sep}:0 $B:1 {sep}:1 {cls}:2",
        plain=True,
    ),
}
"""By the name of the class, without `Fast`."""

OF_MODELS: Mapping[str, str] = {
    "albert": "AlbertTokenizer",
    "bart": "BartTokenizer",
    "bert": "BertTokenizer",
    "distilbert": "BertTokenizer",
    "electra": "BertTokenizer",
    "gpt2": "GPT2Tokenizer",
    "mobilebert": "BertTokenizer",
    "mpnet": "MPNetTokenizer",
    "openai-gpt": "OpenAIGPTTokenizer",
    "roberta": "RobertaTokenizer",
    "t5": "T5Tokenizer",
    "xlm": "XLMTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "xlnet": "XLNetTokenizer",
}
"""The class of a `model_type`, where a folder names none."""

ANY = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes that say nothing."""
FILES_OWN = Style(PIECES, {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>"}, own=False)
"""A sentencepiece model that no class is named for."""
