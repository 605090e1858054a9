# SPDX-License-Identifier: Apache-2.0
"""Telegrams of M-Bus that somebody has changed, made up or replayed under another name."""

import pickle
import traceback
from itertools import product

import pytest

from meter_codecs.mbus import (
    Address,
    Authentication,
    FormatMemory,
    FrameFormat,
    KeyRing,
    LinkFrame,
    LongFrame,
    MeterKey,
    crc16,
    decode_body,
    decode_link,
    decode_stream,
    encode_compact,
    make_body,
    make_record,
    read_wired,
    read_wireless,
)
from meter_codecs.mbus.errors import ForgedMessage, MbusError, SecurityError
from meter_codecs.mbus.sealing import seal_mode_5, seal_mode_7, seal_mode_10, seal_session

METER = Address.of("EFE", "43054304", 0, 4)
SECRET = bytes.fromhex("622b9656991ff0c1574c0950cf9278d1")
KEYS = KeyRing({METER.number: MeterKey(SECRET)})
VALUES = [9341, 1348631, 2853]
HEADS = [b"\x04\x06", b"\x04\x13", b"\x44\x06"]
BODY = make_body(map(make_record, HEADS, VALUES)).encode()
KEY = MeterKey(SECRET)
SEALED = {
    "mode 5": seal_mode_5(METER, BODY, KEY, access=3),
    "mode 7": seal_mode_7(METER, BODY, KEY, counter=77, access=3),
    "mode 10": seal_mode_10(METER, BODY, KEY, counter=77, access=3),
    "session": seal_session(METER, b"\x78" + BODY, KEY, control=0x20, access=3, session=77),
}


def bare(payload: bytes, address: Address = METER) -> LinkFrame:
    return decode_link(LinkFrame(0x44, address, payload).encode())


def test_each_is_read_as_it_was_sent() -> None:
    for payload in SEALED.values():
        telegram = read_wireless(bare(payload), keys=KEYS)
        assert [record.value for record in telegram.records] == VALUES


def test_an_authenticated_telegram_changed_anywhere_has_no_values() -> None:
    payload = SEALED["mode 7"]
    numbered = range(2, 3)  # which fragment of one it is: no code covers it, and nothing is told
    for place in range(len(payload)):
        for bit in range(8):
            changed = bytearray(payload)
            changed[place] ^= 1 << bit
            telegram = read_wireless(bare(bytes(changed)), keys=KEYS)
            if place in numbered and telegram.content is not None:
                assert [record.value for record in telegram.records] == VALUES
                continue
            assert telegram.content is None, (place, bit)
            assert telegram.records == ()


def test_aes_ccm_changed_anywhere_has_no_values_of_the_meter() -> None:
    payload = SEALED["mode 10"]
    for place in range(len(payload)):
        for bit in range(8):
            changed = bytearray(payload)
            changed[place] ^= 1 << bit
            telegram = read_wireless(bare(bytes(changed)), keys=KEYS)
            # The first byte may say that records follow in clear: then it is not called protected.
            assert telegram.content is None or not (place or telegram.is_encrypted), (place, bit)
            assert telegram.is_authenticated is not True


def test_a_changed_value_is_a_forgery_not_a_wrong_key() -> None:
    changed = bytearray(SEALED["mode 7"])
    changed[-1] ^= 1  # the last block alone becomes something else
    telegram = read_wireless(bare(bytes(changed)), keys=KEYS)
    assert isinstance(telegram.error, ForgedMessage)
    assert telegram.is_authenticated is False
    assert telegram.plain is None


@pytest.mark.parametrize("kind", ["mode 7", "mode 10", "session"])
def test_a_telegram_cannot_be_passed_off_as_another_meters(kind: str) -> None:
    other = Address.of("EFE", "43054305", 0, 4)
    keys = KeyRing(default=MeterKey(SECRET))  # the worst case: both have the same key
    telegram = read_wireless(bare(SEALED[kind], other), keys=keys)
    assert isinstance(telegram.error, SecurityError)
    assert telegram.records == ()


def test_what_mode_5_and_sessions_let_through_is_never_called_authentic() -> None:
    """They hide values and do not protect them; this shows how, and what the reader is told.

    In mode 5 the address goes into the first block: a bit of it turns a bit of the first value.
    """
    changed = bytearray(SEALED["mode 5"])
    changed[1] ^= 1  # the access number is in the last bytes of the block
    turned = read_wireless(bare(bytes(changed)), keys=KEYS)
    assert turned.error is None
    assert [record.value for record in turned.records] != VALUES
    for kind in ("mode 5", "session"):
        assert read_wireless(bare(SEALED[kind]), keys=KEYS).is_authenticated is None
    assert turned.is_authenticated is None
    assert read_wireless(bare(SEALED["mode 7"]), keys=KEYS).is_authenticated is True


@pytest.mark.parametrize("kind", ["mode 7", "mode 10"])
def test_a_message_counter_cannot_be_turned_forward(kind: str) -> None:
    payload = bytearray(SEALED[kind])
    at = payload.index((77).to_bytes(4, "little"))
    payload[at : at + 4] = (78).to_bytes(4, "little")
    telegram = read_wireless(bare(bytes(payload)), keys=KEYS)
    assert isinstance(telegram.error, SecurityError)
    assert telegram.is_authenticated is False


