"""Text to tokens and back: load, train, extend, save. Opens where transformers opens, and needs none of it.

Legend: L tokens of one text, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, models
from tokenizers import Tokenizer as Backend

from quire.core.errors import BadInput
from quire.core.example import Bools, Ints, Passage, Vocab, World
from quire.text import backends, opening, words
from quire.text import sentinels as marks
from quire.text.backends import Kind
from quire.text.files import write_text
from quire.text.words import Segmenter

HIDDEN = "\U0010ffff" * 4
"""Before the name of a piece that no text may spell: characters that Unicode promises never to assign."""
MOST = 10_000_000
"""Tokens; there is memory for a table of them."""


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer of the BERT, RoBERTa, GPT-2 or T5 family. A person's text never becomes a special token.

    transformers reads "[SEP]" inside a text as the separator; here it is a bracket, "sep" and a bracket
    (transformers does the same with `split_special_tokens=True`).
    """

    backend: Backend
    vocab: Vocab
    names: dict[str, str]  # role (pad, unk, cls, sep, mask; of generators pad, unk, bos, eos) -> token
    longest: int | None = None  # positions of the model it belongs to, as `model_max_length`

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """From any of the files that `quire.text.opening` knows; truncation and padding in it are switched off."""
        backend, names, config = opening.read(folder)
        return cls._of(backend, names, config.longest, str(folder))

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        kind: Kind,
        size: int,
        lowercase: bool = True,
        least: int = 2,
        sentinels: int = 0,
        longest: int | None = None,
    ) -> Tokenizer:
        """A tokenizer of at most `size` tokens learnt from `texts`, ids 0 to 4 being BERT's special tokens.

        What occurs fewer than `least` times makes no token of its own (but unigram's). The last tokens are `sentinels`.
        The same texts give the same wordpiece, bpe or words. The library sums unigram's probabilities in hash order,
        so two trainings differ in the last digits of scores and, seldom, in a piece at the edge.
        """
        smallest = 300 if kind == "bpe" else 32  # bpe starts from 256 bytes
        if size - sentinels < smallest:
            raise BadInput(f"a {kind} vocabulary of {size} tokens is too small: take {smallest + sentinels} or more")
        backend = backends.train(texts, kind=kind, size=size - sentinels, lowercase=lowercase, least=least)
        if backend.get_vocab_size() <= len(backends.ROLES):
            raise BadInput("no text to train a tokenizer on")
        marks.add(backend, sentinels)
        return cls._of(backend, dict.fromkeys(backends.ROLES), longest, "the trained tokenizer")

    @classmethod
    def _of(cls, backend: Backend, names: Mapping[str, str | None], longest: int | None, where: str) -> Tokenizer:
        known = backend.get_vocab(with_added_tokens=True)
        found = backends.assigned(names, known)
        for role, name in found.items():
            if name not in known:
                raise BadInput(f"{where}: the tokenizer has no {role} token {name!r}; name it in tokenizer_config.json")
        if (size := max(known.values()) + 1) > MOST:
            raise BadInput(f"{where}: a token's number is {size - 1:,}; no vocabulary is that large, take another")
        ids = {role: known[name] for role, name in found.items()}
        sentinels = marks.ids(known)
        added = {i for i, token in backend.get_added_tokens_decoder().items() if token.special}
        vocab = Vocab(
            size=size,
            pad=ids["pad"],
            unk=ids["unk"],
            cls=ids["cls"],
            sep=ids["sep"],
            mask=ids.get("mask"),
            special=frozenset(added | {*ids.values(), *sentinels}),
            sentinels=sentinels,
            stops=backends.stops(backend),
        )
        backend.encode_special_tokens = True  # a literal "[MASK]" in a text stays text
        if "mask" not in found:
            kept = {"eos": "sep", "unk": "unk", "pad": "pad", **({"bos": "cls"} if vocab.begins else {})}
            found = {name: found[role] for name, role in kept.items()}
        return cls(backend, vocab, found, longest)

    def around(self, backend: Backend) -> Tokenizer:
        """The same with a longer vocabulary."""
        return self._of(backend, dict(self.names), self.longest, "the base")

    def encode(self, texts: Iterable[str], *, segment: Segmenter | None = None) -> list[Passage]:
        """Tokens without special ones, and where words begin: words of `segment`, or else of the pre-tokenizer."""
        texts = list(texts)
        _valid(texts)
        if segment is None and self._first is not None:  # no need of offsets: much faster
            ids = [self._ids(found) for found in self._reader.encode_batch_fast(texts, add_special_tokens=False)]
            return [Passage(tokens, self._first[tokens]) for tokens in ids]
        found = self._reader.encode_batch(texts, add_special_tokens=False)
        if segment is None:
            return [Passage(self._ids(encoding), _word_starts(encoding)) for encoding in found]
        pairs = zip(found, texts, strict=True)
        return [Passage(self._ids(e), words.starts(e.offsets, text, segment)) for e, text in pairs]

    def encode_marked(self, texts: Iterable[str]) -> list[Passage]:
        """The same, but a special token that is spelled out in a text, as in "Paris is in [MASK].", is that token.

        This is what transformers makes of any text. It is for texts that the program writes: see decision 0003.
        """
        texts = list(texts)
        _valid(texts)
        found = self._marked.encode_batch(texts, add_special_tokens=False)
        return [Passage(np.array(e.ids, dtype=np.int64), _word_starts(e)) for e in found]

    def world(self, *, length: int = 512) -> World:
        """What paradigms may look at: the vocabulary, and how their own words are spelled."""
        return World(self.vocab, length=length, spell=cache(lambda text: self.encode([text])[0]))

    def located(self, texts: Iterable[str]) -> list[tuple[Ints, Ints]]:
        """Tokens [L] without special ones, and the characters of the text that each stands for [L, 2]: first, past
        last."""
        texts = list(texts)
        _valid(texts)
        found = self._reader.encode_batch(texts, add_special_tokens=False)
        return [(self._ids(e), np.array(e.offsets, dtype=np.int64).reshape(-1, 2)) for e in found]

    def _ids(self, encoding: Encoding) -> Ints:
        return self._plain[np.array(encoding.ids, dtype=np.int64)]

    @cached_property
    def _reader(self) -> Backend:
        """What reads a person's text. A unigram model has its special tokens among its pieces, and would spell "</s>"
        from a text's letters; so it reads with these pieces out of reach, as the sentencepiece library does."""
        spec = self._spec["model"]
        if spec["type"] != "Unigram":
            return self.backend
        names = (HIDDEN + p if i in self.vocab.special else p for i, (p, _) in enumerate(spec["vocab"]))
        pieces = [(name, score) for name, (_, score) in zip(names, spec["vocab"], strict=True)]
        reader = backends.copied(self.backend)
        reader.model = models.Unigram(pieces, unk_id=spec["unk_id"], byte_fallback=spec["byte_fallback"])
        reader.encode_special_tokens = True
        return reader

    @cached_property
    def _marked(self) -> Backend:
        marked = backends.copied(self.backend)
        marked.encode_special_tokens = False
        return marked

    @cached_property
    def _plain(self) -> Ints:
        """Every id [V] as itself, but special ones as unknown: a model may spell "<s>" from the text's letters."""
        ids = np.arange(self.vocab.size)
        ids[sorted(self.vocab.special)] = self.vocab.unk
        return ids

    @cached_property
    def _first(self) -> Bools | None:
        """True [V] for tokens that begin a word, where the token alone tells: WordPiece after BERT's pre-tokenizer, and
        whole words."""
        spec = self._spec
        first = np.ones(self.vocab.size, dtype=bool)
        if spec["model"]["type"] == "WordLevel":
            return first
        if spec["model"]["type"] != "WordPiece" or (spec["pre_tokenizer"] or {}).get("type") != "BertPreTokenizer":
            return None
        prefix = spec["model"]["continuing_subword_prefix"]
        inner = [i for token, i in spec["model"]["vocab"].items() if token.startswith(prefix) and token != prefix]
        first[inner] = False
        return first

    @property
    def _spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = json.loads(self.backend.to_str())
        return spec

    def pieces(self, text: str) -> list[str]:
        """The tokens of a text, as the vocabulary spells them."""
        (passage,) = self.encode([text])
        return [self.backend.id_to_token(i) or "" for i in passage.tokens.tolist()]

    def decode(self, ids: Sequence[int] | Ints) -> str:
        """The text of tokens; special ones are left out."""
        return self.backend.decode([int(i) for i in ids], skip_special_tokens=True)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the canonical tokenizer.json, scores to 9 places: equal fingerprints give equal tokens."""
        spec = self._spec
        if spec["model"]["type"] == "Unigram":
            spec["model"]["vocab"] = [(piece, round(score, 9)) for piece, score in spec["model"]["vocab"]]
        text = json.dumps(spec, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which AutoTokenizer opens, and WordPiece's vocab.txt."""
        spec = self._spec
        normalizer = spec["normalizer"] or {}
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",  # the class that takes tokenizer.json as it stands
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            **{f"{role}_token": name for role, name in self.names.items()},
        }
        if self.longest:
            config["model_max_length"] = self.longest
        if normalizer.get("type") == "BertNormalizer":  # for readers of vocab.txt
            config["do_lower_case"] = normalizer["lowercase"]
            config["strip_accents"] = normalizer["strip_accents"]
            config["tokenize_chinese_chars"] = normalizer["handle_chinese_chars"]
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "tokenizer.json", backends.written(self.backend))
        write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
        if spec["model"]["type"] == "WordPiece":
            entries = sorted((i, token) for token, i in spec["model"]["vocab"].items())
            if [i for i, _ in entries] == list(range(len(entries))):  # a line's number is its id: no holes
                write_text(folder / "vocab.txt", "".join(f"{token}\n" for _, token in entries))


def _valid(texts: list[str]) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"half a surrogate pair {error.object[error.start]!r} is no text: mend the file's escapes"
        ) from None


def _word_starts(encoding: Encoding) -> Bools:
    """True [L] where the pre-tokenizer's word changes; added tokens, which have no word, begin one."""
    word = np.array([-1 if w is None else w for w in encoding.word_ids], dtype=np.int64)
    begins = np.ones(len(word), dtype=bool)
    begins[1:] = (word[1:] != word[:-1]) | (word[1:] < 0)
    return begins
