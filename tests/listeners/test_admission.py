# SPDX-License-Identifier: Apache-2.0
"""Who makes room when there are too many connections."""

import resource
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listeners.admission import SPARE_DESCRIPTORS, Admission, Guest, most_connections


def test_strangers_make_room_before_whoever_was_answered_and_the_busy_never() -> None:
    ended: list[str] = []
    admission = Admission(3)

    def entered(name: str) -> Guest | None:
        return admission.enter(partial(ended.append, name))

    busy, idle = entered("busy"), entered("idle")
    assert busy is not None
    assert idle is not None
    busy.is_busy()
    idle.is_idle()
    for number in range(3):
        assert entered(f"stranger {number}") is not None
    assert ended == ["stranger 0", "stranger 1"]
    last = next(iter(admission.strangers))
    last.is_busy()
    fourth = entered("fourth")
    assert ended[-1] == "idle"
    assert fourth is not None
    fourth.is_busy()
    assert entered("fifth") is None
    busy.leaves()
    busy.leaves()
    busy.is_busy()  # what has left stays away
    assert entered("sixth") is not None
    assert len(admission) == 3


@given(st.lists(st.tuples(st.sampled_from(["enter", "idle", "busy", "leave"]), st.integers(0, 9))))
def test_there_are_never_more_and_each_is_in_one_place(steps: list[tuple[str, int]]) -> None:
    admission = Admission(4)
    guests: list[Guest] = []
    for step, number in steps:
        if step == "enter":
            guest = admission.enter(lambda: None)
            assert (guest is None) == (len(admission.busy) == 4)
            guests += [] if guest is None else [guest]
        elif guests:
            guest = guests[number % len(guests)]
            {"idle": guest.is_idle, "busy": guest.is_busy, "leave": guest.leaves}[step]()
        places = [*admission.strangers, *admission.idle, *admission.busy]
        assert len(places) == len(set(map(id, places))) == len(admission) <= 4


def test_there_are_fewer_connections_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _what, both: said.append(both))
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 4096))
    assert most_connections(10_000) == 4096 - SPARE_DESCRIPTORS
    assert said == [(4096, 4096)]
    assert most_connections(64) == 64
    assert said == [(4096, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, resource.RLIM_INFINITY))
    assert most_connections(10_000) == 10_000
    assert said[-1] == (10_000 + SPARE_DESCRIPTORS, resource.RLIM_INFINITY)
