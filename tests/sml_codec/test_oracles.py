# SPDX-License-Identifier: Apache-2.0
"""Everything known of the shared captures: values, frames, salvage, and their exact bytes."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from sml_codec import (
    Damage,
    Element,
    Frame,
    ListEntry,
    Message,
    PeriodEntry,
    SmlFile,
    StreamDecoder,
    Telegram,
    decode_file,
    decode_stream,
    encode_file,
    encode_frame,
    encode_message,
    entries,
    read_file,
)
from sml_codec._schema import BODIES, TAGS
from sml_codec.records import SmlRecord, entry_of, record_of
from tests.support.captures import NAMES, capture, needs_captures, oracle

pytestmark = needs_captures


def records(frame: int, values: Iterable[ListEntry | PeriodEntry]) -> list[SmlRecord]:
    return [{"frame": frame} | record_of(entry) for entry in values]


def frame_record(frame: Frame | Damage) -> dict[str, Any]:
    if isinstance(frame, Damage):
        return {
            "offset": frame.offset,
            "length": frame.length,
            "status": frame.kind.value,
            "why": list(frame.reasons),
        }
    record = {
        "offset": frame.offset,
        "length": len(frame.wire),
        "status": "ok",
        "crc": frame.crc.value,
        "padding": len(frame.padding),
    }
    return record | ({"why": list(frame.notes)} if frame.notes else {})


def message_name(message: Message) -> str:
    name = type(message.body).__name__
    suffix = "" if message.crc.value == "x25" else f" crc:{message.crc.value}"
    return f"{name[:-3]}.{name[-3:]}{suffix}"


def known_messages(frame: dict[str, Any]) -> list[str]:
    """The messages with a right checksum that the oracle names."""
    names = [n for n in frame["messages"] if not n.startswith("error") and "crc:None" not in n]
    return list(names)


def compare(telegrams: list[Telegram], known: dict[str, Any]) -> None:
    values: list[SmlRecord] = []
    salvage: list[SmlRecord] = []
    for number, telegram in enumerate(telegrams):
        (values if telegram.is_intact else salvage).extend(records(number, telegram.entries()))
    assert values == known["values"]
    assert salvage == known.get("salvage", [])
    assert sum(t.is_intact for t in telegrams) == known["frames"]
    assert sum(not t.is_intact for t in telegrams) == known["frames_bad"]
    assert sum(len(t.file.messages) for t in telegrams if t.is_intact) == known["messages"]
    for telegram, frame in zip(telegrams, known["frame_list"], strict=True):
        expected = {key: value for key, value in frame.items() if key != "messages"}
        assert frame_record(telegram.frame) == expected
        assert [message_name(m) for m in telegram.file.messages] == known_messages(frame)


def plain(element: Element) -> object:
    if isinstance(element, bytes):
        return element.hex()
    return [plain(child) for child in element] if isinstance(element, tuple) else element


def compare_control(messages: Iterable[Message], known: dict[str, Any]) -> None:
    """The whole of each message of a gateway, as nested lists."""
    seen = [
        {
            "type": message_name(message),
            "transaction": message.transaction_id.hex(),
            "group": message.group,
            "abort_on_error": message.abort_on_error,
            "crc": message.crc.value,
            "body": plain(BODIES[TAGS[type(message.body)]].lower(message.body)),
        }
        for message in messages
    ]
    assert without_gaps(seen) == without_gaps(known["control"])


def without_gaps(value: Any) -> Any:
    """Mandatory octet strings may be left out: null for the oracle, empty here."""
    if isinstance(value, list):
        return [without_gaps(child) for child in value]
    if isinstance(value, dict):
        return {key: without_gaps(child) for key, child in value.items()}
    return value or None


@pytest.mark.parametrize("name", NAMES)
def test_everything_known_of_a_capture_is_decoded(name: str) -> None:
    known, data = oracle(name), capture(name)
    if known["transport"] == "none":
        file = read_file(data)
        assert file.error is None
        assert records(0, entries(file)) == known["values"]
        assert [message_name(m) for m in file.messages] == known["frame_list"][0]["messages"]
        assert decode_file(data) == list(file.messages)
        messages = file.messages
    else:
        telegrams = decode_stream(data)
        compare(telegrams, known)
        messages = tuple(m for t in telegrams if t.is_intact for m in t.file.messages)
    assert len(messages) == known["messages"]
    if "control" in known:
        compare_control(messages, known)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_cut_in_pieces_has_the_same_frames(name: str, size: int) -> None:
    known, data = oracle(name), capture(name)
    if known["transport"] == "none" or (size == 1 and len(data) > 100_000):
        return
    decoder = StreamDecoder()
    telegrams: list[Telegram] = []
    for start in range(0, len(data), size):
        telegrams += decoder.feed(data[start : start + size])
    telegrams += decoder.close()
    compare(telegrams, known)


@pytest.mark.parametrize("name", NAMES)
def test_every_valid_frame_is_reproduced_byte_for_byte(name: str) -> None:
    data = capture(name)
    if oracle(name)["transport"] == "none":
        assert encode_file(read_file(data)) == data
        return
    for telegram in decode_stream(data):
        frame = telegram.frame
        if isinstance(frame, Frame):
            again = encode_frame(encode_file(telegram.file), crc=frame.crc, padding=frame.padding)
            assert again == frame.wire


@pytest.mark.parametrize("name", NAMES)
def test_a_message_made_by_hand_of_what_was_decoded_means_the_same(name: str) -> None:
    data = capture(name)
    files = [t.file for t in decode_stream(data)] or [read_file(data)]
    for file in files[:20]:
        for message in file.messages:
            short = encode_message(replace(message, wire=b""))
            assert len(short) <= len(message.wire) + 1
            assert read_file(short) == SmlFile((message,))


@pytest.mark.parametrize("name", NAMES)
def test_a_record_gives_back_the_entry_it_was_made_of(name: str) -> None:
    data = capture(name)
    files = [t.file for t in decode_stream(data)] or [read_file(data)]
    for file in files[:20]:
        for entry in entries(file):
            again = entry_of(record_of(entry))
            assert record_of(again) | {"corrected": 0} == record_of(entry) | {"corrected": 0}


@pytest.mark.parametrize("name", NAMES)
def test_what_was_learned_from_a_capture_changes_nothing_when_it_is_read_again(name: str) -> None:
    if oracle(name)["transport"] == "none":
        return
    decoder = StreamDecoder()
    for _ in range(2):
        decoder.feed(capture(name))
        decoder.close()
    telegrams = decoder.feed(capture(name)) + decoder.close()
    base = 2 * len(capture(name))
    assert all(telegram.frame.offset >= base for telegram in telegrams)
    moved = [replace(t, frame=replace(t.frame, offset=t.frame.offset - base)) for t in telegrams]
    compare(moved, oracle(name))
