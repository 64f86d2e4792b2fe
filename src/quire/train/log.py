"""The log of a run: one JSON object a line, always on disk, cut back to the checkpoint when a run goes on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quire.core.errors import BadInput
from quire.core.results import Cost, Point
from quire.train.safe import write_whole


class Log:
    """Appends records to `log.jsonl`; each is on disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All whole records; a line cut short by a crash is left out."""
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records

    def rewind(self, step: int) -> None:
        """Drop what was logged after `step`: those steps are about to be made again."""
        kept = [record for record in self.read() if record.get("step", 0) <= step]
        write_whole(self.path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept))


class Events:
    """The same records as TensorBoard events (extra `track`)."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise BadInput("--track: TensorBoard is not installed; `pip install 'quire[track]'`") from None
        self.writer: Any = SummaryWriter(str(folder / "events"))

    def write(self, record: dict[str, Any]) -> None:
        """One event for each figure of the record, at its `step`."""
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float):
                self.writer.add_scalar(name, value, record["step"])
        self.writer.flush()


def cost_of(log: Sequence[Mapping[str, Any]]) -> Cost:
    """What a run took, from its log."""
    return Cost(seconds=sum(r["seconds"] for r in log), tokens=sum(r["tokens"] for r in log), steps=len(log))


def curve_of(log: Sequence[Mapping[str, Any]], dev: str) -> tuple[Point, ...]:
    """At most some hundred points: the mean loss of neighbouring steps, and what is logged as `dev` where it is."""
    width = max(len(log) // 100, 1)
    points = []
    for start in range(0, len(log), width):
        part = log[start : start + width]
        scores = [r[dev] for r in part if dev in r]
        loss = sum(r["loss"] for r in part) / len(part)
        points.append(Point(step=part[-1]["step"], loss=loss, dev=scores[-1] if scores else None, rate=part[-1]["lr"]))
    return tuple(points)
