# SPDX-License-Identifier: Apache-2.0
"""Meters that are asked: a bus and an optical port, on pseudo-terminals and sockets."""

import asyncio
import os
import pty
import tty
from collections.abc import Callable
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from hub.meters.kinds import reader_of
from hub.meters.recognition import MeterKind
from hub.meters.sources import SourceOptions, open_meter_source
from hub.meters.sources.bus import Patience
from hub.meters.telegrams import GAS, HEAT, Counted, Quantity
from meter_codecs.mbus import Address, Body, decode_stream, make_body, make_record
from meter_codecs.mbus.frames import LongFrame, Received
from meter_codecs.mbus.master import Request
from meter_codecs.mbus.slave import Slave
from meter_codecs.p1 import StreamDecoder, Telegram
from meter_codecs.p1.dialogue import ReadoutServer, Send
from meter_codecs.p1.telegram import Framing, Line
from sml_codec.sources import Retry
from tests.support.asked import pty_line, tcp_line
from tests.support.mbus_bus import Bus

pytest.importorskip("serial")
BERLIN = ZoneInfo("Europe/Berlin")
QUICK = Patience(first=0.1, silence=0.05)
ENERGY = bytes.fromhex("0406")
"""DIF and VIF of energy in kilowatt-hours, a whole number of four bytes."""


def heat(number: str, primary: int, *kilowatt_hours: int) -> Slave:
    """Return a heat meter that needs so many telegrams for what it shows."""
    last = len(kilowatt_hours) - 1
    bodies: list[Body] = [
        make_body([make_record(ENERGY, value)], more_follows=place < last)
        for place, value in enumerate(kilowatt_hours)
    ]
    return Slave(primary, Address.of("KAM", number, 0x1B, 4), bodies)


def on_wires(*slaves: Slave) -> Callable[[bytes], bytes]:
    bus = Bus(slaves)
    return lambda data: bus.exchange(Request(data))


def ask(address: str, **options: object) -> tuple[list[bytes], list[str]]:
    """Ask once; return what came, and what was said."""
    said: list[str] = []
    chosen = SourceOptions(heard=said.append, patience=QUICK, **options)  # type: ignore[arg-type]

    async def every() -> list[bytes]:
        first, *rest = [piece async for piece in open_meter_source(address, chosen)]
        assert first == b""  # it is open
        return rest

    return asyncio.run(every()), said


def shown(kind: MeterKind, data: bytes) -> list[tuple[str, dict[Quantity, Counted]]]:
    reader = reader_of(kind, BERLIN, lambda: 0)
    found = reader.feed(data).telegrams + reader.close().telegrams
    return [(one.meter.decode(), dict(one.counted)) for one in found]


def test_meters_are_asked_by_primary_address_and_all_they_have_to_say_is_read() -> None:
    slaves = heat("11111111", 1, 700), heat("22222222", 2, 900, 901, 902)
    with pty_line(on_wires(*slaves)) as device:
        pieces, said = ask(f"mbus://{device}?address=1,2,3")
    one, two = pieces
    assert shown(MeterKind.MBUS, one) == [("KAM 11111111", {HEAT: Counted(700_000, 1000)})]
    assert len(shown(MeterKind.MBUS, two)) == 3
    assert said == ["address 3: no answer"]


def test_whoever_is_on_the_bus_is_found_by_a_search() -> None:
    numbers = "11111111", "21111111", "98765432"
    slaves = [heat(number, 0, 500 + place) for place, number in enumerate(numbers)]
    with tcp_line(on_wires(*slaves)) as port:
        pieces, said = ask(f"mbus+tcp://127.0.0.1:{port}")
    found = [meter for piece in pieces for meter, _ in shown(MeterKind.MBUS, piece)]
    assert sorted(found) == [f"KAM {number}" for number in numbers]
    assert said == []


def test_a_meter_is_asked_by_the_number_printed_on_it() -> None:
    slaves = heat("11111111", 1, 700), heat("22222222", 1, 900)
    with pty_line(on_wires(*slaves)) as device:
        pieces, said = ask(f"mbus://{device}?address=22222222,33333333")
    assert [meter for meter, _ in shown(MeterKind.MBUS, b"".join(pieces))] == ["KAM 22222222"]
    assert said == ["meter 33333333: no answer"]


def test_a_bus_is_asked_again_and_again_and_opened_again_when_it_breaks() -> None:
    slave = heat("11111111", 1, 700)
    between: list[float] = []
    broken: list[str] = []

    async def no_sleep(seconds: float) -> None:
        between.append(seconds)
        if len(between) == 2:
            raise OSError("pulled out")

    async def at_once(seconds: float) -> None:
        assert seconds == 1

    async def three(address: str) -> list[bytes]:
        retry = Retry(sleep=at_once, heard=lambda one: broken.append(one.reason))
        options = SourceOptions(retry=retry, patience=QUICK, sleep=no_sleep)
        source = open_meter_source(address, options)
        found = [await anext(source) for _ in range(6)]
        return [piece for piece in found if piece]  # it was opened twice

    with pty_line(slave.feed) as device:
        pieces = asyncio.run(three(f"mbus://{device}?address=1&every=1h"))
    assert [one.wire[5] for piece in pieces for one in received(piece)] == [1, 1, 1, 1]
    assert broken == ["pulled out"]
    assert len(between) == 3
    assert all(0 < seconds <= 3600 for seconds in between)


