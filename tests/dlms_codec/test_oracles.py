# SPDX-License-Identifier: Apache-2.0
"""Everything known of the shared captures of DLMS meters, and their exact bytes."""

from collections.abc import Iterator

import pytest

from dlms_codec import (
    Array,
    Damage,
    Data,
    DataNotification,
    Enum,
    GeneralCiphered,
    HdlcFrame,
    Int8,
    Keys,
    MbusFrame,
    Message,
    MessageDecoder,
    Push,
    PushReader,
    StreamDecoder,
    Structure,
    Telegram,
    Transport,
    VisibleString,
    WrapperFrame,
    decode_apdu,
    decode_messages,
    decode_stream,
    decode_telegram,
    recognise,
)
from dlms_codec.hdlc import encode_frame
from dlms_codec.mbus import encode_mbus
from dlms_codec.wrapper import encode_wrapper
from hub.meters.recognition import is_dlms
from meterlet.meter_views.dlms import dlms_view
from tests.support.meter_captures import (
    captures_of,
    differs,
    meter_capture,
    meter_oracle,
    needs_meter_captures,
)

pytestmark = needs_meter_captures
NAMES = captures_of("dlms")


def secret(name: str, what: str) -> bytes | None:
    text = meter_oracle(name).get(what)
    return None if text is None else bytes.fromhex(text)


def keys_of(name: str) -> Keys:
    return Keys(secret(name, "key"), secret(name, "auth_key"))


@pytest.mark.parametrize("name", NAMES)
def test_a_capture_is_as_its_oracle_says(name: str) -> None:
    data = meter_capture(name)
    assert is_dlms(data)
    view = dlms_view(data, keys=keys_of(name), system_title=secret(name, "system_title"))
    assert differs(name, view) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_transport_is_found_from_the_bytes(name: str) -> None:
    transport = recognise(meter_capture(name))
    assert ("apdu" if transport is None else transport.value) == meter_oracle(name)["transport"]


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_and_message_is_encoded_byte_for_byte(name: str) -> None:
    data = meter_capture(name)
    transport = recognise(data)
    if transport is None:
        telegram = decode_telegram(data, keys=keys_of(name))
        assert decode_apdu(telegram.wire).encode() == telegram.wire
        return
    for event in decode_messages(transport, data):
        match event:
            case HdlcFrame():
                wire = encode_frame(
                    event.destination, event.source, event.control, event.information,
                    segmented=event.segmented,
                )  # fmt: skip
                assert wire == event.wire
            case MbusFrame(source=int(source), destination=int(destination)):
                assert event.control is not None
                assert event.address is not None
                assert event.ci is not None
                wire = encode_mbus(
                    event.control, event.address, event.ci, event.piece,
                    source=source, destination=destination,
                )  # fmt: skip
                assert wire == event.wire
            case WrapperFrame():
                assert encode_wrapper(event.source, event.destination, event.apdu) == event.wire
            case Message():
                assert decode_apdu(event.apdu).encode() == event.apdu
    for found in decode_stream(transport, data, keys=keys_of(name)):
        if isinstance(found, Telegram) and found.error is None:
            assert found.apdu.encode() == found.message


@pytest.mark.parametrize("name", [name for name in NAMES if len(meter_capture(name)) < 4000])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_capture_in_pieces_gives_the_same(name: str, size: int) -> None:
    data = meter_capture(name)
    transport = recognise(data)
    if transport is None:
        return
    whole = decode_stream(transport, data, keys=keys_of(name))
    decoder = StreamDecoder(transport, keys=keys_of(name))
    events = [e for at in range(0, len(data), size) for e in decoder.feed(data[at : at + size])]
    assert list(map(repr, events + decoder.close())) == list(map(repr, whole))


@pytest.mark.parametrize("name", [name for name in NAMES if "stream" in name])
def test_a_long_stream_fills_no_memory(name: str) -> None:
    data = meter_capture(name)
    transport = recognise(data)
    assert transport is not None
    decoder = MessageDecoder(transport)
    most = 0
    for at in range(0, len(data), 50):
        decoder.feed(data[at : at + 50])
        most = max(most, len(decoder._decoder._buffer))
    assert most < 2100


def coded_pushes() -> Iterator[tuple[str, Push]]:
    """Yield the first push of each capture whose values all have codes of their own."""
    for name in NAMES:
        data, transport = meter_capture(name), recognise(meter_capture(name))
        if transport is None:
            found: list[Telegram | Damage] = [decode_telegram(data, keys=keys_of(name))]
        else:
            found = decode_stream(transport, data[:4000], keys=keys_of(name))
        pushes = [event.push for event in found if isinstance(event, Telegram) and event.push]
        for push in pushes[:1]:
            meanings = [entry.meaning for entry in push.values]
            if all(m.obis and m.class_id is None and m.profile is None for m in meanings):
                yield name, push


def test_the_values_of_real_meters_are_the_same_in_every_layout() -> None:
    """Each list is laid out as other meters would: nested, flat, backwards, between others."""
    others = 0
    for name, push in coded_pushes():
        rows = [
            [entry.meaning.obis.code if entry.meaning.obis else None, entry.value]
            + ([] if entry.meaning.scaler is None
               else [Structure((Int8(entry.meaning.scaler), Enum(entry.meaning.unit or 0)))])
            for entry in push.values
        ]  # fmt: skip
        want = [(entry.obis, entry.value, entry.scaled, entry.unit_symbol) for entry in push.values]
        flat = [item for row in rows for item in row]
        layouts: list[Data] = [
            Array(map(Structure, rows)), Structure(map(Structure, rows)), Structure(flat),
            Structure((VisibleString(b"Some_V1"), *flat)), Structure((bytes(12), *flat, b"serial")),
            Structure((Enum(1), Array(map(Structure, rows)))),
            Array((Array(map(Structure, rows[:3])), Structure(map(Structure, rows[3:])))),
        ]  # fmt: skip
        for body in layouts:
            wire = DataNotification(1, None, body).encode()
            found = PushReader().read(wire).values
            assert [(e.obis, e.value, e.scaled, e.unit_symbol) for e in found] == want, name
        backwards = PushReader().read(
            DataNotification(1, None, Array(map(Structure, reversed(rows)))).encode()
        )
        assert [entry.obis for entry in backwards.values] == [row[0] for row in want[::-1]]
        others += 1
    assert others >= 15


def test_a_changed_byte_of_a_protected_capture_is_never_read_as_authentic() -> None:
    name = "dlms/aidon_sweden_ciphered_aad"
    data = meter_capture(name)
    [message] = [e for e in decode_messages(Transport.HDLC, data) if isinstance(e, Message)]
    assert isinstance(decode_apdu(message.apdu), GeneralCiphered)
    for place in range(0, len(message.apdu), 7):
        changed = bytearray(message.apdu)
        changed[place] ^= 0x01
        telegram = decode_telegram(bytes(changed), keys=keys_of(name))
        assert telegram.authenticated is not True


def test_damage_is_told_with_its_place() -> None:
    events = decode_stream(Transport.HDLC, meter_capture("dlms/kamstrup_wrong_fcs"))
    bad = [(event.offset, event.reason) for event in events if isinstance(event, Damage)]
    assert (0, "FCS") in bad
    assert (457, "FCS") in bad
