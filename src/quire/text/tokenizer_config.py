"""What lies beside a vocabulary: tokenizer_config.json, and what older folders have in files of their own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from tokenizers import AddedToken

from quire.core.config import parse
from quire.core.errors import BadInput, ignore
from quire.text.styles import ANY, OF_MODELS

ROLES_AND_ENDS = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")


def _content(token: Any) -> Any:
    """A token is written plainly or as an object."""
    return token.get("content") if isinstance(token, Mapping) else token


Token: TypeAlias = Annotated[str, BeforeValidator(_content)]


class Added(BaseModel):
    """A token beside the vocabulary's own."""

    content: str = Field(min_length=1)
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = True
    special: bool = False

    def token(self) -> AddedToken:
        """As the library has it."""
        return AddedToken(**self.model_dump())


class TokenizerConfig(BaseModel):
    """The fields that change tokens; others may be there."""

    model_config = ConfigDict(frozen=True)

    tokenizer_class: str | None = None
    pad_token: Token | None = None
    unk_token: Token | None = None
    cls_token: Token | None = None
    sep_token: Token | None = None
    mask_token: Token | None = None
    bos_token: Token | None = None
    eos_token: Token | None = None
    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    keep_accents: bool | None = None
    add_prefix_space: bool | None = None
    extra_ids: int | None = Field(None, ge=0, le=10_000)
    model_max_length: float | None = None
    added_tokens_decoder: dict[int, Added] = {}
    additional_special_tokens: list[Token] | dict[str, Token] | None = None
    extra_special_tokens: list[Token] | dict[str, Token] | None = None

    @property
    def named(self) -> dict[str, str]:
        """Role -> token, of the roles that are named."""
        tokens = {role: getattr(self, f"{role}_token") for role in ROLES_AND_ENDS}
        return {role: token for role, token in tokens.items() if token}

    @property
    def extra(self) -> list[str]:
        """Special tokens without a role."""
        found = self.extra_special_tokens or self.additional_special_tokens or []
        return list(found.values()) if isinstance(found, dict) else found

    @property
    def longest(self) -> int | None:
        """Positions of the model, where they are told; transformers writes 1e30 for none."""
        limit = self.model_max_length
        return int(limit) if limit and 1 <= limit < 1_000_000 else None


def read(folder: Path) -> TokenizerConfig:
    """From tokenizer_config.json, special_tokens_map.json and added_tokens.json, each of which may be absent."""
    main = read_object(folder / "tokenizer_config.json")
    ignore(main, folder / "tokenizer_config.json")
    data = {**read_object(folder / "special_tokens_map.json"), **main}
    config = parse(TokenizerConfig, data, where=str(folder / "tokenizer_config.json"))
    beside = read_object(folder / "added_tokens.json")
    if not beside or "added_tokens_decoder" in main:
        return config
    special = {*config.named.values(), *config.extra}
    added = {i: {"content": t, "normalized": t not in special, "special": t in special} for t, i in beside.items()}
    more = parse(TokenizerConfig, {"added_tokens_decoder": added}, where=str(folder / "added_tokens.json"))
    return config.model_copy(update={"added_tokens_decoder": more.added_tokens_decoder})


def class_of(folder: Path, config: TokenizerConfig) -> str:
    """The class of transformers that reads a folder's vocabulary, without `Fast`; empty where none is said."""
    model = read_object(folder / "config.json")
    for named in (config.tokenizer_class, model.get("tokenizer_class")):
        if isinstance(named, str) and named not in ANY:
            return named.removesuffix("Fast")
    return OF_MODELS.get(str(model.get("model_type")), "")


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file, or an empty one where there is no file."""
    if not path.exists():
        return {}
    if not path.is_file():
        raise BadInput(f"{path}: not a plain file; fetch it again")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadInput(f"{path}: expected a JSON object")
    return data
