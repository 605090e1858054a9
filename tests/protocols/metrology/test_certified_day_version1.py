# SPDX-License-Identifier: Apache-2.0
"""Certified days of version 1 verify by their frozen rules: one encoding, none to be moved."""

from dataclasses import replace
from datetime import date
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocols.metrology import (
    NO_DAY,
    CertifiedDay,
    DayContentVersion1,
    DayGrid,
    DayRefused,
    MalformedDay,
    MetrologyError,
    Period,
    SlotState,
    verify_days,
)
from protocols.metrology.version1 import LABEL
from protocols.proofs.group import GENERATOR, INFINITY, ORDER, PointVector
from tests.support.days import KEY, PERIOD, SERIES
from tests.support.days import make_days_of_version_1 as make_days

PUBLIC = KEY.public_key()
DAYS = make_days()


@pytest.mark.parametrize("size", [33, 65])
def test_a_day_is_reproduced_from_its_bytes_and_verifies(size: int) -> None:
    for day in make_days(point_size=size):
        decoded = CertifiedDay.decode(day.encode())
        assert decoded == day
        assert decoded.digest == day.digest
        decoded.verify(PUBLIC)


def test_the_bytes_are_what_another_cbor_library_reads() -> None:
    body, signature = cbor2.loads(DAYS[0].encode())
    fields = cbor2.loads(body)
    assert fields[:7] == [
        LABEL, SERIES.meter, SERIES.register, "2025-03-29", "Europe/Berlin", 60, 1,
    ]  # fmt: skip
    assert fields[8] == bytes(DAYS[0].content.states)
    PUBLIC.verify(signature, LABEL.encode() + body)


def test_every_flipped_byte_of_a_day_is_refused() -> None:
    data = DAYS[1].encode()
    for place in range(len(data)):
        bent = bytearray(data)
        bent[place] ^= 1 << place % 8
        with pytest.raises(MetrologyError):
            CertifiedDay.decode(bytes(bent)).verify(PUBLIC)


def test_whatever_is_read_has_no_other_bytes() -> None:
    """Received bytes are kept for the encoding: so there must be no second one."""
    read = 0
    for place in range(len(body := DAYS[1].content.encode())):
        for bit in (place % 8, (place + 3) % 8):
            bent = bytearray(body)
            bent[place] ^= 1 << bit
            try:
                content = DayContentVersion1.decode(bytes(bent))
            except MalformedDay:
                continue
            read += 1
            assert replace(content).encode() == content.encode() == bent  # a copy keeps nothing
    assert read > 50


def test_a_cut_or_extended_day_is_refused() -> None:
    data = DAYS[0].encode()
    for bent in [data[:-1], data[1:], data + b"\0", b"", data + data]:
        with pytest.raises(MalformedDay):
            CertifiedDay.decode(bent)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_malformed(data: bytes) -> None:
    with pytest.raises(MalformedDay):
        CertifiedDay.decode(data)


def bend_body(place: int, item: object) -> bytes:
    body, signature = cbor2.loads(DAYS[0].encode())
    fields = cbor2.loads(body)
    fields[place] = item
    return cbor2.dumps([cbor2.dumps(fields, canonical=True), signature], canonical=True)


@pytest.mark.parametrize(
    ("place", "item", "reason"),
    [
        (0, "meterlet certified day 2", "other fields"),
        (1, b"", "1 to 64 bytes"),
        (1, b"x" * 65, "1 to 64 bytes"),
        (2, b"12345", "6"),
        (3, "20250329", "YYYY-MM-DD"),
        (3, "2025-W13-6", "YYYY-MM-DD"),
        (3, "2025-02-30", "not a certified day"),
        (3, b"2025-03-29", "other fields"),
        (4, "Europe/Nowhere", "no time zone"),
        (5, 7, "slots of 7 minutes"),
        (5, 30, "24 commitments"),
        (6, 0, "counter"),
        (6, 2, "day before"),
        (6, 2**32, "counter"),
        (7, bytes(31), "day before"),
        (7, b"\1" * 32, "day before"),
        (8, bytes(23), "23 states"),
        (8, b"\4" * 24, "4 is not the state of a slot"),
        (9, "other", "not a certified day"),
        (9, "vector", "24 commitments"),
        (10, 34, "declared size"),
        (10, 65, "declared size"),
        (11, bytes(24 * 33), "not on secp256k1"),
        (11, b"", "0 commitments"),
        (12, bytes(33), "not a point"),
        (13, bytes(32), "declared size"),
        (14, b"\0", "declared size"),
        (15, ORDER.to_bytes(32, "big"), "not reduced"),
        (15, bytes(31), "32 bytes"),
    ],
)
def test_fields_outside_of_their_range_are_refused(place: int, item: object, reason: str) -> None:
    with pytest.raises(MalformedDay, match=reason):
        CertifiedDay.decode(bend_body(place, item))


def resigned(day: CertifiedDay, **changes: Any) -> CertifiedDay:
    return CertifiedDay.sign(replace(day.content, **changes), KEY)


def test_points_at_infinity_cannot_be_certified() -> None:
    with pytest.raises(MalformedDay, match="infinity"):
        resigned(DAYS[0], start=INFINITY)


