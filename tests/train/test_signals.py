"""The first signal asks, the second one ends; the handlers before come back."""

import os
import signal
import threading

import pytest

from quire.train.signals import StopRequest, stop_on_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_request_and_the_second_one_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signal() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.reason == number.name
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="boom"), stop_on_signal():
        raise RuntimeError("boom")
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_the_request_stays_false() -> None:
    found: list[StopRequest] = []

    def work() -> None:
        with stop_on_signal() as stop:
            found.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [bool(stop) for stop in found] == [False]
