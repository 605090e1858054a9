# SPDX-License-Identifier: Apache-2.0
"""Master and slaves: each checks the other."""

from contextlib import suppress

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from meter_codecs.mbus import (
    Address,
    Body,
    Collision,
    EncodingError,
    LongFrame,
    NoAnswer,
    RequestRefused,
    SessionError,
    ShortFrame,
    make_body,
    make_record,
)
from meter_codecs.mbus.frames import BROADCAST, BROADCAST_REPLY, RSP_UD, SND_NKE
from meter_codecs.mbus.master import MOST_TELEGRAMS, Master, Request, run
from meter_codecs.mbus.slave import Slave
from tests.meter_codecs.mbus.strategies import numbers
from tests.support.mbus_bus import Bus, PtyLine

BODIES = (
    make_body([make_record(b"\x04\x13", 100)], more_follows=True),
    make_body([make_record(b"\x04\x13", 200)], more_follows=True),
    make_body([make_record(b"\x04\x13", 300)]),
)


def water(number: str, primary: int = 5, bodies: tuple[Body, ...] = BODIES) -> Slave:
    return Slave(primary, Address.of("GWF", number, 0x35, 7), bodies)


def test_all_telegrams_of_a_slave_are_read_from_the_first_to_the_last() -> None:
    bus, master = Bus([water("00182007")]), Master()
    run(master.reset(5), bus.exchange)
    for _ in range(2):
        telegrams = run(master.read(5), bus.exchange)
        assert [t.records[0].value for t in telegrams] == [100, 200, 300]
    controls = [request.wire[1] for request in bus.requests]
    assert controls == [0x40, 0x7B, 0x5B, 0x7B, 0x5B, 0x7B, 0x5B]


def test_an_answer_that_was_lost_is_repeated_not_skipped() -> None:
    bus, master = Bus([water("00182007")]), Master()
    lost = iter([False, True, False, True, False, False])

    def exchange(request: Request) -> bytes:
        answer = bus.exchange(request)
        return b"" if next(lost) else answer

    telegrams = run(master.read(5), exchange)
    assert [t.records[0].value for t in telegrams] == [100, 200, 300]
    assert len(bus.requests) == 5


def test_an_answer_that_was_damaged_is_asked_for_again() -> None:
    bus, master = Bus([water("00182007", bodies=BODIES[2:])]), Master()
    damaged = iter([True, False])

    def exchange(request: Request) -> bytes:
        answer = bytearray(bus.exchange(request))
        answer[20] ^= next(damaged)
        return bytes(answer)

    (telegram,) = run(master.read(5), exchange)
    assert telegram.records[0].value == 300


def test_a_converter_that_echoes_is_understood() -> None:
    bus = Bus([water("00182007")], echo=True)
    assert len(run(Master().read(5), bus.exchange)) == 3


def test_who_is_not_there_does_not_answer() -> None:
    bus = Bus([water("00182007")])
    with pytest.raises(NoAnswer):
        run(Master(attempts=2).read(6), bus.exchange)
    assert len(bus.requests) == 2
    assert run(Master(attempts=1).find_primary(range(1, 10)), bus.exchange) == (5,)


def test_two_slaves_of_one_address_collide() -> None:
    bus = Bus([water("00182007"), water("51234567")])
    with pytest.raises(Collision):
        run(Master().read(5), bus.exchange)


def test_a_slave_is_read_by_its_number() -> None:
    bus = Bus([water("00182007"), water("51234567", bodies=BODIES[2:])])
    (telegram,) = run(Master().read_selected(Address(0xFFFF, "5fffffff", 0xFF, 0xFF)), bus.exchange)
    assert str(telegram.meter) == "GWF 51234567"
    with pytest.raises(NoAnswer):
        run(Master().select(Address.of("GWF", "51234567", 0x36, 7)), bus.exchange)


def hides(one: str, other: str) -> bool:
    """Whether both answers at once look like that of one: its zeros win, its checksum's too."""
    ask = Request(ShortFrame(0x7B, 5).encode())
    alone, both = (
        Bus([water(number) for number in numbers]).exchange(ask)
        for numbers in ([one], [one, other])
    )
    return alone == both


