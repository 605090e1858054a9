# SPDX-License-Identifier: Apache-2.0
"""Enciphered P1: keys right, wrong and missing, frames cut and damaged."""

import pytest

from hub.meters.recognition import is_p1, is_sealed_p1
from meter_codecs.p1 import (
    CannotDecipher,
    Ciphering,
    Damage,
    DamageKind,
    EncodingError,
    Envelope,
    MalformedP1,
    StreamDecoder,
    Telegram,
    Undeciphered,
    decode_stream,
    read_telegram,
)
from meter_codecs.p1.ciphering import LUXEMBOURG, P1Keys
from meterlet.meter_views import p1
from tests.support.meter_captures import meter_capture, meter_oracle, needs_meter_captures

KEY = bytes(range(16))
OTHER = bytes(range(16, 32))
TITLE = b"SAGY\x01\x02\x03\x04"
WIRE = read_telegram(b"/Lux5\\2\r\n\r\n1-0:1.8.0(005675.956*kWh)\r\n!1A2B"[:-4]).encode()
NAME = "p1/smarty_encrypted_esphome"


def frame(keys: P1Keys, *, security: int = 0x30, counter: int = 7, length_octets: int = 3) -> bytes:
    ciphering = Ciphering(TITLE, security, counter, None, length_octets, b"\r\n")
    return keys.encipher(read_telegram(WIRE), ciphering)


def only(data: bytes, keys: P1Keys | None) -> Telegram | Undeciphered | Damage:
    (event,) = decode_stream(data, keys=keys)
    return event


@needs_meter_captures
def test_a_real_frame_comes_back_byte_for_byte() -> None:
    known, data = meter_oracle(NAME), meter_capture(NAME)
    keys = P1Keys(bytes.fromhex(known["key"]), bytes.fromhex(known["auth_key"]))
    event = only(data, keys)
    assert isinstance(event, Telegram)
    assert event.ciphering is not None
    assert keys.encipher(event, event.ciphering) == data
    assert Envelope.decode(data).encode() == data


@needs_meter_captures
def test_luxembourgs_authentication_key_need_not_be_given() -> None:
    known, data = meter_oracle(NAME), meter_capture(NAME)
    (telegram,) = p1.view(data, key=bytes.fromhex(known["key"]))["telegrams"]
    assert telegram["authenticated"] is True
    assert len(telegram["values"]) == 18


@needs_meter_captures
def test_a_real_frame_without_a_key_says_whose_it_is() -> None:
    view = p1.view(meter_capture(NAME))
    (telegram,) = view["telegrams"]
    assert (view["frames"], view["frames_bad"]) == (1, 0)
    assert telegram["values"] is None
    assert telegram["system_title"] == "53595354454d4944"
    assert "no key" in telegram["error"]


def test_the_key_shows_whether_a_frame_is_p1() -> None:
    data = frame(P1Keys(KEY, OTHER))
    assert not is_p1(data)
    assert is_sealed_p1(data, KEY)
    assert not is_sealed_p1(data, OTHER)
    assert not is_sealed_p1(WIRE, KEY)
    content = b"\x0f\0\0\0\1\0\2\1\x12\0\1"  # a notification of DLMS
    vector = TITLE + bytes([0, 0, 0, 1])
    notification = Envelope(TITLE, 0x20, 1, P1Keys(KEY)._without_tag(vector, content), b"")
    assert not is_sealed_p1(notification.encode(), KEY)


@pytest.mark.parametrize(
    ("keys", "is_forged", "why"),
    [
        (P1Keys(OTHER, LUXEMBOURG), True, "the enciphering key is wrong"),
        (P1Keys(KEY, OTHER), True, "the authentication key is wrong"),
        (P1Keys(OTHER), False, "the enciphering key is wrong"),
        (None, False, "no key is given"),
    ],
)
def test_a_wrong_key_is_named(keys: P1Keys | None, is_forged: bool, why: str) -> None:
    event = only(frame(P1Keys(KEY)), keys)
    assert isinstance(event, Undeciphered)
    assert event.is_forged is is_forged
    assert why in event.reason


