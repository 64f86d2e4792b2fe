"""Ctrl-C and SIGTERM finish the step first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """False until a signal came; the second signal ends the process at once."""

    def __init__(self) -> None:
        self.reason = ""

    def __bool__(self) -> bool:
        return bool(self.reason)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take down which signal came, as its handler."""
        if self.reason:
            raise KeyboardInterrupt
        self.reason = signal.Signals(number).name


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Within the block, SIGINT and SIGTERM only set the request; the handlers before are restored after it.

    Python allows this in the main thread alone; elsewhere the request simply stays False.
    """
    request = StopRequest()
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, request.note)
    except ValueError:
        pass
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
