# SPDX-License-Identifier: Apache-2.0
"""Streams as bad lines deliver them: bytes lost, added and changed."""

import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sml_codec import (
    Damage,
    DamageKind,
    Frame,
    FrameDecoder,
    LimitExceeded,
    Limits,
    MalformedSml,
    Message,
    Quirk,
    StreamDecoder,
    UnsupportedVersion,
    decode_file,
    decode_frame,
    decode_stream,
    encode_frame,
    encode_message,
)
from sml_codec.frames import ESCAPE, START, START_V2
from tests.support.captures import capture, needs_captures
from tests.sml_codec.strategies import messages


def damage(frames: list[bytes], rate: float, rng: random.Random) -> tuple[bytes, list[bytes]]:
    """Return a stream in which one byte in 1/rate suffers, and the frames that stayed intact."""
    stream = bytearray()
    intact = []
    for frame in frames:
        hurt = bytearray()
        for byte in frame:
            match rng.choice(("drop", "insert", "flip")) if rng.random() < rate else "keep":
                case "insert":
                    hurt += bytes([byte, rng.choice([0x1B, 0x1A, 0x01, rng.randrange(256)])])
                case "flip":
                    hurt.append(byte ^ 1 << rng.randrange(8))
                case "keep":
                    hurt.append(byte)
        if hurt == frame:
            intact.append(frame)
        stream += hurt
    return bytes(stream), intact


def found(stream: bytes, size: int) -> list[bytes]:
    decoder = FrameDecoder()
    events: list[Frame | Damage] = []
    for start in range(0, len(stream), size):
        events += decoder.feed(stream[start : start + size])
    return [event.wire for event in events + decoder.close() if isinstance(event, Frame)]


def contains(sequence: list[bytes], subsequence: list[bytes]) -> bool:
    rest: Iterator[bytes] = iter(sequence)
    return all(item in rest for item in subsequence)


@needs_captures
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("rate", [0.001, 0.005])
def test_a_damaged_line_loses_no_intact_frame(seed: int, rate: float) -> None:
    names = ("DNT_ttyUSB0-2", "EMH_eHZ-GW8E2A500AK2", "HOLLEY_0001206a_kermit", "eBZ_2d16c3")
    telegrams = [t for name in names for t in decode_stream(capture(name))]
    frames = [t.frame.wire for t in telegrams if isinstance(t.frame, Frame)] * 8
    stream, intact = damage(frames, rate, random.Random(seed))
    assert len(intact) > 10
    assert contains(found(stream, 1 << 16), intact)
    assert found(stream, 13) == found(stream, 1 << 16)
    for telegram in decode_stream(stream):
        assert telegram.is_intact or isinstance(telegram.frame, Damage)


