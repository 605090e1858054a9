# SPDX-License-Identifier: Apache-2.0
"""A corrected day is the certifier's word: nobody makes one, moves one or goes back behind one.

The hub has all revisions of its days. Whatever it shows of them, the utility takes the newest that
it knows or a later one that names it. Which slots changed is the certifier's word, as the slots'
states are: `test_a_change_that_is_not_marked_is_the_certifiers_lie` says so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from hub.certifier import Certification, Certifier, CertifierKeys, CorrectionRefused, DayUse
from protocols.metrology import (
    CertifiedDay,
    Correction,
    CorrectionReason,
    DayContent,
    DayRefused,
    MalformedDay,
    SlotState,
    verify_days,
)
from protocols.proofs.group import ORDER
from tests.support.revisions import CERTIFIER, KEYS, PERIOD, SERIES, certified
from utility_server.database import open_database, writing
from utility_server.errors import VerificationFailed
from utility_server.retail.chains import extend_chains
from utility_server.retail.revoked_days import require_standing_days

LATE = CorrectionReason.LATE


def moved(use: DayUse, places: tuple[int, int] = (10, 20), wh: int = 7) -> DayUse:
    """Move some energy from one slot to another."""
    uses = list(use.uses)
    uses[places[0]] += wh
    uses[places[1]] -= wh
    return replace(use, uses=tuple(uses))


def corrected(
    done: Certification, places: tuple[int, int] = (10, 20), by: Certifier = CERTIFIER
) -> Certification:
    [again] = by.correct([(done, moved(done.use, places))], LATE)
    return again


FIRST = certified()
SECOND = [FIRST[0], corrected(FIRST[1]), *FIRST[2:]]
THIRD = [FIRST[0], corrected(SECOND[1], (11, 30)), *FIRST[2:]]
FORKED = [FIRST[0], corrected(FIRST[1], (50, 60)), *FIRST[2:]]
"""The hub was put back, and its certifier corrected the day in another way."""


def shown(days: Sequence[Certification]) -> list[CertifiedDay]:
    return [CERTIFIER.with_slots(one) for one in days]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "utility.db")
    yield engine
    engine.dispose()


def extend(engine: Engine, days: Sequence[Certification]) -> None:
    verify_days(shown(days), PERIOD, SERIES, KEYS.public_key)
    with writing(engine) as connection:
        extend_chains(connection, shown(days))


def test_revisions_are_taken_in_order_and_each_as_often_as_it_is_the_newest(
    engine: Engine,
) -> None:
    for days in (FIRST, SECOND, SECOND, THIRD, THIRD):
        extend(engine, days)
    assert [one.day.revision for one in THIRD] == [0, 2, 0, 0]
    assert THIRD[1].day.revisions[9:12] == (0, 1, 2)


@pytest.mark.parametrize("days", [FIRST, SECOND])
def test_an_older_revision_is_refused_once_a_newer_one_was_seen(
    engine: Engine, days: list[Certification]
) -> None:
    extend(engine, THIRD)
    with pytest.raises(VerificationFailed, match="chain: .*is not the newest revision known"):
        extend(engine, days)
    extend(engine, THIRD)


def test_a_revision_may_be_skipped_but_not_another_one_put_in_its_place(engine: Engine) -> None:
    extend(engine, FIRST)
    extend(engine, THIRD)  # nobody asked in between; it names the one that was skipped
    with pytest.raises(VerificationFailed, match="is not the newest revision known"):
        extend(engine, FORKED)


def test_two_corrections_of_the_same_day_do_not_stand_beside_each_other(engine: Engine) -> None:
    extend(engine, FORKED)
    with pytest.raises(VerificationFailed, match="corrects another day than the one"):
        extend(engine, SECOND)
    with pytest.raises(VerificationFailed, match="corrects another day than the one"):
        extend(engine, THIRD)


def content_of(day: CertifiedDay) -> DayContent:
    assert isinstance(day.content, DayContent)
    return day.content


def bent(**changes: Callable[[DayContent], Any]) -> CertifiedDay:
    """Return the corrected day with something else in it, and the certifier's old signature."""
    day = shown(SECOND)[1]
    content = content_of(day)
    return replace(
        day, content=replace(content, **{name: to(content) for name, to in changes.items()})
    )


