# SPDX-License-Identifier: Apache-2.0
"""Messages by hand: canonical form, the sender's form, quirks and refusals."""

import copy
import importlib
import pickle
import pkgutil
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from decimal import Decimal, localcontext
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sml_codec
from sml_codec import (
    Body,
    ChecksumMismatch,
    CloseRes,
    Crc,
    EncodingError,
    GetListRes,
    GetProcParameterRes,
    Integer16,
    Integer32,
    ListEntry,
    MalformedSml,
    Message,
    Obis,
    OpenReq,
    PeriodEntry,
    PlainValue,
    Quirk,
    SmlFile,
    Time,
    TimeChoice,
    Tree,
    UnknownBody,
    Unsigned8,
    Unsigned32,
    decode_file,
    encode_file,
    encode_message,
    read_file,
    unit_symbol,
    value_kind,
)
from sml_codec.crc import kermit, x25
from sml_codec.quirks import is_faulty

ENERGY = Obis.parse("1-0:1.8.0*255")
POWER = Obis.parse("1-0:16.7.0*255")
METER_ID = Obis.parse("1-0:96.1.0*255")


def sealed(start: str, crc: Crc = Crc.X25) -> bytes:
    """Return a message whose bytes up to the checksum are given as hex."""
    data = bytes.fromhex(start)
    return data + b"\x63" + crc.of(data).to_bytes(2, "big") + b"\0"


def listed(entries: str, count: int = 1, crc: Crc = Crc.X25) -> bytes:
    """Return a GetList response with the given entries, in hex."""
    return sealed(
        f"76 02 31 62 00 62 00 72 63 07 01 77 01 02 41 01 01 7{count} {entries} 01 01", crc
    )


def entry_of(data: bytes, quirks: Quirk = Quirk.ALL) -> ListEntry:
    [message] = decode_file(data, quirks=quirks)
    assert isinstance(message.body, GetListRes)
    [entry] = message.body.entries
    return entry


def test_checksums_have_the_published_check_values() -> None:
    # CRC RevEng, catalogue of parametrised CRC algorithms: CRC-16/IBM-SDLC and CRC-16/KERMIT
    assert x25(b"123456789") == 0x906E
    assert kermit(b"123456789") == 0x2189
    assert Crc.X25.of(b"123456789") == 0x6E90
    assert Crc.KERMIT.of(b"123456789") == 0x2189


@given(st.binary(max_size=100))
def test_checksums_are_those_of_the_definition(data: bytes) -> None:
    for crc, register, final in ((x25, 0xFFFF, 0xFFFF), (kermit, 0, 0)):
        for byte in data:
            register ^= byte
            for _ in range(8):
                register = register >> 1 ^ (0x8408 if register & 1 else 0)
        assert crc(data) == register ^ final


def test_a_list_built_by_hand_is_sent_in_the_shortest_form() -> None:
    entry = ListEntry(obis=ENERGY, unit=30, scaler=-1, value=40508, status=8)
    body = GetListRes(server_id=b"A", entries=(entry,))
    data = encode_message(Message(transaction_id=b"1", body=body))
    assert data == listed("77 07 01 00 01 08 00 ff 62 08 01 62 1e 52 ff 63 9e 3c 01")


def test_the_sizes_of_a_sender_are_kept_when_a_value_is_replaced() -> None:
    wire = listed("77 07 01 00 01 08 00 ff 64 00 00 08 01 62 1e 52 ff 59" + "00" * 7 + "05 01")
    [message] = decode_file(wire)
    body = message.body
    assert isinstance(body, GetListRes)
    assert encode_message(message) == wire
    changed = replace(body.entries[0], value=6, status=9)
    again = encode_message(replace(message, body=replace(body, entries=(changed,))))
    assert again == listed(
        "77 07 01 00 01 08 00 ff 64 00 00 09 01 62 1e 52 ff 59" + "00" * 7 + "06 01"
    )
    explicit = replace(body.entries[0], value=Unsigned8(6))
    again = encode_message(replace(message, body=replace(body, entries=(explicit,))))
    assert again == listed("77 07 01 00 01 08 00 ff 64 00 00 08 01 62 1e 52 ff 62 06 01")


