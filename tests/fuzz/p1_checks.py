# SPDX-License-Identifier: Apache-2.0
"""What P1 and Current Cost keep for any bytes; the fuzzers try to break it."""

from meter_codecs import currentcost, p1
from meter_codecs.p1.ciphering import P1Keys
from meterlet.meter_views import currentcost as currentcost_view
from meterlet.meter_views import p1 as p1_view

KEYS = P1Keys(bytes(16), bytes(16))
TITLE = b"METERLET"


def check(data: bytes) -> None:
    """Raise AssertionError, or what should never leave the packages, if something is wrong."""
    check_p1(data)
    check_currentcost(data)


def check_p1(data: bytes) -> None:
    """Check what P1 says to `data`, with a right checksum, too, and enciphered."""
    head = b"/XXX5\r\n" + data
    for wire in (data, head + b"!", head + b"!%04X" % p1.crc16(head + b"!")):
        try:
            telegram = p1.read_telegram(wire)
        except p1.P1Error:
            continue
        assert telegram.encode() == wire
        p1.channels(telegram)
        p1_view.telegram_view(telegram)
        if telegram.framing is p1.Framing.PLAIN:
            how = p1.Ciphering(TITLE, 0x30, 1, None, 3, b"\r\n")
            (opened,) = p1.decode_stream(KEYS.encipher(telegram, how), keys=KEYS)
            assert opened == telegram
    stream = data + b"/XXX5\r\n1.8.0(1*kWh)\r\n!\r\n" + data
    for longest in (65536, 32):
        decoder = p1.StreamDecoder(keys=KEYS, longest=longest)
        middle = len(data) // 2
        pieces = decoder.feed(stream[:middle]) + decoder.feed(stream[middle:]) + decoder.close()
        assert pieces == p1.decode_stream(stream, keys=KEYS, longest=longest)


def check_currentcost(data: bytes) -> None:
    """Check what Current Cost says to `data`, and to a message made of it."""
    for wire in (data, b"<msg>" + data + b"</msg>"):
        try:
            message = currentcost.read_message(wire)
        except currentcost.CurrentCostError:
            continue
        assert message.encode() == wire
        currentcost_view.message_view(message)
    stream = data + b"<msg><dsb>1</dsb></msg>" + data
    for longest in (16384, 24):
        decoder = currentcost.StreamDecoder(longest=longest)
        middle = len(data) // 2
        pieces = decoder.feed(stream[:middle]) + decoder.feed(stream[middle:]) + decoder.close()
        assert pieces == currentcost.decode_stream(stream, longest=longest)