def test_taking_the_authentication_away_does_not_help() -> None:
    payload = SEALED["mode 7"]
    content = payload[payload.index(b"\x7a\x03") :]
    without_code = Authentication(0x2800, control=0x25, counter=77).encode()
    for changed in (content, without_code + content):
        telegram = read_wireless(bare(changed), keys=KEYS)
        assert telegram.error is not None
        assert telegram.records == ()


def test_a_code_short_enough_to_be_guessed_does_not_count() -> None:
    """Two bytes are found in 65,536 tries: here is the right guess."""
    payload = SEALED["mode 7"]
    content = payload[payload.index(b"\x7a\x03") :]
    for kind, size in ((3, 2), (4, 4)):
        layer = Authentication(0x2C00, control=0x20 | kind, counter=77)
        guess = KEY.derive(1, 77, METER.number).mac(layer.authenticated() + content)[:size]
        weak = Authentication(0x2C00, 0x20 | kind, None, 77, guess).encode() + content
        telegram = read_wireless(bare(weak), keys=KEYS)
        assert isinstance(telegram.error, ForgedMessage)
        assert telegram.records == ()


@pytest.mark.parametrize("frame_format", [FrameFormat.A, FrameFormat.B])
def test_a_bit_that_fell_over_in_a_frame_is_found_by_its_checksums(
    frame_format: FrameFormat,
) -> None:
    wire = LinkFrame(0x44, METER, b"\x78" + BODY, frame_format).encode()
    for place in range(len(wire)):
        for bit in range(8):
            changed = bytearray(wire)
            changed[place] ^= 1 << bit
            try:
                frame = decode_link(bytes(changed))
            except MbusError:
                continue
            # format B without right checksums looks like a frame whose receiver removed them
            assert frame_format is FrameFormat.B
            assert frame.frame_format is FrameFormat.BARE


def test_a_wired_frame_with_a_changed_byte_is_never_taken() -> None:
    wire = LongFrame(8, 1, 0x78, BODY).encode()
    for place in range(len(wire)):
        for change in (1, 0x80, 0xFF):
            changed = bytearray(wire)
            changed[place] ^= change
            events = decode_stream(bytes(changed))
            assert not any(isinstance(getattr(event, "frame", None), LongFrame) for event in events)


def test_by_radio_a_mode_that_nobody_describes_is_never_taken_for_clear() -> None:
    """Of short scrambled telegrams one in a hundred looks like records."""
    clear = b"\x7a" + bytes([3, 0, 0x10, 0x1D]) + BODY
    telegram = read_wireless(bare(clear), keys=KEYS)
    assert isinstance(telegram.error, SecurityError)
    assert telegram.is_encrypted
    wired = LongFrame(8, 1, 0x72, METER.encode_header() + bytes([3, 0, 0x10, 0x1D]) + BODY)
    assert read_wired(wired, keys=KEYS).is_encrypted is False  # who has its key refuses it


def test_a_telegram_made_up_in_clear_is_never_called_enciphered() -> None:
    """It is read, as many meters send in clear: who has a key for the meter refuses it."""
    deciphered = b"\x7a" + bytes([3, 0, 0x20, 5]) + b"\x2f\x2f" + BODY
    session = seal_session(METER, b"\x78" + BODY, None, control=0x20, access=3, session=77)
    for payload in (b"\x78" + BODY, deciphered, session):
        telegram = read_wireless(bare(payload), keys=KEYS)
        assert [record.value for record in telegram.records] == VALUES
        assert (telegram.is_encrypted, telegram.is_authenticated) == (False, None)


def test_a_format_made_up_in_clear_does_not_change_what_enciphered_values_mean() -> None:
    """The signature of a format has 16 bits: another format with the same one is soon found."""
    signature = crc16(b"".join(HEADS))
    tries = (
        bytes([0x04, 0x93, 0x80 | low, 0x80 | high, last]) + b"".join(HEADS[1:])
        for last, high, low in product(range(0x40), range(128), range(128))
    )
    forged = next(heads for heads in tries if crc16(heads) == signature)
    formats = FormatMemory()
    full = seal_session(METER, b"\x78" + BODY, KEY, control=0x20, access=3, session=77)
    compact = b"\x79" + encode_compact(decode_body(BODY))
    short = seal_session(METER, compact, KEY, control=0x20, access=4, session=78)
    read_wireless(bare(full), keys=KEYS, formats=formats)
    lie = b"\x69" + bytes([len(forged) + 2]) + signature.to_bytes(2, "little") + forged
    assert read_wireless(bare(lie), formats=formats).error is None
    telegram = read_wireless(bare(short), keys=KEYS, formats=formats)
    assert [record.name for record in telegram.records] == ["energy", "volume", "energy"]
    assert [record.value for record in telegram.records] == VALUES


def test_no_error_and_no_trace_tells_a_key() -> None:
    wrong = bytes(range(16))
    for payload in SEALED.values():
        telegram = read_wireless(bare(payload), keys=KeyRing(default=MeterKey(wrong)))
        assert telegram.error is not None
        text = "".join(traceback.format_exception(telegram.error)) + repr(telegram)
        assert wrong.hex() not in text
        assert repr(wrong) not in text
    with pytest.raises(TypeError):
        pickle.dumps(MeterKey(wrong))


def test_what_a_stranger_sends_costs_no_more_than_its_length() -> None:
    """Ten extensions at most, no nesting, and no length that is believed before it is there."""
    for wire in (b"\x84" + b"\x80" * 240, b"\x04\x93" + b"\x80" * 240, b"\x0d\x78\xf6" + bytes(8)):
        with pytest.raises(MbusError):
            decode_body(wire)