def test_type_length_fields_longer_than_needed_are_kept() -> None:
    wire = sealed(
        "f0 06 83 04" + "41" * 50 + "62 00 62 00 72 65 00 00 02 01 f0 01 80 02".replace(" ", "")
    )
    [message] = decode_file(wire)
    assert message.transaction_id == b"A" * 50
    assert message.body == CloseRes(signature=b"")
    assert encode_message(message) == wire


def test_a_skipped_and_an_empty_signature_are_not_the_same() -> None:
    for signature in (None, b""):
        message = Message(transaction_id=b"", body=CloseRes(signature=signature))
        assert decode_file(encode_message(message)) == [message]


def test_messages_survive_tags_of_two_and_four_bytes_and_short_checksums() -> None:
    for tag in ("63 02 01", "65 00 00 02 01"):
        wire = sealed(f"76 02 31 62 00 62 00 72 {tag} 71 01")
        assert decode_file(wire)[0].body == CloseRes()
        assert encode_file(decode_file(wire)) == wire
    short = next(
        start + bytes([0x62, Crc.X25.of(start)]) + b"\0"
        for number in range(1000)
        if Crc.X25.of(start := b"\x76\x05%04d\x62\x00\x62\x00\x72\x63\x02\x01\x71\x01" % number)
        < 256
    )
    assert encode_file(decode_file(short)) == short
    with pytest.raises(MalformedSml, match="checksum"):
        decode_file(short, quirks=Quirk.ALL & ~Quirk.SHORT_CHECKSUM)


def test_readings_are_exact_in_any_decimal_context() -> None:
    entry = ListEntry(obis=ENERGY, scaler=-4, value=Integer32(-123456789))
    with localcontext(prec=3):
        assert entry.scaled == Decimal("-12345.6789")
    assert replace(entry, scaler=3).scaled == Decimal("-123456789e3")
    assert replace(entry, scaler=None).scaled == -123456789
    assert replace(entry, value=b"12").scaled is None
    assert replace(entry, value=True).scaled is None
    assert PeriodEntry(obis=ENERGY, unit=30, scaler=0, value=7).scaled == 7
    assert replace(entry, unit=30).unit_symbol == "Wh"
    assert (unit_symbol(None), unit_symbol(27), unit_symbol(99)) == ("", "W", "unit 99")


def test_obis_codes_are_read_and_written() -> None:
    assert str(ENERGY) == "1-0:1.8.0*255"
    assert Obis.parse("1-0:1.8.0") == ENERGY
    assert str(Obis(b"\x81\x81\xc7\x82\x03\xff")) == "129-129:199.130.3*255"
    assert str(Obis(b"\x01\x02")) == "0102"
    for text in ("1.8.0", "1-0:1.8.0*256", "1-0:1.8.0*255 ", "١-0:1.8.0"):
        with pytest.raises(ValueError, match="not an OBIS code"):
            Obis.parse(text)


def test_integers_know_what_they_are_on_the_wire() -> None:
    assert value_kind(Integer16(5)) == ("int", 2)
    assert value_kind(Unsigned32(5)) == ("uint", 4)
    assert value_kind(5) == ("uint", None)
    assert value_kind(-5) == ("int", None)
    assert value_kind(None) == (None, None)
    assert value_kind(True) == ("bool", None)
    assert value_kind(b"") == ("octets", None)
    assert value_kind(()) == ("list", None)
    assert repr(Unsigned8(5)) == "Unsigned8(5)"
    assert f"{Unsigned8(5)}" == "5"
    for refused in (lambda: Unsigned8(256), lambda: Unsigned8(-1), lambda: Integer16(1 << 15)):
        with pytest.raises(EncodingError):
            refused()


