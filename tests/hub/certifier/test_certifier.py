# SPDX-License-Identifier: Apache-2.0
"""The certifier: days that everyone can verify and sums that it can open."""

import os
import random
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from hub.certifier import (
    Certification,
    Certifier,
    CertifierKeys,
    DayUse,
    KeyFileError,
    OutOfOrder,
)
from hub.readings import Reading, ReadingFlag
from protocols.amounts import SlotForm, Sum
from protocols.metrology import (
    CertifiedDay,
    DayContent,
    DayGrid,
    Period,
    Series,
    SlotState,
    verify_days,
)
from protocols.proofs import (
    FalseStatement,
    Source,
    StatementContext,
    open_amounts,
    verify_amounts,
)
from tests.support.statements import sent

SERIES = Series(b"meter 1", bytes.fromhex("0100010800ff"), "Europe/Berlin", 15)
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
CERTIFIER = Certifier(SERIES, KEYS)
PERIOD = Period(date(2025, 10, 24), date(2025, 10, 28))  # the clock changes on the 26th


def make_readings(period: Period = PERIOD, seed: int = 1) -> list[Reading]:
    """Return readings every ten seconds to half an hour, with a gap now and then."""
    dice = random.Random(seed)
    begin, end = period.bounds(SERIES.zone)
    time, register, readings = begin - 30, 70_000, []
    while time < end + 4000:
        flags = ReadingFlag(dice.choices([0, 1, 2], [50, 1, 1])[0])
        readings.append(Reading(time, register, flags))
        seconds = dice.choices([10, 300, 900, 1800], [1, 5, 5, 1])[0]
        time, register = time + seconds, register + dice.randrange(seconds)
    return readings


def certify(period: Period = PERIOD, certifier: Certifier = CERTIFIER) -> list[Certification]:
    readings, done = make_readings(period), list[Certification]()
    for day in period.days(SERIES.zone):
        done.append(certifier.certify(day, readings, done[-1] if done else None))
    return done


DONE = certify()


def weights_of(certifications: list[Certification], seed: int = 1) -> list[int]:
    dice = random.Random(seed)
    return [dice.randrange(-50, 400_000) for c in certifications for _ in c.use.uses]


CONTEXT = StatementContext(
    SERIES.meter, SERIES.register, *PERIOD.bounds(SERIES.zone), 15, bytes(32), "Supplier", "bill",
    bytes(16),
)  # fmt: skip
AMOUNT = Sum(SlotForm.of_each(weights_of(DONE)))


def source_of(
    certifications: list[Certification],
    known: list[Certification] | None = None,
    certifier: Certifier = CERTIFIER,
    *,
    by_slots: bool = True,
) -> Source:
    """The certified days, with what a certifier says of these or of other days."""
    period = sent(CERTIFIER, certifications, by_slots=by_slots)
    opening = certifier.opening(known or certifications, needs_slots=by_slots)
    return period.source(opening, needs_slots=by_slots)


def open_sum(source: Source) -> tuple[tuple[int, ...], bytes]:
    return open_amounts(CONTEXT, source, [AMOUNT], bytes(32))


def test_a_period_of_certified_days_verifies_from_its_bytes() -> None:
    days = [CertifiedDay.decode(done.day.encode()) for done in DONE]
    period = verify_days(days, PERIOD, SERIES, KEYS.public_key)
    assert [len(grid) for grid in period.grids] == [96, 96, 100, 96, 96]
    assert period.states == tuple(state for done in DONE for state in done.use.states)
    assert set(period.states) == set(SlotState)


@pytest.mark.parametrize("by_slots", [True, False])
def test_an_opened_sum_is_the_exact_one_and_verifies(by_slots: bool) -> None:
    values, proof = open_sum(source_of(DONE, by_slots=by_slots))
    uses = [use for done in DONE for use in done.use.uses]
    assert values == (sum(w * x for w, x in zip(weights_of(DONE), uses, strict=True)),)
    days = [CERTIFIER.with_slots(done) if by_slots else done.day for done in DONE]
    period = verify_days(days, PERIOD, SERIES, KEYS.public_key)
    source = period.source(needs_slots=by_slots)
    assert verify_amounts(CONTEXT, source, [AMOUNT], proof, "the sum")[0] == values


def test_a_sum_is_opened_again_from_what_the_vault_kept() -> None:
    kept = [(done.day.encode(), done.use.encode()) for done in DONE]
    again = [Certification(CertifiedDay.decode(d), DayUse.decode(u)) for d, u in kept]
    later = Certifier(SERIES, KEYS)
    assert open_sum(source_of(again, again, later)) == open_sum(source_of(DONE))


