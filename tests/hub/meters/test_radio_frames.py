# SPDX-License-Identifier: Apache-2.0
"""What receivers of wireless M-Bus hand on: bytes or lines, in any pieces."""

import random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.meters.kinds import NO_KEYS, MeterKeys, kind_of, reader_of
from hub.meters.readers.radio_frames import LONGEST_LINE, FrameCutter
from hub.meters.recognition import MeterKind
from meter_codecs.mbus import Address, make_body, make_record
from meter_codecs.mbus.link import SND_NR, FrameFormat, LinkFrame
from tests.support.mbus_captures import WIRELESS, capture, key_of, needs_captures

BERLIN = ZoneInfo("Europe/Berlin")
FORMATS = (FrameFormat.A, FrameFormat.B, FrameFormat.BARE)


def frame(number: int, litres: int, frame_format: FrameFormat = FrameFormat.A) -> bytes:
    """Return what a water meter sends."""
    body = make_body([make_record(bytes.fromhex("0413"), litres)]).encode()
    address = Address.of("ECM", f"{number:08}", 0x01, 7)
    return LinkFrame(SND_NR, address, b"\x78" + body, frame_format).encode()


def rtl(wire: bytes, ok: str = "1;1") -> bytes:
    said = f"C1;{ok};2025-03-01 12:00:00.000;97;148;56544919;0x{wire.hex()}\n"
    return said.encode()


def cut(data: bytes, sizes: list[int]) -> tuple[list[tuple[int, bytes]], list[str]]:
    cutter, frames, lost = FrameCutter(), [], []
    at = 0
    for size in [*sizes, len(data)]:
        found = cutter.feed(data[at : at + size])
        at += size
        frames += found.frames
        lost += found.lost
        assert len(cutter._buffer) <= LONGEST_LINE + size
    found = cutter.close()
    return frames + found.frames, [one.reason for one in lost + found.lost]


def shown(data: bytes) -> list[tuple[str, int]]:
    reader = reader_of(MeterKind.WIRELESS, BERLIN, lambda: 0)
    telegrams = reader.feed(data).telegrams + reader.close().telegrams
    return [(one.meter.decode(), next(iter(one.counted.values())).steps) for one in telegrams]


WAYS = {
    "raw A": b"".join(frame(n, 100 + n, FrameFormat.A) for n in range(5)),
    "raw B": b"".join(frame(n, 100 + n, FrameFormat.B) for n in range(5)),
    "raw bare": b"".join(frame(n, 100 + n, FrameFormat.BARE) for n in range(5)),
    "raw, all": b"".join(frame(n, 100 + n, FORMATS[n % 3]) for n in range(5)),
    "mode C": b"".join(b"\x54\x3d" + frame(n, 100 + n, FrameFormat.B) for n in range(5)),
    "hex": b"".join(frame(n, 100 + n).hex().upper().encode() + b"\r\n" for n in range(5)),
    "CUL": b"".join(b"b" + frame(n, 100 + n).hex().upper().encode() + b"3C\r\n" for n in range(5)),
    "CUL, mode C": b"".join(
        b"bY543D" + frame(n, 100 + n, FrameFormat.B).hex().encode() + b"8010\n" for n in range(5)
    ),
    "rtl-wmbus": b"".join(rtl(frame(n, 100 + n, FrameFormat.BARE)) for n in range(5)),
    "both": rtl(frame(0, 100, FrameFormat.BARE)) + b"\n"
    + b"".join(frame(n, 100 + n, FrameFormat.A) for n in range(1, 5)),
}  # fmt: skip
FIVE = [(f"ECM {n:08}", 100 + n) for n in range(5)]


@pytest.mark.parametrize("way", WAYS)
def test_whatever_the_receiver_hands_on_is_read(way: str) -> None:
    assert shown(WAYS[way]) == FIVE
    assert kind_of(WAYS[way]) is MeterKind.WIRELESS
    reader = reader_of(MeterKind.WIRELESS, BERLIN, lambda: 0)
    one_by_one = [
        one.meter.decode()
        for at in range(len(WAYS[way]))
        for one in reader.feed(WAYS[way][at : at + 1]).telegrams
    ]
    assert one_by_one + [one.meter.decode() for one in reader.close().telegrams] == [
        meter for meter, _ in FIVE
    ]


@given(st.sampled_from(sorted(WAYS)), st.lists(st.integers(1, 90), max_size=8))
def test_pieces_make_no_difference(way: str, sizes: list[int]) -> None:
    assert cut(WAYS[way], sizes) == cut(WAYS[way], [])


@given(st.binary(max_size=1500), st.lists(st.integers(1, 200), max_size=5))
def test_any_bytes_are_cut_and_pieces_make_no_difference(data: bytes, sizes: list[int]) -> None:
    assert cut(data, sizes) == cut(data, [])


def test_noise_before_and_between_frames_is_passed_over() -> None:
    dice = random.Random(5)
    for _ in range(50):
        noise = [bytes([0, *dice.randbytes(dice.randrange(30)), 0]) for _ in range(3)]
        data = noise[0] + frame(1, 7) + noise[1] + frame(2, 8) + noise[2]
        assert [one for one in shown(data) if one[1] < 9] == [
            ("ECM 00000001", 7),
            ("ECM 00000002", 8),
        ]


def test_what_the_receiver_knows_to_be_wrong_is_lost() -> None:
    frames, lost = cut(rtl(frame(1, 7), "0;1") + rtl(frame(1, 8), "1;0") + b"bnothing\n", [])
    assert (frames, len(lost)) == ([], 3)
    damaged = bytearray(frame(1, 7))
    damaged[14] ^= 1
    reader = reader_of(MeterKind.WIRELESS, BERLIN, lambda: 0)
    found = reader.feed(bytes(damaged))
    assert (found.telegrams, "checksum" in found.lost[0].reason) == ([], True)


def test_a_line_without_an_end_is_given_up() -> None:
    cutter = FrameCutter()
    for _ in range(100):
        cutter.feed(b"b2E44" + b"0" * 500)
        assert len(cutter._buffer) <= LONGEST_LINE + 505


@needs_captures
@pytest.mark.parametrize("name", WIRELESS)
def test_a_real_frame_is_the_same_as_bytes_and_as_a_line(name: str) -> None:
    key = key_of(name)
    keys = NO_KEYS if key is None else MeterKeys(key)
    data = capture(name)
    ways = []
    for one in (data, data.hex().encode() + b"\n", b"b" + data.hex().encode() + b"\n"):
        reader = reader_of(MeterKind.WIRELESS, BERLIN, lambda: 0, keys)
        found = reader.feed(one)
        rest = reader.close()
        assert kind_of(one) is MeterKind.WIRELESS
        ways.append(
            (
                [(t.meter, t.counted, t.time) for t in found.telegrams + rest.telegrams],
                bool(found.lost or rest.lost),
            )
        )
    assert ways[0] == ways[1] == ways[2]