def test_values_that_sml_cannot_carry_are_refused() -> None:
    def sent(**fields: object) -> bytes:
        entry = ListEntry(**{"obis": ENERGY, "value": 1} | fields)  # type: ignore[arg-type]
        body = GetListRes(server_id=b"A", entries=(entry,))
        return encode_message(Message(transaction_id=b"1", body=body))

    for wrong in (
        {"value": 1 << 64},
        {"value": 1.5},
        {"unit": 256},
        {"scaler": 256},
        {"status": 1 << 64},
    ):
        with pytest.raises((EncodingError, TypeError)):  # a compiled build looks at types, too
            sent(**wrong)
    with pytest.raises((EncodingError, TypeError)):
        encode_message(Message(transaction_id=b"", body=ListEntry(obis=ENERGY)))  # type: ignore[arg-type]


# Quirks


DZG = "77 07 01 00 60 01 00 ff 01 01 01 01 0b 0a 01 44 5a 47 {serial} 01"
POWERED = "77 07 01 00 10 07 00 ff 01 01 62 1b 52 fe {value} 01"


@pytest.mark.parametrize(
    ("serial", "value", "raw", "meant"),
    [
        (42_000_000, "53 8b 28", -29912, 35624),
        (48_999_999, "52 ff", -1, 255),
        (55_000_000, "54 ff 00 00", -65536, 16711680),
        (58_999_999, "53 8b 28", -29912, 35624),
        (58_999_999, "53 7b 28", 31528, None),
        (58_999_999, "55 ff ff 8b 28", -29912, None),
        (58_999_999, "63 8b 28", 35624, None),
        (41_999_999, "53 8b 28", -29912, None),
        (49_000_000, "53 8b 28", -29912, None),
        (59_000_000, "53 8b 28", -29912, None),
    ],
)
def test_the_sign_of_faulty_dzg_meters_is_corrected_and_of_no_others(
    serial: int, value: str, raw: int, meant: int | None
) -> None:
    data = listed(DZG.format(serial=f"{serial:010x}") + POWERED.format(value=value), 2)
    for _ in range(4):  # the same by the careful way and by what it learned
        [message] = decode_file(data)
        assert isinstance(message.body, GetListRes)
        power = message.body.entries[1]
        assert (power.value, power.corrected) == (raw, meant)
        assert power.scaled == Decimal(raw if meant is None else meant).scaleb(-2)
        assert encode_message(message) == data
    [message] = decode_file(data, quirks=Quirk.ALL & ~Quirk.DZG_SIGN)
    assert isinstance(message.body, GetListRes)
    assert message.body.entries[1].corrected is None


def test_the_faulty_serials_are_told_by_the_whole_meter_id() -> None:
    faulty = bytes.fromhex("0a01445a47") + (42_500_000).to_bytes(5, "big")
    assert is_faulty(faulty)
    assert not is_faulty(faulty[:-1])
    assert not is_faulty(b"\x0a\x01EMH" + faulty[5:])
    assert not is_faulty(None)


def test_kermit_checksums_are_a_quirk() -> None:
    data = listed("77 07 01 00 01 08 00 ff 01 01 01 01 62 05 01", crc=Crc.KERMIT)
    for _ in range(4):
        assert decode_file(data)[0].crc is Crc.KERMIT
    assert encode_file(decode_file(data)) == data
    with pytest.raises(ChecksumMismatch):
        decode_file(data, quirks=Quirk.ALL & ~Quirk.KERMIT_CRC)


def test_a_time_without_its_choice_is_a_quirk() -> None:
    data = listed("77 07 01 00 01 08 00 ff 01 65 00 00 00 07 01 01 62 05 01")
    for _ in range(4):
        assert entry_of(data).time == Time(None, 7)
    assert encode_file(decode_file(data)) == data
    [message] = decode_file(data, quirks=Quirk.ALL & ~Quirk.BARE_TIME)
    assert isinstance(message.body, UnknownBody)
    assert (message.body.tag, message.body.reason) == (0x0701, "not a time")
    assert encode_message(message) == data


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("72 62 01 65 00 00 00 07", Time(TimeChoice.SECOND_INDEX, 7)),
        ("72 62 02 65 5f 00 00 00", Time(TimeChoice.TIMESTAMP, 0x5F000000)),
        (
            "72 62 03 73 65 5f 00 00 00 53 00 3c 53 ff c4",
            Time(TimeChoice.LOCAL_TIMESTAMP, 0x5F000000, 60, -60),
        ),
        ("73 65 5f 00 00 00 52 3c 52 00", Time(None, 0x5F000000, 60, 0)),
        ("72 62 04 65 5f 00 00 00", Time(4, 0x5F000000)),
    ],
)
def test_every_form_of_time_is_decoded(time: str, expected: Time) -> None:
    data = listed(f"77 07 01 00 01 08 00 ff 01 {time} 01 01 62 05 01")
    for _ in range(4):
        assert entry_of(data).time == expected
        assert encode_file(decode_file(data)) == data


