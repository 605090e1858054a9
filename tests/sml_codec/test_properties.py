# SPDX-License-Identifier: Apache-2.0
"""What holds for all messages, all bytes and all ways to cut them."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sml_codec import (
    Damage,
    Element,
    FileReader,
    Frame,
    FrameDecoder,
    Limits,
    Message,
    SmlError,
    decode_file,
    decode_frame,
    decode_stream,
    encode_file,
    encode_frame,
    encode_message,
    read_file,
)
from sml_codec.elements import ElementReader, encode
from sml_codec.frames import ESCAPE, START
from tests.sml_codec.strategies import elements, messages

# Bytes that mean something to the transport, so that chance finds its corners.
telling = st.lists(
    st.sampled_from([b"\x1b", ESCAPE, START, b"\x1a", b"\x00", b"\x01", b"\x02", b"\x76\x05"])
    | st.binary(max_size=4),
    max_size=40,
).map(b"".join)


@given(elements)
def test_every_element_comes_back_as_it_was(element: Element) -> None:
    data = encode(element)
    reader = ElementReader(data)
    assert reader.element() == element
    assert reader.offset == len(data)
    assert encode(element, ElementReader(data)) == data


@given(st.lists(messages, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_comes_back_as_it_was(sent: list[Message]) -> None:
    data = encode_file(sent)
    assert decode_file(data) == sent
    assert encode_file(decode_file(data)) == data


@given(messages, messages)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_body_replaced_in_a_message_that_was_decoded_comes_back(
    old: Message, new: Message
) -> None:
    [decoded] = decode_file(encode_message(old))
    changed = replace(decoded, body=new.body, transaction_id=new.transaction_id)
    assert decode_file(encode_message(changed)) == [replace(changed, wire=b"")]


@given(st.lists(messages, min_size=1, max_size=3))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_reader_that_has_learned_decodes_as_one_that_has_not(kinds: list[Message]) -> None:
    learned = FileReader()
    for message in kinds * 3:
        data = encode_message(message)
        file = learned.read(data)
        assert file == FileReader().read(data)
        assert encode_file(file) == data


@given(st.data())
@settings(deadline=None)
def test_a_message_like_one_before_is_decoded_with_the_same_types(data: st.DataObject) -> None:
    """Random bytes in the places of values that a layout leaves open."""
    message = data.draw(messages)
    wire = encode_message(message)
    flips = data.draw(st.lists(st.tuples(st.integers(0, len(wire) - 1), st.integers(0, 255))))
    other = bytearray(wire)
    for place, byte in flips:
        other[place] = byte
    checksum = read_file(wire).messages[0].crc.of(bytes(other[:-4]))
    other[-3:-1] = checksum.to_bytes(2, "big")
    learned = FileReader()
    for _ in range(3):
        learned.read(wire)
    file, fresh = learned.read(bytes(other)), FileReader().read(bytes(other))
    assert repr(file) == repr(fresh)


@given(st.binary(max_size=300) | telling)
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    try:
        decoded = decode_file(data)
    except SmlError:
        return
    assert encode_file(decoded) == data.rstrip(b"\0") or encode_file(read_file(data)) == data


@given(messages, st.data())
@settings(deadline=None)
def test_a_message_with_bytes_changed_is_refused_or_reproduced(
    message: Message, data: st.DataObject
) -> None:
    wire = bytearray(encode_message(message))
    for place in data.draw(st.lists(st.integers(0, len(wire) - 1), max_size=3)):
        wire[place] = data.draw(st.integers(0, 255))
    checksum = message.crc.of(bytes(wire[:-4]))
    if data.draw(st.booleans()):
        wire[-3:-1] = checksum.to_bytes(2, "big")
    file = read_file(bytes(wire))
    for found in file.messages:
        assert encode_message(found) == found.wire
    if file.error is None and not file.rejected:
        assert encode_file(file) == wire


@given(telling)
def test_only_errors_of_the_package_leave_a_strict_decoder(data: bytes) -> None:
    for candidate in (data, START + data, encode_frame(data), encode_frame(data)[:-1] + b"\0"):
        try:
            decode_frame(candidate)
        except SmlError:
            continue


@given(st.lists(telling, max_size=5), st.lists(telling, max_size=5))
def test_every_frame_between_rubbish_is_found(payloads: list[bytes], rubbish: list[bytes]) -> None:
    frames = [encode_frame(payload) for payload in payloads]
    gaps = [b"\0" + gap.replace(b"\x1b", b"") for gap in rubbish] + [b""] * len(frames)
    stream = b"".join(gap + frame for gap, frame in zip(gaps, frames, strict=False))
    found = [e for e in FrameDecoder().feed(stream) if isinstance(e, Frame)]
    assert [frame.payload for frame in found] == payloads
    assert [frame.wire for frame in found] == frames


@given(telling, st.lists(st.integers(0, 200), max_size=12), st.sampled_from([16, 40, 1000]))
def test_cutting_a_stream_elsewhere_changes_nothing(
    data: bytes, cuts: list[int], longest: int
) -> None:
    stream = data + encode_frame(data) + data
    limits = Limits(frame=longest)
    whole = FrameDecoder(limits=limits)
    expected = whole.feed(stream) + whole.close()
    decoder = FrameDecoder(limits=limits)
    found: list[Frame | Damage] = []
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    for start, end in pairwise(edges):
        found += decoder.feed(stream[start:end])
    assert found + decoder.close() == expected
    slow = FrameDecoder(limits=limits)
    bytewise = [event for byte in stream for event in slow.feed(bytes([byte]))]
    assert bytewise + slow.close() == expected


@given(st.binary(min_size=1, max_size=60), st.integers(0, 20), telling)
def test_a_frame_after_one_that_was_cut_off_is_found(
    payload: bytes, cut: int, intact: bytes
) -> None:
    damaged = encode_frame(payload)
    stream = damaged[: max(0, len(damaged) - cut)] + encode_frame(intact)
    found = [e.payload for e in FrameDecoder().feed(stream) if isinstance(e, Frame)]
    assert intact in found


@given(telling, st.binary(max_size=60))
def test_a_frame_after_one_that_is_too_long_is_found(start: bytes, payload: bytes) -> None:
    intact = encode_frame(payload)
    decoder = FrameDecoder(limits=Limits(frame=len(intact)))
    stream = START + start + ESCAPE + intact
    assert payload in [e.payload for e in decoder.feed(stream) if isinstance(e, Frame)]


@given(st.binary(max_size=200))
def test_frames_of_any_bytes_are_whole_again_after_decoding(payload: bytes) -> None:
    [telegram] = decode_stream(encode_frame(payload))
    assert isinstance(telegram.frame, Frame)
    assert telegram.frame.payload == payload
