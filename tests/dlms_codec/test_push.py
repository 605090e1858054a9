# SPDX-License-Identifier: Apache-2.0
"""The values in pushes: by how they are laid out, and the same by shape as value by value."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms_codec import (
    PROFILES,
    Array,
    Boolean,
    Data,
    DateTime,
    Descriptor,
    DlmsError,
    Enum,
    Float32,
    Int8,
    Int16,
    Meaning,
    Obis,
    Profile,
    Push,
    PushReader,
    PushValue,
    Quirk,
    Structure,
    UInt16,
    UInt32,
    VisibleString,
    is_object_list,
    values_of,
)
from dlms_codec.apdus.notifications import DataNotification
from dlms_codec.options import NO_QUIRK
from dlms_codec.push import text_of
from tests.dlms_codec import strategies

ENERGY, POWER = Obis.parse("1-0:1.8.0"), Obis.parse("1-0:1.7.0")
CLOCK = bytes.fromhex("07e50713010f2e2300ff8880")
WH = Structure((Int8(0), Enum(30)))


def table(body: Data) -> list[tuple[Any, ...]]:
    return [
        (entry.obis and str(entry.obis).removesuffix("*255"), entry.value, entry.scaled,
         entry.unit_symbol)
        for entry in values_of(body)
    ]  # fmt: skip


def push(body: Data, *, time: bytes | None = None, quirks: Quirk = NO_QUIRK) -> bytes:
    return DataNotification(1, None if time is None else DateTime(time), body, quirks).encode()


ENTRY = Structure((ENERGY.code, UInt32(1234), Structure((Int8(-1), Enum(30)))))
PLAIN = Structure((POWER.code, UInt16(5)))
BOTH = [
    ("1-0:1.8.0", 1234, Decimal("123.4"), "Wh"),
    ("1-0:1.7.0", 5, None, None),
]


@pytest.mark.parametrize(
    "body",
    [
        Array((ENTRY, PLAIN)),
        Structure((ENTRY, PLAIN)),
        Structure((*ENTRY, *PLAIN)),
        Structure((VisibleString(b"Some_V1"), *ENTRY, *PLAIN)),
        Structure((CLOCK, *ENTRY, *PLAIN, b"serial number")),
        Structure((*ENTRY, PLAIN)),
        Structure((None, *ENTRY, None, None, *PLAIN, None, None)),
        Array((Structure((ENTRY,)), Array((PLAIN,)))),
        Structure((Enum(1), Array((ENTRY, PLAIN)))),
    ],
)
def test_codes_are_found_however_they_are_nested(body: Data) -> None:
    assert table(body) == BOTH


def test_lists_of_objects_name_the_values_that_follow() -> None:
    def named(class_id: int, code: str, attribute: int = 2) -> Structure:
        return Structure((UInt16(class_id), Obis.parse(code).code, Int8(attribute), UInt16(0)))

    own = Array((named(40, "0-0:25.9.0"), named(3, "1-0:1.8.0"), named(8, "0-0:1.0.0")))
    entries = values_of(Structure((own, UInt32(7), CLOCK)))
    assert [(str(e.obis), e.meaning.class_id) for e in entries] == [
        ("0-0:25.9.0*255", 40), ("1-0:1.8.0*255", 3), ("0-0:1.0.0*255", 8)
    ]  # fmt: skip
    assert is_object_list(entries[0])
    assert not is_object_list(entries[1])
    front = Array((named(3, "1-0:1.8.0"), named(3, "1-0:2.8.0")))
    assert table(Structure((front, UInt32(7), UInt32(8)))) == [
        ("1-0:1.8.0", 7, None, None), ("1-0:2.8.0", 8, None, None)
    ]  # fmt: skip
    # One value too few: which of them is missing is not guessed.
    assert all(entry.obis is None or entry.obis == ENERGY for entry in values_of(
        Structure((front, UInt32(7)))
    ))  # fmt: skip


def test_descriptors_name_values() -> None:
    entry = Structure((UInt16(3), ENERGY.code, Int8(2), UInt32(1234), ENTRY[2]))
    other = Structure((UInt16(1), POWER.code, Int8(2), UInt16(5)))
    for body in (Array((entry, other)), Structure((*entry, *other))):
        found = values_of(body)
        assert [(e.obis, e.value, e.meaning.class_id, e.meaning.attribute) for e in found] == [
            (ENERGY, 1234, 3, 2), (POWER, 5, 1, 2)
        ]  # fmt: skip
        assert found[0].scaled == Decimal("123.4")


def test_descriptors_without_tags_name_values() -> None:
    wire = bytes.fromhex("0f8000000100020216010101020200030100010700ff0206000007a4")
    read = PushReader().read(wire)
    [entry] = read.values
    assert (str(entry.obis), entry.value) == ("1-0:1.7.0*255", 1956)
    assert (entry.meaning.class_id, entry.meaning.attribute) == (3, 2)
    assert read.body == Structure(
        (Enum(1), Array((Structure((Descriptor(3, POWER, 2), UInt32(1956))),)))
    )


def test_without_codes_the_position_counts() -> None:
    body = Structure((b"serial!", Structure((UInt32(1), Array((Boolean(1),)))), None))
    assert [(e.meaning.index, e.value) for e in values_of(body)] == [
        (0, b"serial!"), (1, 1), (2, 1), (3, None)
    ]  # fmt: skip
    assert [e.obis for e in values_of(UInt32(5))] == [None]


def test_six_octets_behind_a_code_are_not_guessed_at() -> None:
    assert table(Array((Structure((ENERGY.code, b"160456")), PLAIN))) == BOTH[1:]
    assert table(Structure((ENERGY.code, POWER.code, UInt16(5)))) == BOTH[1:]


def test_numbers_are_exact_and_only_quantities_are_numbers() -> None:
    big = PushValue(Meaning(ENERGY, -20, 30), UInt32(123456789))
    assert big.scaled == Decimal("0.00000000000123456789")
    assert PushValue(Meaning(ENERGY, 3, 30), Int16(-2)).scaled == Decimal(-2000)
    assert PushValue(Meaning(ENERGY, 0, 30), Float32.of(0.1)).scaled == Decimal(
        "0.100000001490116119384765625"
    )
    assert PushValue(Meaning(ENERGY, 0, 30), Float32(b"\x7f\xc0\0\0")).scaled is None
    for value in (Enum(1), Boolean(1), b"1", VisibleString(b"1"), None):
        assert PushValue(Meaning(ENERGY, 0, 30), value).scaled is None
    assert [text_of(value) for value in (b"abc", b"\0", VisibleString(b"x"), UInt16(1))] == [
        "abc", None, "x", None
    ]  # fmt: skip


def test_the_time_is_the_headers_or_the_clocks() -> None:
    reader = PushReader()
    clocked = Structure((Structure((Obis.parse("0-0:1.0.0").code, CLOCK)), PLAIN))
    other = bytes.fromhex("07e20101ff000000ff800000")
    for _ in range(3):  # value by value, and by shape
        assert reader.read(push(clocked)).time == CLOCK
        assert reader.read(push(clocked, time=other)).time == other
        assert reader.read(push(Structure((*PLAIN,)))).time is None
    broken = Structure((Structure((Obis.parse("0-0:1.0.0").code, bytes(12))), PLAIN))
    assert reader.read(push(broken)).time is None
    assert reader.read(push(clocked)).time == CLOCK


KAIFA_9 = (
    b"KFM_001", b"6970631401753985", b"MA304H3E", UInt32(948), UInt32(0), UInt32(1), UInt32(64),
    UInt32(1416), UInt32(2385),
)  # fmt: skip


def test_profiles_add_what_their_documents_say_and_say_so() -> None:
    read = PushReader().read(push(Structure(KAIFA_9), time=CLOCK, quirks=Quirk.TAGGED_TIME))
    assert read.profile == "kaifa-norway"
    assert [(str(e.obis), e.scaled, e.unit_symbol) for e in read.values[3:]] == [
        ("1-0:1.7.0*255", 948, "W"), ("1-0:2.7.0*255", 0, "W"), ("1-0:3.7.0*255", 1, "var"),
        ("1-0:4.7.0*255", 64, "var"), ("1-0:31.7.0*255", Decimal("1.416"), "A"),
        ("1-0:32.7.0*255", Decimal("238.5"), "V"),
    ]  # fmt: skip
    assert {entry.meaning.profile for entry in read.values} == {"kaifa-norway"}
    assert all(profile.source for profile in PROFILES)


def kamstrup(kind: bytes) -> Structure:
    codes = ["1-1:0.0.5", "1-1:96.1.1", *(f"1-1:{group}.7.0" for group in (1, 2, 3, 4, 31, 32))]
    values: list[Data] = [VisibleString(b"5706567274389702"), VisibleString(kind)]
    values += [UInt32(number) for number in (948, 0, 0, 64, 141)] + [UInt16(238)]
    pairs = zip((Obis.parse(code).code for code in codes), values, strict=True)
    head = VisibleString(b"Kamstrup_V0001")
    return Structure((head, *(item for pair in pairs for item in pair)))


def test_the_same_list_of_another_market_gets_nothing_added() -> None:
    """Norway sends 10 mA and 10 Wh, Sweden (AN) Wh, current transformers (685) mA."""
    reader = PushReader()
    for kind, profile in (
        (b"6841121BN243101040", "kamstrup-norway"),
        (b"6841138AN243101090", None),
        (b"6851121BN243101040", None),
        (b"6861111BN242101040", "kamstrup-norway"),
    ) * 3:
        read = reader.read(push(kamstrup(kind), time=CLOCK))
        assert read.profile == profile
        current = read.values[6]
        assert (str(current.obis), current.value) == ("1-1:31.7.0*255", 141)
        assert current.scaled == (Decimal("1.41") if profile else None)


@pytest.mark.parametrize(
    "body",
    [
        Structure((b"XYZ_001", *KAIFA_9[1:])),
        Structure((*KAIFA_9[:-1], UInt16(2385))),
        Structure((*KAIFA_9, UInt32(1))),
        Array(KAIFA_9),
        Structure((VisibleString(b"Kamstrup_V0001"), *PLAIN)),
    ],
)
def test_no_profile_is_used_where_the_shape_is_another(body: Data) -> None:
    read = PushReader().read(push(body, time=CLOCK))
    assert read.profile is None
    assert all(entry.unit_symbol is None for entry in read.values)


def test_a_single_number_is_not_taken_for_power_unless_its_meter_is_known() -> None:
    one = Structure((UInt32(500),))
    assert PushReader().read(push(one, time=CLOCK)).profile is None
    assert PushReader().read(push(one, time=CLOCK, quirks=Quirk.TAGGED_TIME)).profile is not None


def test_a_profile_of_ones_own() -> None:
    def complete(
        body: Data, values: Sequence[PushValue], _quirks: Quirk
    ) -> tuple[PushValue, ...] | None:
        if len(values) != 2 or not isinstance(body, Structure):
            return None
        return tuple(
            PushValue(Meaning(code, 0, 30, profile="mine"), entry.value)
            for code, entry in zip((ENERGY, POWER), values, strict=True)
        )

    reader = PushReader(profiles=[Profile("mine", "my grid operator's letter", complete)])
    for number in (1, 2, 3):
        read = reader.read(push(Structure((UInt32(number), UInt32(9)))))
        assert read.profile == "mine"
        assert read.values[0] == (Meaning(ENERGY, 0, 30, profile="mine"), number)


def same(one: Push, other: Push) -> bool:
    kinds = [type(entry.value) for entry in one.values] == [type(e.value) for e in other.values]
    return kinds and repr(one) == repr(other)


@given(strategies.push_bodies, st.booleans(), st.data())
def test_by_shape_comes_out_the_same_as_value_by_value(
    body: Data, timed: bool, draw: st.DataObject
) -> None:
    """Teach a reader one push, change bytes of it, and compare with a reader that knows nothing."""
    wire = push(body, time=CLOCK if timed else None)
    taught = PushReader()
    for _ in range(3):  # seen, learned, and read by its shape
        assert same(taught.read(wire), PushReader().read(wire))
    for _ in range(4):
        changed = bytearray(wire)
        for _ in range(draw.draw(st.integers(0, 6))):
            place = draw.draw(st.integers(1, len(wire) - 1))
            changed[place] = draw.draw(st.sampled_from([0, 1, 2, 3, 6, 9, 12, 40, 0x7F, 0xFF]))
        try:
            fresh = PushReader().read(bytes(changed))
        except DlmsError as error:
            with pytest.raises(type(error)):
                taught.read(bytes(changed))
        else:
            assert same(taught.read(bytes(changed)), fresh)


@given(st.lists(strategies.entries(), min_size=1, max_size=6), st.randoms())
def test_recombined_lists_keep_each_value_with_its_code(
    rows: list[tuple[Data, ...]], random: Any
) -> None:
    nested = table(Array(map(Structure, rows)))
    assert len(nested) == len(rows)
    assert table(Structure(item for row in rows for item in row)) == nested
    shuffled = rows[:]
    random.shuffle(shuffled)
    assert sorted(map(str, table(Array(map(Structure, shuffled))))) == sorted(map(str, nested))


def test_a_reader_remembers_no_more_than_it_should() -> None:
    reader = PushReader()
    for size in range(300):
        for kind in (UInt32, Enum, UInt16):
            reader.read(push(Structure((bytes(size), kind(1)))))
    assert len(reader._shapes) <= 64
    assert all(len(shapes) <= 4 for shapes in reader._shapes.values())