def test_a_repeated_type_in_a_length_field_is_a_quirk() -> None:
    data = sealed("76 02 31 62 00 62 00 72 63 07 01 77 01 02 41 01 01 f0 71"
                  "77 07 01 00 01 08 00 ff 01 01 01 01 62 05 01 01 01")  # fmt: skip
    assert entry_of(data).value == 5
    assert encode_file(decode_file(data)) == data
    with pytest.raises(MalformedSml, match="goes on with 0x71"):
        decode_file(data, quirks=Quirk.ALL & ~Quirk.REPEATED_TYPE)


def test_lists_as_values_and_missing_values_are_quirks() -> None:
    nested = listed("77 07 01 00 01 08 00 ff 01 01 01 01 72 62 01 72 62 01 65 00 1e 3f 50 01")
    missing = listed("77 07 01 00 01 08 00 ff 01 01 01 01 01 01")
    for _ in range(4):
        assert entry_of(nested).value == (1, (1, 1982288))
        assert entry_of(missing).value is None
    for data, quirk in ((nested, Quirk.LIST_VALUE), (missing, Quirk.MISSING_VALUE)):
        assert encode_file(decode_file(data)) == data
        assert isinstance(decode_file(data, quirks=~quirk)[0].body, UnknownBody)


def test_fields_missing_at_the_end_are_a_quirk() -> None:
    data = sealed("76 02 31 62 00 62 00 72 63 07 01 75 01 02 41 01 01 71"
                  "76 07 01 00 01 08 00 ff 01 01 01 01 62 05")  # fmt: skip
    for _ in range(4):
        assert entry_of(data).value == 5
        assert encode_file(decode_file(data)) == data
    assert isinstance(decode_file(data, quirks=~Quirk.SHORT_RECORD)[0].body, UnknownBody)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("kind", [5, 6])
def test_integers_of_every_size_are_decoded(size: int, kind: int) -> None:
    for number in (0, 1, (1 << 8 * size - 1) - 1, (1 << 8 * size - 1) + 3, (1 << 8 * size) - 1):
        octets = number.to_bytes(size, "big")
        data = listed(f"77 07 01 00 01 08 00 ff 01 01 01 01 {kind}{size + 1:x} {octets.hex()} 01")
        value = entry_of(data).value
        assert value == int.from_bytes(octets, "big", signed=kind == 5)
        assert value_kind(value) == ("int" if kind == 5 else "uint", size)
        assert encode_file(decode_file(data)) == data


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("61", "integer of 0 bytes"),
        ("6a" + "00" * 9, "integer of 9 bytes"),
        ("41", "boolean of 0 bytes"),
        ("43 01 01", "boolean of 2 bytes"),
        ("12 00", "reserved type 0x10"),
        ("00", "shorter than its own field"),
        ("80 01", "shorter than its own field"),
    ],
)
def test_what_is_no_element_is_refused(value: str, why: str) -> None:
    with pytest.raises(MalformedSml, match=why):
        decode_file(listed(f"77 07 01 00 01 08 00 ff 01 01 01 01 {value} 01"))


def test_bodies_that_are_not_known_are_kept_as_trees() -> None:
    data = sealed("76 02 31 62 00 62 00 72 63 0b 01 73 62 05 03 41 42 72 42 01 01")
    [message] = decode_file(data)
    assert message.body == UnknownBody(0x0B01, (5, b"AB", (True, None)))
    assert encode_message(message) == data
    made = replace(message, wire=b"")
    assert decode_file(encode_message(made)) == [made]


