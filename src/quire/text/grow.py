"""How well a vocabulary fits a text, and what may be added to it: words of the text, sentinels."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from tokenizers import Tokenizer as Backend

from quire.core.errors import BadInput
from quire.text import backends, sentinels
from quire.text.tokenizers import Tokenizer
from quire.text.words import Segmenter

UNREAD, SAMPLE = 0.05, 1_000
"""The share of unknown tokens from which a text counts as unread, and the texts that are looked at."""


@dataclass(frozen=True)
class Fertility:
    """How well a vocabulary fits a text; all are averages over running words."""

    words: int
    tokens_per_word: float
    split: float  # share of words cut into more than one token
    unknown: float  # share of words with an unknown token


def fertility(tokenizer: Tokenizer, texts: Iterable[str], *, segment: Segmenter | None = None) -> Fertility:
    """Tokens per word (Rust et al. 2021, section 3.2), over the same words that `Tokenizer.encode` marks."""
    total = np.zeros(4)  # words, tokens, split words, unknown words
    for passage in tokenizer.encode(texts, segment=segment):
        first = np.flatnonzero(passage.starts)
        if len(first):
            lengths = np.diff(np.append(first, len(passage)))
            unknown = np.logical_or.reduceat(passage.tokens == tokenizer.vocab.unk, first)
            total += [len(first), len(passage), (lengths > 1).sum(), unknown.sum()]
    count = max(total[0], 1)
    return Fertility(int(total[0]), *(float(value) for value in total[1:] / count))


def unread(tokenizer: Tokenizer, texts: Iterable[str], *, base: str) -> str | None:
    """What a person should know where the vocabulary of `base` lacks much of a text, in a line; else nothing."""
    unknown = total = 0
    for passage in tokenizer.encode(islice(texts, SAMPLE)):
        unknown += int((passage.tokens == tokenizer.vocab.unk).sum())
        total += len(passage)
    share = unknown / max(total, 1)
    if share <= UNREAD:
        return None
    return (
        f"{share:.0%} of the tokens of the training text are unknown to the base {base}, which cannot tell them apart; "
        f"give --base one that learnt this language"
    )


def extend(tokenizer: Tokenizer, texts: Iterable[str], *, by: int) -> tuple[Tokenizer, list[list[int]]]:
    """Add to a WordPiece vocabulary at most `by` whole words of `texts`: those that save most tokens.

    A word of n pieces that occurs c times saves c * (n - 1); an unknown word counts as one piece a character.
    Words that occur once stay out. Returns the longer tokenizer and, for each new row in order, the old ids
    whose mean its embedding takes. The words are ordinary entries: they also serve as beginnings of longer words.
    """
    spec = json.loads(tokenizer.backend.to_str())
    if spec["model"]["type"] != "WordPiece":
        raise BadInput(f"only a WordPiece vocabulary can be extended, not {spec['model']['type']}")
    counts = backends.word_counts(tokenizer.backend, texts)
    gains: dict[str, int] = {}
    rows: dict[str, list[int]] = {}
    for word, count in counts.items():
        if count < 2 or len(word) > backends.LONGEST_WORD:
            continue
        rows[word] = [token.id for token in tokenizer.backend.model.tokenize(word)]
        unknown = tokenizer.vocab.unk in rows[word]
        gains[word] = count * (len(word) if unknown else len(rows[word]) - 1)
    best = sorted((word for word in gains if gains[word] > 0), key=lambda word: (-gains[word], word))[:by]
    spec["model"]["vocab"].update({word: tokenizer.vocab.size + i for i, word in enumerate(best)})
    return tokenizer.around(Backend.from_str(json.dumps(spec))), [rows[word] for word in best]


def with_sentinels(tokenizer: Tokenizer, number: int) -> tuple[Tokenizer, list[list[int]]]:
    """The tokenizer with `number` sentinels, and for each row the token whose embedding it takes: mask or unknown."""
    backend = backends.copied(tokenizer.backend)
    sentinels.add(backend, number)
    longer = tokenizer.around(backend)
    like = tokenizer.vocab.unk if tokenizer.vocab.mask is None else tokenizer.vocab.mask
    return longer, [[like]] * (longer.vocab.size - tokenizer.vocab.size)
