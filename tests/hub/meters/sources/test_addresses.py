# SPDX-License-Identifier: Apache-2.0
"""What addresses of sources mean, and which are none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.meters.recognition import MeterKind
from hub.meters.sources import SourceOptions, kind_at, open_meter_source
from hub.meters.sources.bus import targets_of
from hub.meters.sources.lines import USUAL, FrameBits, LineSettings, line_of
from meter_codecs.mbus import Address

GOOD = (
    "serial:///dev/ttyUSB0",
    "serial:///dev/ttyUSB0?baud=2400&frame=8E1",
    "serial:///dev/ttyUSB0?frame=7E1",
    "mbus:///dev/ttyUSB0",
    "mbus:///dev/ttyUSB0?baud=300&frame=8E1&every=15min&address=1,2,12345678,23ffffff",
    "mbus+tcp://192.0.2.7:10001?every=1h",
    "d0:///dev/ttyUSB0?mode=C&every=15min&address=00112233&fastest=4800",
    "d0:///dev/ttyUSB0?mode=A",
    "d0:///dev/ttyUSB0?mode=D",
    "mqtt://192.0.2.7",
    "mqtt://192.0.2.7:1884/tele/heat-pump/SENSOR?version=3.1.1",
    "mqtts://broker.example?ca=/etc/ca.pem",
    "tcp://192.0.2.7:2000",
    "http://192.0.2.7/data",
)
WRONG = (
    ("serial:///dev/ttyUSB0?parity=E", "no parity"),
    ("serial:///dev/ttyUSB0?frame=9N1", "8N1, 8E1 or 7E1"),
    ("serial:///dev/ttyUSB0?baud=fast", "a number"),
    ("serial:///dev/ttyUSB0?baud=1", "a number"),
    ("serial:///dev/ttyUSB0?baud=300&baud=600", "said twice"),
    ("serial://dev/ttyUSB0", "three slashes"),
    ("mbus:///dev/ttyUSB0?address=251", "primary address"),
    ("mbus:///dev/ttyUSB0?address=1,1", "once"),
    ("mbus:///dev/ttyUSB0?address=", "primary address"),
    ("mbus:///dev/ttyUSB0?every=1000h", "31 days"),
    ("mbus:///dev/ttyUSB0?every=soon", "write it as"),
    ("mbus+tcp://192.0.2.7", "a port"),
    ("mbus+tcp://192.0.2.7:1/x", "a port"),
    ("d0:///dev/ttyUSB0?mode=E", "A, B, C or D"),
    ("d0:///dev/ttyUSB0?mode=D&every=1h", "no every"),
    ("d0:///dev/ttyUSB0?fastest=1000", "one of 300"),
    ("d0:///dev/ttyUSB0?address=%21", "letters and digits"),
    ("mqtt://user:word@192.0.2.7", "a password"),
    ("mqtt://", "mqtt://HOST"),
    ("mqtt://192.0.2.7?ca=/etc/ca.pem", "mqtts"),
    ("mqtt://192.0.2.7?version=4", "3.1.1"),
    ("mqtt://192.0.2.7/" + "x" * 300, "256 at most"),
    ("gopher://192.0.2.7", "no source"),
)


@pytest.mark.parametrize("address", GOOD)
def test_addresses_that_are_understood(address: str) -> None:
    assert open_meter_source(address, SourceOptions()).__aiter__()


@pytest.mark.parametrize(("address", "why"), WRONG)
def test_addresses_that_are_not(address: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        open_meter_source(address, SourceOptions())


def test_some_addresses_say_what_is_spoken_there() -> None:
    assert kind_at("mbus+tcp://192.0.2.7:1") is MeterKind.MBUS
    assert kind_at("d0:///dev/ttyUSB0") is MeterKind.P1
    assert kind_at("mqtts://192.0.2.7") is MeterKind.MQTT
    assert kind_at("serial:///dev/ttyUSB0") is kind_at("a file") is kind_at("-") is None


def test_a_line_is_set_as_its_kind_is_where_nobody_says_otherwise() -> None:
    assert line_of("/dev/x", {}) == LineSettings("/dev/x", 9600, FrameBits(8, "N", 1))
    bus = USUAL[MeterKind.MBUS]
    assert line_of("/dev/x", {}, bus) == LineSettings("/dev/x", 2400, FrameBits(8, "E", 1))
    assert line_of("/dev/x", {"baud": "300"}, bus) == LineSettings("/dev/x", 300, bus[1])
    assert str(FrameBits.parse("7E1")) == "7E1"
    assert USUAL.keys() - {None} == set(MeterKind) - {MeterKind.MQTT, MeterKind.DLMS_APDU}


def test_meters_are_named_by_primary_address_or_by_number() -> None:
    assert targets_of("0,250,12345678,99ffffff") == (
        0, 250, Address(0xFFFF, "12345678", 0xFF, 0xFF), Address(0xFFFF, "99ffffff", 0xFF, 0xFF),
    )  # fmt: skip


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for scheme in ("serial", "mbus", "mbus+tcp", "d0", "mqtt", "mqtts"):
        for address in (f"{scheme}://{text}", f"{scheme}:///dev/x?{text}"):
            with suppress(ValueError):
                open_meter_source(address, SourceOptions())
