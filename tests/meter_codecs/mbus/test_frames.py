# SPDX-License-Identifier: Apache-2.0
"""Frames of the wire, alone and in a stream."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_codecs.mbus import (
    Ack,
    ChecksumMismatch,
    Damage,
    DamageKind,
    EncodingError,
    LongFrame,
    MalformedMbus,
    MbusError,
    Received,
    ShortFrame,
    StreamDecoder,
    decode_frame,
    decode_stream,
)

bytes_ = st.integers(0, 255)
frames = st.one_of(
    st.just(Ack()),
    st.builds(ShortFrame, bytes_, bytes_),
    st.builds(LongFrame, bytes_, bytes_, bytes_, st.binary(max_size=252)),
)
LONG = LongFrame(0x08, 1, 0x72, bytes(range(40)))


@given(frames)
def test_every_frame_comes_back_as_it_was(frame: Ack | ShortFrame | LongFrame) -> None:
    assert decode_frame(frame.encode()) == frame


@pytest.mark.parametrize(
    ("wire", "error", "text"),
    [
        ("", MalformedMbus, "no frame begins"),
        ("e5e5", MalformedMbus, "no frame begins"),
        ("1040014216", ChecksumMismatch, "wrong checksum"),
        ("1040014117", MalformedMbus, "stop byte"),
        ("680304680801707916", MalformedMbus, "does not repeat"),
        ("680404680801707916", MalformedMbus, "length 4 in a frame of 9 bytes"),
        ("680303680801707816", ChecksumMismatch, "wrong checksum"),
        ("680303680801707917", MalformedMbus, "stop byte"),
        ("680303690801707916", MalformedMbus, "does not repeat"),
    ],
)
def test_what_is_no_frame_is_refused(wire: str, error: type[MbusError], text: str) -> None:
    with pytest.raises(error, match=text):
        decode_frame(bytes.fromhex(wire))


def test_a_control_frame_has_no_data() -> None:
    assert decode_frame(bytes.fromhex("680303680801707916")) == LongFrame(8, 1, 0x70)


@pytest.mark.parametrize("size", [253, 300])
def test_too_much_data_is_refused(size: int) -> None:
    with pytest.raises(EncodingError):
        LongFrame(8, 1, 0x72, bytes(size))


def test_what_is_no_byte_is_refused() -> None:
    for control, address in ((256, 1), (-1, 1), (1, 256)):
        with pytest.raises(EncodingError):
            ShortFrame(control, address)


def test_frames_are_found_between_noise() -> None:
    stream = b"\x00\x01" + LONG.encode() + b"\xe5" + b"\xff\x16" + ShortFrame(0x40, 1).encode()
    events = decode_stream(stream)
    assert [(event.offset, type(event)) for event in events] == [
        (0, Damage), (2, Received), (51, Received), (52, Damage), (54, Received),
    ]  # fmt: skip
    assert [e.kind for e in events if isinstance(e, Damage)] == [DamageKind.NOISE] * 2


def test_a_frame_that_runs_into_the_next_is_reported_and_the_next_is_found() -> None:
    for cut in range(4, 48):
        events = decode_stream(LONG.encode()[:cut] + LONG.encode())
        received = [event for event in events if isinstance(event, Received)]
        assert [(event.offset, event.frame) for event in received] == [(cut, LONG)]
        (damage,) = (event for event in events if isinstance(event, Damage))
        assert (damage.offset, damage.length, damage.kind) == (0, cut, DamageKind.BAD)


def test_a_frame_that_is_cut_off_is_reported_when_the_line_is_silent() -> None:
    decoder = StreamDecoder()
    assert decoder.feed(LONG.encode()[:20]) == []
    assert not decoder.is_idle
    (damage,) = decoder.close()
    assert isinstance(damage, Damage)
    assert (damage.kind, damage.length) == (DamageKind.TRUNCATED, 20)
    (event,) = decoder.feed(LONG.encode())
    assert isinstance(event, Received)
    assert (event.offset, event.frame) == (20, LONG)


def test_a_bit_that_fell_over_is_told_with_its_place() -> None:
    wire = bytearray(LONG.encode())
    wire[20] ^= 4
    events = decode_stream(b"\x00" * 3 + bytes(wire))
    assert [(e.offset, e.kind) for e in events if isinstance(e, Damage)] == [
        (0, DamageKind.NOISE), (3, DamageKind.BAD),
    ]  # fmt: skip
    assert "wrong checksum" in str(events[1])


telling = st.lists(
    st.sampled_from([b"\x68", b"\x68\x03\x03\x68", b"\x10", b"\x16", b"\xe5", LONG.encode()[:9]])
    | frames.map(lambda frame: frame.encode())
    | st.binary(max_size=4),
    max_size=20,
).map(b"".join)


@given(telling, st.lists(st.integers(0, 400), max_size=8))
def test_cutting_a_stream_elsewhere_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    decoder = StreamDecoder()
    events = []
    for start, end in pairwise(places):
        events += decoder.feed(stream[start:end])
        assert len(decoder._buffer) <= 261
    assert events + decoder.close() == decode_stream(stream)


@given(telling)
def test_every_byte_of_a_stream_is_accounted_for(stream: bytes) -> None:
    at = 0
    for event in decode_stream(stream):
        assert event.offset == at
        if isinstance(event, Received):
            assert stream[at : at + len(event.wire)] == event.wire == event.frame.encode()
            at += len(event.wire)
        else:
            at += event.length
    assert at == len(stream)
