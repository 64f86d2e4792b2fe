"""What a person sees while a run goes: bars on a terminal, plain lines in a pipe."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress(Protocol):
    """Is told of phases, steps and remarks."""

    def start(self, title: str, total: int, done: int = 0) -> None: ...

    def update(self, step: int, figures: str) -> None: ...

    def say(self, line: str) -> None: ...


class Silent:
    """Tells nobody: the default in Python."""

    def start(self, title: str, total: int, done: int = 0) -> None:
        pass

    def update(self, step: int, figures: str) -> None:
        pass

    def say(self, line: str) -> None:
        pass


class Lines:
    """A plain line at the start, every `every` seconds, and at the end of a phase."""

    def __init__(self, every: float = 10.0) -> None:
        self.every, self.title, self.total, self.last = every, "", 0, 0.0

    def start(self, title: str, total: int, done: int = 0) -> None:
        self.title, self.total, self.last = title, total, time.monotonic()

    def update(self, step: int, figures: str) -> None:
        if step == self.total or time.monotonic() - self.last >= self.every:
            self.last = time.monotonic()
            self.say(f"{self.title}  {step}/{self.total}  {figures}")

    def say(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class Bars:
    """One rich bar a phase: title, bar, steps, figures, time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.bars = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task: TaskID | None = None

    def start(self, title: str, total: int, done: int = 0) -> None:
        self.task = self.bars.add_task(title, total=total, completed=done, figures="")

    def update(self, step: int, figures: str) -> None:
        if self.task is not None:
            self.bars.update(self.task, completed=step, figures=figures)

    def say(self, line: str) -> None:
        self.bars.console.print(line, markup=False, highlight=False)


@contextmanager
def shown() -> Iterator[Progress]:
    """Bars when standard error is a terminal, else lines; closed at the end of the block."""
    if sys.stderr.isatty():
        bars = Bars()
        with bars.bars:
            yield bars
    else:
        yield Lines()