def test_without_the_authentication_key_what_it_would_say_stays_open() -> None:
    event = only(frame(P1Keys(KEY, OTHER)), P1Keys(KEY))
    assert isinstance(event, Telegram)
    assert event.ciphering is not None
    assert event.ciphering.is_authenticated is None


@pytest.mark.parametrize("security", [0x10, 0x20, 0x30, 0x31, 0x32])
@pytest.mark.parametrize("length_octets", [1, 2, 3])
def test_all_kinds_of_frames_come_back(security: int, length_octets: int) -> None:
    keys = P1Keys(KEY, OTHER)
    data = frame(keys, security=security, length_octets=length_octets)
    event = only(data, keys)
    assert isinstance(event, Telegram)
    assert event.ciphering is not None
    assert event.ciphering.is_authenticated is (True if security & 0x10 else None)
    assert keys.encipher(event, event.ciphering) == data


def test_a_wrong_key_without_a_tag_shows_in_what_comes_out() -> None:
    event = only(frame(P1Keys(KEY), security=0x20), P1Keys(OTHER))
    assert isinstance(event, Undeciphered)
    assert "the enciphering key is wrong" in event.reason


def test_keys_of_32_bytes_are_those_of_suite_2() -> None:
    keys = P1Keys(KEY + OTHER, OTHER + KEY)
    assert isinstance(only(frame(keys, security=0x32), keys), Telegram)
    with pytest.raises(EncodingError, match="16 bytes"):
        P1Keys(b"short")


def test_keys_do_not_show() -> None:
    assert KEY.hex() not in repr(P1Keys(KEY))
    assert repr(KEY) not in repr(P1Keys(KEY, KEY))


def test_what_is_inside_and_authentic_but_no_telegram_is_said_to_be_none() -> None:
    class Vault:
        def decipher(self, envelope: Envelope) -> object:
            raise CannotDecipher("the vault is locked")

    (event,) = decode_stream(frame(P1Keys(KEY)), keys=Vault())  # type: ignore[arg-type]
    assert isinstance(event, Undeciphered)
    assert event.reason == "the vault is locked"


def test_a_lost_end_does_not_take_the_next_frame_along() -> None:
    keys = P1Keys(KEY, OTHER)
    first, second = frame(keys), frame(keys, counter=8)
    for cut in range(14, len(first)):
        events = decode_stream(first[:cut] + second, keys=keys)
        if cut < len(first) - 9:
            assert isinstance(events[0], Damage)
            assert events[0].kind is DamageKind.RESTART
        assert isinstance(events[-1], Telegram)
        assert events[-1].offset == cut


def test_noise_that_looks_like_a_long_frame_does_not_hide_a_telegram_at_the_end() -> None:
    noise = b"\xdb\x08" + bytes(8) + b"\x82\x1f\x00\x30"
    events = decode_stream(noise + WIRE + b"\r\n")
    assert isinstance(events[0], Damage)
    assert isinstance(events[-1], Telegram)


def test_frames_are_found_between_telegrams_in_the_clear() -> None:
    keys = P1Keys(KEY)
    decoder = StreamDecoder(keys=keys)
    events = decoder.feed(WIRE + b"\r\n" + frame(keys) + WIRE + b"\r\n") + decoder.close()
    kinds = [e.ciphering is not None for e in events if isinstance(e, Telegram)]
    assert kinds == [False, True, False]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xdb\x08", b"\xdb\x08" + bytes(8) + b"\x84\0\0\0\x20\x30", frame(P1Keys(KEY))[:-1]],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedP1):
        Envelope.decode(data)


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(b"short", 0x30, 1, b"x", bytes(12)),
        Envelope(TITLE, 0x30, 1, bytes(200), bytes(12), 1),
        Envelope(TITLE, 0x30, 1, bytes(70000), bytes(12), 3),
    ],
)
def test_a_frame_that_cannot_be_is_not_sent(envelope: Envelope) -> None:
    with pytest.raises(EncodingError):
        envelope.encode()