def test_days_are_certified_one_after_the_other() -> None:
    readings = make_readings()
    with pytest.raises(OutOfOrder, match="2025-10-26: the day after 2025-10-24 is due"):
        CERTIFIER.certify(date(2025, 10, 26), readings, DONE[0])
    with pytest.raises(OutOfOrder, match="the day after 2025-10-25 is due"):
        CERTIFIER.certify(date(2025, 10, 25), readings, DONE[1])
    other = Certifier(replace(SERIES, meter=b"meter 2"), KEYS)
    with pytest.raises(OutOfOrder, match="another register"):
        other.certify(date(2025, 10, 25), readings, DONE[0])


def test_the_calendar_may_skip_a_day() -> None:
    certifier = Certifier(replace(SERIES, zone="Pacific/Apia"), KEYS)
    period = Period(date(2011, 12, 29), date(2011, 12, 31))
    grids = period.grids("Pacific/Apia", 15)
    times = range(grids[0].begin, grids[1].end + 1, 900)
    readings = [Reading(time, n) for n, time in enumerate(times)]
    first = certifier.certify(date(2011, 12, 29), readings, None)
    second = certifier.certify(date(2011, 12, 31), readings, first)
    verify_days([first.day, second.day], period, certifier.series, KEYS.public_key)


def test_certifying_again_gives_the_same_day() -> None:
    again = certify()
    assert [done.day.encode() for done in again] == [done.day.encode() for done in DONE]


def test_a_day_or_slot_with_another_use_shares_no_blinding() -> None:
    grid = DayGrid(date(2025, 10, 24), SERIES.zone, 15)
    one = [Reading(t, 10 * n) for n, t in enumerate(grid.boundaries())]
    other = [*one[:-1], Reading(one[-1].time, one[-1].register_wh + 1)]
    a, b = (CERTIFIER.certify(grid.day, readings, None) for readings in (one, other))
    assert a.use.uses[:-1] == b.use.uses[:-1]
    (p, q), (v, w) = ([CERTIFIER.slot_points(one.use) for one in (a, b)], [a.day, b.day])
    # A slot that used the same is committed to by the same point: nothing to subtract there.
    assert [place for place in range(96) if p[place] != q[place]] == [95]
    contents = [one.content for one in (v, w) if isinstance(one.content, DayContent)]
    assert contents[0].vector != contents[1].vector
    assert contents[0].unattributed != contents[1].unattributed


def test_equal_uses_are_committed_to_by_unrelated_points() -> None:
    points = [point.encode() for done in DONE for point in CERTIFIER.slot_points(done.use)]
    assert len(set(points)) == len(points)


def test_the_certifier_opens_only_what_it_certified() -> None:
    with pytest.raises(ValueError):
        open_sum(source_of(DONE, DONE[:-1]))
    with pytest.raises(FalseStatement, match="not the certified ones"):
        open_sum(source_of(DONE, [*DONE[1:], DONE[0]]))
    for series in (replace(SERIES, meter=b"meter 2"), replace(SERIES, register=b"another"[:6])):
        with pytest.raises(FalseStatement, match="not the certified ones"):
            open_sum(source_of(DONE, DONE, Certifier(series, KEYS)))
    use = DONE[0].use
    swapped = replace(use, uses=(use.uses[1], use.uses[0], *use.uses[2:]))
    lying = [Certification(DONE[0].day, swapped), *DONE[1:]]
    with pytest.raises(FalseStatement, match="not the certified ones"):
        open_sum(source_of(DONE, lying))
    stranger = Certifier(SERIES, CertifierKeys.generate(os.urandom))
    with pytest.raises(FalseStatement, match="not the certified ones"):
        open_sum(source_of(DONE, DONE, stranger))


def test_secrets_do_not_show_in_a_representation() -> None:
    shown = repr(CERTIFIER) + repr(KEYS) + repr(DONE[0])
    assert KEYS.signing_seed.hex() not in shown
    assert repr(KEYS.blinding_secret) not in shown
    assert "uses" not in shown


def test_keys_are_saved_once_with_mode_0600_and_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "certifier.key"
    keys = CertifierKeys.generate(os.urandom)
    keys.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = CertifierKeys.load(path)
    assert (loaded.signing_seed, loaded.blinding_secret) == (
        keys.signing_seed, keys.blinding_secret,
    )  # fmt: skip
    with pytest.raises(KeyFileError):
        keys.save(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="0640"):
        CertifierKeys.load(path)


def test_a_file_that_is_no_key_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "certifier.key"
    with pytest.raises(KeyFileError):
        CertifierKeys.load(path)
    KEYS.save(path)
    data = path.read_bytes()
    for bad in [data[:-1], data + b"\0", b"X" + data[1:], b"", data[:-32] + data[-64:-32]]:
        path.write_bytes(bad)
        with pytest.raises(KeyFileError):
            CertifierKeys.load(path)
