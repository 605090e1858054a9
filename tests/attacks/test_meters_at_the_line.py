# SPDX-License-Identifier: Apache-2.0
"""Somebody at the line of a P1 port or a Current Cost display, who knows what is sent there.

The enciphered port promises that nobody without its keys can make or change a reading. No codec
promises that for a line in the clear; it promises exact numbers, its own errors, and bounds.
"""

import time
from itertools import product

import pytest

from meter_codecs import currentcost, p1
from meter_codecs.p1 import Ciphering, Envelope, Telegram, Undeciphered, crc16, decode_stream
from meter_codecs.p1.ciphering import P1Keys
from meter_codecs.p1.telegram import read_telegram

KEYS = P1Keys(bytes(range(16)), bytes(range(16, 32)))
TITLE = b"SAGYMETR"
WIRE = read_telegram(b"/Lux5\\2\r\n\r\n1-0:1.8.0(005675.956*kWh)\r\n!").encode()


def sealed(wire: bytes = WIRE, security: int = 0x30) -> bytes:
    return KEYS.encipher(read_telegram(wire), Ciphering(TITLE, security, 7, None, 3, b"\r\n"))


def is_read(data: bytes) -> bool:
    """Whether anything comes out that claims to be authentic."""
    return any(
        event.ciphering is not None and event.ciphering.is_authenticated
        for event in decode_stream(data, keys=KEYS)
        if isinstance(event, Telegram)
    )


def test_no_bit_of_an_authenticated_frame_can_be_changed() -> None:
    frame = sealed()
    assert is_read(frame)
    for at, bit in product(range(len(frame)), range(8)):
        changed = bytearray(frame)
        changed[at] ^= 1 << bit
        assert not is_read(bytes(changed)), (at, bit)


def test_a_known_telegram_cannot_be_turned_into_another() -> None:
    """In counter mode the difference of two texts turns one into the other; the tag forbids it."""
    envelope = Envelope.decode(sealed())
    data = read_telegram(WIRE.replace(b"5675", b"0001")).encode()
    mask = bytes(a ^ b for a, b in zip(WIRE, data, strict=True)) + bytes(2)
    content = bytes(a ^ b for a, b in zip(envelope.content, mask, strict=True))
    forged = Envelope(TITLE, 0x30, 7, content, envelope.tag).encode()
    assert KEYS._without_tag(TITLE + bytes([0, 0, 0, 7]), content).startswith(data)
    (event,) = decode_stream(forged, keys=KEYS)
    assert isinstance(event, Undeciphered)
    assert event.is_forged


@pytest.mark.parametrize("security", [0x10, 0x20])
def test_a_frame_cannot_be_said_to_be_less_protected(security: int) -> None:
    """A changed security byte leaves a frame without tag, or clear text: neither is authentic."""
    frame = bytearray(sealed())
    frame[13] = security
    assert not is_read(bytes(frame))


def test_a_frame_whose_tag_was_taken_away_is_not_said_to_be_authentic() -> None:
    """Whoever reads it can see that nobody vouches for it, even with both keys at hand."""
    envelope = Envelope.decode(sealed())
    stripped = Envelope(TITLE, 0x20, 7, envelope.content, b"").encode()
    (event,) = decode_stream(stripped, keys=KEYS)
    assert isinstance(event, Telegram)
    assert event.ciphering is not None
    assert event.ciphering.is_authenticated is None


def test_another_meters_frame_is_not_this_ones() -> None:
    frame = sealed().replace(TITLE, b"SAGYOTHR")
    assert not is_read(frame)


def test_a_telegram_without_its_crc_is_none_where_the_meter_sends_one() -> None:
    """To change a value and drop the CRC is no way around it."""
    lines = b"/ISK5\r\n\r\n1-3:0.2.8(50)\r\n1-0:1.8.1(003808.351*kWh)\r\n!"
    wire = lines + b"%04X" % crc16(lines)
    assert isinstance(decode_stream(wire)[0], Telegram)
    forged = wire[:-4].replace(b"3808", b"0001") + b"\r\n"
    assert not any(isinstance(event, Telegram) for event in decode_stream(forged))


HOSTILE = {
    "starts": b"/ABC",
    "starts on lines": b"\r\n/ABC5\r\n",
    "ends": b"/ABC5\r\n!1234",
    "ends alone": b"\r!",
    "parentheses": b"(" * 50 + b")" * 50,
    "values": b"1-0:1.8.0(" + b")(" * 100 + b")\r\n",
    "digits": b"9" * 1000,
    "codes": b"0-0:" + b"1." * 100,
    "frames": b"\xdb\x08" + bytes(8) + b"\x82\x1f\xff\x30",
    "titles": b"\xdb\x08" * 5 + bytes(4),
    "messages": b"<msg>",
    "tags": b"<a>",
    "closing tags": b"</a></msg>",
    "blanks": b" ",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_bytes_cost_no_more_than_honest_ones(kind: str) -> None:
    """Much of anything is done in seconds: no byte is looked at again and again."""
    piece = HOSTILE[kind]
    data = piece * (200_000 // len(piece))
    for prefix in (b"", b"/ABC5\r\n", b"<msg>"):
        begun = time.process_time()
        p1_decoder, cost_decoder = p1.StreamDecoder(keys=KEYS), currentcost.StreamDecoder()
        stream = prefix + data
        for at in range(0, len(stream), 4096):
            p1_decoder.feed(stream[at : at + 4096])
            cost_decoder.feed(stream[at : at + 4096])
        p1_decoder.close()
        cost_decoder.close()
        assert time.process_time() - begun < 5


def test_a_line_of_many_parentheses_is_read_in_time() -> None:
    body = b"/ABC5\r\n" + b"".join(b"(" * n + b"\r\n" for n in range(300)) + b"!"
    begun = time.process_time()
    telegram = read_telegram(body + b"%04X" % crc16(body))
    assert p1.readings(telegram) == []
    assert telegram.unreadable
    assert time.process_time() - begun < 5
