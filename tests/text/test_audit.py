"""Leaks, duplicates and conflicts are found, and no test text enters a corpus."""

from hypothesis import given
from hypothesis import strategies as st

from quire.text.audit import LONG, audit, normalised, without
from quire.text.records import Record


def records(name: str, *rows: tuple[str, str | None]) -> list[Record]:
    return [Record(text, label, f"{name}:{i}") for i, (text, label) in enumerate(rows, start=1)]


def test_an_audit_finds_leaks_duplicates_and_conflicts() -> None:
    train = records("train", ("It  broke", "bad"), ("it broke", "bad"), ("fine", "good"))
    dev = records("dev", ("IT BROKE\n", "good"))
    test = records("test", ("new", "good"), ("it broke", "bad"), ("Fine", "good"), ("new ", "bad"), ("left", None))
    found = audit(train, dev=dev, test=test)
    assert found.leaked == (1, 2)
    assert [(leak.where, leak.seen) for leak in found.leaks] == [
        ("test:2", ("train:1", "train:2", "dev:1")),
        ("test:3", ("train:3",)),
    ]
    assert [part.duplicates for part in (found.train, found.dev, found.test)] == [1, 0, 1]
    assert [(c.labels, c.places) for c in found.conflicts] == [
        (("bad", "good"), ("train:1", "train:2", "dev:1", "test:2")),
        (("bad", "good"), ("test:1", "test:4")),
    ]
    assert found.test.labels == {"bad": 2, "good": 2}
    assert found.test.rows == 5


def test_lengths_are_of_the_texts_as_written() -> None:
    lengths = audit(records("train", *[("x" * n, "a") for n in range(1, 102)])).train.characters
    assert lengths == (1, 26, 51, 76, 96, 101)
    assert audit(records("train", ("a", "b"))).test.characters == ()


def test_a_corpus_loses_every_document_that_holds_a_banned_text() -> None:
    short, long = "a short text", "a text of more than fifty characters which nobody writes twice by accident"
    texts = ["A  short text", f"{short} and more", f"before {long.upper()}\nafter", long[:LONG], "other"]
    assert without(texts, banned=[short, long]) == ([f"{short} and more", long[:LONG], "other"], 2)
    assert without(iter(["x"]), banned=[]) == (["x"], 0)


LETTERS = st.text("ab ", max_size=80)
BANNED = st.text("ab", max_size=9) | st.text("ab", min_size=LONG - 2, max_size=LONG + 30)


@given(st.lists(st.tuples(LETTERS, LETTERS, st.booleans()), max_size=4), st.lists(BANNED, max_size=4))
def test_banned_agrees_with_looking_for_every_text_in_every_document(
    parts: list[tuple[str, str, bool]], banned: list[str]
) -> None:
    """Two letters, so that windows repeat and near matches are frequent; banned texts are planted in between."""
    texts = [before + (banned[0] if plant and banned else "") + after for before, after, plant in parts]

    def holds(text: str) -> bool:
        own = normalised(text)
        keys = [normalised(b) for b in banned]
        return own in keys or any(len(key) >= LONG and key in own for key in keys)

    kept = [text for text in texts if not holds(text)]
    assert without(texts, banned=banned) == (kept, len(texts) - len(kept))
