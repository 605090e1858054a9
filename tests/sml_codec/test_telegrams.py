# SPDX-License-Identifier: Apache-2.0
"""What a telegram says of itself: who has sent it, when, what it counts, what is wrong with it."""

from dataclasses import replace
from decimal import Decimal

import pytest
from click.testing import CliRunner

from meterlet.commands.sml import sml
from sml_codec import (
    CloseRes,
    Damage,
    Frame,
    GetListRes,
    ListEntry,
    Message,
    Obis,
    OpenRes,
    Quirk,
    ScaledValue,
    SignFaults,
    StreamDecoder,
    Time,
    TimeChoice,
    decode_stream,
    device_id_of,
    encode_file,
    encode_frame,
    is_intact,
)
from sml_codec.numbers import Integer16
from tests.support.captures import capture, needs_captures
from tests.support.field import MARCH, METER, telegram

POWERS = [Obis.parse(f"1-0:{phase}6.7.0*255") for phase in (1, 3, 5, 7)]


def dzg(serial: int) -> bytes:
    meter = b"\x0a\x01DZG" + serial.to_bytes(5, "big")
    powers = tuple(
        ListEntry(obis=one, unit=27, scaler=-2, value=Integer16(-29912)) for one in POWERS
    )
    named = ListEntry(obis=Obis.parse("1-0:96.1.0*255"), value=meter)
    bodies = (
        OpenRes(request_file_id=b"1", server_id=meter),
        GetListRes(server_id=meter, entries=(named, *powers)),
        CloseRes(),
    )
    return encode_frame(encode_file([Message(transaction_id=b"t", body=one) for one in bodies]))


def corrected(data: bytes, faults: SignFaults | None = None, quirks: Quirk = Quirk.ALL) -> set[int]:
    """The corrections of three frames in a row: the decoder learns their layout."""
    decoder = StreamDecoder(sign_faults=faults, quirks=quirks)
    entries = [e for t in decoder.feed(data * 4) for e in t.entries() if e.obis in POWERS]
    assert len(entries) == 16
    return {getattr(one, "corrected", None) or 0 for one in entries}


def test_a_telegram_says_who_has_sent_it_and_when() -> None:
    [one] = decode_stream(telegram(5_000_000.5, MARCH))
    assert (one.server_id, one.device_id) == (METER, "1 XXX00 0004 8879")
    assert one.meter_time == Time(TimeChoice.TIMESTAMP, MARCH)
    assert one.values() == {Obis.parse("1-0:1.8.0*255"): ScaledValue(Decimal("5000000.5"), "Wh")}
    [other] = decode_stream(telegram(1, own_time=MARCH))
    assert other.meter_time == Time(TimeChoice.TIMESTAMP, MARCH)
    [none] = decode_stream(telegram(1))
    assert none.meter_time is None


def test_is_intact_narrows_the_frame() -> None:
    [one] = decode_stream(telegram(1))
    assert is_intact(one)
    payload: bytes = one.frame.payload  # a Frame, to type checkers as well
    assert isinstance(one.frame, Frame)
    assert payload
    [broken] = decode_stream(telegram(1)[:-2] + b"\0\0")
    assert not is_intact(broken)
    assert isinstance(broken.frame, Damage)
    assert broken.faults == ("frame crc",)
    assert one.faults == ()


@pytest.mark.parametrize(
    ("server_id", "printed"),
    [
        ("0a01454d480000bc614e", "1 EMH00 1234 5678"),
        ("0901454d480000000001", "1 EMH00 0000 0001"),
        ("0a01454d4800ffffffff", None),
        ("0a0145003030bc614e00", None),
        ("0b01454d480000bc614e", None),
        ("0a01454d48", None),
        ("", None),
    ],
)
def test_the_id_that_is_printed_on_a_meter(server_id: str, printed: str | None) -> None:
    assert device_id_of(bytes.fromhex(server_id)) == printed
    assert device_id_of(None) is None


def test_the_power_of_each_phase_is_corrected_like_that_of_all() -> None:
    assert corrected(dzg(42_000_001)) == {35_624}
    assert corrected(dzg(41_000_001)) == {0}
    assert corrected(dzg(42_000_001), quirks=Quirk.ALL & ~Quirk.DZG_SIGN) == {0}


def test_which_meters_have_the_fault_can_be_said_by_serial() -> None:
    said = SignFaults({41_000_001: True, 42_000_001: False})
    assert corrected(dzg(41_000_001), said) == {35_624}
    assert corrected(dzg(42_000_001), said) == {0}
    assert corrected(dzg(42_000_002), said) == {35_624}
    assert corrected(dzg(42_000_002), replace(said, by_range=False)) == {0}


def run(*arguments: str, data: bytes = b"") -> tuple[int, str]:
    done = CliRunner().invoke(sml, list(arguments), input=data)
    return done.exit_code, done.output


def test_decode_prints_who_has_sent_it_and_when() -> None:
    code, text = run("decode", "-", data=telegram(1, MARCH))
    assert (code, text.splitlines()[0]) == (
        0,
        f"    0  meter {METER.hex()} (1 XXX00 0004 8879), 2025-02-28T23:00:00Z",
    )
    assert "1,234 s counted" in run("decode", "-", data=telegram(1, count=1234))[1]


def test_hex_is_decoded_and_checked_where_bytes_are() -> None:
    wire = telegram(1, MARCH)
    assert run("decode", "-", data=wire.hex(" ").encode()) == run("decode", "-", data=wire)
    assert run("check", "-", data=wire.hex().encode()) == run("check", "-", data=wire)


def test_decode_takes_what_is_said_of_serials() -> None:
    asked = "decode", "-", "--dzg"
    assert "356.24 W" in run(*asked, "41000001=on", data=dzg(41_000_001))[1]
    assert "-299.12 W" in run(*asked, "42000001=off", data=dzg(42_000_001))[1]
    for wrong in ("41000001", "x=on", "1=maybe"):
        assert run(*asked, wrong, data=b"")[0] == 2


@needs_captures
def test_a_real_capture_says_who_sends() -> None:
    one = decode_stream(capture("EMH_cacf7e"))[0]
    assert one.server_id is not None
    assert one.device_id is None or one.device_id.startswith("1 ")
    assert one.values()
