"""The log: a JSON object a line, on disk at once, cut back when a run goes on."""

import sys
from pathlib import Path

import pytest

from quire.core.errors import BadInput
from quire.train.log import Events, Log


def test_records_are_read_back_and_rewound(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    assert log.read() == []
    records = [{"step": step, "loss": step / 3, "note": "好"} for step in range(1, 6)]
    for record in records:
        log.write(record)
        assert log.path.read_text().endswith("\n")
    assert log.read() == records
    log.rewind(3)
    assert log.read() == records[:3]
    log.write(records[3])
    assert log.read() == records[:4]
    log.rewind(0)
    assert log.read() == []
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_line_cut_short_by_a_crash_is_left_out_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.write({"step": 1})
    with log.path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert log.read() == [{"step": 1}]
    log.rewind(1)
    log.write({"step": 2})
    assert log.read() == [{"step": 1}, {"step": 2}]


def test_events_are_written_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    events = Events(tmp_path)
    events.write({"step": 1, "loss": 0.5, "note": "text is left out"})
    events.writer.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(tmp_path / "events"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [(1, 0.5)]
    assert read.Tags()["scalars"] == ["loss"]


def test_without_tensorboard_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BadInput, match=r"pip install 'quire\[track\]'"):
        Events(tmp_path)