@given(st.sets(numbers, max_size=8))
@settings(max_examples=25, deadline=None)
def test_a_search_finds_every_slave_once(present: set[str]) -> None:
    bus = Bus([water(number) for number in sorted(present)])
    assume(not any(hides(one, other) for one in present for other in present - {one}))
    found = run(Master(attempts=1).search(), bus.exchange)
    assert [address.number for address in found] == sorted(present)


def test_slaves_of_the_same_number_are_told() -> None:
    bus = Bus([water("00182007"), Slave(6, Address.of("KAM", "00182007", 1, 4), BODIES)])
    with pytest.raises(Collision):
        run(Master(attempts=1).search(), bus.exchange)
    anyone_of_kamstrup = Address.of("KAM", "ffffffff", 0xFF, 0xFF)
    (found,) = run(Master(attempts=1).search(anyone_of_kamstrup), bus.exchange)
    assert found.manufacturer == "KAM"


def test_the_line_follows_a_slave_to_another_speed() -> None:
    bus, master = Bus([water("00182007")]), Master()
    run(master.set_speed(5, 9600, current=2400), bus.exchange)
    assert (bus.speed, bus.slaves[0].speed) == (9600, 9600)
    assert len(run(master.read(5), bus.exchange)) == 3
    with pytest.raises(EncodingError, match="9601 baud is none of 300"):
        run(master.set_speed(5, 9601, current=9600), bus.exchange)


def test_a_slave_that_does_not_follow_leaves_the_line_as_it_was() -> None:
    class Stubborn(Slave):
        def receive(self, frame: object) -> bytes:
            answer = super().receive(frame)  # type: ignore[arg-type]  # a frame, as it comes
            self.speed = 2400
            return answer

    bus = Bus([Stubborn(5, Address.of("GWF", "00182007", 1, 7), BODIES)])
    master = Master(attempts=1)
    with pytest.raises(NoAnswer, match="no answer at 9600 baud; back at 2400"):
        run(master.set_speed(5, 9600, current=2400), bus.exchange)
    assert bus.speed == 2400
    assert len(run(master.read(5), bus.exchange)) == 3


def test_what_all_hear_nobody_answers() -> None:
    bus = Bus([water("00182007"), water("51234567", 6)])
    run(Master().reset(BROADCAST), bus.exchange)
    assert len(bus.requests) == 1
    assert Bus([water("00182007")]).exchange(Request(ShortFrame(SND_NKE, BROADCAST_REPLY).encode()))


def test_a_slave_that_never_ends_is_left() -> None:
    bus = Bus([water("00182007", bodies=BODIES[:1])])
    with pytest.raises(SessionError, match=f"more than {MOST_TELEGRAMS} telegrams"):
        run(Master().read(5), bus.exchange)


def test_a_slave_that_refuses_is_heard() -> None:
    refusal = LongFrame(RSP_UD, 5, 0x70, b"\x08").encode()
    with pytest.raises(RequestRefused, match="too busy"):
        run(Master().read(5), lambda _: refusal)


def test_what_a_master_sends_is_not_taken_for_an_answer() -> None:
    request = LongFrame(0x53, 5, 0x51, b"").encode()
    with pytest.raises(Collision):
        run(Master().read(5), lambda _: request)


def test_a_slave_with_nothing_to_say_is_none() -> None:
    with pytest.raises(EncodingError):
        water("00182007", bodies=())


def test_a_master_that_never_asks_is_none() -> None:
    with pytest.raises(EncodingError):
        Master(attempts=0)


@given(st.binary(max_size=80))
def test_a_slave_bears_any_bytes(data: bytes) -> None:
    slave = water("00182007")
    slave.feed(data)
    slave.feed(b"\x00" * 261)  # whatever was begun is over
    slave.feed(ShortFrame(SND_NKE, 5).encode())
    assert slave.feed(ShortFrame(SND_NKE, 5).encode()) in (b"\xe5", b"")


@given(st.binary(max_size=80))
def test_a_master_bears_any_answer(data: bytes) -> None:
    with suppress(SessionError):
        run(Master(attempts=1).read(5), lambda _: data)


@pytest.mark.process
def test_master_and_slave_speak_over_a_pseudo_terminal() -> None:
    with PtyLine(water("00182007")) as line:
        master = Master()
        (found,) = run(master.search(), line.exchange)
        assert str(found) == "GWF 00182007"
        telegrams = run(master.read_selected(found), line.exchange)
    assert [t.records[0].value for t in telegrams] == [100, 200, 300]
