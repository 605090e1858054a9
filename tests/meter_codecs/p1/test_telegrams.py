# SPDX-License-Identifier: Apache-2.0
"""P1 telegrams of real meters, and what lines of all kinds mean."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from hub.meters.recognition import is_p1
from meter_codecs.p1 import (
    ChecksumMismatch,
    Damage,
    DamageKind,
    EncodingError,
    Framing,
    Line,
    MalformedP1,
    Medium,
    Reading,
    Telegram,
    channels,
    crc16,
    decode_stream,
    meter_number,
    read_telegram,
    readings,
)
from meter_codecs.p1.crc import bcc, from_seven_bits, to_seven_bits
from meter_codecs.p1.moments import read_time
from meterlet.meter_views import p1
from tests.support.meter_captures import (
    captures_of,
    differs,
    meter_capture,
    meter_oracle,
    needs_meter_captures,
)

WINTER = timezone(timedelta(hours=1))
SUMMER = timezone(timedelta(hours=2))


def telegram_of(*lines: str) -> Telegram:
    return Telegram("XXX5\\2MADE", (Line.decode(""), *map(Line.decode, lines)), None)


def read(*lines: str) -> list[Reading]:
    return readings(telegram_of(*lines))


def keys_of(name: str) -> dict[str, bytes]:
    known = meter_oracle(name)
    pairs = (("key", "key"), ("auth_key", "auth_key"))
    return {word: bytes.fromhex(known[key]) for word, key in pairs if key in known}


@needs_meter_captures
@pytest.mark.parametrize("name", captures_of("p1"))
def test_a_capture_is_as_its_oracle_says(name: str) -> None:
    assert differs(name, p1.view(meter_capture(name), **keys_of(name))) == []


@needs_meter_captures
@pytest.mark.parametrize("name", captures_of("p1"))
def test_a_capture_in_the_clear_is_known_for_p1_and_its_frames_come_back(name: str) -> None:
    data = meter_capture(name)
    if "encrypted" in name:
        assert not is_p1(data)
        return
    assert is_p1(data)
    spans = {item["offset"]: item for item in meter_oracle(name)["frame_list"]}
    for event in decode_stream(data):
        if isinstance(event, Telegram):
            wire = event.encode()
            assert len(wire) == spans[event.offset]["length"]
            assert data[event.offset : event.offset + len(wire)] == wire
            assert event.unreadable == ()


@needs_meter_captures
@pytest.mark.parametrize("name", captures_of("p1"))
def test_a_line_of_seven_bits_is_read_with_eight(name: str) -> None:
    data = meter_capture(name)
    if not data.isascii():
        return
    assert differs(name, p1.view(to_seven_bits(data))) == []


def test_the_crc_is_that_of_the_catalogue() -> None:
    assert crc16(b"123456789") == 0xBB3D
    assert crc16(b"") == 0


def test_sums_without_carry_are_what_a_loop_makes() -> None:
    data = bytes(range(7, 250, 3))
    expected = 0
    for byte in data:
        expected ^= byte
    assert bcc(data) == expected
    assert bcc(b"") == 0


def test_a_byte_with_wrong_parity_becomes_a_substitute() -> None:
    assert from_seven_bits(to_seven_bits(b"1.8.0(1*kWh)")) == b"1.8.0(1*kWh)"
    assert from_seven_bits(b"1") == b"\x1a"  # three bits are set
    with pytest.raises(EncodingError):
        to_seven_bits(b"\xab")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1-0:1.8.1(000004.426*kWh)", Reading("1-0:1.8.1", 4426, -3, "kWh")),
        ("1-0:1.8.0(006545766*Wh)", Reading("1-0:1.8.0", 6545766, 0, "Wh")),
        ("1-0:1.8.0*255(00032549.5061662*kWh)", Reading("1-0:1.8.0*255", 325495061662, -7, "kWh")),
        ("1-0:16.7.0(-000123.45*W)", Reading("1-0:16.7.0", -12345, -2, "W")),
        ("6.26(  12.5*m3/h)", Reading("6.26", 125, -1, "m3/h")),
        ("1.8.0*00(012.3*kWh)", Reading("1.8.0*00", 123, -1, "kWh")),
        ("F.F(00)", Reading("F.F", "00")),
        ("0-0:96.14.0(0002)", Reading("0-0:96.14.0", "0002")),
        ("1-0:13.7.0(4.556)", Reading("1-0:13.7.0", "4.556")),
        ("0-0:96.13.0()", Reading("0-0:96.13.0", "")),
        ("1-0:1.7.0(----*kW)", Reading("1-0:1.7.0", "----*kW")),
        ("1-0:99.97.0(0)(0-0:96.7.19)", Reading("1-0:99.97.0", "0")),
        ("0-0:98.1.0(0)(1-0:1.6.0)(1-0:1.6.0)", Reading("0-0:98.1.0", "0")),
        (
            "0-1:24.2.1(170102161005W)(00000.107*m3)",
            Reading("0-1:24.2.1", 107, -3, "m3", datetime(2017, 1, 2, 16, 10, 5, 0, WINTER)),
        ),
        (
            "0-1:24.2.1(150701190000s)(00845.206*m3)",
            Reading("0-1:24.2.1", 845206, -3, "m3", datetime(2015, 7, 1, 19, 0, 0, 0, SUMMER)),
        ),
        ("0-1:24.2.3(632525252525W)(00000.000)", Reading("0-1:24.2.3", "00000.000")),
        ("0-1:24.2.1()(00000.5*m3)", Reading("0-1:24.2.1", 5, -1, "m3")),
        (
            "1.6.1(0.345*kW)(0512081415)",
            Reading("1.6.1", 345, -3, "kW", datetime(2005, 12, 8, 14, 15)),
        ),
        (
            "0-0:1.0.0(161113200000W)",
            Reading("0-0:1.0.0", "161113200000W", time=datetime(2016, 11, 13, 20, tzinfo=WINTER)),
        ),
        ("0-0:1.0.0(20240111 09:35:00)", Reading("0-0:1.0.0", "20240111 09:35:00")),
    ],
)
def test_a_line_with_one_value(line: str, expected: Reading) -> None:
    assert read(line) == [expected]


def test_a_log_of_power_failures_is_read_as_dsmr_4_0_misspells_it() -> None:
    line = "1-0:99:97.0(2)(0:96.7.19)(101208152415W)(0000000240*s)(101208151004W)(00000000301*s)"
    assert [(r.obis, r.value, r.unit, r.of, r.time) for r in read(line)] == [
        ("0:96.7.19", 240, "s", "1-0:99:97.0", datetime(2010, 12, 8, 15, 24, 15, 0, WINTER)),
        ("0:96.7.19", 301, "s", "1-0:99:97.0", datetime(2010, 12, 8, 15, 10, 4, 0, WINTER)),
    ]


def test_a_list_of_peaks_says_when_each_was_and_when_it_was_stored() -> None:
    (peak,) = read("0-0:98.1.0(1)(1-0:1.6.0)(1-0:1.6.0)(200501000000S)(200423192538S)(03.695*kW)")
    assert (peak.obis, peak.scaled, peak.of) == ("1-0:1.6.0", Decimal("3.695"), "0-0:98.1.0")
    assert peak.time == datetime(2020, 5, 1, 0, 0, 0, 0, SUMMER)
    assert peak.event_time == datetime(2020, 4, 23, 19, 25, 38, 0, SUMMER)


def test_values_of_one_moment_are_counted() -> None:
    found = read("0-0:98.1.0(230701000000S)(40.7*kWh)(8.9*kWh)(00.030*kvarh)")
    assert [(r.position, r.scaled, r.unit) for r in found] == [
        (0, Decimal("40.7"), "kWh"),
        (1, Decimal("8.9"), "kWh"),
        (2, Decimal("0.030"), "kvarh"),
    ]
    assert {r.time for r in found} == {datetime(2023, 7, 1, 0, 0, 0, 0, SUMMER)}


def test_a_profile_has_its_values_on_the_lines_that_follow() -> None:
    found = read(
        "P.01(1050412003000)(00)(15)(2)(1.5)(kW)(2.5)(kW)",
        "(0.112)(0.000)",
        "(0.109)(-1)",
        "F.F(0)",
    )
    start = datetime(2005, 4, 12, 0, 30, 0, 0, SUMMER)
    assert [(r.obis, r.value, r.scaler, r.time) for r in found[:4]] == [
        ("1.5", 112, -3, start),
        ("2.5", 0, -3, start),
        ("1.5", 109, -3, start + timedelta(minutes=15)),
        ("2.5", -1, 0, start + timedelta(minutes=15)),
    ]
    assert found[4] == Reading("F.F", "0")


def test_a_gas_value_may_stand_on_the_line_of_its_profile() -> None:
    (gas,) = read("0-1:24.3.0(120517020000)(08)(60)(1)(0-1:24.2.1)(m3)(00124.477)")
    assert (gas.obis, gas.scaled, gas.unit) == ("0-1:24.2.1", Decimal("124.477"), "m3")
    assert gas.time == datetime(2012, 5, 17, 2)


def test_values_without_a_code_belong_to_the_line_before() -> None:
    found = read("1.8.1(00010*kWh)", "(00011*kWh)(00012*kWh)")
    assert [(r.obis, r.value, r.position) for r in found] == [
        ("1.8.1", 10, None),
        ("1.8.1", 11, 0),
        ("1.8.1", 12, 1),
    ]


def test_heat_meters_send_several_codes_on_a_line() -> None:
    wire = (
        b"/LUGCUH50\r\n6.8(0011562*kWh)6.26(01234.67*m3)9.21(12345678)\r\n"
        b"F(0)6.35(60*m)9.4(097.4*C&096.2*C)\r\n!"
    )
    telegram = read_telegram(wire)
    assert telegram.encode() == wire
    assert [(r.obis, r.value, r.scaler, r.unit, r.position) for r in readings(telegram)] == [
        ("6.8", 11562, 0, "kWh", None),
        ("6.26", 123467, -2, "m3", None),
        ("9.21", "12345678", None, None, None),
        ("F", "0", None, None, None),
        ("6.35", 60, 0, "m", None),
        ("9.4", 974, -1, "C", 0),
        ("9.4", 962, -1, "C", 1),
    ]
    with pytest.raises(EncodingError, match="does not go on"):
        replace(telegram, lines=telegram.lines[:2]).encode()


def test_winter_time_is_that_of_the_country() -> None:
    line = Line.decode("0-0:1.0.0(230201090000W)")
    (reading,) = readings(Telegram("XXX5", (line,), None), winter=timedelta(hours=2))
    assert reading.time == datetime(2023, 2, 1, 7, tzinfo=UTC)
    (spring,) = readings(Telegram("XXX5", (line,), None), winter=timedelta(0))
    assert spring.time == datetime(2023, 2, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["230229000000W", "231301000000W", "230101240000S", "3230101000000", "²30101000000W"],
)
def test_what_no_calendar_has_is_no_time(text: str) -> None:
    assert read_time(text) is None


def test_a_value_with_too_many_digits_stays_a_text() -> None:
    digits = "1" * 5000  # Python itself refuses to make a number of so many
    assert read(f"1-0:1.8.0({digits}*kWh)") == [Reading("1-0:1.8.0", f"{digits}*kWh")]


# Checks


def sealed(*lines: str) -> bytes:
    return replace(telegram_of(*lines), checksum="0000").encode()


def test_a_telegram_made_by_hand_has_the_right_crc() -> None:
    wire = sealed("1-0:1.8.0(1*kWh)")
    assert read_telegram(wire).encode() == wire
    assert wire.endswith(b"!%04X" % crc16(wire[:-4]))


def test_a_changed_value_gets_a_new_crc_and_nothing_else_changes() -> None:
    wire = sealed("1-0:1.8.0(1*kWh)", "0-0:96.14.0(1)")
    telegram = read_telegram(wire)
    lines = (*telegram.lines[:1], Line("1-0:1.8.0", ("2*kWh",)), *telegram.lines[2:])
    changed = replace(telegram, lines=lines).encode()
    assert changed[:-4] == wire[:-4].replace(b"(1*kWh)", b"(2*kWh)")
    assert read_telegram(changed).lines == lines


@pytest.mark.parametrize("form", ["{:x}", "{:04x}", "{:X}", "{:04X}"])
def test_a_crc_may_be_small_letters_and_without_leading_zeros(form: str) -> None:
    data = b"/XXX5\r\n1-0:1.8.0(42*kWh)\r\n!"
    wire = data + form.format(crc16(data)).encode()
    assert read_telegram(wire).encode() == wire


@pytest.mark.parametrize(
    ("wire", "error", "why"),
    [
        (b"/XXX5\r\n1-0:1.8.0(1*kWh)\r\n!12G4", ChecksumMismatch, "the CRC is no number"),
        (b"/XXX5\r\n1-0:1.8.0(1*kWh)\r\n!1234", ChecksumMismatch, "CRC 1234 for"),
        (b"/XXX5\r\n1-3:0.2.8(50)\r\n!", ChecksumMismatch, "no CRC, though"),
        (b"/XXX5\r\n1-0:1.8.0(1*k\x00Wh)\r\n!", MalformedP1, "unreadable line"),
        (b"/XXX5\r\n1-0:1.8.0(1*k\xd7h)\r\n!", MalformedP1, "seven bits, read with eight"),
        (b"/XXX5\r\n1-0:1.8.0(1*kWh\r\n!", MalformedP1, "unreadable line"),
        (b"/XXX5\r\n1-0:1.8.0(1*kWh))\r\n!", MalformedP1, "unreadable line"),
        (b"/XXX5\r\n1-0:1.8.0(1*kWh)\r\n", MalformedP1, "no end"),
        (b"/XXX5\r\n1-0:1.8.0(1*kWh)\n!", MalformedP1, "without its end"),
        (b"/XXX5\r\n\x02F.F(0)\r\n!\r\n\x03\x00", ChecksumMismatch, "block check 00 for"),
        (b"/XXX5\r\n\x02F.F(0)\r\n\x03\x00", MalformedP1, "block has no end"),
        (b"XXX5\r\n!", MalformedP1, "not a P1 telegram"),
        (b"", MalformedP1, "not a P1 telegram"),
    ],
)
def test_a_telegram_that_is_none_is_refused(wire: bytes, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why.replace("(", r"\(")):
        read_telegram(wire)


def test_changed_line_ends_are_named() -> None:
    wire = sealed("1-0:1.8.0(1*kWh)").replace(b"\r\n", b"\n")
    with pytest.raises(ChecksumMismatch, match="something has changed the line ends"):
        read_telegram(wire)


def test_an_unreadable_line_is_kept_where_the_crc_is_right() -> None:
    wire = sealed("1-0:1.8.0(1*kWh)", "what is this")
    telegram = read_telegram(wire)
    assert telegram.encode() == wire
    assert telegram.unreadable == (2,)
    assert [r.obis for r in readings(telegram)] == ["1-0:1.8.0"]


@pytest.mark.parametrize(
    "lines",
    [
        (Line("1-0:1.8.0", ("1\r\n!",)),),
        (Line("!", ()),),
        (Line("/ABC", ()),),
        (Line("1-0:1.8.0", ("a)(b",)),),
        (Line("1-0:1.8.0", ("€",)),),
    ],
)
def test_a_telegram_that_would_be_read_otherwise_is_not_sent(lines: tuple[Line, ...]) -> None:
    with pytest.raises(EncodingError):
        Telegram("XXX5", lines).encode()


def test_a_block_has_a_block_check_in_place_of_the_crc() -> None:
    telegram = Telegram("XXX5", (Line("F.F", ("00",)),), None, framing=Framing.BLOCK)
    wire = telegram.encode()
    assert wire.startswith(b"/XXX5\r\n\x02F.F(00)\r\n!\r\n\x03")
    assert read_telegram(wire) == telegram
    noted = replace(telegram, acknowledgement="\x06050\r\n")
    assert decode_stream(noted.encode()) == [noted]


# Streams


def test_a_version_line_is_found() -> None:
    assert telegram_of("1-3:0.2.8(50)").version == "50"
    assert telegram_of("0-0:96.1.4(50217)").version == "50217"
    assert telegram_of().version is None


def test_a_lost_end_does_not_take_the_next_telegram_along() -> None:
    wire = sealed("1-0:1.8.0(1*kWh)", "1-0:2.8.0(2*kWh)")
    for cut in range(5, len(wire)):
        events = decode_stream(wire[:cut] + wire + b"\r\n")
        whole = [event for event in events if isinstance(event, Telegram)]
        assert whole[-1].encode() == wire
        assert whole[-1].offset == cut
        damage = [event for event in events if isinstance(event, Damage)]
        assert damage[0].offset == 0


def test_requests_of_a_reader_are_no_telegrams() -> None:
    wire = sealed("1-0:1.8.0(1*kWh)")
    (event,) = decode_stream(b"/?!\r\n" + wire + b"\r\n/?12345678!\r\n")
    assert isinstance(event, Telegram)


def test_a_stream_that_ends_before_the_crc_is_cut_off_there() -> None:
    swedish = b"/LGF5E360\r\n\r\n0-0:1.0.0(221215155050W)\r\n!"
    (damage,) = decode_stream(swedish)
    assert isinstance(damage, Damage)
    assert damage.kind is DamageKind.TRUNCATED
    (telegram,) = decode_stream(b"/XMX5\r\n\r\n1-0:1.8.1(03687.771*kWh)\r\n!")
    assert isinstance(telegram, Telegram)


def test_a_frame_without_end_takes_no_more_memory_than_is_allowed() -> None:
    wire = sealed("1-0:1.8.0(1*kWh)")
    endless = b"/ABC5\r\n" + b"1-0:1.8.0(1*kWh)\r\n" * 1000
    events = decode_stream(endless + wire, longest=500)
    assert [event.kind for event in events[:-1] if isinstance(event, Damage)] == [DamageKind.BAD]
    assert isinstance(events[-1], Telegram)


# Channels


def test_channels_say_what_they_measure_and_which_are_dead() -> None:
    telegram = telegram_of(
        "0-0:1.0.0(230115120000W)",
        "0-1:24.1.0(003)",
        "0-1:96.1.0(4730303339303031373030343630313137)",
        "0-1:24.2.1(181106140010W)(01569.646*m3)",
        "0-2:24.1.0(003)",
        "0-2:96.1.1(37464C4F32313139303333373333)",
        "0-2:24.2.3(230115114500W)(00112.384*m3)",
        "0-3:24.1.0(007)",
        "0-3:24.2.1(230114235959W)(00872.234*m3)",
        "0-4:24.1.0(004)",
        "0-4:24.2.1(632525252525W)(00000.000)",
        "0-5:96.3.10(0)",
    )
    found = channels(telegram)
    assert [(c.number, c.medium, c.is_dead) for c in found] == [
        (1, Medium.GAS, True),
        (2, Medium.GAS, False),
        (3, Medium.WATER, False),
        (4, Medium.HEAT, True),
        (5, None, True),
    ]
    assert found[0].identification == "G0039001700460117"
    assert found[1].identification == "7FLO2119033733"


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        (["0-0:96.1.1(4B384547303034303436333935353037)"], "K8EG004046395507"),
        (["0-0:96.1.4(50217)", "0-0:96.1.1(3153414733313031303231363035)"], "1SAG3101021605"),
        (["0-0:42.0.0(53414733303832323030303032313630)", "0-0:96.1.0(38)"], "SAG3082200002160"),
        (["1-0:0.0.0*255(1336001560)"], "1336001560"),
        (["6.8(0011562*kWh)6.26(01234.67*m3)9.21(12345678)"], "12345678"),
        (["0-0:96.1.1()", "0-1:96.1.0(38)"], None),
        ([], None),
    ],
)
def test_a_meter_says_its_number(lines: list[str], number: str | None) -> None:
    every = [part for line in lines for part in Line.decode_all(line)]
    assert meter_number(Telegram("XXX5", tuple(every), None)) == number


def test_meters_that_do_not_say_the_time_have_live_channels() -> None:
    (gas,) = channels(
        telegram_of(
            "0-1:24.1.0(3)",
            "0-1:24.3.0(161107190000)(00)(60)(1)(0-1:24.2.1)(m3)",
            "(00001.001)",
        )
    )
    assert not gas.is_dead
    assert gas.reading is not None
    assert gas.reading.scaled == Decimal("1.001")