@given(
    st.lists(
        st.lists(st.sampled_from([b"\x1b", ESCAPE, START, b"\x1a", b"abc"]), max_size=9),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
    st.sampled_from([0.001, 0.01, 0.05]),
)
@settings(deadline=None)
def test_frames_full_of_escapes_survive_damage_around_them(
    payloads: list[list[bytes]], rng: random.Random, rate: float
) -> None:
    frames = [encode_frame(b"v" + b"".join(payload) + b"\0") for payload in payloads]
    stream, intact = damage(frames, rate, rng)
    assert contains(found(stream, 1 << 16), intact)
    assert contains(found(stream, 1), intact)


@given(messages, messages, st.data())
@settings(deadline=None)
def test_messages_before_the_damage_are_salvaged_and_marked(
    whole: Message, broken: Message, data: st.DataObject
) -> None:
    first, second = encode_message(whole), encode_message(broken)
    frame = bytearray(encode_frame(first + second))
    frame[-1] ^= 0xFF
    [telegram] = decode_stream(bytes(frame))
    assert not telegram.is_intact
    assert telegram.file.messages == (whole, broken)
    cut = data.draw(st.integers(0, len(second) - 1))
    [telegram] = decode_stream(START + first.replace(ESCAPE, ESCAPE * 2) + second[:cut])
    assert not telegram.is_intact
    assert telegram.file.messages == (whole,)
    assert isinstance(telegram.frame, Damage)
    assert telegram.frame.kind is DamageKind.TRUNCATED


def test_every_damage_is_reported_with_its_place_and_reason() -> None:
    frame = encode_frame(b"payload!")
    wrong = frame[:-1] + bytes([frame[-1] ^ 1])
    stream = b"..." + wrong + frame[:-10] + frame + frame[:20]
    bad, restart, intact, cut = events_of(stream)
    assert isinstance(bad, Damage)
    assert isinstance(restart, Damage)
    assert isinstance(cut, Damage)
    assert (bad.offset, bad.length, bad.reasons) == (3, len(frame), ("frame crc",))
    assert (restart.kind, restart.offset) == (DamageKind.RESTART, 3 + len(frame))
    assert isinstance(intact, Frame)
    assert (cut.kind, cut.length, cut.payload) == (DamageKind.TRUNCATED, 20, frame[8:20])


def events_of(stream: bytes, longest: int = 1 << 20) -> list[Frame | Damage]:
    decoder = FrameDecoder(limits=Limits(frame=longest))
    return decoder.feed(stream) + decoder.close()


def test_padding_of_four_is_a_quirk_and_of_five_is_damage() -> None:
    frame = encode_frame(b"v" * 8, padding=bytes(4))
    [event] = FrameDecoder().feed(frame)
    assert isinstance(event, Frame)
    assert (event.payload, event.padding, event.notes) == (b"v" * 8, bytes(4), ("padding 4",))
    [event] = FrameDecoder(quirks=Quirk.ALL & ~Quirk.PADDING_4).feed(frame)
    assert isinstance(event, Damage)
    assert event.reasons == ("padding 4",)


def test_version_2_is_refused_by_name() -> None:
    frame = encode_frame(b"payload!")
    event, intact = events_of(b"." + START_V2 + b"whatever" + frame)
    assert isinstance(event, Damage)
    assert (event.kind, event.offset) == (DamageKind.VERSION_2, 1)
    assert isinstance(intact, Frame)
    with pytest.raises(UnsupportedVersion):
        decode_frame(START_V2 + frame[8:])


def test_a_frame_longer_than_allowed_is_given_up() -> None:
    frame = encode_frame(b"v" * 100)
    assert len(events_of(frame, len(frame))) == 1
    event, *_ = events_of(frame, len(frame) - 1)
    assert isinstance(event, Damage)
    assert event.reasons == (f"longer than {len(frame) - 1} bytes",)


def test_a_hundred_megabytes_of_rubbish_are_read_in_bounded_memory() -> None:
    piece = random.Random(1).randbytes(1 << 20)
    starts = (START + piece[:5000]) * 200
    decoder = StreamDecoder(limits=Limits(frame=1 << 16))
    decoder.feed(piece)
    tracemalloc.start()
    try:
        for _ in range(97):
            decoder.feed(piece)
        for _ in range(3):
            assert decoder.feed(starts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20


def test_a_frame_that_never_ends_is_read_in_bounded_memory() -> None:
    decoder = FrameDecoder(limits=Limits(frame=1 << 16))
    decoder.feed(START)
    tracemalloc.start()
    try:
        for _ in range(200):
            decoder.feed(ESCAPE * 2 + bytes(1 << 14))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_hostile_sizes_and_depths_are_refused() -> None:
    deep = b"\x76\x02a\x62\x00\x62\x00\x72\x63\x0b\x01" + b"\x71" * 5000
    with pytest.raises(LimitExceeded, match="deep"):
        decode_file(deep + b"\x01")
    long_list = b"\x76\x02a\x62\x00\x62\x00\x72\x63\x0b\x01\xf1\x80\x80\x80\x00" + b"\x01" * 70000
    with pytest.raises(LimitExceeded, match="list of 65536"):
        decode_file(long_list, limits=Limits(elements=65535))
    octets = b"\x76\x8a\x80\x80\x05" + b"x" * 40961
    with pytest.raises(LimitExceeded, match="octet string"):
        decode_file(octets, limits=Limits(octets=1000))
    with pytest.raises(MalformedSml, match="beyond the end"):
        decode_file(b"\x76\x8f\x8f\x8f\x8f\x8f\x8f\x0f" + bytes(100) + b"v")
    with pytest.raises(MalformedSml, match="more than 8 bytes"):
        decode_file(b"\x76" + b"\x8f" * 50)


def test_deep_trees_need_no_more_than_the_limit_of_the_interpreter() -> None:
    data = b"\x76\x02a\x62\x00\x62\x00\x72\x63\x0b\x01" + b"\x71" * 64 + b"\x01"
    with pytest.raises(MalformedSml):
        decode_file(data)
