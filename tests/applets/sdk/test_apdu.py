# SPDX-License-Identifier: Apache-2.0
import enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applets.sdk import AppletError, Command, Response, StatusWord, instruction

BYTE = st.integers(0, 255)
COMMANDS = st.builds(
    Command,
    BYTE,
    BYTE,
    BYTE,
    BYTE,
    st.binary(max_size=600),
    st.none() | st.integers(1, 300) | st.integers(1, 65_536),
)


@given(COMMANDS)
def test_a_command_comes_back_from_its_encoding(command: Command) -> None:
    assert Command.decode(command.encode()) == command


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_mean_what_they_are_encoded_to(raw: bytes) -> None:
    try:
        command = Command.decode(raw)
    except AppletError as error:
        assert error.status == StatusWord.WRONG_LENGTH  # noqa: PT017
        return
    assert Command.decode(command.encode()) == command
    assert len(command.encode()) <= len(raw)


@pytest.mark.parametrize(
    ("raw", "command"),
    [
        # ISO/IEC 7816-4:2013, 5.2: cases 1, 2, 3, 4, short and extended.
        ("80010203", Command(0x80, 1, 2, 3)),
        ("8001020300", Command(0x80, 1, 2, 3, expected=256)),
        ("8001020310", Command(0x80, 1, 2, 3, expected=16)),
        ("8001020302AABB", Command(0x80, 1, 2, 3, b"\xaa\xbb")),
        ("8001020302AABB00", Command(0x80, 1, 2, 3, b"\xaa\xbb", 256)),
        ("80010203000000", Command(0x80, 1, 2, 3, expected=65_536)),
        ("80010203000100", Command(0x80, 1, 2, 3, expected=256)),
        ("80010203000002AABB", Command(0x80, 1, 2, 3, b"\xaa\xbb")),
        ("80010203000002AABB0000", Command(0x80, 1, 2, 3, b"\xaa\xbb", 65_536)),
    ],
)
def test_the_cases_of_the_standard(raw: str, command: Command) -> None:
    assert Command.decode(bytes.fromhex(raw)) == command


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "800102",
        "8001020302AA",
        "8001020302AABBCCDD",
        "800102030000",
        "8001020300000000",
        "80010203000002AABB00",
        "80010203000003AABB",
        "80010203000000AA",
    ],
)
def test_a_length_that_does_not_fit_is_refused(raw: str) -> None:
    with pytest.raises(AppletError) as caught:
        Command.decode(bytes.fromhex(raw))
    assert caught.value.status == StatusWord.WRONG_LENGTH


@pytest.mark.parametrize(
    "make",
    [
        lambda: Command(256, 0),
        lambda: Command(0, -1),
        lambda: Command(0, 0, data=bytes(65_536)),
        lambda: Command(0, 0, expected=0),
        lambda: Command(0, 0, expected=65_537),
        lambda: AppletError(0x12345),
        lambda: AppletError(0x5000),
    ],
)
def test_what_does_not_fit_is_refused_from_the_start(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError):
        make()


def test_a_response_ends_in_its_status_word() -> None:
    assert Response().encode() == b"\x90\x00"
    assert Response(b"data", 0x6310).encode() == b"data\x63\x10"
    with pytest.raises(TypeError, match="not str"):
        Response("text").encode()  # type: ignore[arg-type]


class Ins(enum.IntEnum):
    READ = 0xB0


def test_an_instruction_is_known_or_refused() -> None:
    assert instruction(Ins, Command(0x80, 0xB0)) is Ins.READ
    with pytest.raises(AppletError) as caught:
        instruction(Ins, Command(0x80, 0xB1))
    assert caught.value.status == StatusWord.INSTRUCTION_NOT_SUPPORTED
