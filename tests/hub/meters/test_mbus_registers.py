# SPDX-License-Identifier: Apache-2.0
"""Which values of an M-Bus telegram are registers that the hub counts."""

from zoneinfo import ZoneInfo

import pytest

from hub.meters.readers.mbus import RadioReader
from hub.meters.telegrams import COLD_WATER, DRAWN, FED_IN
from meter_codecs.mbus import Address, FrameFormat, LinkFrame, make_body, make_record
from tests.support.published_meters import PUBLISHED

BERLIN = ZoneInfo("Europe/Berlin")


def test_what_was_fed_in_is_not_taken_for_what_was_drawn() -> None:
    # This meter of two directions sends what was fed in first, tariff by tariff.
    [telegram] = RadioReader(BERLIN).feed(PUBLISHED["ami4"].wire).telegrams
    first, second = telegram.counted[DRAWN._replace(e=1)], telegram.counted[FED_IN._replace(e=1)]
    assert (first.steps, second.steps) == (2_423_653, 143)


@pytest.mark.parametrize(
    ("codes", "counts"),
    [
        ("0413", True), ("04933b", True), ("04933e", True), ("04937d", True), ("049374", True),
        ("04933c", False), ("049328", False), ("04937f", False), ("049340", False),
        ("04937a", False), ("0493fc0c", False),
    ],
)  # fmt: skip
def test_what_its_codes_make_another_value_is_no_register(codes: str, counts: bool) -> None:
    body = make_body([make_record(bytes.fromhex(codes), 1_000)])
    meter = Address.of("KAM", "76348799", 0x1B, 0x16)
    frame = LinkFrame(0x44, meter, b"\x78" + body.encode(), FrameFormat.A)
    [telegram] = RadioReader(BERLIN).feed(frame.encode()).telegrams
    assert (COLD_WATER in telegram.counted) == counts


def test_a_total_goes_before_a_part_of_it() -> None:
    parts = [make_record(b"\x04\x93\x3b", 7_000), make_record(b"\x04\x13", 6_000)]
    meter = Address.of("KAM", "76348799", 0x1B, 0x16)
    frame = LinkFrame(0x44, meter, b"\x78" + make_body(parts).encode(), FrameFormat.A)
    [telegram] = RadioReader(BERLIN).feed(frame.encode()).telegrams
    assert telegram.counted[COLD_WATER].steps == 6_000
