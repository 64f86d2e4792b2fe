"""Sentencepiece models as tokenizers of the `tokenizers` library: read as transformers reads them (extra `hf`).

Kudo and Richardson 2018. The file names its pieces and how a text is normalized. What a family makes of its numbers is
a `Style`; without one the file's own settings hold, as in the sentencepiece library.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from quire.core.errors import BadInput
from quire.text import sentinels
from quire.text.styles import Style
from quire.text.tokenizer_config import TokenizerConfig

_UNIGRAM, _BPE = 1, 2  # sentencepiece's TrainerSpec.ModelType
_NORMAL, _CONTROL, _OWN = 1, 3, 4  # its SentencePiece.Type: `_OWN` are a person's own symbols, never cut nor merged
_SPACE = "▁"


def read(path: Path, *, style: Style, names: Mapping[str, str], config: TokenizerConfig) -> Backend:
    """The tokenizer of a sentencepiece model; `names` are the tokens of the roles.

    BadInput: the extra `hf` is not there, the file is no sentencepiece model, or one that the family does not have.
    """
    proto = _proto(path)
    if proto.trainer_spec.model_type not in (_UNIGRAM, _BPE):
        raise BadInput(f"{path}: a sentencepiece model of words or characters; Quire reads unigram and BPE models")
    backend = _of_family(proto, path, style, names, config) if style.own else _of_file(proto)
    kinds = (_CONTROL, _OWN) if style.own else (_CONTROL,)  # `_of_file` cuts at a person's own symbols itself
    apart = [p for p in proto.pieces if p.type in kinds and backend.token_to_id(p.piece) is not None]
    backend.add_tokens([AddedToken(p.piece, normalized=False, special=p.type == _CONTROL) for p in apart])
    sentinels.add(backend, _sentinels(style, config))
    return backend


def _proto(path: Path) -> Any:
    try:
        from google.protobuf.message import DecodeError
        from sentencepiece import sentencepiece_model_pb2
    except Exception as error:  # ImportError, or the VersionError of a protobuf that is too old
        raise BadInput(f"{path}: a sentencepiece model needs `pip install -U 'quire[hf]'`: {error}") from error
    proto: Any = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
        whole = proto.IsInitialized() and len({p.piece for p in proto.pieces}) == len(proto.pieces)
    except (DecodeError, UnicodeDecodeError):
        whole = False
    if not whole or not 0 <= proto.trainer_spec.unk_id < len(proto.pieces):
        raise BadInput(f"{path}: not an intact sentencepiece model; fetch it again from the model's source")
    return proto


def _of_family(proto: Any, path: Path, style: Style, names: Mapping[str, str], config: TokenizerConfig) -> Backend:
    """Pieces under the family's numbers; a text is cut at blanks, and every part begins with a space."""
    if proto.trainer_spec.model_type != _UNIGRAM:
        raise BadInput(f"{path}: a BPE model, and this family has unigram ones; take a tokenizer.json instead")
    pieces = [(p.piece, p.score) for p in proto.pieces]
    unk = proto.trainer_spec.unk_id
    if style.dropped:
        if {piece for piece, _ in pieces[: style.dropped]} - set(names.values()):
            raise BadInput(f"{path}: its first pieces are not {style.dropped} of {', '.join(names.values())}")
        pieces, unk = pieces[style.dropped :], style.first.index("unk")
    pieces = [(names[role], 0.0) for role in style.first] + pieces + [(names[role], 0.0) for role in style.last]
    marks = [(sentinels.name(i), 0.0) for i in reversed(range(_sentinels(style, config)))]
    backend = Backend(models.Unigram(pieces + marks, unk_id=unk, byte_fallback=False))
    backend.normalizer = normalizers.Sequence(_normal(proto, style, config))
    space = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always")
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space])
    backend.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme="always")
    return backend


def _sentinels(style: Style, config: TokenizerConfig) -> int:
    asked = config.extra_ids if style.sentinels else None
    return style.sentinels if asked is None else asked


def _normal(proto: Any, style: Style, config: TokenizerConfig) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = []
    if style.plain:
        steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
        if not (style.keeps_accents and config.keep_accents):
            steps += [normalizers.NFKD(), normalizers.StripAccents()]
        if style.lowercase if config.do_lower_case is None else config.do_lower_case:
            steps.append(normalizers.Lowercase())
    if proto.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap))
    return steps


def _of_file(proto: Any) -> Backend:
    """The file's own settings: the ids of the sentencepiece library (transformers' `TokenizersBackend`)."""
    spec, fallback = proto.normalizer_spec, proto.trainer_spec.byte_fallback
    own = sorted((p.piece for p in proto.pieces if p.type == _OWN), key=len, reverse=True)
    backend = Backend(_model(proto, merges=bool(own)))
    steps: list[normalizers.Normalizer] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.escape_whitespaces:
        steps.append(normalizers.Replace(" ", _SPACE))
    cuts: list[pre_tokenizers.PreTokenizer] = []
    undo: list[decoders.Decoder] = [decoders.Replace(_SPACE, " ")]
    if fallback:
        undo.append(decoders.ByteFallback())
    if spec.add_dummy_prefix:  # Metaspace adds none where the text begins with one, sentencepiece does
        steps.append(normalizers.Replace(Regex(rf"\A{_SPACE}"), 2 * _SPACE))
        cuts.append(pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always", split=False))
        undo += [decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    if own:
        cuts.append(pre_tokenizers.Split(Regex("|".join(map(re.escape, own))), behavior="isolated"))
    backend.normalizer = normalizers.Sequence(steps)
    if cuts:
        backend.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    backend.decoder = decoders.Sequence(undo)
    return backend


def _model(proto: Any, *, merges: bool) -> models.Model:
    """Unigram pieces with their scores; or BPE, whose merges follow from the scores of what they make."""
    spec = proto.trainer_spec
    if spec.model_type == _UNIGRAM:
        pieces = [(p.piece, p.score) for p in proto.pieces]
        return models.Unigram(pieces, unk_id=spec.unk_id, byte_fallback=spec.byte_fallback)
    normal = {p.piece: (-p.score, i) for i, p in enumerate(proto.pieces) if p.type == _NORMAL}
    ranked = [
        (*rank, piece[:cut], piece[cut:])
        for piece, rank in normal.items()
        for cut in range(1, len(piece))
        if piece[:cut] in normal and piece[cut:] in normal
    ]
    return models.BPE(
        vocab={p.piece: i for i, p in enumerate(proto.pieces)},
        merges=[(left, right) for *_, left, right in sorted(ranked)],
        unk_token=spec.unk_piece,
        fuse_unk=True,
        byte_fallback=spec.byte_fallback,
        ignore_merges=merges,
    )
