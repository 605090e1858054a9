# SPDX-License-Identifier: Apache-2.0
"""Messages of every service: what they are, and that they encode to the same bytes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms_codec import (
    APDU_TAGS,
    EncodingError,
    MalformedDlms,
    Obis,
    Quirk,
    UInt32,
    decode_apdu,
    result_name,
)
from dlms_codec.apdus.access import Access, AccessRequest, AccessResponse
from dlms_codec.apdus.acse import Aare, Aarq, Context, Mechanism
from dlms_codec.apdus.addressing import AccessResult, Attribute, Failure, Value
from dlms_codec.apdus.get import GetRequest, GetResponse
from dlms_codec.apdus.initiate import Conformance, InitiateRequest
from dlms_codec.apdus.notifications import DataNotification
from dlms_codec.apdus.refusals import ConfirmedServiceError, ExceptionResponse
from dlms_codec.datetimes import DateTime
from tests.dlms_codec import strategies


def test_an_association_is_read_field_by_field() -> None:
    wire = bytes.fromhex(
        "6036a1090607608574050801018a0207808b0760857405080201ac0a80083132333435363738"
        "be10040e01000000065f1f0400007e1f04b0"
    )
    asked = decode_apdu(wire)
    assert isinstance(asked, Aarq)
    assert (asked.context, asked.mechanism) == (Context.LOGICAL_NAMES, Mechanism.LOW)
    assert asked.authentication == b"12345678"
    assert b"12345678" not in repr(asked).encode()
    assert asked.user_information is not None
    proposal = decode_apdu(asked.user_information)
    assert proposal == InitiateRequest(Conformance(0x7E1F), 1200)
    assert asked.encode() == wire


def test_a_refused_association_says_why() -> None:
    wire = bytes.fromhex(
        "6129a109060760857405080101a203020101a305a103020102be10040e0800065f1f040000501f01f40007"
    )
    answer = decode_apdu(wire)
    assert isinstance(answer, Aare)
    assert (answer.result, answer.diagnostic.source, answer.diagnostic.code) == (1, 1, 2)
    assert answer.encode() == wire


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        ("6037a1090607608574050801018a0207808b0760857405080201", "length of the APDU"),
        ("600f8a020780a109060760857405080101", "out of order"),
        ("60" "810b" "a109060760857405080101", "not the shortest"),
        ("600ba109060760857405080201", "no application context"),
        ("6016a109060760857405080101a109060760857405080101", "field a1"),
        ("6203810100", "field 81"),
        ("c00181000100002b0103ff02", "cut short"),
        ("c00181000100002b0103ff0202", "00 or 01"),
        ("c00181000100002b0103ff020000", "behind the message"),
        ("c00781", "get-request of form 7"),
        ("c70981", "action-response of form 9"),
        ("e0c0000100000501020304", "in a block of 5"),
        ("db0712345678901234050000000000", "system title of 7"),
        ("db0812345678901234560430aabbcc", "protected text"),
        ("0f000000000b07e5", "date-time of 11"),
        ("0f4000", "cut short"),
        ("", "no message"),
        ("99", "no message"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused_with_the_reason(wire: str, why: str) -> None:
    with pytest.raises(MalformedDlms, match=why):
        decode_apdu(bytes.fromhex(wire))


def test_a_request_and_its_answers() -> None:
    asked = decode_apdu(bytes.fromhex("c00181000100002b0103ff0200"))
    assert asked == GetRequest(0x81, Attribute(1, Obis.parse("0-0:43.1.3"), 2))
    assert decode_apdu(bytes.fromhex("c401810006003ce488")) == GetResponse(
        0x81, Value(UInt32(3990664))
    )
    failed = decode_apdu(bytes.fromhex("c401c10104"))
    assert failed == GetResponse(0xC1, Failure(AccessResult.OBJECT_UNDEFINED))
    unknown = decode_apdu(bytes.fromhex("c401c10163"))
    assert unknown == GetResponse(0xC1, Failure(99))
    assert [result_name(result) for result in (AccessResult.TYPE_UNMATCHED, 99)] == [
        "type-unmatched", "result-99"
    ]  # fmt: skip


def test_an_access_of_three_kinds() -> None:
    wire = bytes.fromhex(
        "d9400000000003" "010001010000000aff02" "0200080000010000ff02" "030046000060030aff01"
        "03" "00" "0902aabb" "0f00"
    )  # fmt: skip
    asked = decode_apdu(wire)
    assert isinstance(asked, AccessRequest)
    assert [each.kind for each in asked.accesses] == [1, 2, 3]
    assert asked.data == (None, b"\xaa\xbb", 0)
    assert asked.encode() == wire
    answer = decode_apdu(bytes.fromhex("da400000000000021105000201000203"))
    assert isinstance(answer, AccessResponse)
    assert [outcome.result for outcome in answer.outcomes] == [
        AccessResult.SUCCESS, AccessResult.READ_WRITE_DENIED
    ]  # fmt: skip
    with pytest.raises(EncodingError):
        Access(1, asked.accesses[2].target)


def test_refusals_are_named() -> None:
    assert ExceptionResponse(1, 2).reason == "service-not-allowed, service-not-supported"
    counter = decode_apdu(bytes.fromhex("d80206000004d2"))
    assert counter == ExceptionResponse(2, 6, 1234)
    refused = ConfirmedServiceError(1, 6, 2)
    assert refused.reason == "initiate-error, initiate: incompatible-conformance"
    with pytest.raises(EncodingError):
        ExceptionResponse(1, 6)


def test_a_tagged_time_is_a_quirk_that_can_be_switched_off() -> None:
    wire = bytes.fromhex("0f40000000090c07e2010101000000ff800000060000002a")
    push = decode_apdu(wire)
    time = DateTime(bytes.fromhex("07e2010101000000ff800000"))
    assert push == DataNotification(0x40000000, time, UInt32(42), Quirk.TAGGED_TIME)
    assert push.encode() == wire
    with pytest.raises(MalformedDlms):
        decode_apdu(wire, quirks=Quirk.ALL & ~Quirk.TAGGED_TIME)


def test_bare_descriptors_are_a_quirk_that_can_be_switched_off() -> None:
    wire = bytes.fromhex("0f8000000100020216010101020200030100010700ff0206000007a4")
    push = decode_apdu(wire)
    assert isinstance(push, DataNotification)
    assert push.quirks == Quirk.BARE_DESCRIPTORS
    assert push.encode() == wire
    with pytest.raises(MalformedDlms):
        decode_apdu(wire, quirks=Quirk(0))


@given(strategies.messages)
def test_every_message_comes_back_as_it_was(message: Any) -> None:
    wire = message.encode()
    decoded = decode_apdu(wire)
    assert type(decoded) is type(message)
    assert decoded.encode() == wire


@given(st.sampled_from(sorted(APDU_TAGS)), st.binary(max_size=60))
def test_any_bytes_are_refused_or_reproduced(tag: int, rest: bytes) -> None:
    wire = bytes([tag]) + rest
    try:
        message = decode_apdu(wire)
    except MalformedDlms:
        return
    assert message.encode() == wire


@given(strategies.messages, st.data())
def test_a_changed_or_missing_byte_never_raises_another_error(
    message: Any, draw: st.DataObject
) -> None:
    wire = bytearray(message.encode())
    place = draw.draw(st.integers(0, len(wire) - 1))
    if draw.draw(st.booleans()):
        del wire[place]
    else:
        wire[place] = draw.draw(st.integers(0, 255))
    try:
        decoded = decode_apdu(bytes(wire))
    except MalformedDlms:
        return
    assert decoded.encode() == wire
