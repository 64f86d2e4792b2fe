"""Marks that stand for a span each: `<extra_id_0>`, `<extra_id_1>`, ... (Raffel et al. 2020, section 3.1.4).

Their ids descend from the end of the vocabulary, so that the first one used is the last token, as in T5's.
"""

from collections.abc import Mapping
from itertools import count, takewhile

from tokenizers import Tokenizer as Backend


def name(number: int) -> str:
    """How a vocabulary spells the sentinel that is used after `number` others."""
    return f"<extra_id_{number}>"


def ids(vocab: Mapping[str, int]) -> tuple[int, ...]:
    """The sentinels of a vocabulary in the order in which they are used."""
    return tuple(vocab[spelled] for spelled in takewhile(vocab.__contains__, map(name, count())))


def add(backend: Backend, number: int) -> None:
    """Let the vocabulary have so many; those that it has stay where they are."""
    backend.add_special_tokens([name(i) for i in reversed(range(number))])
