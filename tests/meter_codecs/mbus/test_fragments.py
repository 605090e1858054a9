# SPDX-License-Identifier: Apache-2.0
"""Messages that come in several radio frames."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_codecs.mbus import (
    Address,
    Authentication,
    ExtendedLink,
    FragmentJoiner,
    KeyRing,
    LinkFrame,
    MalformedMbus,
    MeterKey,
    decode_link,
    make_body,
    make_record,
    read_wireless,
)
from meter_codecs.mbus.fragments import METERS_KEPT
from meter_codecs.mbus.layers import read_authentication
from meter_codecs.mbus.sealing import seal_mode_7

METER = Address.of("EFE", "43054304", 0, 4)
KEY = MeterKey(bytes(range(16)))
KEYS = KeyRing(default=KEY)
VALUES = list(range(100, 130))
MESSAGE = seal_mode_7(
    METER,
    make_body(make_record(b"\x04\x06", value) for value in VALUES).encode(),
    KEY,
    counter=7,
    access=1,
)
ELL = ExtendedLink(0x8C, 0x20, 1).encode()


def fragments(sizes: list[int], head: bytes = b"", address: Address = METER) -> list[LinkFrame]:
    """Cut the message: control and counter in the first frame, the code in the last."""
    layer, at = read_authentication(MESSAGE, 0)
    content = MESSAGE[at:]
    cuts = [0, *(sum(sizes[: i + 1]) for i in range(len(sizes))), len(content)]
    frames = []
    for number, (start, end) in enumerate(pairwise(cuts), 1):
        last = end == len(content)
        part = Authentication(
            number | (0 if last else 0x4000) | (0x2800 if number == 1 else 0) | 0x0400 * last,
            layer.control if number == 1 else None,
            None,
            layer.counter if number == 1 else None,
            layer.mac if last else None,
        )
        payload = head + part.encode() + content[start:end]
        frames.append(decode_link(LinkFrame(0x44, address, payload).encode()))
    return frames


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.sampled_from([b"", ELL]))
def test_a_message_cut_anywhere_is_joined_and_authentic(sizes: list[int], head: bytes) -> None:
    joiner = FragmentJoiner()
    *first, last = [joiner.add(frame) for frame in fragments(sizes, head)]
    assert first == [None] * len(sizes)
    assert last is not None
    telegram = read_wireless(last, keys=KEYS)
    assert telegram.error is None
    assert [record.value for record in telegram.records] == VALUES
    assert telegram.is_authenticated is True


def test_a_frame_that_is_whole_is_handed_through() -> None:
    joiner = FragmentJoiner()
    for payload in (b"\x78", MESSAGE, ELL + MESSAGE):
        frame = LinkFrame(0x44, METER, payload)
        assert joiner.add(frame) is frame


def test_messages_of_several_meters_do_not_mix() -> None:
    joiner = FragmentJoiner()
    other = Address.of("EFE", "43054305", 0, 4)
    mine, its = fragments([40, 40]), fragments([50, 30], address=other)
    joined = [joiner.add(frame) for pair in zip(mine, its, strict=True) for frame in pair]
    assert [frame.address for frame in joined if frame] == [METER, other]
    (first, *_) = (frame for frame in joined if frame)
    assert [r.value for r in read_wireless(first, keys=KEYS).records] == VALUES


def test_a_fragment_that_is_missing_makes_nothing() -> None:
    first, second, third = fragments([40, 40])
    joiner = FragmentJoiner()
    assert joiner.add(first) is None
    with pytest.raises(MalformedMbus, match="fragment 3 after 1"):
        joiner.add(third)
    with pytest.raises(MalformedMbus, match="fragment 2 after 0"):
        joiner.add(second)
    assert [joiner.add(frame) for frame in (first, second)] == [None, None]
    assert joiner.add(first) is None  # begun anew
    with pytest.raises(MalformedMbus):
        joiner.add(third)


def test_a_fragment_of_somebody_else_has_no_values() -> None:
    """Whoever sends a piece in the name of the meter spoils the message, and changes nothing."""
    first, second, third = fragments([40, 40])
    forged = LinkFrame(0x44, METER, second.payload[:-1] + bytes([second.payload[-1] ^ 1]))
    joiner = FragmentJoiner()
    for frame in (first, forged):
        assert joiner.add(frame) is None
    whole = joiner.add(third)
    assert whole is not None
    telegram = read_wireless(whole, keys=KEYS)
    assert telegram.content is None
    assert telegram.is_authenticated is False


def test_a_length_that_is_not_kept_is_refused() -> None:
    first = LinkFrame(0x44, METER, Authentication(0x5001, length=9).encode() + b"\x78\x01")
    last = LinkFrame(0x44, METER, Authentication(0x0002).encode() + b"\x13\x01")
    joiner = FragmentJoiner()
    assert joiner.add(first) is None
    with pytest.raises(MalformedMbus, match="a message of 9 bytes, 4 have come"):
        joiner.add(last)


def test_how_many_messages_may_be_begun_is_bounded() -> None:
    joiner = FragmentJoiner()
    for number in range(METERS_KEPT + 10):
        address = Address.of("EFE", f"{number:08d}", 0, 4)
        joiner.add(fragments([40], address=address)[0])
    assert len(joiner._begun) == METERS_KEPT
