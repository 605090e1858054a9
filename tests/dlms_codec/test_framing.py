# SPDX-License-Identifier: Apache-2.0
"""Frames and messages in streams: found whatever lies between, the same however they are cut."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms_codec import (
    Damage,
    DamageKind,
    EncodingError,
    HdlcDecoder,
    HdlcFrame,
    Limits,
    MalformedDlms,
    MbusFrame,
    Message,
    MessageDecoder,
    Transport,
    decode_messages,
)
from dlms_codec.assembly import Event
from dlms_codec.blocks import BlockAssembler, GeneralBlockTransfer, split
from dlms_codec.crc import check_sequence, is_right
from dlms_codec.hdlc import (
    FrameKind,
    LinkParameters,
    decode_address,
    encode_address,
    encode_frame,
    kind_of,
)
from dlms_codec.mbus import encode_mbus
from dlms_codec.wrapper import encode_wrapper

CLIENT, SERVER = encode_address(16), encode_address(1, 17)
LLC = b"\xe6\xe7\x00"


def messages(events: list[Event]) -> list[bytes]:
    return [event.apdu for event in events if isinstance(event, Message)]


def damage(events: list[Event]) -> list[Damage]:
    return [event for event in events if isinstance(event, Damage)]


def pushed(*pieces: bytes, source: bytes = SERVER) -> bytes:
    """Return frames of one information that was cut into pieces."""
    last = len(pieces) - 1
    return b"".join(
        encode_frame(CLIENT, source, 0x13, piece, segmented=number < last)
        for number, piece in enumerate(pieces)
    )


def test_the_check_sequence_is_that_of_the_catalogue() -> None:
    assert check_sequence(b"123456789") == (0x906E).to_bytes(2, "little")
    assert is_right(b"123456789\x6e\x90")
    assert not is_right(b"123456789\x6e\x91")


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ((16, None), "21"), ((1, 17), "0223"), ((0x3FFF, 0x3FFF), "fefefeff"),
        ((1, 0x81), "00020203"), ((200, None), "0291"),
    ],
)  # fmt: skip
def test_addresses_have_one_two_or_four_bytes(address: tuple[int, int | None], wire: str) -> None:
    assert encode_address(*address).hex() == wire
    if len(wire) != 4 or address[1] is not None:
        assert decode_address(bytes.fromhex(wire)) == address


def test_no_address_is_cut_to_fit() -> None:
    with pytest.raises(EncodingError):
        encode_address(0x4000)
    with pytest.raises(MalformedDlms):
        decode_address(b"\0\0\1")


def test_control_fields_say_what_a_frame_is_for() -> None:
    named = {0x93: FrameKind.SNRM, 0x73: FrameKind.UA, 0x53: FrameKind.DISC, 0x1F: FrameKind.DM,
             0x10: FrameKind.I, 0x13: FrameKind.UI, 0x11: FrameKind.RR, 0x15: FrameKind.RNR,
             0x97: FrameKind.FRMR, 0x19: FrameKind.UNKNOWN}  # fmt: skip
    assert {control: kind_of(control) for control in named} == named
    [frame] = HdlcDecoder().feed(encode_frame(SERVER, CLIENT, 0x74, b"x"))
    assert isinstance(frame, HdlcFrame)
    assert (frame.send_sequence, frame.receive_sequence, frame.final) == (2, 3, True)


def test_link_parameters_come_back_and_have_defaults() -> None:
    parameters = LinkParameters(1024, 512, 3, 1)
    assert LinkParameters.decode(parameters.encode()) == parameters
    assert LinkParameters.decode(b"") == LinkParameters()
    sent = bytes.fromhex("818012050180060180070400000001080400000001")
    assert LinkParameters.decode(sent) == LinkParameters(128, 128, 1, 1)
    for wrong in ("818001", "8180020501", "80800103", "81800305050505"):
        with pytest.raises(MalformedDlms):
            LinkParameters.decode(bytes.fromhex(wrong))


@given(
    st.sampled_from([encode_address(1), SERVER, encode_address(300, 5000)]),
    st.integers(0, 255),
    st.binary(max_size=300),
    st.booleans(),
)
def test_a_frame_comes_back_as_it_was(
    address: bytes, control: int, information: bytes, segmented: bool
) -> None:
    wire = encode_frame(address, CLIENT, control, information, segmented=segmented)
    [frame] = HdlcDecoder().feed(wire)
    assert frame == HdlcFrame(0, wire, address, CLIENT, control, information, segmented)


def test_frames_may_share_a_flag_or_have_many_between() -> None:
    one, two = pushed(LLC + b"\x0f1"), pushed(LLC + b"\x0f22")
    for stream, offset in ((one + two, len(one)), (one + two[1:], len(one) - 1),
                           (one + b"\x7e\x7e" + two, len(one) + 2)):  # fmt: skip
        events = decode_messages(Transport.HDLC, b"\0\xffnoise" + stream)
        assert messages(events) == [b"\x0f1", b"\x0f22"]
        assert [e.offset for e in events if isinstance(e, Message)] == [7, 7 + offset]
        assert not damage(events)


@pytest.mark.parametrize(
    ("place", "reason"),
    [(-2, "FCS"), (10, "FCS"), (3, "HCS"), (7, "HCS"), (2, "HCS")],
)
def test_a_damaged_frame_is_reported_with_the_reason_and_the_next_is_found(
    place: int, reason: str
) -> None:
    wire = bytearray(pushed(LLC + b"\x0f11111"))
    wire[place] ^= 4
    events = decode_messages(Transport.HDLC, bytes(wire) + pushed(LLC + b"\x0f2"))
    assert messages(events) == [b"\x0f2"]
    first = damage(events)[0]
    assert (first.offset, first.kind, first.reason) == (0, DamageKind.BAD, reason)


def test_a_frame_that_was_cut_short_does_not_take_the_next_with_it() -> None:
    wire = pushed(LLC + bytes(range(60)))
    for size in range(3, len(wire) - 1):
        events = decode_messages(Transport.HDLC, wire[:size] + pushed(LLC + b"\x0f2"))
        assert messages(events) == [b"\x0f2"], size
        assert damage(events)


def test_the_end_of_a_stream_cuts_a_frame() -> None:
    events = decode_messages(Transport.HDLC, pushed(LLC + b"\x0f1") + pushed(LLC + b"\x0f2")[:-3])
    [cut] = damage(events)
    assert (cut.kind, cut.reason) == (DamageKind.TRUNCATED, "runs past the end")


def test_segments_are_put_together_and_none_is_made_up() -> None:
    whole = LLC + b"\x0f" + bytes(range(90))
    parts = [whole[:31], whole[31:60], whole[60:]]
    frames = [pushed(*parts)]
    cut = [
        encode_frame(CLIENT, SERVER, 0x13, part, segmented=i < 2) for i, part in enumerate(parts)
    ]
    assert messages(decode_messages(Transport.HDLC, frames[0])) == [whole[3:]]
    for lost in (cut[1:], cut[:2]):
        events = decode_messages(Transport.HDLC, b"".join(lost))
        assert messages(events) == []
        assert {event.kind for event in damage(events)} == {DamageKind.INCOMPLETE}
    broken = bytearray(cut[1])
    broken[-3] ^= 1
    events = decode_messages(
        Transport.HDLC, cut[0] + bytes(broken) + cut[2] + pushed(LLC + b"\x0f2")
    )
    assert messages(events) == [b"\x0f2"]


def test_meters_that_send_no_llc_header_are_read_if_nothing_is_missing() -> None:
    apdu = bytes.fromhex("0f0000000100020309060100010700ff060000000502020f00161b")
    assert messages(decode_messages(Transport.HDLC, pushed(apdu))) == [apdu]
    assert messages(decode_messages(Transport.HDLC, pushed(apdu[:9], apdu[9:]))) == [apdu]
    for rest in (pushed(apdu[1:]), pushed(apdu[:-1]), pushed(apdu[9:])):
        events = decode_messages(Transport.HDLC, rest)
        assert messages(events) == []
        assert damage(events)[0].reason == "its first segment is missing"


def test_two_meters_on_a_line_are_kept_apart() -> None:
    one, two = encode_address(1, 17), encode_address(1, 18)
    first = encode_frame(CLIENT, one, 0x13, LLC + b"\x0fA", segmented=True)
    other = encode_frame(CLIENT, two, 0x13, LLC + b"\x0fB", segmented=True)
    rest = encode_frame(CLIENT, one, 0x13, b"a") + encode_frame(CLIENT, two, 0x13, b"b")
    assert messages(decode_messages(Transport.HDLC, first + other + rest)) == [b"\x0fAa", b"\x0fBb"]


def test_blocks_are_put_together_over_frames() -> None:
    message = b"\x0f" + bytes(range(200))
    blocks = [block.encode() for block in split(message, 70)]
    stream = pushed(LLC + blocks[0]) + b"".join(pushed(block) for block in blocks[1:])
    events = decode_messages(Transport.HDLC, stream)
    assert messages(events) == [message]
    assert [(e.offset, e.frames) for e in events if isinstance(e, Message)] == [(0, 3)]
    missing = pushed(LLC + blocks[0]) + pushed(blocks[2])
    lost = decode_messages(Transport.HDLC, missing)
    assert messages(lost) == []
    assert damage(lost)[0].reason == "block 3 where 2 is due"


def test_a_block_that_is_not_the_next_drops_the_message() -> None:
    assembler = BlockAssembler(limits=Limits(message=10))
    assert assembler.add(GeneralBlockTransfer(0x40, 1, 0, b"12345")) is None
    assert assembler.waiting
    with pytest.raises(MalformedDlms, match="block 3 where 2"):
        assembler.add(GeneralBlockTransfer(0x80, 3, 0, b""))
    with pytest.raises(MalformedDlms, match="block 2 where 1"):
        assembler.add(GeneralBlockTransfer(0x80, 2, 0, b""))
    assert assembler.add(GeneralBlockTransfer(0x40, 1, 0, b"12345")) is None
    with pytest.raises(MalformedDlms, match="longer than 10"):
        assembler.add(GeneralBlockTransfer(0x80, 2, 0, b"678901"))
    assert assembler.add(GeneralBlockTransfer(0x80, 1, 0, b"1")) == b"1"


def test_a_message_of_endless_segments_is_given_up() -> None:
    decoder = MessageDecoder(Transport.HDLC, limits=Limits(message=5000))
    reasons: list[str] = []
    first = encode_frame(CLIENT, SERVER, 0x13, LLC + bytes(1000), segmented=True)
    more = encode_frame(CLIENT, SERVER, 0x13, bytes(1000), segmented=True)
    for frame in (first, *([more] * 20)):
        reasons += [e.reason for e in decoder.feed(frame) if isinstance(e, Damage)]
    assert "longer than 5000 bytes" in reasons


def test_many_senders_cannot_fill_the_memory() -> None:
    decoder = MessageDecoder(Transport.HDLC)
    lost = 0
    for number in range(200):
        source = encode_address(1, number)
        frame = encode_frame(CLIENT, source, 0x13, LLC + b"\x0f", segmented=True)
        lost += sum(isinstance(event, Damage) for event in decoder.feed(frame))
    assert lost == 200 - MessageDecoder.PEERS


def test_mbus_carries_segments_by_number() -> None:
    whole = b"\x0f" + bytes(range(100))
    pieces = [whole[:40], whole[40:80], whole[80:]]
    frames = [
        encode_mbus(0x53, 0xFF, number | (0x10 if number == 2 else 0), piece)
        for number, piece in enumerate(pieces)
    ]
    events = decode_messages(Transport.MBUS, b"\xe5" + b"".join(frames))
    assert messages(events) == [whole]
    assert messages(decode_messages(Transport.MBUS, frames[0] + frames[2])) == []
    assert messages(decode_messages(Transport.MBUS, frames[1] + frames[2])) == []
    long = encode_mbus(0x53, 0xFF, 0x10, bytes(252))
    assert long[:4].hex() == "68010168"  # 257 do not fit a byte
    assert messages(decode_messages(Transport.MBUS, long)) == [bytes(252)]
    with pytest.raises(EncodingError):
        encode_mbus(0x53, 0xFF, 0x10, bytes(253))


def test_mbus_frames_that_carry_no_dlms_are_frames_and_no_messages() -> None:
    short = bytes.fromhex("107bfd7816")
    data = bytes.fromhex("6803036808ff727916".replace(" ", ""))
    events = decode_messages(Transport.MBUS, short + data)
    frames = [event for event in events if isinstance(event, MbusFrame)]
    assert [frame.wire for frame in frames] == [short, data]
    assert not any(frame.carries_dlms for frame in frames)
    assert messages(events) == []


def test_a_wrong_sum_is_damage() -> None:
    wire = bytearray(encode_mbus(0x53, 0xFF, 0x10, b"\x0f1"))
    wire[-2] ^= 1
    good = encode_mbus(0x53, 0xFF, 0x10, b"\x0f2")
    events = decode_messages(Transport.MBUS, bytes(wire) + good)
    assert messages(events) == [b"\x0f2"]
    assert damage(events)[0].reason == "checksum"


def test_wrappers_follow_each_other_and_noise_is_reported() -> None:
    stream = encode_wrapper(1, 16, b"\x0f1") + b"\xffnoise" + encode_wrapper(1, 16, b"\x0f2")
    events = decode_messages(Transport.WRAPPER, stream)
    assert messages(events) == [b"\x0f1", b"\x0f2"]
    [noise] = damage(events)
    assert (noise.offset, noise.length) == (10, 6)
    cut = decode_messages(Transport.WRAPPER, stream[:-1])
    assert damage(cut)[-1].kind is DamageKind.TRUNCATED


noise = st.binary(max_size=20)
wires = st.one_of(
    noise,
    noise.map(lambda rest: b"\x7e\xa0" + rest),
    st.lists(st.sampled_from([0, 1, 0x10, 0x7E, 0xA0, 0x68]), max_size=12).map(bytes),
    st.binary(max_size=60).map(lambda piece: pushed(LLC + piece)),
    st.binary(max_size=60).map(lambda piece: pushed(LLC + piece[:20], piece[20:] or b"x")),
    st.binary(min_size=1, max_size=60).map(
        lambda piece: b"".join(pushed(LLC + b.encode()) for b in split(piece, 20))
    ),
    st.binary(max_size=60).map(lambda piece: encode_mbus(0x53, 0xFF, 0x10, piece)),
    st.binary(max_size=60).map(lambda piece: encode_wrapper(1, 16, piece)),
    st.binary(max_size=60).map(lambda piece: pushed(LLC + piece)[:-5]),
)
streams = st.lists(wires, max_size=8).map(b"".join)


def pieces_of(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    for begin, end in zip([0, *places], [*places, len(data)], strict=True):
        yield data[begin:end]


@given(st.sampled_from(Transport), streams, st.lists(st.integers(0, 1000), max_size=6))
def test_the_outcome_is_the_same_however_a_stream_is_cut(
    transport: Transport, stream: bytes, cuts: list[int]
) -> None:
    decoder = MessageDecoder(transport)
    events: list[Event] = []
    for piece in pieces_of(stream, cuts):
        events += decoder.feed(piece)
    assert events + decoder.close() == decode_messages(transport, stream)


@given(st.sampled_from(Transport), streams)
def test_what_is_found_lies_where_it_is_said_to(transport: Transport, stream: bytes) -> None:
    for event in decode_messages(transport, stream):
        if isinstance(event, Damage):
            assert 0 <= event.offset <= len(stream)
        elif not isinstance(event, Message):
            assert stream[event.offset :].startswith(event.wire)


@pytest.mark.parametrize("transport", Transport)
def test_memory_is_bounded_whatever_comes(transport: Transport) -> None:
    decoder = MessageDecoder(transport)
    hostile = b"\x7e\xa7\xff\x03\x03\x13" + b"\x68\xff\xff\x68" + b"\0\1\0\1\0\1\xff\xff"
    for _ in range(3000):
        decoder.feed(hostile)
    kept = decoder._decoder._buffer
    assert len(kept) <= 0x10000 + 8 + len(hostile)