def received(data: bytes) -> list[Received]:
    return [one for one in decode_stream(data) if isinstance(one, Received)]


def test_what_another_address_answers_is_told_and_not_taken() -> None:
    def liar(data: bytes) -> bytes:
        answer = heat("11111111", 1, 700).feed(data)
        for one in received(answer):
            if isinstance(one.frame, LongFrame):
                return LongFrame(one.frame.control, 2, one.frame.ci, one.frame.data).encode()
        return answer

    with pty_line(liar) as device:
        pieces, said = ask(f"mbus://{device}?address=1")
    assert (pieces, said) == ([], ["address 1: another slave answers"])


def test_a_meter_that_answers_for_another_number_is_told_and_not_taken() -> None:
    other = heat("99999999", 1, 700)

    def liar(data: bytes) -> bytes:
        changed = data.replace(bytes.fromhex("22222222"), bytes.fromhex("99999999"))
        if changed != data:
            body = changed[4:-2]
            changed = changed[:4] + body + bytes([sum(body) & 0xFF, 0x16])
        return other.feed(changed)

    with pty_line(liar) as device:
        pieces, said = ask(f"mbus://{device}?address=22222222")
    assert (pieces, said) == ([], ["meter 22222222: meter KAM 99999999 answers for 22222222"])


def test_a_bus_that_never_stops_talking_ends_each_wait() -> None:
    babble = b"\x55" * 2048
    with tcp_line(lambda _: babble) as port:
        pieces, said = ask(f"mbus+tcp://127.0.0.1:{port}?address=1")
    assert pieces == []
    assert "no answer" in said[0]


READOUT = Telegram(
    "XXX5METER-1",
    (
        Line("0.0.0", ("00112233",)),
        Line("1.8.0", ("012345.678*kWh",)),
        Line("2.8.0", ("000001.000*kWh",)),
    ),
    checksum=None,
    framing=Framing.BLOCK,
)


def optical(telegram: Telegram, *, address: str = "", spoils: int = 0) -> Callable[[bytes], bytes]:
    """Return a meter at an optical port, whose first blocks are damaged on the way."""
    server = ReadoutServer(lambda: telegram, address=address)
    left = [spoils]

    def answer(data: bytes) -> bytes:
        sent = b""
        for action in server.receive(data):
            if isinstance(action, Send):
                sent += action.data
        if b"\x02" in sent and left[0]:
            left[0] -= 1
            sent = sent.replace(b"012345.678", b"912345.678")
        return sent

    return answer


@pytest.mark.parametrize(("letter", "mode"), [("5", "C"), ("5", "A"), ("E", "B")])
def test_an_optical_port_is_signed_on_to(letter: str, mode: str) -> None:
    telegram = replace(READOUT, identification=f"XXX{letter}METER-1")
    with pty_line(optical(telegram)) as device:
        pieces, said = ask(f"d0://{device}?mode={mode}")
    assert said == []
    [(meter, counted)] = shown(MeterKind.P1, b"".join(pieces))
    assert meter == "00112233"
    assert {one.c: steps.steps for one, steps in counted.items()} == {1: 12_345_678, 2: 1_000}


def test_a_damaged_block_is_asked_for_again() -> None:
    with pty_line(optical(READOUT, spoils=1)) as device:
        pieces, said = ask(f"d0://{device}")
    assert (len(pieces), said) == (1, [])
    assert b"(012345.678*kWh)" in pieces[0]


def test_one_of_several_meters_on_a_line_is_asked() -> None:
    with pty_line(optical(READOUT, address="00112233")) as device:
        assert len(ask(f"d0://{device}?address=00112233")[0]) == 1


def test_a_meter_that_is_silent_is_told() -> None:
    with pty_line(lambda _: b"") as device:
        pieces, said = ask(f"d0://{device}")
    assert pieces == []
    assert said == ["the meter sent no end of an identification, asked 3 times"]


def test_a_meter_in_mode_d_is_listened_to() -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    wire = READOUT.encode()

    async def first() -> bytes:
        source = open_meter_source(f"d0://{os.ttyname(theirs)}?mode=D", SourceOptions())
        sending = asyncio.get_running_loop().call_later(0.2, os.write, ours, wire)
        came = b""
        while len(came) < len(wire):
            came += await anext(source)
        sending.cancel()
        await source.aclose()  # type: ignore[attr-defined]
        return came

    assert asyncio.run(first()) == wire
    os.close(ours)
    os.close(theirs)
    assert [type(one) for one in StreamDecoder().feed(wire + b"\r\n")] == [Telegram]


def test_gas_on_a_bus_has_litres() -> None:
    body = make_body([make_record(bytes.fromhex("0413"), 28_504_270)])
    slave = Slave(7, Address.of("ELS", "12345678", 0x0A, 3), (body,))
    with pty_line(slave.feed) as device:
        pieces, _ = ask(f"mbus://{device}?address=7")
    [(meter, counted)] = shown(MeterKind.MBUS, pieces[0])
    assert (meter, counted) == ("ELS 12345678", {GAS: Counted(28_504_270, 1)})
