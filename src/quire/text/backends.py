"""The `tokenizers` library's objects: BERT's, and what is trained on text."""

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from copy import copy
from fractions import Fraction
from itertools import repeat
from math import inf, nextafter
from typing import Literal, TypeAlias

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

Kind: TypeAlias = Literal["wordpiece", "bpe", "unigram", "words"]

ROLES: Mapping[str, tuple[str, str]] = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
"""Role -> its names at BERT and at RoBERTa, looked for where a folder's configuration names none."""

ALL_PURPOSES = "<|endoftext|>"
"""GPT-2's one special token."""
BERT_NAMES = [names[0] for names in ROLES.values()]
STOPS = ".!?。！？"
LONGEST_WORD = 100  # characters; a longer word is unknown to WordPiece (BERT's own limit)


def assigned(names: Mapping[str, str | None], known: Container[str]) -> dict[str, str]:
    """The token of each role, from the names of a configuration or those that are usual; it need not be known.

    Where no token begins a text, or one is named `bos` and none `cls`, and none is a mask, it is a generator's
    vocabulary, which has no role `mask`: what ends a text also pads, and begins it, unless the padding does (T5).
    """
    found = {r: names.get(r) or next((t for t in usual if t in known), usual[0]) for r, usual in ROLES.items()}
    lacking = {role for role, token in found.items() if not names.get(role) and token not in known}
    every = ALL_PURPOSES if ALL_PURPOSES in known else None
    pad, unk, sep = (None if role in lacking else found[role] for role in ("pad", "unk", "sep"))
    end = sep or names.get("eos") or every or unk
    begun = "cls" in lacking or (names.get("bos") and not names.get("cls"))
    if end is None or "mask" not in lacking or not begun:
        return found
    return {"pad": pad or end, "unk": unk or end, "cls": names.get("bos") or every or pad or end, "sep": end}


def wordpiece(
    vocab: dict[str, int],
    *,
    unk: str = "[UNK]",
    lowercase: bool = True,
    strip_accents: bool | None = None,
    han_alone: bool = True,
) -> Backend:
    """BERT's tokenizer over `vocab`, with the defaults of transformers' BertTokenizer, and no special tokens yet."""
    model = models.WordPiece(vocab, unk_token=unk, max_input_chars_per_word=LONGEST_WORD)
    backend = cut_as_bert(Backend(model), lowercase=lowercase, strip_accents=strip_accents, han_alone=han_alone)
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def cut_as_bert(
    backend: Backend, *, lowercase: bool, strip_accents: bool | None = None, han_alone: bool = True
) -> Backend:
    """Words end at blanks, punctuation and Han characters, each of which stands alone."""
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=han_alone, strip_accents=strip_accents, lowercase=lowercase
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend


def _with_specials(backend: Backend) -> Backend:
    """BERT's special tokens, and how they stand around a text."""
    backend.add_special_tokens(BERT_NAMES)
    ids = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=ids
    )
    return backend


def stops(backend: Backend) -> frozenset[int]:
    """The tokens that are a full stop, an exclamation or a question mark, behind a word or a space."""
    found = set()
    for stop in STOPS:
        for text in (f"a{stop}", f"a {stop}"):
            last = backend.encode(text, add_special_tokens=False).ids[-1:]
            found |= {i for i in last if backend.decode([i], skip_special_tokens=False).strip() == stop}
    return frozenset(found)


def word_counts(backend: Backend, texts: Iterable[str]) -> Counter[str]:
    """How often each normalised pre-tokenizer word occurs."""
    normalise = backend.normalizer.normalize_str if backend.normalizer else str
    cut = backend.pre_tokenizer.pre_tokenize_str
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in cut(normalise(text)))
    return counts


def train(texts: Iterable[str], *, kind: Kind, size: int, lowercase: bool, least: int = 2) -> Backend:
    """A tokenizer of at most `size` tokens with BERT's five special ones as ids 0 to 4.

    What occurs fewer than `least` times makes no token of its own; unigram, whose pieces have probabilities and no
    counts, knows no such bound.
    """
    if kind == "unigram":
        backend = _train_unigram(texts, size, lowercase)
    else:
        make = {"wordpiece": _train_wordpiece, "bpe": _train_bpe, "words": _train_words}[kind]
        backend = make(texts, size, lowercase, least)
    return _with_specials(backend)