def correction_with(**changes: Any) -> Callable[[DayContent], Correction]:
    def change(content: DayContent) -> Correction:
        assert content.correction is not None
        return replace(content.correction, **changes)

    return change


@pytest.mark.parametrize(
    "day",
    [
        bent(correction=lambda content: None),
        bent(correction=correction_with(reason=CorrectionReason.REPLACED)),
        bent(correction=correction_with(revisions=(0,) * 92)),
        bent(correction=correction_with(earlier=(FIRST[2].day.digest,))),
        bent(opening=lambda content: (content.opening + 1) % ORDER),
        bent(meter=lambda _: b"meter 2"),
        bent(counter=lambda _: 3),
        bent(previous=lambda _: FIRST[1].day.digest),
    ],
)
def test_nobody_but_the_certifier_corrects_a_day(day: CertifiedDay) -> None:
    days = shown(FIRST)
    days[1] = day
    with pytest.raises(DayRefused):
        verify_days(days, PERIOD, SERIES, KEYS.public_key)


def test_another_key_corrects_nothing() -> None:
    other = Certifier(SERIES, CertifierKeys(bytes(range(1, 33)), KEYS.blinding_secret))
    content = content_of(SECOND[1].day)
    forged = CertifiedDay.sign(content, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    days = shown(FIRST)
    days[1] = forged
    with pytest.raises(DayRefused, match="signature"):
        verify_days(days, PERIOD, SERIES, KEYS.public_key)
    with pytest.raises(DayRefused, match="signature"):  # nor does it build on another's day
        corrected(FIRST[1], by=other)


def test_a_correction_of_another_day_or_chain_has_no_place() -> None:
    days = shown(FIRST)
    with pytest.raises(DayRefused, match="the day is missing"):
        verify_days([days[0], days[2], days[2], days[3]], PERIOD, SERIES, KEYS.public_key)
    # Of a chain with other readings: the next day does not name it.
    other = certified(start_wh=5)
    days[1] = shown([corrected(other[1])])[0]
    with pytest.raises(DayRefused, match="does not match|start where"):
        verify_days(days, PERIOD, SERIES, KEYS.public_key)


def over_midnight() -> list[Certification]:
    """Two days that were corrected together: the register at midnight is known better."""
    one, other = FIRST[1], FIRST[2]
    used = list(one.use.uses)
    used[-1] += 5
    later = list(other.use.uses)
    later[0] -= 5
    uses = [
        replace(one.use, uses=tuple(used), end_wh=one.use.end_wh + 5),
        replace(other.use, uses=tuple(later), start_wh=other.use.start_wh + 5),
    ]
    return CERTIFIER.correct(list(zip((one, other), uses, strict=True)), LATE)


def test_of_two_days_that_were_corrected_together_one_alone_is_refused() -> None:
    """What moved over midnight is in one day or the other, never in both or in none."""
    days = shown([FIRST[0], *over_midnight(), FIRST[3]])
    verify_days(days, PERIOD, SERIES, KEYS.public_key)
    for place in (1, 2):
        mixed = shown(FIRST)
        mixed[place] = days[place]
        with pytest.raises(DayRefused, match="does not start where the day before ended"):
            verify_days(mixed, PERIOD, SERIES, KEYS.public_key)


def test_nor_is_one_alone_taken_where_they_come_with_two_bills(engine: Engine) -> None:
    def bill(*days: Certification) -> None:
        with writing(engine) as connection:
            extend_chains(connection, shown(days))

    one, other = over_midnight()
    bill(*FIRST[:2])
    bill(*FIRST[2:])
    bill(FIRST[0], one)  # the other one is yet to be shown
    with pytest.raises(VerificationFailed, match="does not begin with the meter and register"):
        bill(*FIRST[2:])
    bill(other, FIRST[3])
    bill(FIRST[0], one)
    with pytest.raises(VerificationFailed, match="is not the newest revision known"):
        bill(*FIRST)


def test_the_certifier_corrects_only_what_it_has_signed() -> None:
    use = FIRST[1].use
    raised = replace(use, start_wh=use.start_wh + 1, end_wh=use.end_wh + 1)
    with pytest.raises(CorrectionRefused, match="the register at its begin"):
        CERTIFIER.correct([(FIRST[1], raised)], LATE)
    stored = replace(FIRST[1], use=moved(FIRST[1].use))
    with pytest.raises(Exception, match="the stored uses are not the certified ones"):
        CERTIFIER.correct([(stored, FIRST[1].use)], LATE)
    with pytest.raises(CorrectionRefused, match="does not follow the day before"):
        CERTIFIER.correct([(FIRST[1], FIRST[1].use), (FIRST[3], FIRST[3].use)], LATE)


def test_a_key_that_was_revoked_corrects_no_day_before_either() -> None:
    class Listed:
        """A list that revokes the certifier's key after all days are over."""

        @staticmethod
        def since(key: bytes) -> int | None:
            return 1 << 40 if key == KEYS.signing_public_key else None

    lists: Any = [Listed()]
    require_standing_days(shown(FIRST), KEYS.signing_public_key, lists)
    with pytest.raises(VerificationFailed, match="corrected with a key that was revoked"):
        require_standing_days(shown(SECOND), KEYS.signing_public_key, lists)


def test_a_change_that_is_not_marked_is_the_certifiers_lie(engine: Engine) -> None:
    """Nobody else can tell: commitments of unchanged slots need not be the same."""
    content = content_of(shown(SECOND)[1])
    assert content.correction is not None
    unmarked = replace(content.correction, revisions=(0,) * len(content.grid))
    lie = CertifiedDay.sign(replace(content, correction=unmarked), KEYS.signing_key)
    days = [one.with_slots(None) for one in shown(FIRST)]
    days[1] = lie
    verify_days(days, PERIOD, SERIES, KEYS.public_key)
    # Of slots that it says nothing of, it makes the very commitments that it made before.
    before, after = shown(FIRST)[1].slots, shown(SECOND)[1].slots
    assert before is not None
    assert after is not None
    differing = [at for at, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert tuple(differing) == content.correction.changed == (10, 20)


SLOTS = len(FIRST[1].use.grid)


@given(
    st.integers(1, 2),
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 4), min_size=SLOTS, max_size=SLOTS),
)
def test_a_correction_is_read_as_it_was_written(
    reason: int, earlier: list[bytes], revisions: list[int]
) -> None:
    within = tuple(min(one, len(earlier)) for one in revisions)
    correction = Correction(CorrectionReason(reason), tuple(earlier), within)
    assert Correction.of(correction.items(), SLOTS) == correction
    content = replace(content_of(FIRST[1].day), correction=correction)
    assert DayContent.decode(content.encode()) == content
    assert replace(DayContent.decode(content.encode())).encode() == content.encode()


