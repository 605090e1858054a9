# SPDX-License-Identifier: Apache-2.0
"""Records: heads, values, units, as the standard's tables have them."""

from datetime import date, datetime, time
from decimal import Decimal

import pytest

from meter_codecs.mbus import (
    Body,
    EncodingError,
    Function,
    MalformedMbus,
    Record,
    decode_body,
    decode_fixed,
    make_record,
    quantity,
    read_head,
)


def only(text: str) -> Record:
    (record,) = decode_body(bytes.fromhex(text)).records
    return record


@pytest.mark.parametrize(
    ("wire", "name", "value", "scaler", "unit"),
    [
        ("0403 01000000", "energy", 1, 0, "Wh"),
        ("040e ffffffff", "energy", -1, 6, "J"),
        ("0c14 27048502", "volume", 2850427, -2, "m3"),
        ("0b2d 0200f0", "power", -2, 2, "W"),
        ("0a5a 4304", "flow temperature", 443, -1, "degC"),
        ("09fd0e 02", "firmware version", 2, 0, None),
        ("053e 0000c03f", "volume flow", 1.5, 0, "m3/h"),
        ("0e83ff0a 010000000080", "energy", 800000000001, 0, "Wh"),
        ("07fb0e 0100000000000000", "vif fb0e", 1, 0, None),
        ("01fb00 07", "energy", 7, -1, "MWh"),
        ("01fb09 07", "energy", 7, 0, "GJ"),
        ("02fb1a 1002", "relative humidity", 528, -1, "%"),
        ("02fb2e 8813", "frequency", 5000, -1, "Hz"),
        ("02fd48 0209", "voltage", 2306, -1, "V"),
        ("02fd59 e803", "current", 1000, -3, "A"),
        ("01fd71 b0", "signal strength", -80, 0, "dBm"),
        ("02fd74 6e0f", "remaining battery life", 3950, 0, "d"),
        ("0222 e803", "on time", 1000, 0, "h"),
        ("0168 0c", "pressure", 12, -3, "bar"),
        ("016e 0c", "heat cost", 12, 0, "HCA"),
        ("04933c 01000000", "volume", 1, -3, "m3"),
        ("049072 01000000", "volume", 1, -10, "m3"),
        ("04937d 01000000", "volume", 1, 0, "m3"),
        ("0493ff72 01000000", "volume", 1, -3, "m3"),
        ("0493fc72 01000000", "volume", 1, -3, "m3"),
        ("02ff72 0100", "manufacturer", 1, 0, None),
        ("01fd67 0f", "vif fd67", 15, 0, None),
        ("017b 0f", "vif 7b", 15, 0, None),
        ("0dfd0f 03312e32", "software version", "2.1", None, None),
        ("0d78 c412345678", "fabrication number", 78563412, 0, None),
        ("0d78 d101", "fabrication number", -1, 0, None),
        ("0d78 e2ffff", "fabrication number", -1, 0, None),
        ("0dfd3b f0 01000000000000000000000000000000", "vif fd3b", 1, 0, None),
        ("027c03485225 3412", "text", 4660, 0, "%RH"),
        ("02fc0348522574 3412", "text", 4660, -2, "%RH"),
        ("0013", "volume", None, None, "m3"),
        ("0813", "volume", None, None, "m3"),
    ],
)
def test_a_record_says_what_it_measures(
    wire: str, name: str, value: object, scaler: int | None, unit: str | None
) -> None:
    record = only(wire)
    assert (record.name, record.value, record.scaler, record.unit) == (name, value, scaler, unit)


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ("426c df1c", date(2014, 12, 31)),
        ("426c 0000", None),
        ("426c ffff", None),
        ("426c 1f12", None),  # 31 February
        ("046d 2a0ce03b", None),  # a day that is none
        ("046d 0a0ccd13", datetime(2014, 3, 13, 12, 10)),
        ("046d 8a0ccd13", None),  # marked as invalid
        ("046d 0a2ca1f1", None),  # a year above 99
        ("046d 0a2c6131", datetime(2027, 1, 1, 12, 10)),  # with its century
        ("066d 2c1aa1d52100", datetime(2022, 1, 21, 1, 26, 44)),
        ("036d 2c1a01", time(1, 26, 44)),
        ("036d ffffff", None),
        ("026d df1c", date(2014, 12, 31)),
        ("04fd70 0a0ccd13", datetime(2014, 3, 13, 12, 10)),
    ],
)
def test_dates_and_times(wire: str, value: object) -> None:
    record = only(wire)
    assert record.value == value
    assert record.scaler is None
    assert record.is_invalid == (value is None)


@pytest.mark.parametrize(
    ("wire", "storage", "tariff", "subunit", "function"),
    [
        ("0413 00000000", 0, 0, 0, Function.INSTANTANEOUS),
        ("4413 00000000", 1, 0, 0, Function.INSTANTANEOUS),
        ("848010 13 00000000", 0, 4, 0, Function.INSTANTANEOUS),
        ("84c040 13 00000000", 0, 0, 3, Function.INSTANTANEOUS),
        ("84ff7f 13 00000000", 510, 15, 3, Function.INSTANTANEOUS),
        ("b408 13 00000000", 16, 0, 0, Function.ERROR),
        ("94ff0f 13 00000000", 510, 3, 1, Function.MAXIMUM),
    ],
)
def test_storage_tariff_subunit_and_function(
    wire: str, storage: int, tariff: int, subunit: int, function: Function
) -> None:
    record = only(wire)
    assert (record.storage, record.tariff, record.subunit) == (storage, tariff, subunit)
    assert record.function is function


