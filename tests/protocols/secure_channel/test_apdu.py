# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.apdu_stream import ApduFrameDecoder, encode_frame
from protocols.iso7816.errors import MalformedApdu, MalformedFrame, MalformedTlv
from protocols.iso7816.tlv import Cursor, Tlv, encode_lv

CASES = [
    ("00A40400", CommandApdu(0, 0xA4, 4, 0)),
    ("00A4040000", CommandApdu(0, 0xA4, 4, 0, le=256)),
    ("00A4040001FF", CommandApdu(0, 0xA4, 4, 0, b"\xff")),
    ("00A4040001FF00", CommandApdu(0, 0xA4, 4, 0, b"\xff", 256)),
    ("00C00000000000", CommandApdu(0, 0xC0, 0, 0, le=65536)),
    ("00C00000000001", CommandApdu(0, 0xC0, 0, 0, le=1, extended=True)),
    ("80E20000000001AA", CommandApdu(0x80, 0xE2, 0, 0, b"\xaa", extended=True)),
    ("80E20000000001AA0000", CommandApdu(0x80, 0xE2, 0, 0, b"\xaa", 65536)),
]


@pytest.mark.parametrize(("wire", "command"), CASES, ids=[wire for wire, _ in CASES])
def test_each_case_of_iso_7816_has_one_form(wire: str, command: CommandApdu) -> None:
    assert CommandApdu.decode(bytes.fromhex(wire)) == command
    assert command.encode().hex().upper() == wire


@pytest.mark.parametrize(
    "wire",
    ["", "00A404", "00A4040002FF", "00A4040001FF0000", "00A404000000", "00A40400000000AA",
     "00A40400000002AA", "00A40400000001AA00", "00A40400000001AA000000"],
)  # fmt: skip
def test_a_length_that_lies_is_refused(wire: str) -> None:
    with pytest.raises(MalformedApdu):
        CommandApdu.decode(bytes.fromhex(wire))


@given(st.binary(max_size=600))
def test_any_bytes_are_refused_or_reproduced_as_a_command(raw: bytes) -> None:
    try:
        command = CommandApdu.decode(raw)
    except MalformedApdu:
        return
    assert command.encode() == raw


@given(
    st.binary(min_size=4, max_size=4),
    st.binary(max_size=400),
    st.none() | st.integers(1, 65536),
    st.booleans(),
)
def test_every_command_survives_the_wire(
    header: bytes, data: bytes, le: int | None, extended: bool
) -> None:
    cla, ins, p1, p2 = header
    command = CommandApdu(cla, ins, p1, p2, data, le, extended)
    assert CommandApdu.decode(command.encode()) == command


@given(st.integers(0, 19), st.sampled_from([0x00, 0x04, 0x80, 0x84, 0x90]))
def test_a_channel_survives_the_class_byte(channel: int, cla: int) -> None:
    command = CommandApdu(cla, 0xF2, 0, 0)
    moved = command.on_channel(channel)
    assert moved.channel == channel
    assert moved.is_secured == command.is_secured
    assert moved.is_chained == command.is_chained
    assert moved.plain_class == command.plain_class
    assert moved.on_channel(0) == command


def test_data_beyond_one_apdu_need_a_chain() -> None:
    with pytest.raises(MalformedApdu, match="chain"):
        CommandApdu(0, 0, 0, 0, bytes(65536)).encode()


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_or_reproduced_as_a_response(raw: bytes) -> None:
    try:
        response = ResponseApdu.decode(raw)
    except MalformedApdu:
        assert len(raw) < 2
        return
    assert response.encode() == raw


@given(st.binary(max_size=600))
def test_any_bytes_are_refused_or_reproduced_as_tlv(data: bytes) -> None:
    try:
        nodes = list(Tlv.decode_all(data))
    except MalformedTlv:
        return
    assert b"".join(node.encode() for node in nodes) == data


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
@pytest.mark.parametrize("tag", [0x4F, 0xE3, 0x9F7F, 0x7F49, 0xFF21, 0x7F8101])
def test_every_length_and_tag_survives_tlv(size: int, tag: int) -> None:
    node = Tlv(tag, bytes(size))
    assert list(Tlv.decode_all(node.encode())) == [node]


@pytest.mark.parametrize(
    "bad",
    ["4F", "4F01", "4F8101AA", "4F820001AA", "4F80", "4F84", "9F00", "9F8000", "1F1E00", "9F818100"]
)  # fmt: skip
def test_a_tlv_that_lies_or_is_longer_than_need_be_is_refused(bad: str) -> None:
    with pytest.raises(MalformedTlv):
        list(Tlv.decode_all(bytes.fromhex(bad)))


def test_a_constructed_tag_is_known_by_its_bit() -> None:
    assert Tlv(0xE3, b"").is_constructed
    assert Tlv(0x7F49, b"").is_constructed
    assert not Tlv(0x9F70, b"").is_constructed


def test_a_map_takes_each_tag_once() -> None:
    with pytest.raises(MalformedTlv, match="twice"):
        Tlv.decode_map(bytes.fromhex("4F004F00"))


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_fields_survive_length_and_value(fields: list[bytes]) -> None:
    cursor = Cursor(encode_lv(*fields))
    assert [cursor.take(cursor.length()) for _ in fields] == fields
    assert cursor.at_end


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 9))
def test_cutting_the_stream_elsewhere_changes_nothing(payloads: list[bytes], step: int) -> None:
    stream = b"".join(map(encode_frame, payloads))
    decoder, found = ApduFrameDecoder(), []
    for start in range(0, len(stream), step):
        found += decoder.feed(stream[start : start + step])
    decoder.finish()
    assert found == payloads


@pytest.mark.parametrize("header", ["00000000", "00020001", "FFFFFFFF"])
def test_a_frame_of_no_length_or_too_much_is_refused_at_once(header: str) -> None:
    with pytest.raises(MalformedFrame):
        ApduFrameDecoder().feed(bytes.fromhex(header))


def test_a_stream_that_ends_within_a_frame_is_noticed() -> None:
    decoder = ApduFrameDecoder()
    assert decoder.feed(encode_frame(b"abc")[:-1]) == []
    with pytest.raises(MalformedFrame, match="ended"):
        decoder.finish()