@pytest.mark.parametrize(
    "items",
    [
        [3, [bytes(32)], [SLOTS, 0]],
        [1, [], [SLOTS, 0]],
        [1, [bytes(31)], [SLOTS, 0]],
        [1, [bytes(32), bytes(32)], [SLOTS, 0]],
        [1, [bytes(32)], [SLOTS, 2]],
        [1, [bytes(32)], [SLOTS - 1, 0]],
        [1, [bytes(32)], [1, 0, SLOTS - 1, 0]],
        [1, [bytes(32)], [0, 0, SLOTS, 1]],
        [1, [bytes([n]) * 32 for n in range(65)], [SLOTS, 0]],
        [1, [bytes(32)], [SLOTS, 0], 0],
        [1, [1], [SLOTS, 0]],
        7,
    ],
)
def test_a_correction_that_is_none_is_refused(items: Any) -> None:
    with pytest.raises((MalformedDay, ValueError)):
        Correction.of(items, SLOTS)


def test_a_day_of_before_has_no_correction_and_its_very_bytes() -> None:
    day = shown(FIRST)[1]
    assert CertifiedDay.decode(day.encode()).encode() == day.encode()
    assert content_of(day).correction is None
    assert (day.revision, set(day.revisions), day.link) == (0, {0}, day.digest)
    assert SlotState.MEASURED in content_of(day).states
