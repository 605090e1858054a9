# SPDX-License-Identifier: Apache-2.0
"""Certified days: one encoding, every byte under the signature, no day to be moved."""

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
    DayContent,
    DayGrid,
    DayRefused,
    MalformedDay,
    MetrologyError,
    Period,
    SlotState,
    verify_days,
)
from protocols.metrology.day_content import LABEL
from protocols.proofs import PointVector, VectorCommitment
from protocols.proofs.group import GENERATOR, INFINITY, ORDER
from tests.support.days import KEY, PERIOD, SERIES, head_of, make_days, make_days_of_version_1

PUBLIC = KEY.public_key()
DAYS = make_days()
BARE = [day.with_slots(None) for day in DAYS]


def content_of(day: CertifiedDay) -> DayContent:
    assert isinstance(day.content, DayContent)
    return day.content


@pytest.mark.parametrize("days", [DAYS, BARE])
def test_a_day_is_reproduced_from_its_bytes_and_verifies(days: list[CertifiedDay]) -> None:
    for day in days:
        decoded = CertifiedDay.decode(day.encode())
        assert decoded == day
        assert decoded.digest == day.digest
        decoded.verify(PUBLIC)


def test_slots_go_along_or_not_and_the_day_is_the_same() -> None:
    for day, bare in zip(DAYS, BARE, strict=True):
        assert bare.digest == day.digest
        assert len(day.encode()) - len(bare.encode()) in range(33 * 23, 33 * 24 + 3)
        assert bare.with_slots(day.slots) == day


def test_the_bytes_are_what_another_cbor_library_reads() -> None:
    body, signature, points = cbor2.loads(DAYS[0].encode())
    fields = cbor2.loads(body)
    assert fields[:8] == [
        LABEL, SERIES.meter, SERIES.register, "2025-03-29", "Europe/Berlin", 60, 1, NO_DAY,
    ]  # fmt: skip
    runs = fields[11]
    states = [state for at in range(0, len(runs), 2) for state in [runs[at + 1]] * runs[at]]
    assert tuple(states) == DAYS[0].content.states
    assert len(points) == 33 * 24
    PUBLIC.verify(signature, LABEL.encode() + body)


@pytest.mark.parametrize("day", [DAYS[1], BARE[1]])
def test_every_flipped_byte_of_a_day_is_refused(day: CertifiedDay) -> None:
    data = day.encode()
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
                content = DayContent.decode(bytes(bent))
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
    body, signature, points = cbor2.loads(DAYS[0].encode())
    fields = cbor2.loads(body)
    fields[place] = item
    return cbor2.dumps([cbor2.dumps(fields, canonical=True), signature, points], canonical=True)


@pytest.mark.parametrize(
    ("place", "item", "reason"),
    [
        (0, "meterlet certified day 1", "other fields"),
        (0, "meterlet certified day 3", "other fields"),
        (1, b"", "1 to 64 bytes"),
        (1, b"x" * 65, "1 to 64 bytes"),
        (2, b"12345", "6"),
        (3, "20250329", "YYYY-MM-DD"),
        (3, "2025-02-30", "not a certified day"),
        (3, b"2025-03-29", "other fields"),
        (4, "Europe/Nowhere", "no time zone"),
        (5, 7, "slots of 7 minutes"),
        (5, 30, "runs of them for 48 slots|24 states"),
        (6, 0, "counter"),
        (6, 2, "day before"),
        (6, 2**32, "counter"),
        (7, bytes(31), "day before"),
        (7, b"\1" * 32, "day before"),
        (8, bytes(31), "32 bytes"),
        (9, b"", "1 to 64 bytes"),
        (9, b"another", "begins with the meter"),
        (10, 0, "steps of 1 to"),
        (10, 2, "begins with the meter"),
        (10, 10**7, "steps of 1 to"),
        (11, [23, 0], "23 states"),
        (11, [25, 0], "runs of them for 24 slots"),
        (11, [24, 4], "not a certified day"),
        (11, [12, 0, 12, 0], "two runs of states are one"),
        (11, [24, 0, 0, 1], "runs of them"),
        (11, [24], "runs of them"),
        (11, bytes(24), "other fields"),
        (12, [[9, 0]], "does not know"),
        (12, [[2, 24, 10]], "has not"),
        (12, [[2, 0, 10, 1]], "does not know"),
        (12, [[2, 3, 10], [2, 3, 20]], "out of order, or one is repeated"),
        (12, [[2, 3, 10], [2, 2, 20]], "out of order, or one is repeated"),
        (12, [[3, 0, bytes(15)]], "16 bytes"),
        (12, [[3, 1, bytes(16)]], "begins with a day"),
        (13, bytes(33), "not a point"),
        (13, b"", "not 33 bytes"),
        (14, bytes(31), "32 bytes"),
        (15, bytes(33), "not a point"),
        (16, bytes(32), "not 33 bytes"),
        (17, b"\0", "not 33 bytes"),
        (18, ORDER.to_bytes(32, "big"), "not reduced"),
        (18, bytes(31), "32 bytes"),
    ],
)
def test_fields_outside_of_their_range_are_refused(place: int, item: object, reason: str) -> None:
    with pytest.raises(MalformedDay, match=reason):
        CertifiedDay.decode(bend_body(place, item))


def resigned(day: CertifiedDay, **changes: Any) -> CertifiedDay:
    return CertifiedDay.sign(replace(content_of(day), **changes), KEY, day.slots)


