# SPDX-License-Identifier: Apache-2.0
"""A hub that is called dials at once, but not more often than is promised."""

import threading
from threading import Event

from hypothesis import given
from hypothesis import strategies as st

from hub.dialling.events import DialEvent, Kind
from hub.dialling.wake_calls import WakeCalls
from tests.support.dialled_home import DialledHome
from tests.support.waiting import PATIENCE


@given(st.lists(st.integers(0, 400), max_size=200), st.integers(0, 10_000))
def test_in_any_time_fewer_calls_count_than_5_and_one_more_each_five_minutes(
    steps: list[int], start: int
) -> None:
    now = start
    calls = WakeCalls(lambda: now)
    counted: list[int] = []
    for step in steps:
        now += step
        if calls.call():
            counted.append(now)
        calls.take()
    for first, begin in enumerate(counted):
        for last in range(first, len(counted)):
            assert last - first + 1 < 5 + (counted[last] - begin) / 300


def test_a_day_of_calls_every_second_is_292_sessions_of_which_four_are_at_once() -> None:
    now = 0
    calls = WakeCalls(lambda: now)
    counted = []
    for second in range(86_400):
        now = second
        counted.append(calls.call())
        calls.take()
    assert sum(counted) == 292
    assert counted[:4] == [True] * 4
    assert not any(counted[5:298])


def test_calls_before_the_hub_has_dialled_are_one() -> None:
    calls = WakeCalls(lambda: 0)
    assert [calls.call() for _ in range(100)] == [True] + [False] * 99
    assert calls.wait(0)
    assert (calls.take(), calls.take()) == (True, False)
    assert not calls.wait(0)
    assert [calls.call() and calls.take() for _ in range(4)] == [True, True, True, False]


def test_a_call_ends_the_wait_and_one_during_a_session_is_followed_by_another(
    home: DialledHome,
) -> None:
    """The server says 900 seconds, and the clock stands still: only calls bring the hub."""
    told: list[DialEvent] = []
    calls, stop, done = WakeCalls(lambda: 0), Event(), Event()
    dialler = home.dialler(home.wire())
    dialler.monotonic = lambda: 0.0
    dialler.calls, dialler.pace.poll_seconds = calls, 900.0
    ended = 0

    def tell(event: DialEvent) -> None:
        nonlocal ended
        told.append(event)
        if event.kind is not Kind.ENDED:
            return
        ended += 1
        if ended == 1:
            calls.call()  # within the first session: the hub comes once more
        elif ended == 2:
            threading.Timer(0.05, calls.call).start()
        else:
            stop.set()
            calls.poke()
            done.set()

    dialler.tell = tell
    thread = threading.Thread(target=dialler.run, args=(stop,), daemon=True)
    thread.start()
    assert done.wait(PATIENCE)
    thread.join(PATIENCE)
    kinds = [one.kind for one in told if one.kind in (Kind.WOKEN, Kind.ENDED)]
    assert kinds == [Kind.ENDED, Kind.WOKEN, Kind.ENDED, Kind.WOKEN, Kind.ENDED]
