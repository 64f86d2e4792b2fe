"""The tokenizer of a model folder, whichever of the ecosystem's files hold it.

tokenizer.json             the tokenizer itself, as it stands
vocab.txt                  WordPiece (BERT, ELECTRA, DistilBERT, MobileBERT, MPNet)
vocab.json, merges.txt     BPE of bytes (GPT-2, RoBERTa, BART) or of words (GPT)
a sentencepiece model      `quire.text.pieces` (XLM-R, ALBERT, T5, XLNet), or what the file itself says

The first is read where it is there. The others know neither their special tokens nor how a text is cut: that is in
transformers' classes, and here in `quire.text.styles`. A class that is not there is refused, never guessed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from quire.core.errors import BadInput
from quire.text import backends, pieces, tokenizer_config
from quire.text.styles import BPE, FILES_OWN, PIECES, STYLES, WORDPIECE, Style
from quire.text.tokenizer_config import TokenizerConfig

WHOLE = "tokenizer.json"
HOLDERS = {
    WORDPIECE: ("vocab.txt",),
    BPE: ("vocab.json",),
    PIECES: ("spiece.model", "sentencepiece.bpe.model", "spm.model", "tokenizer.model"),
}
"""The names of the files that hold a vocabulary."""
RARE = "a \u1361 \u4dff \ua66e \U00012000 \U0001f9ff"
"""Of these some are unknown to any vocabulary."""
_SAVE = "open it with transformers' AutoTokenizer and save it there, which makes one"


def read(folder: Path) -> tuple[Backend, dict[str, str], TokenizerConfig]:
    """The tokenizer of a model folder, the tokens of its roles as far as they are told, and its configuration.

    Truncation and padding are switched off. BadInput, one line each: no such file, or none that can be read; a class of
    transformers that Quire does not know; an added token whose number is another than the one that is written.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected a model folder with {WHOLE} or vocab.txt")
    config = tokenizer_config.read(folder)
    name = tokenizer_config.class_of(folder, config)
    if (path := folder / WHOLE).is_file():
        style = STYLES.get(name, FILES_OWN)
        backend = _whole(path, config, bert=style.files == WORDPIECE)
    else:
        path, style = _vocabulary(folder, name)
        backend = _assembled(path, style, config)
    usual = style.names if name or path.name != WHOLE else {}
    names = {role: token for role, token in usual.items() if backend.token_to_id(token) is not None} | config.named
    _add_tokens(backend, config, where=folder)
    backend.no_truncation()
    backend.no_padding()
    _try(backend, path)
    return backend, names, config


def _whole(path: Path, config: TokenizerConfig, *, bert: bool) -> Backend:
    """As it stands, but that tokenizer_config.json has the last word on BERT's normalization, as in transformers."""
    with _library(path, "not a readable tokenizer"):
        backend = Backend.from_str(path.read_bytes().decode("utf-8"))
    normal = backend.normalizer
    if bert and isinstance(normal, normalizers.BertNormalizer):
        said = (config.do_lower_case, config.strip_accents, config.tokenize_chinese_chars)
        for field, value in zip(("lowercase", "strip_accents", "handle_chinese_chars"), said, strict=True):
            if value is not None:
                setattr(normal, field, value)
        backend.normalizer = normal
    return backend


def _try(backend: Backend, path: Path) -> None:
    """It may lack its own unknown token, which the library notices when a text needs it."""
    with _library(path, "cannot read a text"):
        backend.encode(RARE)