def _train_words(texts: Iterable[str], size: int, lowercase: bool, least: int) -> Backend:
    """Whole words, the most frequent first; what is left is unknown."""
    backend = cut_as_bert(Backend(models.WordLevel(unk_token="[UNK]")), lowercase=lowercase)
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, special_tokens=BERT_NAMES, min_frequency=least, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def _train_wordpiece(texts: Iterable[str], size: int, lowercase: bool, least: int) -> Backend:
    """The library numbers the `##` letters in hash order; naming them, sorted, beforehand makes it deterministic."""
    empty = wordpiece({token: i for i, token in enumerate(BERT_NAMES)}, lowercase=lowercase)
    counts = word_counts(empty, texts)
    letters, inside = _alphabet(counts, size - len(BERT_NAMES))
    learner = Backend(models.WordPiece(unk_token="[UNK]"))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # the words are cut and normalised already
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*BERT_NAMES, *("##" + letter for letter in inside)],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        min_frequency=least,
        show_progress=False,
    )
    learner.train_from_iterator(_repeated(counts), trainer)
    return wordpiece(learner.get_vocab(), lowercase=lowercase)


def _alphabet(counts: Counter[str], room: int) -> tuple[list[str], list[str]]:
    """The most frequent characters whose entries fit into `room`, and those of them that occur inside words."""
    letters: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in counts.items():
        inside.update(word[1:])
        for letter in word:
            letters[letter] += count
    kept = []
    for letter in sorted(letters, key=lambda c: (-letters[c], c)):
        room -= 2 if letter in inside else 1
        if room < 0:
            break
        kept.append(letter)
    return sorted(kept), sorted(inside.intersection(kept))


def _repeated(counts: Counter[str]) -> Iterator[str]:
    """Texts with the same word counts, some words a text."""
    for word, count in sorted(counts.items()):
        for done in range(0, count, 1000):
            yield " ".join(repeat(word, min(1000, count - done)))


def _train_bpe(texts: Iterable[str], size: int, lowercase: bool, least: int) -> Backend:
    """Byte-level BPE as in GPT-2 and RoBERTa: nothing is unknown."""
    backend = Backend(models.BPE(unk_token="[UNK]"))
    form: list[normalizers.Normalizer] = [normalizers.NFC()]
    backend.normalizer = normalizers.Sequence([*form, normalizers.Lowercase()] if lowercase else form)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=BERT_NAMES,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=least,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def _train_unigram(texts: Iterable[str], size: int, lowercase: bool) -> Backend:
    """SentencePiece's unigram model; punctuation stands alone, so that no piece spells a special token."""
    backend = Backend(models.Unigram())
    form: list[normalizers.Normalizer] = [normalizers.NFKC()]
    backend.normalizer = normalizers.Sequence([*form, normalizers.Lowercase()] if lowercase else form)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=BERT_NAMES, unk_token="[UNK]", show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return _rounded(backend)


def _rounded(backend: Backend) -> Backend:
    """Scores to 6 decimals: the library's JSON reader is a last digit off on longer ones, enough to break ties anew.

    The library leaves pieces of equal score in hash order, another one each time; here the alphabet decides. Its sums
    run in hash order too, so that two trainings may still differ in a score's fourth decimal; a run keeps its own.
    """
    spec = json.loads(backend.to_str())
    pieces = [(piece, round(score, 6)) for piece, score in spec["model"]["vocab"]]
    specials, rest = pieces[: len(BERT_NAMES)], pieces[len(BERT_NAMES) :]
    spec["model"]["vocab"] = specials + sorted(rest, key=lambda entry: (-entry[1], entry[0]))
    return Backend.from_str(json.dumps(spec))


def written(backend: Backend) -> str:
    """tokenizer.json, of which the library reads the same tokenizer again, scores included."""
    text = backend.to_str(pretty=True)
    spec = json.loads(text)
    if spec["model"]["type"] != "Unigram":
        return text
    rows = [f"[{json.dumps(piece, ensure_ascii=False)}, {_exactly(score)}]" for piece, score in spec["model"]["vocab"]]
    spec["model"]["vocab"] = []
    head, empty, tail = json.dumps(spec, indent=2, ensure_ascii=False).rpartition('"vocab": []')
    return head + empty[:-1] + "\n      " + ",\n      ".join(rows) + "\n    ]" + tail


def _exactly(score: float) -> str:
    """A decimal that the library reads as this very number.

    Its JSON reader makes float(digits) / 10^places of a decimal, which rounds twice: of float's own shortest decimals
    it misses one in four by the last bit, enough to break ties between pieces anew. One number in 200 has no decimal.
    """
    for places in range(14, 20):
        near = round(Fraction(abs(score)) * 10**places)
        for digits in (near, int(nextafter(near, inf)), int(nextafter(near, 0))):
            if digits < 2**64 and float(digits) / 10.0**places == abs(score):
                whole, rest = divmod(digits, 10**places)
                return f"{'-' * (score < 0)}{whole}.{rest:0{places}d}"
    return repr(score)


def copied(backend: Backend) -> Backend:
    """The same with settings and added tokens of its own; the library's copies go through JSON, which rounds scores."""
    twin = copy(backend)
    twin.model = backend.model
    return twin
