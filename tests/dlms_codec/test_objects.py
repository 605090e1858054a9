# SPDX-License-Identifier: Apache-2.0
"""A server's table, and links that answer only who speaks with them."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlms_codec.apdus.addressing import AccessResult, Attribute, SelectiveAccess
from dlms_codec.data import Array, Data, Structure
from dlms_codec.datetimes import DateTime
from dlms_codec.errors import AccessRefused, EncodingError, MalformedDlms
from dlms_codec.hdlc import LinkParameters, encode_address, encode_frame
from dlms_codec.numbers import UInt8, UInt16, UInt32
from dlms_codec.obis import Obis
from dlms_codec.objects import ObjectTable, data, profile
from dlms_codec.selecting import CLOCK, CaptureObject, Entries, Range
from dlms_codec.server_link import HdlcServerLink, WrapperServerLink
from dlms_codec.wrapper import encode_wrapper
from tests.support.dlms_world import COLUMNS, ENERGY, PROFILE, PUBLIC, ROWS, START, World, row

TABLE = World().table()
ROWS_OF = Attribute(7, PROFILE, 2)
REGISTER = ENERGY.obis


def rows(part: Entries | Range | SelectiveAccess) -> Data:
    access = part if isinstance(part, SelectiveAccess) else part.access()
    return TABLE.read(Attribute(7, PROFILE, 2, access))


def test_names_are_taken_once() -> None:
    with pytest.raises(EncodingError, match="two objects are called"):
        ObjectTable([data("1-0:0.0.0", lambda: None), data("1-0:0.0.0", lambda: None)])


@given(first=st.integers(1, ROWS + 5), last=st.integers(0, ROWS + 5), column=st.integers(1, 4))
def test_entries_are_those_that_were_asked_for(first: int, last: int, column: int) -> None:
    every = [row(number)[column - 1 :] for number in range(ROWS)]
    due = every[first - 1 : last or None]
    assert rows(Entries(first, last, column)) == Array(map(Structure, due))


@given(begin=st.integers(-2, ROWS), length=st.integers(-2, 50))
@settings(max_examples=40)
def test_a_range_has_both_its_ends(begin: int, length: int) -> None:
    first, last = (
        DateTime.of(START + number * timedelta(minutes=15)) for number in (begin, begin + length)
    )
    part = Range(first, last, columns=(ENERGY,))
    numbers = range(max(begin, 0), min(begin + length + 1, ROWS))
    assert rows(part) == Array(Structure(row(number)[2:]) for number in numbers)


def test_a_range_may_go_by_local_time_or_by_numbers() -> None:
    local = START.replace(tzinfo=None)
    found = rows(Range(DateTime.of(local), DateTime.of(local + timedelta(minutes=15))))
    assert found == Array((Structure(row(0)), Structure(row(1))))
    found = rows(Range(UInt32(1007), UInt16(1014), by=ENERGY))
    assert found == Array((Structure(row(1)), Structure(row(2))))


@pytest.mark.parametrize(
    ("part", "result"),
    [
        (Entries(0), AccessResult.TYPE_UNMATCHED),
        (Entries(1, 0, 0), AccessResult.TYPE_UNMATCHED),
        (SelectiveAccess(3, None), AccessResult.SCOPE_OF_ACCESS_VIOLATED),
        (SelectiveAccess(1, UInt8(1)), AccessResult.TYPE_UNMATCHED),
        (SelectiveAccess(2, Structure((UInt8(1),))), AccessResult.TYPE_UNMATCHED),
        (Range(UInt8(1), UInt8(2)), None),
        (Range(UInt8(1), DateTime.of(START)), AccessResult.TYPE_UNMATCHED),
        (Range(b"", b""), AccessResult.TYPE_UNMATCHED),
        (
            Range(UInt8(1), UInt8(2), by=CaptureObject(3, REGISTER, 3)),
            AccessResult.SCOPE_OF_ACCESS_VIOLATED,
        ),
        (
            Range(UInt8(1), UInt8(2), by=ENERGY, columns=(CaptureObject(3, REGISTER, 3),)),
            AccessResult.SCOPE_OF_ACCESS_VIOLATED,
        ),
    ],
)
def test_other_parts_are_refused(
    part: Entries | Range | SelectiveAccess, result: AccessResult | None
) -> None:
    if result is None:  # numbers against times: no row is between them
        assert rows(part) == Array()
        return
    with pytest.raises(AccessRefused) as refused:
        rows(part)
    assert refused.value.result == result


def test_a_request_takes_no_more_rows_than_a_profile_may_give() -> None:
    endless = profile(
        "1-0:99.2.0", (CLOCK,), lambda _: iter(lambda: (b"",), None), seconds=60,
        in_use=lambda: 5, most=100,
    )  # fmt: skip
    with pytest.raises(AccessRefused) as refused:
        ObjectTable([endless]).read(Attribute(7, Obis.parse("1-0:99.2.0"), 2))
    assert refused.value.result == AccessResult.SCOPE_OF_ACCESS_VIOLATED


def test_capture_objects_come_back() -> None:
    for column in COLUMNS:
        assert CaptureObject.of(column.data()) == column
    with pytest.raises(MalformedDlms):
        CaptureObject.of(Structure((UInt8(1),)))


# Links

METER, OTHER_METER = encode_address(1, 17), encode_address(1, 18)
CLIENT, OTHER_CLIENT = encode_address(PUBLIC), encode_address(17)
SNRM, DISC, RR, UA, DM = 0x93, 0x53, 0x11, 0x73, 0x1F


def link() -> HdlcServerLink:
    device = World().device()
    return HdlcServerLink(lambda client, _: device.session(client, "a"), physical=17)


def controls(server: HdlcServerLink, destination: bytes, source: bytes, control: int) -> list[int]:
    frames = server.receive(encode_frame(destination, source, control))
    return [frame[3 + len(source) + len(destination)] for frame in frames]


def test_a_link_answers_only_who_speaks_with_it() -> None:
    server = link()
    assert controls(server, METER, CLIENT, DISC) == [DM]  # there is no link
    assert controls(server, OTHER_METER, CLIENT, SNRM) == []
    assert controls(server, METER, OTHER_CLIENT, SNRM) == []  # it has no such client
    assert controls(server, METER, CLIENT, SNRM) == [UA]
    assert controls(server, METER, OTHER_CLIENT, RR) == []
    assert controls(server, METER, CLIENT, RR) == [RR]
    assert controls(server, METER, CLIENT, DISC) == [UA]
    assert controls(server, METER, CLIENT, RR) == []


def test_both_ends_agree_on_the_shorter_information() -> None:
    server = link()
    asked = LinkParameters(200, 300).encode()
    [answer] = server.receive(encode_frame(METER, CLIENT, SNRM, asked))
    assert LinkParameters.decode(answer[9:-3]) == LinkParameters(300, 200)


@given(pieces=st.lists(st.binary(max_size=60), max_size=20))
@settings(max_examples=100)
def test_any_bytes_are_answered_or_passed_over(pieces: list[bytes]) -> None:
    server = link()
    list(server.receive(encode_frame(METER, CLIENT, SNRM)))
    for number, piece in enumerate(pieces):
        list(server.receive(piece))
        list(server.receive(encode_frame(METER, CLIENT, piece[0] if piece else number, piece)))


def test_a_wrapper_for_nobody_has_no_answer() -> None:
    device = World().device()
    server = WrapperServerLink(lambda client, _: device.session(client, "a"))
    assert list(server.receive(encode_wrapper(99, 1, b"\x60"))) == []
    assert len(list(server.receive(encode_wrapper(PUBLIC, 1, b"\x60")))) == 1
    with pytest.raises(MalformedDlms):
        list(server.receive(b"noise" + encode_wrapper(PUBLIC, 1, b"\x60")))
