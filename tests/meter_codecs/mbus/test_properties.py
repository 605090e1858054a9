# SPDX-License-Identifier: Apache-2.0
"""What holds for all records and all bytes."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from meter_codecs.mbus import (
    Body,
    KeyRing,
    LinkFrame,
    LongFrame,
    MbusError,
    MeterKey,
    Record,
    decode_body,
    decode_fixed,
    decode_frame,
    decode_link,
    make_body,
    read_head,
    read_wired,
    read_wireless,
)
from meter_codecs.mbus.layers import read_authentication, read_extended_link, read_header
from meter_codecs.mbus.records import _KNOWN, HEADS_KEPT
from meterlet.meter_views.mbus import view
from tests.meter_codecs.mbus.strategies import bodies, records

KEYS = KeyRing(default=MeterKey(bytes(16)))

# Bytes that mean something, so that chance finds the corners.
telling = st.lists(
    st.sampled_from(
        [b"\x2f", b"\x0f", b"\x1f", b"\x04\x13", b"\x84", b"\xfd\x17", b"\xfc\x02",
         b"\x0d\x78", b"\x72", b"\x7a\x01\x00\x10\x05", b"\x7a\x01\x00\x10\x07\x10",
         b"\x8c\x20\x01", b"\x8d\x20\x01", b"\x90\x0f\x00\x2c\x25", b"\x79",
         b"\xed\xa8", b"\x78", b"\x2f\x2f"]
    )
    | st.binary(max_size=6),
    max_size=30,
).map(b"".join)  # fmt: skip


@given(records())
def test_every_record_comes_back_as_it_was(record: Record) -> None:
    assert decode_body(record.encode()).records == (record,)
    assert read_head(record.encode(), 0) == record.head


@given(bodies)
def test_every_body_comes_back_as_it_was(body: Body) -> None:
    wire = body.encode()
    decoded = decode_body(wire)
    assert decoded.records == body.records
    assert decoded.more_follows == body.more_follows
    assert decoded.encode() == wire
    assert make_body(decoded.records).records == decoded.records


@given(records())
def test_a_value_that_is_told_is_exact(record: Record) -> None:
    if isinstance(record.value, int) and record.scaled is not None:
        assert record.scaled == record.value * type(record.scaled)(f"1E{record.head.scaler}")


@given(telling)
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    with suppress(MbusError):
        assert decode_body(data).encode() == data
    with suppress(MbusError):
        assert decode_fixed(data).encode() == data
    with suppress(MbusError):
        assert decode_frame(data).encode() == data
    with suppress(MbusError):
        assert decode_link(data).encode() == data
    for ci in (0x72, 0x7A, 0x78):
        with suppress(MbusError):
            header, end = read_header(ci, data, 0)
            assert (header.encode() if header else b"") == data[:end]
    if data:
        with suppress(MbusError):
            extended, end = read_extended_link(data, 0)
            assert extended.encode()[1:] == data[1:end]
        with suppress(MbusError):
            layer, end = read_authentication(b"\x90" + data[1:], 0)
            assert layer.encode() == b"\x90" + data[1:end]


@given(telling)
def test_any_content_is_read_as_far_as_it_goes(data: bytes) -> None:
    frame = (
        LongFrame(8, 1, data[0], data[1:]) if data and len(data) < 250 else LongFrame(8, 1, 0x72)
    )
    link = decode_link(bytes.fromhex("1844ae4c4455223368077a55000000041389e20100023b0000"))
    radio = LinkFrame(0x44, link.address, data)
    for telegram in (read_wired(frame, keys=KEYS), read_wireless(radio, keys=KEYS)):
        assert (telegram.content is None) == (telegram.error is not None)
        if isinstance(telegram.content, Body) and telegram.ci not in (
            0x79,
            0x7B,
            0x73,
            0x69,
            0x6A,
            0x6B,
        ):
            assert telegram.content.encode() == telegram.plain


@given(telling)
def test_what_is_shown_of_any_bytes_adds_up(data: bytes) -> None:
    shown = view(data, keys=KEYS)
    assert shown["frames"] >= len(shown["telegrams"])


def test_heads_that_are_kept_are_bounded() -> None:
    for storage in range(HEADS_KEPT + 50):
        chain = [
            0x80 | storage & 15,
            0x80 | storage >> 4 & 15,
            0x80 | storage >> 8 & 15,
            storage >> 12,
        ]
        decode_body(bytes([0x81, *chain, 0x13, 0x01]))
    assert len(_KNOWN) <= HEADS_KEPT
