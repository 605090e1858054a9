# SPDX-License-Identifier: Apache-2.0
"""Someone on the line between meter and reader: what they change is not taken for the meter's."""

import tracemalloc

import pytest

from dlms_codec import (
    CounterGuard,
    DataNotification,
    DlmsError,
    GeneralCiphered,
    Keys,
    Message,
    MessageDecoder,
    ReplayedCounter,
    StreamDecoder,
    Telegram,
    TelegramReader,
    Transport,
    UInt32,
    UnprotectedMessage,
    decode_apdu,
    protect,
)
from dlms_codec.blocks import split
from dlms_codec.hdlc import encode_address, encode_frame
from dlms_codec.security import demand

TITLE = b"METER001"
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
LLC = b"\xe6\xe7\x00"
HEAD_END, METER = encode_address(16), encode_address(1, 17)


def push(number: int, *, counter: int = 1, control: int = 0x30) -> bytes:
    clear = DataNotification(1, None, UInt32(number)).encode()
    return GeneralCiphered(TITLE, protect(clear, TITLE, counter, KEYS, control=control)).encode()


def read(wire: bytes) -> Telegram:
    return TelegramReader(keys=KEYS).read(Message(0, wire, 1))


def frame(information: bytes, *, segmented: bool = False) -> bytes:
    return encode_frame(HEAD_END, METER, 0x13, information, segmented=segmented)


def test_no_single_bit_can_be_changed_unnoticed() -> None:
    wire = push(5)
    assert read(wire).authenticated
    for place in range(len(wire)):
        for bit in range(8):
            changed = bytearray(wire)
            changed[place] ^= 1 << bit
            assert read(bytes(changed)).authenticated is not True, (place, bit)


def test_a_tag_cannot_be_dropped_by_saying_that_there_is_none() -> None:
    """Without its tag the text still deciphers; it is not said to be the meter's."""
    outer = decode_apdu(push(5))
    assert isinstance(outer, GeneralCiphered)
    protected = outer.protected
    stripped = bytearray(outer.encode()[:-12])
    stripped[10] -= 12  # the length
    stripped[11] = 0x20  # enciphered only
    telegram = read(bytes(stripped))
    assert telegram.authenticated is None
    assert telegram.protection is not None
    with pytest.raises(UnprotectedMessage):
        demand(telegram.protection.protected)
    demand(protected)


def test_a_message_cannot_be_sent_again_or_in_another_meters_name() -> None:
    guard = CounterGuard()
    for counter in (1, 2, 2, 1):
        telegram = read(push(5, counter=counter))
        assert telegram.authenticated
        assert telegram.protection is not None
        if counter > guard.last:
            guard.take(telegram.protection.protected.counter)
        else:
            with pytest.raises(ReplayedCounter):
                guard.take(telegram.protection.protected.counter)
    outer = decode_apdu(push(5))
    assert isinstance(outer, GeneralCiphered)
    forged = GeneralCiphered(b"METER002", outer.protected).encode()
    assert read(forged).authenticated is False
    assert read(forged).push is None


def test_a_message_in_the_clear_is_not_taken_for_a_protected_one() -> None:
    clear = DataNotification(1, None, UInt32(5)).encode()
    telegram = read(clear)
    assert telegram.push is not None
    assert (telegram.protection, telegram.authenticated) == (None, None)
    wrapped = GeneralCiphered(TITLE, protect(clear, TITLE, 1, KEYS, control=0)).encode()
    assert read(wrapped).authenticated is None


def test_pieces_of_two_messages_are_not_joined() -> None:
    one, two = push(1, counter=1), push(2, counter=2)
    first, second = ([block.encode() for block in split(wire, 20)] for wire in (one, two))
    decoder = StreamDecoder(Transport.HDLC, keys=KEYS)
    stream = frame(LLC + first[0]) + b"".join(map(frame, second[1:]))
    stream += frame(LLC + one[:20], segmented=True) + frame(two[20:])
    for event in decoder.feed(stream) + decoder.close():
        assert not isinstance(event, Telegram) or event.authenticated is not True


@pytest.mark.parametrize(
    "hostile",
    [
        frame(LLC + b"\x0f" + bytes(1500), segmented=True),
        frame(LLC + split(bytes(5000), 1500)[0].encode()),
        b"\x7e\xa7\xff" + bytes(100),
        b"\x68\x02\x02\x68" * 50,
        b"\0\1\0\1\0\1\xff\xff",
    ],
)
@pytest.mark.parametrize("transport", Transport)
def test_nothing_that_is_sent_fills_the_memory(transport: Transport, hostile: bytes) -> None:
    decoder = MessageDecoder(transport)
    tracemalloc.start()
    try:
        for _ in range(2000):
            decoder.feed(hostile)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 4 << 20


def test_hostile_pushes_are_refused_quickly() -> None:
    """Counts and nestings that promise more than there is."""
    head = bytes.fromhex("0f0000000100")
    bombs = [
        head + b"\x01\x84\xff\xff\xff\xff",
        head + b"\x02\xff" * 1000,
        head + b"\x01\x01" * 5000 + b"\0",
        head + b"\x13" + b"\x01\xff\xff" * 7 + b"\0\x81\xff" + bytes(255),
        head + b"\x09\x84\xff\xff\xff\xff",
    ]
    for bomb in bombs:
        assert isinstance(read(bomb).error, DlmsError)