@contextmanager
def _library(path: Path, fails: str) -> Iterator[None]:
    """What the library raises is a bare Exception and, where it panics, not even that."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{path}: {fails}: {reason}; copy it from the model's source again") from error


def _vocabulary(folder: Path, name: str) -> tuple[Path, Style]:
    """Where the vocabulary is, and what is known of its class."""
    there = {
        files: path
        for files, holders in HOLDERS.items()
        for path in (folder / holder for holder in reversed(holders))
        if path.is_file()
    }
    if name == "XLMTokenizer":
        raise BadInput(f"{folder}: XLM cuts words by a program (Moses), not a file; give it a {WHOLE} of your own")
    if name and name not in STYLES:
        raise BadInput(f"{folder}: no {WHOLE}, and Quire does not know the rules of {name}; {_SAVE}")
    wanted = STYLES[name].files if name else next(iter(there), f"vocab.txt, {BPE}, {PIECES}")
    if wanted not in there:
        raise BadInput(f"{folder}: no {WHOLE} and no {wanted}; copy one from the model's source")
    style = STYLES[name] if name else _unnamed(there[wanted], wanted)
    return there[wanted], style


def _unnamed(path: Path, files: str) -> Style:
    """The style of a vocabulary that no class is named for: a sentencepiece model says all, others by their tokens."""
    if files == PIECES:
        return FILES_OWN
    if files == WORDPIECE:
        return STYLES["BertTokenizer"]
    known = tokenizer_config.read_object(path)
    for name, token in (("RobertaTokenizer", "<s>"), ("GPT2Tokenizer", "<|endoftext|>")):
        if token in known and not any(word.endswith("</w>") for word in known):
            return STYLES[name]
    raise BadInput(f"{path}: whose vocabulary is this? name its tokenizer_class in tokenizer_config.json beside it")


def _assembled(path: Path, style: Style, config: TokenizerConfig) -> Backend:
    """From a vocabulary and what is known of its class."""
    names = {**style.names, **config.named}
    if style.files == WORDPIECE:
        backend = backends.wordpiece(
            _lines(path),
            unk=names["unk"],
            lowercase=config.do_lower_case is not False,
            strip_accents=config.strip_accents,
            han_alone=config.tokenize_chinese_chars is not False,
        )
    elif style.files == BPE:
        backend = _bpe(path, style, names, config)
    else:
        backend = pieces.read(path, style=style, names=names, config=config)
    _with_specials(backend, style, names)
    return backend


def _lines(path: Path) -> dict[str, int]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 at byte {error.start}; fetch it again") from error
    lines = text.split("\n")  # not splitlines: U+2028 and U+0085 are tokens of some
    return {token: i for i, token in enumerate(lines[:-1] if lines[-1] == "" else lines)}


def _bpe(path: Path, style: Style, names: Mapping[str, str], config: TokenizerConfig) -> Backend:
    """Bytes of GPT-2's words; or letters of BERT's words, in lower case, of which the last ends in `</w>`."""
    merges = path.with_name("merges.txt")
    options = {"end_of_word_suffix": "</w>", "unk_token": names["unk"]} if style.words else {}
    with _library(path, f"not readable with {merges.name}"):
        backend = Backend(models.BPE.from_file(str(path), str(merges), **options))
    if style.words:
        backends.cut_as_bert(backend, lowercase=True)
        backend.decoder = decoders.BPEDecoder(suffix="</w>")
    else:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(config.add_prefix_space))
        backend.decoder = decoders.ByteLevel()
    return backend


def _with_specials(backend: Backend, style: Style, names: Mapping[str, str]) -> None:
    """Special tokens that are in the vocabulary, and what stands around a text."""
    backend.add_special_tokens([token for token in names.values() if backend.token_to_id(token) is not None])
    around = {role: token for role, token in names.items() if "{" + role in style.single}
    ids = {role: (token, i) for role, token in around.items() if (i := backend.token_to_id(token)) is not None}
    if not ids or len(ids) < len(around):
        return
    if style.files == BPE:  # its offsets leave out the space before a word
        prefix = backend.pre_tokenizer.add_prefix_space
        backend.post_processor = processors.RobertaProcessing(ids["sep"], ids["cls"], add_prefix_space=prefix)
        return
    backend.post_processor = processors.TemplateProcessing(
        single=style.single.format(**names), pair=style.pair.format(**names), special_tokens=[*ids.values()]
    )


def _add_tokens(backend: Backend, config: TokenizerConfig, *, where: Path) -> None:
    """Those beside the vocabulary, under the numbers that they are said to have."""
    for number, added in sorted(config.added_tokens_decoder.items()):
        if backend.token_to_id(added.content) is None:
            backend.add_tokens([added.token()])
            if backend.token_to_id(added.content) != number:
                raise BadInput(
                    f"{where}: the added token {added.content!r} is said to be {number}, "
                    f"and would be {backend.token_to_id(added.content)}; take the vocabulary that it belongs to"
                )
    backend.add_special_tokens([token for token in config.extra if backend.token_to_id(token) is None])
