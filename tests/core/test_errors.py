"""Every error has its exit code, and a hint names what is near."""

import pytest

from quire.core.errors import BadInput, Diverged, QuireError, Stopped, nearest


@pytest.mark.parametrize(("kind", "code"), [(QuireError, 1), (BadInput, 2), (Diverged, 3), (Stopped, 75)])
def test_exit_codes_are_the_documented_ones(kind: type[QuireError], code: int) -> None:
    assert issubclass(kind, QuireError)
    assert kind.exit_code == code


def test_nearest_names_one_lists_all_or_says_nothing() -> None:
    assert nearest("schedul", ["schedule", "steps"]) == "; did you mean 'schedule'?"
    assert nearest("qqq", ["b", "a"]) == "; known: a, b"
    assert nearest("qqq", []) == ""
