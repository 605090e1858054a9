# SPDX-License-Identifier: Apache-2.0
"""Values on the wire: what each type is, and that nothing is lost or made up."""

import struct
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms_codec import (
    Array,
    Bcd,
    BitString,
    Boolean,
    CompactArray,
    Data,
    Date,
    DateTime,
    DlmsError,
    DontCare,
    EncodingError,
    Enum,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    LimitExceeded,
    Limits,
    MalformedDlms,
    Obis,
    OctetString,
    Structure,
    Time,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Utf8String,
    VisibleString,
    decode_data,
    elements_of,
    encode_data,
    unit_symbol,
)
from tests.dlms_codec import strategies

VECTORS: list[tuple[str, Data]] = [
    ("00", None),
    ("0301", Boolean(1)),
    ("03ff", Boolean(255)),
    ("040ba5e0", BitString(11, b"\xa5\xe0")),
    ("05ffffffff", Int32(-1)),
    ("06ffffffff", UInt32(0xFFFFFFFF)),
    ("0903010203", b"\1\2\3"),
    ("098103010203", OctetString(b"\1\2\3", 1)),
    ("09820003010203", OctetString(b"\1\2\3", 2)),
    ("0a024142", VisibleString(b"AB")),
    ("0c02c3a9", Utf8String("é".encode())),
    ("0d42", Bcd(0x42)),
    ("0f80", Int8(-128)),
    ("108000", Int16(-32768)),
    ("11ff", UInt8(255)),
    ("12ffff", UInt16(65535)),
    ("14ffffffffffffffff", Int64(-1)),
    ("15ffffffffffffffff", UInt64(2**64 - 1)),
    ("161b", Enum(27)),
    ("173fc00000", Float32.of(1.5)),
    ("183ff8000000000000", Float64.of(1.5)),
    ("1907e50713010f2e2300ff8880", DateTime(bytes.fromhex("07e50713010f2e2300ff8880"))),
    ("1a07e5071301", Date(bytes.fromhex("07e5071301"))),
    ("1b0f2e2300", Time(bytes.fromhex("0f2e2300"))),
    ("ff", DontCare()),
    ("0100", Array()),
    ("020211051600", Structure((UInt8(5), Enum(0)))),
    ("0281021105" "1600", Structure((UInt8(5), Enum(0)), 1)),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "value"), VECTORS)
def test_each_type_decodes_and_encodes_as_it_was_sent(wire: str, value: Data) -> None:
    raw = bytes.fromhex(wire)
    decoded = decode_data(raw)
    assert decoded == value
    assert type(decoded) is type(value)
    assert encode_data(decoded) == encode_data(value) == raw


@given(strategies.data)
def test_any_value_comes_back_as_it_was(value: Data) -> None:
    wire = encode_data(value)
    assert encode_data(decode_data(wire)) == wire


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_or_reproduced(wire: bytes) -> None:
    offset = -1
    try:
        assert encode_data(decode_data(wire)) == wire
    except MalformedDlms as error:
        offset = error.offset
    assert -1 <= offset <= len(wire)


@given(strategies.data, st.data())
def test_a_value_that_is_cut_anywhere_is_refused(value: Data, draw: st.DataObject) -> None:
    wire = encode_data(value)
    size = draw.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(MalformedDlms):
        decode_data(wire[:size])
    with pytest.raises(MalformedDlms):
        decode_data(wire + b"\0")


@given(strategies.data, st.data())
def test_a_changed_byte_never_raises_another_error(value: Data, draw: st.DataObject) -> None:
    wire = bytearray(encode_data(value))
    wire[draw.draw(st.integers(0, len(wire) - 1))] = draw.draw(st.integers(0, 255))
    try:
        decoded = decode_data(bytes(wire))
    except DlmsError:
        return
    assert encode_data(decoded) == wire


def test_a_compact_array_has_its_elements_without_tags() -> None:
    array = decode_data(bytes.fromhex("13020206110a00000001050000000206"))
    assert isinstance(array, CompactArray)
    assert list(elements_of(array)) == [
        Structure((UInt32(1), UInt8(5))), Structure((UInt32(2), UInt8(6)))
    ]  # fmt: skip
    nested = decode_data(bytes.fromhex("1301000211040a0b0c0d"))
    assert isinstance(nested, CompactArray)
    pairs = [tuple(element) for element in elements_of(nested) if isinstance(element, Array)]
    assert pairs == [(10, 11), (12, 13)]
    texts = decode_data(bytes.fromhex("1309050161016200"))
    assert isinstance(texts, CompactArray)
    assert list(elements_of(texts)) == [b"a", b"b", b""]