def test_another_key_does_not_verify() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(DayRefused, match="2025-03-29: the signature does not match"):
        DAYS[0].verify(other)


@pytest.mark.parametrize("field", ["start", "end", "unattributed", "commitments", "opening"])
def test_a_signed_day_that_does_not_sum_up_is_refused(field: str) -> None:
    content = DAYS[0].content
    assert isinstance(content, DayContentVersion1)
    change: Any
    if field == "opening":
        change = (content.opening + 1) % ORDER
    elif field == "commitments":
        change = PointVector([*content.commitments[:-1], content.commitments[-1] + GENERATOR])
    else:
        change = getattr(content, field) + GENERATOR
    with pytest.raises(DayRefused, match="do not sum to the register's difference"):
        resigned(DAYS[0], **{field: change}).verify(PUBLIC)


def test_a_whole_period_verifies_and_shows_its_slots_in_order() -> None:
    period = verify_days(DAYS, PERIOD, SERIES, PUBLIC)
    assert [len(grid) for grid in period.grids] == [24, 23, 24, 24]
    assert len(period.commitments) == len(period.states) == 95
    content = DAYS[1].content
    assert isinstance(content, DayContentVersion1)
    assert period.commitments[24] == content.commitments[0]
    assert period.digests == tuple(day.digest for day in DAYS)
    assert len(period.unattributed) == 4
    later = Period(PERIOD.first.replace(day=31), PERIOD.last)
    verify_days(DAYS[2:], later, SERIES, PUBLIC, after=DAYS[1])


def refused(days: list[CertifiedDay], **arguments: Any) -> str:
    period, series = arguments.pop("period", PERIOD), arguments.pop("series", SERIES)
    with pytest.raises(DayRefused) as caught:
        verify_days(days, period, series, PUBLIC, **arguments)
    return str(caught.value)


def test_each_day_has_to_be_there_once_and_in_its_place() -> None:
    a, b, c, d = DAYS
    assert refused([]) == "2025-03-29: the day is missing"
    assert refused([a, c, d]) == "2025-03-30: the day is missing"
    assert refused([b, c, d]) == "2025-03-29: the day is missing"
    assert refused([a, b, c]) == "2025-04-01: the day is missing"
    assert refused([a, c, b, d]) == "2025-03-30: in its place is 2025-03-31"
    assert refused([a, b, b, c, d]) == "2025-03-31: in its place is 2025-03-30"
    assert refused([a, b, c, d, d]) == "2025-04-01: the day is outside of the period, or repeated"
    assert "outside" in refused(DAYS, period=Period(PERIOD.first, date(2025, 3, 31)))


def test_a_day_of_another_series_is_refused() -> None:
    for field, other, reason in [
        ("meter", b"meter 2", "another meter"),
        ("register", bytes(6), "another register"),
        ("zone", "Europe/Paris", "in the zone Europe/Berlin"),
        ("slot_minutes", 30, "slots of 60 minutes"),
    ]:
        series = replace(SERIES, **{field: other})  # type: ignore[arg-type]  # one field each
        assert reason in refused(DAYS, series=series)


def test_a_day_out_of_another_chain_is_refused() -> None:
    other = make_days(seed=2)
    assert refused([*DAYS[:2], *other[2:]]) == (
        "2025-03-31: the hash of the day before does not match"
    )
    jumped = resigned(DAYS[1], counter=7)
    assert "counter" in refused([DAYS[0], jumped, *DAYS[2:]])
    assert "counter" in refused(DAYS, after=DAYS[3])
    unsigned = CertifiedDay(DAYS[2].content, DAYS[1].signature)
    assert refused([*DAYS[:2], unsigned, DAYS[3]]) == "2025-03-31: the signature does not match"


def test_a_register_that_jumps_at_midnight_is_refused() -> None:
    content = DAYS[1].content
    moved = resigned(
        DAYS[1], previous=DAYS[0].digest, start=content.start + GENERATOR,
        opening=(content.opening + 1) % ORDER,
    )  # fmt: skip
    moved.verify(PUBLIC)
    assert refused([DAYS[0], moved, *DAYS[2:]]) == (
        "2025-03-30: the register does not start where the day before ended"
    )


def test_a_day_skipped_between_two_chained_ones_is_noticed() -> None:
    late = resigned(DAYS[2], counter=2, previous=DAYS[0].digest)
    assert refused([late], period=Period(late.day, late.day), after=DAYS[0]) == (
        "2025-03-31: the day does not begin where the day before ends"
    )


def test_the_first_day_and_no_other_has_no_day_before() -> None:
    with pytest.raises(MalformedDay):
        resigned(DAYS[1], previous=NO_DAY)
    with pytest.raises(MalformedDay):
        resigned(DAYS[1], counter=1)
    assert DAYS[0].content.previous == NO_DAY


def test_states_and_grid_have_to_fit() -> None:
    with pytest.raises(MalformedDay):
        resigned(DAYS[0], states=(SlotState.MEASURED,) * 23)
    with pytest.raises(MalformedDay):
        resigned(DAYS[0], grid=DayGrid(date(2025, 3, 30), "Europe/Berlin", 60))
