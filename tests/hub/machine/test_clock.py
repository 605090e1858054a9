# SPDX-License-Identifier: Apache-2.0
"""An applet's time is processor time, however busy the computer is."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from hub.machine import _clock
from hub.machine._clock import TICK_SECONDS, EngineClock
from tests.support.waiting import PATIENCE


class Engine:
    """Counts epochs; the third one is waited for."""

    def __init__(self) -> None:
        self.epochs, self.third = 0, threading.Event()

    def increment_epoch(self) -> None:
        self.epochs += 1
        if self.epochs == 3:
            self.third.set()


def test_time_is_added_up_where_others_have_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    naps: list[float] = []
    engine: Any = Engine()
    # A tenth of the processor: a nap brings a tenth of a tick.
    busy = SimpleNamespace(sleep=naps.append, process_time=lambda: len(naps) * TICK_SECONDS / 10)
    monkeypatch.setattr(_clock, "time", busy)
    with EngineClock(engine).going():
        assert engine.third.wait(PATIENCE)
    assert len(naps) >= 27