@pytest.mark.parametrize(
    "wire",
    [
        "130603000000",  # content that is no whole element
        "13000100",  # elements of no bytes: endlessly many
        "13" + "02010100ff" * 9 + "0600",  # nested too deep
        "1301ffff01ffff01ffff000100",  # 65535 times 65535 elements of one byte
        "130700",  # no such type
    ],
)
def test_a_compact_array_that_does_not_add_up_is_refused(wire: str) -> None:
    with pytest.raises(MalformedDlms):
        decode_data(bytes.fromhex(wire))


def test_what_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        decode_data(b"\x02\x01" * 33 + b"\0")
    assert decode_data(b"\x02\x01" * 3 + b"\0", limits=Limits(depth=3)) is not None


def test_counts_that_cannot_be_are_refused_before_anything_is_made() -> None:
    with pytest.raises(MalformedDlms):
        decode_data(bytes.fromhex("0184ffffffff00"))
    with pytest.raises(MalformedDlms):
        decode_data(bytes.fromhex("0985ffffffffff00"))


def test_what_does_not_fit_cannot_be_made() -> None:
    for make in (
        lambda: UInt8(256), lambda: Int16(40000), lambda: Obis(b"12345"), lambda: DateTime(b""),
        lambda: BitString(9, b"1"), lambda: Float32(b"123"), lambda: encode_data(1.5),  # type: ignore[arg-type]
    ):  # fmt: skip
        with pytest.raises(EncodingError):
            make()


def test_numbers_that_are_none_stay_as_they_were() -> None:
    raw = bytes.fromhex("177fa00001")  # a signalling NaN
    value = decode_data(raw)
    assert isinstance(value, Float32)
    assert value.value != value.value
    assert encode_data(value) == raw
    assert Float64.of(0.1).value == struct.unpack(">d", struct.pack(">d", 0.1))[0]
    assert Bcd(0x42).digits == 42
    assert Bcd(0x4A).digits is None


def test_a_date_and_time_says_only_what_was_said() -> None:
    summer = DateTime(bytes.fromhex("07e50713010f2e2300ff8880"))
    assert summer.local == datetime(2021, 7, 19, 15, 46, 35)
    assert (summer.deviation, summer.status) == (-120, 0x80)
    assert summer.moment == datetime(2021, 7, 19, 15, 46, 35, tzinfo=timezone(timedelta(hours=2)))
    unsaid = DateTime(bytes.fromhex("07e30c1001073b28ff8000ff"))
    assert unsaid.local == datetime(2019, 12, 16, 7, 59, 40)
    assert (unsaid.deviation, unsaid.status, unsaid.moment) == (None, None, None)
    assert DateTime(bytes.fromhex("ffffffffffffffffff800000")).local is None
    assert DateTime(bytes.fromhex("07e5022f01000000ff800000")).local is None  # 47 February
    assert Date(bytes.fromhex("07e5071301")).day == summer.local.date()
    assert Time(bytes.fromhex("0f2eff00")).clock == datetime(2021, 7, 19, 15, 46).time()


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_a_moment_comes_back_with_its_zone(moment: datetime, minutes: int) -> None:
    there = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    assert DateTime.of(there).moment == there
    assert DateTime.of(moment).deviation is None


def test_codes_and_units_print_as_people_write_them() -> None:
    assert str(Obis(b"\1\0\1\x08\0\xff")) == "1-0:1.8.0*255"
    assert Obis.parse("1-0:1.8.0") == Obis(b"\1\0\1\x08\0\xff")
    for wrong in ("1.8.0", "1-0:1.8.256", "", "1-0:1.8.0*"):
        with pytest.raises(ValueError):
            Obis.parse(wrong)
    assert [unit_symbol(code) for code in (30, 27, 255, None, 99)] == [
        "Wh", "W", "", "", "unit 99"
    ]  # fmt: skip
