# SPDX-License-Identifier: Apache-2.0
"""Rounds over the sessions of hubs that dial: who comes late, breaks off or never comes."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from protocols.secure_channel.conversation import converse
from protocols.secure_channel.errors import RemoteChannelError
from tests.support.region import Region, built
from tests.support.stand_in import StandIn
from tests.support.waiting import PATIENCE, wait_until
from utility_server.grid.concentrator.dialled import DialledHubs
from utility_server.grid.concentrator.hubs import Answer, Hub
from utility_server.grid.concentrator.round_commands import Question

TELL = Question(Instruction.TELL_KEYS, (bytes(96),))


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with built(tmp_path) as region:
        region.concentrator.hubs.close()
        region.concentrator.hubs = DialledHubs(PATIENCE)
        yield region


def dialled(region: Region) -> DialledHubs:
    hubs = region.concentrator.hubs
    assert isinstance(hubs, DialledHubs)
    return hubs


def poll(hubs: DialledHubs, hub: StandIn) -> bool:
    """Let a hub hold one session, as a gateway would; return whether there was anything to do."""
    meter = hub.home.meter
    errand = hubs.next(meter) if hubs.is_waiting(meter) else None
    if errand is None:
        return False
    converse(errand, hub.transmit)
    return True


@contextmanager
def dialling(hubs: DialledHubs, homes: list[StandIn]) -> Iterator[None]:
    """Let hubs poll until the end."""
    stop = threading.Event()

    def dial(hub: StandIn) -> None:
        while not stop.wait(0.005):
            poll(hubs, hub)

    threads = [threading.Thread(target=dial, args=(hub,)) for hub in homes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_round_is_run_over_the_sessions_of_hubs_that_dial(region: Region) -> None:
    with dialling(dialled(region), region.hubs):
        outcome = region.run()
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected()
    assert not outcome.absent + outcome.refused
    status = region.concentrator.traffic
    assert status.sent > 7 * 2000
    assert status.received > 7 * 500


def test_hubs_that_do_not_come_in_time_are_absent_as_unreachable_ones_are(region: Region) -> None:
    dialled(region).timeout_seconds = 2.0
    with dialling(dialled(region), [*region.hubs[:3], *region.hubs[4:]]):
        outcome = region.run()
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected(3)
    [absence] = outcome.absent
    assert (absence.meter, absence.step) == (region.hubs[3].home.meter, "tell keys")
    assert absence.why == "it has not dialled within 2 s"


def asked(hubs: DialledHubs, count: int, ends: "threading.Event | None" = None) -> list[Answer]:
    """Ask hubs that nobody has listed; stop after so many answers."""

    async def ask() -> list[Answer]:
        answers = []
        asking = hubs.ask([Hub(b"meter %05d" % n, "any") for n in range(5)], TELL)
        async for answer in asking:
            answers.append(answer)
            if len(answers) == count:
                break
        await asking.aclose()  # type: ignore[attr-defined]  # it is a generator
        return answers

    made = asyncio.run(ask())
    if ends is not None:
        ends.set()
    return made


def test_whoever_stops_listening_stops_the_asking_and_nothing_is_left() -> None:
    hubs, made = DialledHubs(0.05), []
    made = asked(hubs, 2)
    assert [str(answer.data) for answer in made] == ["it has not dialled within 0 s"] * 2
    assert not any(hubs.is_waiting(b"meter %05d" % n) for n in range(5))
    assert not hubs._askers


def test_an_answer_that_comes_when_its_time_is_over_counts_for_nobody() -> None:
    hubs, is_over, told = DialledHubs(0.2), threading.Event(), []
    thread = threading.Thread(target=lambda: told.extend(asked(hubs, 5, is_over)))
    thread.start()
    wait_until(lambda: hubs.is_waiting(b"meter 00001"))
    errand = hubs.next(b"meter 00001")
    assert errand is not None
    next(errand)
    assert is_over.wait(PATIENCE)
    with pytest.raises(StopIteration):
        errand.throw(RemoteChannelError("too late"))
    thread.join()
    assert len(told) == 5
    assert hubs.next(b"meter 00001") is None


def test_an_errand_that_is_cut_off_is_begun_anew_while_its_time_lasts(region: Region) -> None:
    hub, hubs = region.hubs[0], dialled(region)
    others = dialling(hubs, region.hubs[1:])
    outcomes = []
    with others:
        runner = threading.Thread(target=lambda: outcomes.append(region.run()))
        runner.start()
        for _ in range(4):  # tell keys, contribute, agree, open
            wait_until(lambda: hubs.is_waiting(hub.home.meter))
            for _ in range(2):  # the connection breaks, twice, before the answer has come
                errand = hubs.next(hub.home.meter)
                assert errand is not None
                next(errand)
                errand.close()
            assert poll(hubs, hub)
        runner.join()
    assert outcomes[0].aggregate is not None
    assert len(outcomes[0].meters) == 7


def test_hubs_come_soon_while_a_round_goes_on_and_rarely_afterwards(region: Region) -> None:
    hubs, hub = dialled(region), region.hubs[0]
    meter = hub.home.meter
    assert hubs.waits(meter).poll == hubs.poll_seconds
    polls = list[int]()

    def watched() -> None:
        while not stop.wait(0.005):
            if poll(hubs, hub):
                polls.append(hubs.waits(meter).poll)

    stop = threading.Event()
    thread = threading.Thread(target=watched)
    thread.start()
    with dialling(hubs, region.hubs[1:]):
        assert region.run().aggregate is not None
    stop.set()
    thread.join()
    soon = polls[0]
    assert polls == [soon, soon, soon, hubs.poll_seconds]
    assert soon < 10
    assert hubs.waits(meter).poll == hubs.poll_seconds


def test_answers_do_not_pile_up_while_nobody_takes_them() -> None:
    """A hub that comes meanwhile is asked later."""
    hubs = DialledHubs(PATIENCE, most_unread=1)

    async def ask() -> None:
        asking = hubs.ask([Hub(b"one", "any"), Hub(b"two", "any")], TELL)
        waiting = asyncio.ensure_future(anext(asking))
        await asyncio.sleep(0)
        first = hubs.next(b"one")
        assert first is not None
        with pytest.raises(StopIteration):
            next(first)
            first.throw(RemoteChannelError("no such card"))
        assert hubs.is_waiting(b"two")
        assert hubs.next(b"two") is None
        assert "no such card" in str((await waiting).data)
        assert hubs.next(b"two") is not None
        await asking.aclose()  # type: ignore[attr-defined]  # it is a generator

    asyncio.run(ask())