@pytest.mark.parametrize(
    ("wire", "reason", "offset"),
    [
        ("04", "end before VIF", 1),
        ("84", "end before DIFE", 1),
        ("04fd", "end before VIFE", 2),
        ("0413000000", "a value of 4 bytes, 3 are left", 2),
        ("0d78", "end before the length of a value", 2),
        ("0d780541", "a value of 6 bytes, 2 are left", 2),
        ("0d78fb", "the length code fb is reserved", 2),
        ("3f", "DIF 3f is reserved", 0),
        ("7f13", "DIF 7f is reserved", 0),
        ("8f0013", "DIF 8f is reserved", 0),
        ("04fc05414203", "the unit's length is 5", 2),
        ("84" + "80" * 10 + "0013" + "00000000", "more than 10 DIFEs", 11),
        ("04" + "93" + "80" * 10 + "00" + "00000000", "more than 10 VIFEs", 12),
    ],
)
def test_records_that_do_not_add_up_are_refused(wire: str, reason: str, offset: int) -> None:
    with pytest.raises(MalformedMbus, match=reason) as caught:
        decode_body(bytes.fromhex(wire))
    assert caught.value.offset == offset


def test_fillers_and_the_manufacturers_data_are_kept() -> None:
    wire = bytes.fromhex("2f2f 0413 01000000 2f 426c ffff 2f 1f 0102")
    body = decode_body(wire)
    assert [record.offset for record in body.records] == [2, 9]
    assert (body.own_data, body.more_follows) == (b"\x01\x02", True)
    assert body.encode() == wire


def test_scaled_values_are_exact() -> None:
    assert only("0c13 27048502").scaled == Decimal("2850.427")
    assert only("07fd40 ffffffffffffff7f").scaled == Decimal(2**63 - 1).scaleb(-9)
    assert only("0e06 999999999999").scaled == Decimal("999999999999E3")
    assert only("053e 0000c03f").scaled == Decimal("1.5")
    assert str(only("0413 00000000").scaled) == "0.000"


def test_numbers_that_mean_no_value_have_no_scaled_value() -> None:
    for wire in ("0265 0080", "0a5a ddeb", "053e 0000c07f", "053e 000080ff", "0413 00000080"):
        record = only(wire)
        assert record.is_invalid
        assert record.scaled is None


def test_flags_have_no_sign() -> None:
    assert only("01fd17 81").flags == 0x81
    assert only("09fd17 81").flags is None


def test_an_access_number_counts_without_a_sign() -> None:
    for wire, number in (("01fd08 80", 128), ("01fd08 ff", 255), ("02fd08 0080", 32768)):
        record = only(wire)
        assert not record.is_invalid
        assert record.value == number
        assert record.scaled == number


def test_a_number_is_shown_as_sent_even_if_it_means_none() -> None:
    assert only("0265 0080").value == -32768


@pytest.mark.parametrize(
    ("head", "value"),
    [
        ("0413", -5), ("0c13", 12345678), ("0b13", -12345), ("053e", 1.25),
        ("426c", date(2026, 2, 28)),
        ("046d", datetime(2026, 2, 28, 12, 30)), ("066d", datetime(2026, 2, 28, 12, 30, 5)),
        ("0d78", "G0017591208205814"), ("0d78", -70000), ("0013", None),
        ("01fd08", 200),
    ],
)  # fmt: skip
def test_a_record_is_made_of_a_value(head: str, value: int) -> None:
    record = make_record(bytes.fromhex(head), value)
    assert record.value == value
    assert decode_body(record.encode()).records == (record,)


@pytest.mark.parametrize(
    ("head", "value"),
    [
        ("0113", 128), ("0913", 100), ("0913", -10), ("0413", "text"), ("0d78", "€"), ("426c", 5),
        ("426c", date(2081, 1, 1)), ("053e", 1e300), ("0d78", "x" * 192), ("0d78", 1 << 128),
        ("04130413", 1), ("0413", None), ("01fd08", -1), ("01fd08", 256),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(head: str, value: int) -> None:
    with pytest.raises(EncodingError):
        make_record(bytes.fromhex(head), value)


def test_codes_without_a_name_are_told_in_words_where_words_are_known() -> None:
    assert read_head(bytes.fromhex("01fd67"), 0).meaning == "special supplier information"
    assert read_head(bytes.fromhex("0413"), 0).meaning == "volume"
    assert quantity(b"\x7d\x67").name == "vif fd67"


def test_fixed_data_of_the_standards_example() -> None:
    wire = bytes.fromhex("78563412 0a 00 e97e 01000000 35010000")
    data = decode_fixed(wire)
    assert (data.number, data.access, data.medium) == ("12345678", 10, "water")
    now, then = data.counters
    assert (now.quantity.name, now.scaled, now.storage) == ("volume", Decimal("0.001"), 0)
    assert (then.quantity.unit, then.scaled, then.storage) == ("m3", Decimal("0.135"), 1)
    assert data.encode() == wire
    binary = decode_fixed(wire[:5] + b"\x03" + wire[6:])
    assert [(c.value, c.storage) for c in binary.counters] == [(1, 1), (309, 1)]
    with pytest.raises(MalformedMbus):
        decode_fixed(wire[:-1])


def test_a_body_made_by_hand_needs_no_size() -> None:
    body = Body((make_record(b"\x04\x13", 7),), b"", more_follows=True)
    assert body.encode() == bytes.fromhex("0413070000001f")
