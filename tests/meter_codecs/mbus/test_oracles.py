# SPDX-License-Identifier: Apache-2.0
"""All shared captures of M-Bus meters against what independent decoders say of them."""

import json

import pytest

from hub.meters.recognition import is_wired, is_wireless
from meter_codecs.mbus import (
    Body,
    KeyRing,
    LongFrame,
    MeterKey,
    Received,
    decode_link,
    decode_stream,
    read_wired,
    read_wireless,
)
from meterlet.meter_views.mbus import view
from tests.support.mbus_captures import (
    NAMES,
    WIRED,
    WIRELESS,
    capture,
    compare,
    key_of,
    needs_captures,
    oracle,
)

pytestmark = needs_captures


@pytest.mark.parametrize("name", NAMES)
def test_a_capture_is_as_its_oracle_says(name: str) -> None:
    shown = view(capture(name), key=key_of(name))
    assert compare()(oracle(name), json.loads(json.dumps(shown))) == []


def test_a_telegram_that_differs_would_be_found() -> None:
    shown = view(capture("wired_lgb_g350"))
    shown["telegrams"][0]["values"][0]["value"] += 1
    assert compare()(oracle("wired_lgb_g350"), shown)


@pytest.mark.parametrize("name", NAMES)
def test_the_kind_is_found_from_the_bytes(name: str) -> None:
    assert is_wired(capture(name)) == (name in WIRED)
    assert is_wireless(capture(name)) == (name in WIRELESS)


@pytest.mark.parametrize("name", WIRED)
def test_a_wired_frame_is_encoded_to_the_same_bytes(name: str) -> None:
    events = decode_stream(capture(name))
    frames = [event.frame for event in events if isinstance(event, Received)]
    assert b"".join(frame.encode() for frame in frames) == capture(name)
    for frame in frames:
        assert isinstance(frame, LongFrame)
        telegram = read_wired(frame)
        if isinstance(telegram.content, Body):
            assert telegram.header is not None
            assert telegram.header.encode() + telegram.content.encode() == frame.data


@pytest.mark.parametrize("name", WIRELESS)
def test_a_wireless_frame_is_encoded_to_the_same_bytes(name: str) -> None:
    key = key_of(name)
    frame = decode_link(capture(name))
    assert frame.encode() == capture(name)
    telegram = read_wireless(frame, keys=KeyRing(default=MeterKey(key) if key else None))
    if isinstance(telegram.content, Body):
        assert telegram.content.encode() == telegram.plain


def test_a_wireless_frame_whose_checksum_is_wrong_is_a_bad_frame_not_another_kind() -> None:
    changed = bytearray(capture("wireless_crc_a_2"))
    changed[30] ^= 1
    shown = view(bytes(changed))
    assert (shown["frames"], shown["frames_bad"], shown["telegrams"]) == (0, 1, [])
    assert "block 3: wrong checksum" in shown["damage"][0]["reason"]


def test_a_wired_frame_whose_checksum_is_wrong_is_a_bad_frame() -> None:
    changed = bytearray(capture("wired_lgb_g350"))
    changed[30] ^= 1
    shown = view(bytes(changed))
    assert (shown["frames"], shown["frames_bad"], shown["telegrams"]) == (0, 1, [])
    assert shown["damage"] == [
        {
            "offset": 0,
            "length": len(changed),
            "fault": "checksum",
            "reason": "frame: wrong checksum (at byte 68)",
        }
    ]
