"""Lines in a pipe, bars on a terminal, nothing by default."""

import sys

import pytest

from quire.train.progress import Bars, Lines, Silent, shown


def test_lines_say_the_last_step_and_no_more_often_than_every_so_many_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = Lines(every=1000)
    lines.start("train", 3)
    for step in (1, 2, 3):
        lines.update(step, "loss 0.1")
    assert capsys.readouterr().err == "train  3/3  loss 0.1\n"
    often = Lines(every=0)
    often.start("train", 3)
    often.update(1, "x")
    assert capsys.readouterr().err == "train  1/3  x\n"


def test_silent_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silent = Silent()
    silent.start("train", 3)
    silent.update(3, "x")
    silent.say("x")
    assert capsys.readouterr() == ("", "")


def test_a_pipe_gets_lines_and_a_terminal_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    with shown() as progress:
        assert isinstance(progress, Lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with shown() as progress:
        assert isinstance(progress, Bars)
        progress.update(1, "before any start: nothing to update")
        progress.start("[not markup]", 3, 1)
        progress.update(2, "loss 0.1")
        progress.say("[a line]")
        assert progress.bars.tasks[0].completed == 2