def test_points_at_infinity_cannot_be_certified() -> None:
    with pytest.raises(MalformedDay, match="infinity"):
        resigned(DAYS[0], vector=INFINITY)


def test_another_key_does_not_verify() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(DayRefused, match="2025-03-29: the signature does not match"):
        DAYS[0].verify(other)


@pytest.mark.parametrize("field", ["start", "end", "unattributed", "opening"])
def test_a_signed_day_that_does_not_sum_up_is_refused(field: str) -> None:
    content = content_of(DAYS[0])
    change = (
        (content.opening + 1) % ORDER if field == "opening" else getattr(content, field) + GENERATOR
    )
    bent = resigned(DAYS[0], **{field: change})
    with pytest.raises(DayRefused, match="do not sum to the register's difference"):
        bent.verify(PUBLIC)
    bent.with_slots(None).verify(PUBLIC)  # the certifier's word, where nobody compares slots


def test_a_period_has_the_source_that_a_statement_needs() -> None:
    period = verify_days(DAYS, PERIOD, SERIES, PUBLIC)
    assert [len(grid) for grid in period.grids] == [24, 23, 24, 24]
    assert len(period.commitments) == len(period.states) == 95
    assert period.digests == tuple(day.digest for day in DAYS)
    assert len(period.unattributed) == 4
    by_slots, by_day = (period.source(needs_slots=needs) for needs in (True, False))
    assert isinstance(by_slots.commitment, PointVector)
    assert isinstance(by_day.commitment, VectorCommitment)
    assert by_slots.size == by_day.size == 95
    assert by_slots.identity == by_day.identity
    bare = verify_days(BARE, PERIOD, SERIES, PUBLIC)
    assert bare.source(needs_slots=False) == by_day
    with pytest.raises(DayRefused, match="2025-03-29: its slots did not come with it"):
        bare.source(needs_slots=True)
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
    assert refused([a, c, b, d]) == "2025-03-30: in its place is 2025-03-31"
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
    jumped = resigned(BARE[1], counter=7)
    assert "counter" in refused([DAYS[0], jumped, *DAYS[2:]])
    assert "counter" in refused(DAYS, after=DAYS[3])


def test_a_register_that_jumps_at_midnight_is_refused() -> None:
    content = content_of(DAYS[1])
    moved = resigned(
        DAYS[1], start=content.start + GENERATOR, opening=(content.opening + 1) % ORDER
    )
    moved.verify(PUBLIC)
    assert refused([DAYS[0], moved, *DAYS[2:]]) == (
        "2025-03-30: the register does not start where the day before ended"
    )


def test_states_and_grid_have_to_fit() -> None:
    with pytest.raises(MalformedDay):
        resigned(DAYS[0], states=(SlotState.MEASURED,) * 23)
    with pytest.raises(MalformedDay):
        resigned(DAYS[0], grid=DayGrid(date(2025, 3, 30), "Europe/Berlin", 60))
    with pytest.raises(MalformedDay):
        resigned(DAYS[1], previous=NO_DAY)


def follow(old: list[CertifiedDay], new: list[CertifiedDay], at: int) -> list[CertifiedDay]:
    """Return days of which the first are of version 1, and the day after them names their last."""
    previous, day = old[at - 1].link, new[at]
    content = content_of(day)
    assert day.slots is not None
    slots = head_of(SERIES, content.grid, content.states, day.slots, previous)
    changed = [resigned(day, previous=previous, slots=slots)]
    for one in new[at + 1 :]:
        content = content_of(one)
        assert one.slots is not None
        before = changed[-1].digest
        slots = head_of(SERIES, content.grid, content.states, one.slots, before)
        changed.append(resigned(one, previous=before, slots=slots))
    return [*old[:at], *changed]


OLD = make_days_of_version_1()


def test_a_day_of_version_2_follows_one_of_version_1_and_never_the_other_way_round() -> None:
    period = verify_days(follow(OLD, DAYS, 2), PERIOD, SERIES, PUBLIC)
    with pytest.raises(DayRefused, match="2025-03-31: the day is not of version 1"):
        period.source(needs_slots=False)
    content = OLD[2].content
    back = CertifiedDay.sign(replace(content, previous=DAYS[1].digest), KEY)
    assert refused([*DAYS[:2], back, DAYS[3]]) == (
        "2025-03-31: a day of version 1 does not follow one of version 2"
    )


def restated(old: CertifiedDay, new: CertifiedDay) -> CertifiedDay:
    content = content_of(new)
    assert new.slots is not None
    previous = old.content.previous
    slots = head_of(SERIES, content.grid, content.states, new.slots, previous)
    return resigned(new, previous=previous, slots=slots, restated=old.digest)


def test_a_day_stated_again_keeps_its_place_in_the_chain() -> None:
    again = [restated(*pair) for pair in zip(OLD, DAYS, strict=True)]
    assert [day.link for day in again] == [day.digest for day in OLD]
    assert verify_days(again, PERIOD, SERIES, PUBLIC).version == 2
    mixed = [*again[:2], *follow(OLD, DAYS, 2)[2:]]
    assert verify_days(mixed, PERIOD, SERIES, PUBLIC).version == 2
    assert refused([again[0], DAYS[1], *again[2:]]) == (
        "2025-03-30: the hash of the day before does not match"
    )
    stolen = resigned(again[1], restated=OLD[2].digest)
    assert refused([again[0], stolen, *again[2:]]) == (
        "2025-03-31: the hash of the day before does not match"
    )
