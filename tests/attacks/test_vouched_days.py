# SPDX-License-Identifier: Apache-2.0
"""Signatures that verifiers do not look at: nobody gets a day in by that which was not signed.

Of days in a row the last one's signature is checked. It stands for the days before, since each is
named by its digest, and the certifier names none that it has not signed. Where that does not hold,
each of these has a forger who would be glad: his day's own signature is checked.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.certifier import Certification, Certifier, CertifierKeys, OutOfOrder
from hub.readings import Reading
from protocols.metrology import (
    CertifiedDay,
    Correction,
    CorrectionReason,
    DayContent,
    DayGrid,
    DayRefused,
    FirstDayOfCustody,
    KeyChain,
    Period,
    Series,
    SlotState,
    verify_days,
)
from tests.support.days import KEY, PERIOD, SERIES, make_days, make_days_of_version_1

PUBLIC = KEY.public_key()
DAYS = [day.with_slots(None) for day in make_days()]
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
GARBAGE = bytes(64)


def content_of(day: CertifiedDay) -> DayContent:
    assert isinstance(day.content, DayContent)
    return day.content


def signed(day: CertifiedDay, **changes: Any) -> CertifiedDay:
    return CertifiedDay.sign(replace(content_of(day), **changes), KEY)


def chained(days: list[CertifiedDay], start: int) -> list[CertifiedDay]:
    """Return the days, those from `start` on signed again to follow the ones before."""
    done = days[:start]
    for day in days[start:]:
        done.append(signed(day, previous=done[-1].link))
    return done


def unsigned(day: CertifiedDay) -> CertifiedDay:
    return replace(day, signature=GARBAGE)


def test_what_an_unchecked_signature_covers_is_what_was_signed() -> None:
    days = [*map(unsigned, DAYS[:-1]), DAYS[-1]]
    period = verify_days(days, PERIOD, SERIES, PUBLIC)
    assert [day.content for day in period.days] == [day.content for day in DAYS]
    assert period.digests == tuple(day.digest for day in DAYS)


@pytest.mark.parametrize(
    "change",
    [
        {"states": (SlotState.MISSING,) * 23},
        {"vector": content_of(DAYS[0]).vector},
        {"unattributed": content_of(DAYS[0]).unattributed},
        {"opening": 1},
        {"slots": bytes(32)},
    ],
)
def test_another_day_in_the_place_of_a_signed_one_is_refused(change: dict[str, Any]) -> None:
    forged = replace(DAYS[1], content=replace(content_of(DAYS[1]), **change))
    with pytest.raises(DayRefused, match="2025-03-30: the signature does not match"):
        verify_days([DAYS[0], forged, *DAYS[2:]], PERIOD, SERIES, PUBLIC)
    # Nor with the rest chained to it, which the forger cannot sign.
    rest = [replace(DAYS[2], content=replace(content_of(DAYS[2]), previous=forged.digest)), DAYS[3]]
    with pytest.raises(DayRefused, match="2025-03-30: the signature does not match"):
        verify_days([DAYS[0], forged, *rest], PERIOD, SERIES, PUBLIC)


def test_what_was_received_of_one_day_is_not_kept_for_another() -> None:
    received = CertifiedDay.decode(DAYS[1].encode())
    bent = replace(received, content=replace(content_of(received), opening=1))
    assert bent.digest != received.digest
    assert bent.encode() != received.encode()
    assert received.encode() == DAYS[1].encode()
    assert received.digest == DAYS[1].digest


def custody_begins() -> list[CertifiedDay]:
    days = list(DAYS)
    days[2] = signed(days[2], events=(FirstDayOfCustody(bytes(16)),))
    return chained(days, 3)


def corrected() -> list[CertifiedDay]:
    days, first = list(DAYS), DAYS[1]
    late = Correction(CorrectionReason.LATE, (first.digest,), (1, *[0] * 22))
    days[1] = signed(first, correction=late)
    return days  # the next day names the digest that the day had first


def key_changes() -> list[CertifiedDay]:
    root, begins = PUBLIC.public_bytes_raw(), DAYS[2].day
    chain = KeyChain(SERIES.meter, root).succeeded(begins, KEY, OTHER_KEY)
    later = [
        CertifiedDay.sign(day.content, OTHER_KEY, announcements=chain.announcements)
        for day in DAYS[2:]
    ]
    return [*DAYS[:2], *later]


def stated_again() -> list[CertifiedDay]:
    old = make_days_of_version_1()
    days = list[CertifiedDay]()
    for day, was in zip(DAYS, old, strict=True):
        content = replace(
            content_of(day), previous=was.content.previous, restated=was.digest, events=()
        )
        days.append(CertifiedDay.sign(content, KEY))
    return days


def of_version_1() -> list[CertifiedDay]:
    return make_days_of_version_1()


@pytest.mark.parametrize(
    "make", [custody_begins, corrected, key_changes, stated_again, of_version_1]
)
def test_a_day_that_no_other_vouches_for_needs_its_own_signature(
    make: Callable[[], list[CertifiedDay]],
) -> None:
    days = make()
    verify_days(days, PERIOD, SERIES, PUBLIC)
    with pytest.raises(DayRefused, match="2025-03-30: the signature does not match"):
        verify_days([days[0], unsigned(days[1]), *days[2:]], PERIOD, SERIES, PUBLIC)


def test_days_over_the_seam_are_no_better_for_having_been_verified_before() -> None:
    later = Period(PERIOD.first + timedelta(days=2), PERIOD.last)
    with pytest.raises(DayRefused, match="2025-04-01: the signature does not match"):
        verify_days([DAYS[2], unsigned(DAYS[3])], later, SERIES, PUBLIC, after=DAYS[1])


# The certifier's side of it


HOME = Series(b"home", bytes.fromhex("0100010800ff"), "Europe/Berlin", 60)
CERTIFIER = Certifier(HOME, CertifierKeys(bytes(range(32)), bytes(range(32, 64))))
THIEF = Certifier(HOME, CertifierKeys(bytes(range(1, 33)), bytes(range(32, 64))))


def certified(certifier: Certifier, day: date, previous: Certification | None) -> Certification:
    grid, dice = DayGrid(day, HOME.zone, HOME.slot_minutes), random.Random(1)
    register = 0 if previous is None else previous.use.end_wh
    readings = []
    for time in grid.boundaries():
        readings.append(Reading(time, register))
        register += dice.randrange(900)
    return certifier.certify(day, readings, previous)


def test_a_certifier_signs_on_no_day_that_it_has_not_signed() -> None:
    first, second = date(2025, 3, 1), date(2025, 3, 2)
    own, foreign = certified(CERTIFIER, first, None), certified(THIEF, first, None)
    certified(CERTIFIER, second, own)
    bent = replace(own.day, content=replace(content_of(own.day), slots=bytes(32)))
    grid = DayGrid(second, HOME.zone, HOME.slot_minutes)
    readings = [Reading(time, own.use.end_wh) for time in grid.boundaries()]
    for handed in (foreign, replace(own, day=unsigned(own.day)), replace(own, day=bent)):
        with pytest.raises(OutOfOrder, match="has not signed the day before"):
            certified(CERTIFIER, second, handed)
        with pytest.raises(OutOfOrder, match="has not signed the day before"):
            CERTIFIER.certify_slots(second, readings, handed)
        with pytest.raises(OutOfOrder, match="has not signed the day before"):
            CERTIFIER.slots(second, readings, handed, (), 3)


# Whatever a forger mixes, only what was signed gets in


MAKERS = [lambda: list(DAYS), custody_begins, corrected, key_changes, stated_again]


def forged(dice: random.Random, days: list[CertifiedDay], spare: list[CertifiedDay]) -> None:
    """Change some days in place: their signatures, their contents, or for days of other chains."""
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(len(days))
        day = days[place]
        match dice.randrange(5):
            case 0:
                days[place] = replace(day, signature=dice.randbytes(64))
            case 1:
                days[place] = replace(day, signature=dice.choice(days).signature)
            case 2:
                days[place] = dice.choice([one for one in spare if one.day == day.day])
            case 3:  # other uses, and every later day chained anew, with the signatures there are
                changed = replace(content_of(day), vector=content_of(dice.choice(days)).vector)
                days[place] = replace(day, content=changed)
                for after in range(place + 1, len(days)):
                    content = replace(content_of(days[after]), previous=days[after - 1].link)
                    days[after] = replace(days[after], content=content)
            case _:
                signer = dice.choice(
                    [OTHER_KEY, Ed25519PrivateKey.from_private_bytes(bytes([5] * 32))]
                )
                days[place] = CertifiedDay.sign(
                    day.content, signer, announcements=day.announcements
                )


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_mixed_what_is_taken_was_signed_and_in_this_order(seed: int) -> None:
    dice, taken = random.Random(seed), 0
    chains = [make() for make in MAKERS]
    other = [day.with_slots(None) for day in make_days(seed=7)]
    spare = [day for chain in [*chains, other] for day in chain]
    was_signed = {day.digest for day in spare}
    for _ in range(25):
        days = list(dice.choice(chains))
        forged(dice, days, spare)
        try:
            period = verify_days(days, PERIOD, SERIES, PUBLIC)
        except DayRefused:
            continue
        taken += 1
        assert {day.digest for day in period.days} <= was_signed
        for before, day in pairwise(period.days):
            assert day.content.previous == before.link
        for day in period.days:
            if day.is_signed_again:  # no digest of another day stands for these
                day.verify(PUBLIC)
    assert taken  # signatures alone were spoilt in some