def test_a_file_with_damage_gives_what_is_intact_and_says_where_it_stops() -> None:
    message = Message(transaction_id=b"1", body=CloseRes())
    good = encode_message(message)
    wrong = good[:-2] + bytes([good[-2] ^ 1]) + good[-1:]
    file = read_file(good + wrong + good + b"\x11" + good)
    assert file.messages == (message, message)
    assert len(file.rejected) == 1
    assert isinstance(file.error, MalformedSml)
    assert file.error.offset == 3 * len(good)
    with pytest.raises(ChecksumMismatch) as mismatch:
        decode_file(good + wrong)
    assert mismatch.value.offset == len(good)
    with pytest.raises(MalformedSml):
        decode_file(good + b"\x11")


def test_zero_bytes_between_and_after_messages_are_kept() -> None:
    message = encode_message(Message(transaction_id=b"1", body=CloseRes()))
    data = b"\0" + message + b"\0\0" + message + b"\0\0\0"
    for _ in range(4):
        file = read_file(data)
        assert file.error is None
        assert encode_file(file) == data
        assert len(decode_file(data)) == 2


def test_a_tree_is_searched_by_path() -> None:
    leaf = Tree(b"c", PlainValue(5))
    tree = Tree(b"a", None, (Tree(b"b", None, (leaf,)), Tree(b"d")))
    assert tree.find(b"b", b"c") == leaf
    assert tree.find() == tree
    assert tree.find(b"d", b"c") is None
    assert tree.find(b"x", b"c") is None
    message = Message(
        transaction_id=b"1", body=GetProcParameterRes(server_id=b"s", tree_path=(b"a",), tree=tree)
    )
    assert decode_file(encode_message(message)) == [message]


def test_a_bill_of_megabytes_fits_with_limits_to_match() -> None:
    entry = PeriodEntry(obis=ENERGY, value=bytes(100_000))
    body = sml_codec.GetProfileListRes(server_id=b"s", tree_path=(b"p",), entries=(entry,) * 20)
    message = Message(transaction_id=b"1", body=body)
    data = encode_message(message)
    assert len(data) > 2_000_000
    assert decode_file(data) == [message]
    with pytest.raises(MalformedSml):
        decode_file(data, limits=sml_codec.Limits(octets=99_999))


# The package


def test_values_are_frozen_and_passwords_are_not_shown() -> None:
    entry = ListEntry(obis=ENERGY)
    with pytest.raises(FrozenInstanceError):
        entry.value = 1  # type: ignore[misc]
    [decoded] = decode_file(listed("77 07 01 00 01 08 00 ff 01 01 01 01 62 05 01"))
    with pytest.raises(FrozenInstanceError):
        decoded.group = 1  # type: ignore[misc]
    request = OpenReq(client_id=b"c", request_file_id=b"f", username=b"u", password=b"secret")
    assert "secret" not in repr(request)


def test_what_was_decoded_can_be_copied_and_pickled() -> None:
    data = listed("77 07 01 00 01 08 00 ff 62 08 65 00 00 00 07 01 52 ff 59" + "00" * 7 + "05 01")
    [message] = decode_file(data)
    for again in (copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert again == message
        assert repr(again) == repr(message)
        assert encode_message(again) == data


def test_every_body_is_a_frozen_dataclass() -> None:
    for cls in (*get_args(Body), ListEntry, PeriodEntry, Message, Time, Tree, SmlFile):
        assert is_dataclass(cls)
        assert vars(cls)["__dataclass_params__"].frozen
        assert all(field.type for field in fields(cls))


def test_the_public_names_are_those_that_are_there() -> None:
    for name in sml_codec.__all__:
        assert hasattr(sml_codec, name)
    public = {name for name in vars(sml_codec) if not name.startswith("_")}
    modules = {module.name for module in pkgutil.iter_modules(sml_codec.__path__)}
    assert public - modules == set(sml_codec.__all__)


def test_every_module_can_be_imported_by_itself() -> None:
    for module in pkgutil.walk_packages(sml_codec.__path__, "sml_codec."):
        importlib.import_module(module.name)


def test_importing_the_package_brings_in_no_input_or_output() -> None:
    code = (
        "import sys, sml_codec; print({'asyncio', 'socket', 'serial', 'urllib'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
