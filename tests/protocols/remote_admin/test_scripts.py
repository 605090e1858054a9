# SPDX-License-Identifier: Apache-2.0
"""Scripts of ETSI TS 102 226 in expanded format, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.remote_admin.errors import MalformedScript
from protocols.remote_admin.scripts import (
    MOST_COMMANDS,
    CommandScript,
    Fault,
    ResponseScript,
)

STATUS = bytes.fromhex("80F28002024F0000")
CPLC = bytes.fromhex("80CA9F7F00")


@pytest.mark.parametrize(
    ("script", "encoded"),
    [
        (CommandScript((STATUS, CPLC)), "AA11 2208 80F28002024F0000 2205 80CA9F7F00"),
        (CommandScript((STATUS, CPLC), True), "AE80 2208 80F28002024F0000 2205 80CA9F7F00 0000"),
        (
            CommandScript((bytes.fromhex("80E80000C8") + bytes(200),)),
            "AA81D0 2281CD 80E80000C8" + "00" * 200,
        ),
        # A pair of zeros inside a command is data, and no end.
        (
            CommandScript((bytes(7), bytes(5)), True),
            "AE80 2207 00000000000000 2205 0000000000 0000",
        ),
    ],
)
def test_commands_have_these_bytes(script: CommandScript, encoded: str) -> None:
    assert script.encode() == bytes.fromhex(encoded)
    assert CommandScript.decode(script.encode()) == script


@pytest.mark.parametrize(
    ("script", "encoded"),
    [
        (ResponseScript((b"\x90\x00", b"\x6a\x88")), "AB0B 800102 23029000 23026A88"),
        (ResponseScript((b"\x90\x00", b"\x6a\x88"), True), "AF80 23029000 23026A88 0000"),
        (
            ResponseScript((b"\x90\x00",), fault=Fault.UNKNOWN_TAG),
            "AB0A 800101 23029000 900101",
        ),
        (ResponseScript((), fault=Fault.CHAINING_NOT_SUPPORTED), "AB06 800100 830102"),
        (ResponseScript((b"\x62\xf1",), True, Fault.SUSPENDED), "AF80 230262F1 810101 0000"),
    ],
)
def test_answers_have_these_bytes(script: ResponseScript, encoded: str) -> None:
    assert script.encode() == bytes.fromhex(encoded)
    assert ResponseScript.decode(script.encode()) == script


@pytest.mark.parametrize("size", [4, 126, 127, 128, 254, 255, 256, 257, 65_535, 65_536, 112_002])
@pytest.mark.parametrize("is_indefinite", [False, True])
def test_lengths_are_the_shortest_whatever_they_are(size: int, is_indefinite: bool) -> None:
    """An answer of 126 data bytes has 128 with its status word, one of 254 has 256."""
    content = bytes(size)
    commands = CommandScript((content, b"\0\1\2\3"), is_indefinite)
    answers = ResponseScript((content, b"\x90\x00"), is_indefinite)
    assert CommandScript.decode(commands.encode()) == commands
    assert ResponseScript.decode(answers.encode()) == answers
    head = {1: b"", 2: b"\x81", 3: b"\x82", 4: b"\x83"}[
        1 + (size > 127) + (size > 255) + (size > 65_535)
    ]
    start = answers.encode().index(b"\x23") + 1
    assert answers.encode()[start : start + len(head)] == head


@pytest.mark.parametrize("count", [1, 2, 40, 255, 256, MOST_COMMANDS])
def test_a_script_has_one_to_a_thousand_commands(count: int) -> None:
    commands = tuple(number.to_bytes(4, "big") for number in range(count))
    script = CommandScript(commands)
    assert CommandScript.decode(script.encode()).apdus == commands
    answers = ResponseScript(commands)
    assert ResponseScript.decode(answers.encode()) == answers


def test_nobody_sends_a_script_without_commands_or_with_too_many() -> None:
    for commands in ((), (bytes(4),) * (MOST_COMMANDS + 1)):
        with pytest.raises(MalformedScript):
            CommandScript(commands).encode()


@pytest.mark.parametrize(
    ("encoded", "sound", "fault"),
    [
        ("AA0A 2204 00000000 81020102", 1, Fault.UNKNOWN_TAG),  # an immediate action
        ("AA0A 2204 00000000 82020102", 1, Fault.UNKNOWN_TAG),  # an error action
        ("AA09 830101 2204 00000000", 0, Fault.CHAINING_NOT_SUPPORTED),
        ("AA0B 2204 00000000 2205000000", 1, Fault.WRONG_LENGTH),
        ("AA09 2204 00000000 220100", 1, Fault.WRONG_LENGTH),  # shorter than an APDU
        ("AA09 2204 00000000 228105", 1, Fault.LENGTH_NOT_FOUND),  # not the shortest
        ("AA07 2204 00000000 22", 1, Fault.LENGTH_NOT_FOUND),
        ("AE80 2204 00000000", 1, Fault.LENGTH_NOT_FOUND),  # no end
        ("AE80 2204 00000000 0000 00", 1, Fault.LENGTH_NOT_FOUND),  # more after the end
    ],
)
def test_a_script_is_sound_as_far_as_its_fault(encoded: str, sound: int, fault: Fault) -> None:
    data = bytearray.fromhex(encoded)
    if data[0] == 0xAA:
        data[1] = len(data) - 2
    script = CommandScript.decode(bytes(data))
    assert (len(script.apdus), script.fault) == (sound, fault)


@pytest.mark.parametrize(
    "encoded",
    ["", "00", "AA", "AA00", "AB0B", "AA05 2204 00000000", "AA81 06 2204 00000000", "AE00 0000",
     "AE80 0000", "AF80 23029000 0000", "AA07 2204 00000000"],
)  # fmt: skip
def test_what_is_no_script_of_commands_is_refused(encoded: str) -> None:
    with pytest.raises(MalformedScript):
        CommandScript.decode(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "AA06 2204 00000000",
        "AB00",
        "AB04 23029000",  # how many were carried out does not come first
        "AB07 800102 23029000",  # two, it says
        "AB08 80020001 23029000",  # not the shortest number
        "AB06 800101 230190",  # half a status word
        "AB0A 800101 900101 23029000",  # something after the end
        "AB0A 800101 23029000 900104",  # no such fault
        "AB0A 800101 23029000 840101",
        "AB07 800101 23039000",
        "AF80 23029000",
        "AF80 23029000 0000 00",
        "AF80 800101 23029000 0000",
    ],
)
def test_what_is_no_script_of_answers_is_refused(encoded: str) -> None:
    with pytest.raises(MalformedScript):
        ResponseScript.decode(bytes.fromhex(encoded))


@given(st.binary(max_size=80), st.sampled_from([b"", b"\xaa", b"\xae\x80", b"\xab", b"\xaf\x80"]))
def test_any_bytes_are_refused_or_reproduced(data: bytes, start: bytes) -> None:
    data = start + data
    try:
        answers = ResponseScript.decode(data)
    except MalformedScript:
        pass
    else:
        assert answers.encode() == data
    try:
        script = CommandScript.decode(data)
    except MalformedScript:
        return
    if script.fault is None:
        assert script.encode() == data
