# SPDX-License-Identifier: Apache-2.0
"""What holds for all telegrams, all bytes and all ways to cut them."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from meter_codecs.p1 import (
    Ciphering,
    Framing,
    Line,
    P1Error,
    StreamDecoder,
    Telegram,
    Undeciphered,
    decode_stream,
    read_telegram,
    readings,
)
from meter_codecs.p1.ciphering import P1Keys
from meter_codecs.p1.crc import bcc, crc16

KEYS = P1Keys(bytes(range(16)), bytes(range(16, 32)))
TITLE = b"SYSTITLE"

values = st.text(st.characters(codec="latin-1", exclude_characters="()\r\n\x02"), max_size=12)
telling_values = values | st.sampled_from(
    ["000004.426*kWh", "170102161005W", "632525252525W", "0-1:24.2.1", "m3", "00", "1", "0001"]
)
codes = st.sampled_from(
    ["1-0:1.8.0", "0-1:24.2.1", "0-1:24.3.0", "1-0:99.97.0", "0-0:98.1.0", "F.F", "1.8.0*00", ""]
)
lines = st.builds(
    lambda code, found: Line(code, tuple(found)),
    codes,
    st.lists(telling_values, min_size=1, max_size=9),
) | st.just(Line("", ()))
telegrams = st.builds(
    Telegram,
    st.sampled_from(["XXX5\\2MADE-1", "ABC5", "KFM5 3"]),
    st.lists(lines, max_size=8).map(tuple),
    framing=st.sampled_from(Framing),
)
telling = st.lists(
    st.sampled_from(
        (
            b"/ABC5\r\n",
            b"/",
            b"!",
            b"\r\n",
            b"1-0:1.8.0(1*kWh)\r\n",
            b"!\r\n",
            b"!0000",
            b"\x02",
            b"\x03",
            b"\xdb\x08",
            TITLE,
            b"\x82\x01\x00\x30",
            b"\x20\x30\0\0\0\1",
            b"\x06050\r\n",
        )
    )
    | st.binary(max_size=4),
    max_size=20,
).map(b"".join)


def register(data: bytes) -> int:
    """CRC-16/ARC as it is usually written."""
    found = 0
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0xA001 if found & 1 else 0)
    return found


@given(st.binary(max_size=700))
def test_the_crc_is_that_of_a_loop_over_the_bits(data: bytes) -> None:
    assert crc16(data) == register(data)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_sums_without_carry_may_be_added(left: bytes, right: bytes) -> None:
    assert bcc(left + right) == bcc(left) ^ bcc(right)


@given(telegrams)
def test_every_telegram_comes_back_as_it_was(telegram: Telegram) -> None:
    wire = telegram.encode()
    found = read_telegram(wire)
    assert found.lines == telegram.lines
    assert found.encode() == wire
    assert decode_stream(b"\r\n" + wire + b"\r\n") == [found]
    readings(found)


@given(st.text(st.characters(codec="latin-1", exclude_characters="\n"), max_size=60))
def test_every_line_comes_back_as_it_was(text: str) -> None:
    assert Line.decode(text).text == text
    assert "".join([line.text for line in Line.decode_all(text)]) == text


@given(st.lists(st.tuples(codes, st.lists(values, min_size=1, max_size=3)), max_size=4))
def test_all_that_stands_on_a_line_comes_back(sets: list[tuple[str, list[str]]]) -> None:
    text = "".join([Line(code, tuple(found)).text for code, found in sets])
    found = Line.decode_all(text)
    assert "".join([line.text for line in found]) == text
    assert [line.goes_on for line in found] == [True] * (len(found) - 1) + [False]
    telegram = Telegram("XXX5", tuple(found))
    assert read_telegram(telegram.encode()).lines == telegram.lines


@given(telling | st.binary(max_size=200))
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    candidates = [data, b"/ABC5\r\n" + data + b"!", b"/ABC5\r\n" + data]
    candidates += [c + b"%04X" % crc16(c) for c in candidates]
    for wire in candidates:
        try:
            telegram = read_telegram(wire)
        except P1Error:
            continue
        assert telegram.encode() == wire
        readings(telegram)


@given(telling | st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=6))
@settings(deadline=None)
def test_cutting_a_stream_elsewhere_changes_nothing(data: bytes, cuts: list[int]) -> None:
    made = Telegram("XXX5", (Line("1-0:1.8.0", ("1*kWh",)),)).encode()
    sealed = KEYS.encipher(read_telegram(made), Ciphering(TITLE, 0x30, 7, None, 3, b"\r\n"))
    stream = data + made + data + sealed + data
    for longest in (65536, 60):
        expected = decode_stream(stream, keys=KEYS, longest=longest)
        decoder = StreamDecoder(keys=KEYS, longest=longest)
        places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
        events = [e for a, b in pairwise(places) for e in decoder.feed(stream[a:b])]
        assert events + decoder.close() == expected
        single = StreamDecoder(keys=KEYS, longest=longest)
        events = [e for at in range(len(stream)) for e in single.feed(stream[at : at + 1])]
        assert events + single.close() == expected


@given(telling | st.binary(max_size=200))
def test_events_do_not_overlap_and_telegrams_are_where_they_say(data: bytes) -> None:
    end = 0
    for event in decode_stream(data):
        assert event.offset >= end or isinstance(event, Undeciphered)
        if isinstance(event, Telegram):
            wire = event.encode()
            assert data[event.offset : event.offset + len(wire)] == wire
            end = event.offset + len(wire)


@given(telegrams, st.integers(0, 2000), st.integers(1, 255))
def test_a_telegram_with_one_byte_changed_is_never_taken_for_another(
    telegram: Telegram, at: int, change: int
) -> None:
    """A CRC finds every burst of 16 bits, a block check every single byte.

    A line that becomes an end may leave a shorter telegram, which then has no checksum at all.
    """
    wire = telegram.encode()
    body = len(wire) - 4 if telegram.framing is Framing.PLAIN else len(wire) - 1
    first = 1 if telegram.framing is Framing.PLAIN else wire.index(b"\x02") + 1
    at = first + at % (body - first)
    changed = wire[:at] + bytes([wire[at] ^ change]) + wire[at + 1 :]
    for event in decode_stream(changed + b"\r\n"):
        if isinstance(event, Telegram):
            assert event.framing is Framing.PLAIN
            assert event.checksum is None
            assert len(event.lines) < len(telegram.lines) or b"\n!" in wire[:at]


@given(telegrams, st.sampled_from([0x30, 0x20, 0x10, 0x31]), st.integers(0, 2**32 - 1))
def test_an_enciphered_telegram_comes_back_as_it_was(
    telegram: Telegram, security: int, counter: int
) -> None:
    telegram = read_telegram(replace(telegram, framing=Framing.PLAIN).encode())
    frame = KEYS.encipher(telegram, Ciphering(TITLE, security, counter, None, 3, b"\r\n"))
    (event,) = decode_stream(frame, keys=KEYS)
    assert event == telegram
    assert isinstance(event, Telegram)
    assert event.ciphering is not None
    assert event.ciphering.is_authenticated is (True if security & 0x10 else None)
    assert KEYS.encipher(event, event.ciphering) == frame
