"""Prompts: what is shown, what never is, how it is cut into tokens, and what fits.

Legend: L tokens.
"""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.errors import BadInput
from quire.incontext.prompt import Asking, Form, drawn
from quire.text.backends import Kind
from quire.text.records import Record
from quire.text.tokenizers import Tokenizer

LABELS = ("bad", "good", "very good")
WORDS = st.text("abcdé 你\n", min_size=1, max_size=12).filter(lambda text: text.strip())


def record(text: str, label: str = "good", where: str = "data.csv:2") -> Record:
    return Record(text, label, where)


def tokenizer(kind: Kind) -> Tokenizer:
    texts = ["the lamp => good", "a chair => very good", "no light => bad 你好", "Say whether it is any good:"] * 9
    return Tokenizer.train(texts, kind=kind, size=320 if kind == "bpe" else 90)


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "unigram"])
def asking(request: pytest.FixtureRequest) -> Asking:
    return Asking(Form(description="Say whether it is any good:"), LABELS, tokenizer(request.param), positions=60)


def test_the_prompt_is_the_survey_s() -> None:
    examples = [record("sea otter", "loutre de mer"), record("plush girafe", "girafe peluche")]
    form = Form(description="Translate English to French:")
    few = "Translate English to French:\nsea otter => loutre de mer\nplush girafe => girafe peluche\ncheese =>"
    assert form.prompt(examples, "cheese") == few
    assert form.prompt([], "cheese") == "Translate English to French:\ncheese =>"
    assert Form().prompt(examples[:1], "cheese") == "sea otter => loutre de mer\ncheese =>"


@given(st.lists(st.tuples(WORDS, WORDS), max_size=6), WORDS, WORDS)
def test_k_examples_are_k_filled_lines_and_an_open_one(pairs: list[tuple[str, str]], question: str, own: str) -> None:
    *filled, last = Form().prompt([record(t, label) for t, label in pairs], question).split("\n")
    assert [line.split(" => ") for line in filled] == [
        [" ".join(t.split()), " ".join(label.split())] for t, label in pairs
    ]
    assert last == " ".join(question.split()) + " =>", "no blank at its end, and no answer"


def test_a_label_is_its_own_tokens_behind_those_of_the_prompt(asking: Asking) -> None:
    prompt = asking.form.prompt([record("the lamp")], "a chair")
    found = asking.about(prompt)
    for label, answer, own in zip(LABELS, found.answers, found.counted, strict=True):
        joint = asking.tokenizer.encode([f"{prompt} {label}"])[0].tokens
        assert [*found.prompt.tokens[1:], *answer] == joint.tolist()
        assert asking.tokenizer.decode(answer[-own:]).strip() == label
    assert found.prompt.tokens[0] == asking.tokenizer.vocab.cls
    assert asking.tokenizer.decode(found.prompt.tokens).endswith(("=>", "= >"))


def test_a_token_that_holds_the_blank_is_the_label_s() -> None:
    """With a blank at the end of the prompt, byte-level BPE would cut it off from the label: other tokens, unlike
    those of training."""
    bpe = tokenizer("bpe")
    found = Asking(Form(), ("good", "bad"), bpe, positions=60).about("the lamp =>")
    assert bpe.backend.id_to_token(int(found.answers[0][0])) == "Ġgood"
    assert found.counted == (1, 1)


def test_labels_that_begin_alike_are_counted_whole(asking: Asking) -> None:
    """`good` and `great` may share a token; what is read once ends before it."""
    found = Asking(Form(), ("gooda", "goodb"), asking.tokenizer, positions=60).about("x =>")
    for label, answer, own in zip(("gooda", "goodb"), found.answers, found.counted, strict=True):
        assert own == len(answer)
        joint = asking.tokenizer.encode([f"x => {label}"])[0].tokens
        assert [*found.prompt.tokens[1:], *answer] == joint.tolist()


def test_examples_are_dropped_from_the_front_until_it_fits(asking: Asking) -> None:
    examples = [record(f"{'the lamp ' * n}", "bad") for n in (3, 2, 1)]
    sizes = {}
    for kept in range(4):
        whole = asking.about(asking.form.prompt(examples[3 - kept :], "a chair"))
        sizes[kept] = len(whole.prompt) + max(map(len, whole.answers))
    for kept in range(4):
        just = Asking(asking.form, LABELS, asking.tokenizer, positions=sizes[kept])
        found = just.question(record("a chair"), examples)
        assert found.used == kept
        expected = asking.about(asking.form.prompt(examples[3 - kept :], "a chair"))
        assert found.prompt.tokens.tolist() == expected.prompt.tokens.tolist()
    short = Asking(asking.form, LABELS, asking.tokenizer, positions=sizes[0] - 1)
    with pytest.raises(BadInput, match=rf"data.csv:2: the question alone has {sizes[0]} tokens .*{sizes[0] - 1} pos"):
        short.question(record("a chair"), examples)


def test_examples_are_drawn_by_seed() -> None:
    pool = [record(str(i), "ab"[i % 10 == 0]) for i in range(60)]  # 54 of one label, 6 of the other
    one = drawn(pool, shots=8, balanced=False, seed=1)
    assert one == drawn(pool, shots=8, balanced=False, seed=1) != drawn(pool, shots=8, balanced=False, seed=2)
    assert len({r.text for r in one}) == 8
    fair = [Counter(r.label for r in drawn(pool, shots=8, balanced=True, seed=s)) for s in range(20)]
    assert all(counts == {"a": 4, "b": 4} for counts in fair)
    plain = [sum(r.label == "b" for r in drawn(pool, shots=8, balanced=False, seed=s)) for s in range(200)]
    assert abs(np.mean(plain) - 0.8) < 0.25
    assert len(drawn(pool, shots=99, balanced=True, seed=0)) == 60
    firsts = {drawn(pool, shots=2, balanced=True, seed=s)[0].label for s in range(20)}
    assert firsts == {"a", "b"}, "no label is always the first"


def test_a_label_without_a_token_is_refused() -> None:
    with pytest.raises(BadInput, match="no token for it"):
        Asking(Form(), ("good", "\u200b"), tokenizer("wordpiece"), positions=60).about("x =>")
