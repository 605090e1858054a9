# SPDX-License-Identifier: Apache-2.0
"""Who makes room when there are too many connections."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listeners.admission import (
    MOST_ENDING,
    SPARE_DESCRIPTORS,
    Admission,
    Guest,
    most_connections,
)


def entered(admission: Admission, ended: list[str], name: str) -> Guest | None:
    """Enter, as somebody who leaves at once when told to."""
    guests: list[Guest] = []

    def end() -> None:
        ended.append(name)
        guests[0].leaves()

    guest = admission.enter(end)
    if guest is not None:
        guests.append(guest)
    return guest


def test_the_oldest_that_is_waited_for_makes_room_and_the_busy_never() -> None:
    ended: list[str] = []
    admission = Admission(4, 2)
    busy, first, second = (entered(admission, ended, name) for name in ("busy", "1", "2"))
    assert busy is not None
    assert first is not None
    assert ended == ["busy"]  # it was a stranger still, and there are two at most
    assert second is not None
    first.is_busy()
    second.is_idle()
    third = entered(admission, ended, "3")
    assert third is not None
    third.is_idle()
    assert entered(admission, ended, "4") is not None
    # All places are taken, and strangers have half of their share: the oldest that is idle goes.
    assert entered(admission, ended, "5") is not None
    assert ended == ["busy", "2"]
    # They have all of it now: the oldest of themselves goes.
    assert entered(admission, ended, "6") is not None
    assert ended == ["busy", "2", "4"]
    for guest in [*admission.strangers, *admission.idle]:
        guest.is_busy()
    assert len(admission.busy) == 4
    assert entered(admission, ended, "7") is None
    first.leaves()
    first.leaves()
    first.is_busy()  # what has left stays away
    assert entered(admission, ended, "8") is not None
    assert len(admission) == 4


def test_a_newcomer_has_the_time_of_half_a_share_however_many_were_answered() -> None:
    ended: list[str] = []
    admission = Admission(100)
    for number in range(100):
        guest = entered(admission, ended, f"answered {number}")
        assert guest is not None
        guest.is_idle()
    newcomer = entered(admission, ended, "newcomer")
    assert newcomer is not None
    for number in range(admission.most_strangers // 2):
        assert entered(admission, ended, f"silent {number}") is not None
        assert "newcomer" not in ended


def test_a_place_is_free_when_its_connection_has_ended() -> None:
    admission = Admission(2)
    guests = [admission.enter(lambda: None) for _ in range(MOST_ENDING + 1)]
    assert None not in guests
    while len(admission.ending) < MOST_ENDING:
        assert admission.enter(lambda: None) is not None
    assert admission.enter(lambda: None) is None
    next(iter(admission.ending)).leaves()
    assert admission.enter(lambda: None) is not None


@given(st.lists(st.tuples(st.sampled_from(["enter", "idle", "busy", "leave"]), st.integers(0, 9))))
def test_there_are_never_more_and_each_is_in_one_place(steps: list[tuple[str, int]]) -> None:
    admission = Admission(4)
    guests: list[Guest] = []
    for step, number in steps:
        if step == "enter":
            guest = admission.enter(lambda: None)
            if guest is None:
                assert len(admission.busy) == 4 or len(admission.ending) >= MOST_ENDING
            else:
                guests.append(guest)
        elif guests:
            guest = guests[number % len(guests)]
            {"idle": guest.is_idle, "busy": guest.is_busy, "leave": guest.leaves}[step]()
        places = [*admission.strangers, *admission.idle, *admission.busy]
        assert len(places) == len(set(map(id, places))) == len(admission) <= 4
        assert len(admission.strangers) <= admission.most_strangers
        assert not admission.ending.intersection(places)


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
