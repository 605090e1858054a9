# SPDX-License-Identifier: Apache-2.0
"""Where the certifier's keys and the versions of days meet: slots of a day, days stated again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine

from hub.certifier import Certification, Certifier, CertifierKeys
from hub.device import Description, Device
from hub.meters.emulated import emulated_meter_id
from hub.readings import Reading
from protocols.metrology import (
    ACTIVE_ENERGY_IMPORT,
    CertifiedDay,
    DayContent,
    DayGrid,
    DayRefused,
    MalformedDay,
    Period,
    Series,
    verify_days,
)
from tests.support.rotating import NOW, ZONE, Dice, fill, make_hub
from tests.support.version1 import certify_version_1
from utility_server.database import open_database
from utility_server.errors import VerificationFailed
from utility_server.retail.ledger import Ledger

FIRST = date(2025, 3, 1)
DAY = timedelta(days=1)
SERIES = Series(b"meter 1", ACTIVE_ENERGY_IMPORT, ZONE, 15)
OLD = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
NEW = OLD.succeeded(SERIES.meter, FIRST + 5 * DAY, Dice(70 << 20))
LATER = NEW.succeeded(SERIES.meter, FIRST + 7 * DAY, Dice(80 << 20))
PERIOD = Period(FIRST, FIRST + 7 * DAY)


def opened(folder: Path, seed: int) -> Device:
    return Device.open(folder, randomness=Dice(seed << 20), now=lambda: NOW)


def noon(day: date) -> int:
    return DayGrid(day, ZONE, 15).begin + 12 * 3600


@pytest.mark.parametrize("days", [0, 3])
def test_slots_that_an_old_key_signed_stay_in_the_day_that_the_new_key_signs(
    tmp_path: Path, days: int
) -> None:
    today, folder = FIRST + days * DAY, tmp_path / "hub"
    if days:
        make_hub(folder, FIRST, today - DAY).close()
    else:
        description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), ZONE, 15)
        Device.create(folder, description, randomness=Dice(), now=lambda: NOW).close()
    with opened(folder, 1) as device:
        fill(device, today, today, until=noon(today))
        morning = device.main.certified_slots(today)
        assert len(morning) == 48
        old = device.main.certifier.keys.signing_key.public_key()
        device.rotate_certifier_key()
    with opened(folder, 2) as device:
        fill(device, today, today + DAY)
        slots, meter = device.main.certified_slots(today), device.main
        keys, grid = meter.certifier.keys, DayGrid(today, ZONE, 15)
        assert (len(slots), slots[:48]) == (96, morning)
        for slot in slots[:48]:
            slot.verify(old, grid)
        for slot in slots[48:]:
            slot.verify(keys.signing_key.public_key(), grid)
        period = Period(FIRST, today + DAY)
        sent, _ = meter.opened(meter.certifications(period), needs_slots=True)
        assert [len(day.announcements) for day in sent.days[-2:]] == [1, 1]
        verify_days(sent.days, period, meter.certifier.series, keys.public_key)


def certified() -> tuple[list[Certification], list[Certification]]:
    """Return three days of version 1, and days of version 2 by three keys after them."""
    begin, end = PERIOD.bounds(ZONE)
    readings = [Reading(time, 5 * place) for place, time in enumerate(range(begin, end + 1, 900))]
    old = certify_version_1(Certifier(SERIES, OLD), Period(FIRST, FIRST + 2 * DAY), readings)
    new = [*old]
    for place, keys in ((3, OLD), (4, OLD), (5, NEW), (6, NEW), (7, LATER)):
        new.append(Certifier(SERIES, keys).certify(FIRST + place * DAY, readings, new[-1]))
    return old, new[3:]


STORED, SIGNED = certified()


def stated(keys: CertifierKeys) -> list[CertifiedDay]:
    return [Certifier(SERIES, keys).restate(one).day for one in STORED]


def verify(days: list[CertifiedDay]) -> None:
    verify_days(days, Period(FIRST, days[-1].day), SERIES, OLD.signing_key.public_key())


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    engine: Engine = open_database(tmp_path / "utility.db")
    yield Ledger(engine)
    engine.dispose()


def enter(ledger: Ledger, days: list[CertifiedDay]) -> None:
    ledger.append(1, "bill", SERIES.meter, {}, b"bundle", days)


def test_days_of_an_old_key_are_stated_again_by_the_key_in_force(ledger: Ledger) -> None:
    rest = [one.day for one in SIGNED]
    assert [len(day.announcements) for day in rest] == [0, 0, 1, 1, 2]
    enter(ledger, [one.day for one in STORED])
    for keys, count in ((OLD, 0), (NEW, 1), (LATER, 2)):
        again = stated(keys)
        assert [len(day.announcements) for day in again] == [count] * 3
        assert [CertifiedDay.decode(day.encode()) for day in again] == again
        verify([*again, *rest])
        enter(ledger, [*again, *rest])  # the chain is the same, whoever stated it
    verify([*stated(OLD)[:1], *stated(LATER)[1:2], *stated(NEW)[2:], *rest])


def test_a_day_stated_again_opens_with_the_secrets_of_its_time() -> None:
    certifier = Certifier(SERIES, LATER)
    done = [*map(certifier.restate, STORED), *SIGNED]
    for by_slots in (False, True):
        opening = certifier.opening(done, needs_slots=by_slots)
        assert list(opening.uses) == [wh for one in done for wh in one.use.uses]
    for one in done:
        certifier.with_slots(one).verify(LATER.public_key)  # the points are those of the chain


def by_thief(day: CertifiedDay, keys: CertifierKeys, announcements: int) -> CertifiedDay:
    """Return the day, said to be stated again, as who has a key that has ended would sign it."""
    content = day.content
    assert isinstance(content, DayContent)
    false = replace(content, restated=content.restated or bytes([1] * 32))
    carried = LATER.announcements[:announcements]
    return CertifiedDay.sign(false, keys.signing_key, announcements=carried)


def test_a_key_that_has_ended_states_no_day_of_its_successors_again(ledger: Ledger) -> None:
    days = [*stated(LATER), *(one.day for one in SIGNED)]
    for place in (5, 6, 7):
        for count in (1, 2):  # with these announcements it is another key that signs
            with pytest.raises(DayRefused, match="signature does not match"):
                by_thief(days[place], OLD, count).verify(OLD.public_key)
        forged = by_thief(days[place], OLD, 0)
        forged.verify(OLD.public_key)  # by itself it looks right
        with pytest.raises(DayRefused, match="had ended before that day"):
            verify([*days[:place], forged, *days[place + 1 :]])
        enter(ledger, days)
        with pytest.raises(VerificationFailed, match="had ended before"):
            enter(ledger, [forged])
    forged = by_thief(days[7], NEW, 1)
    with pytest.raises(DayRefused, match="had ended before that day"):
        verify([*days[:7], forged])  # the days before it carry what was announced later


def test_only_a_day_stated_again_carries_keys_that_came_later() -> None:
    with pytest.raises(MalformedDay, match="had not come into force"):
        replace(SIGNED[0].day, announcements=NEW.announcements)
    with pytest.raises(MalformedDay, match="first key"):
        replace(STORED[0].day, announcements=NEW.announcements)


def test_who_knows_another_chain_takes_no_day_stated_again(ledger: Ledger) -> None:
    enter(ledger, [*stated(NEW), *(one.day for one in SIGNED[:3])])
    stolen = OLD.succeeded(SERIES.meter, FIRST + 5 * DAY, Dice(90 << 20))
    forged = stated(stolen)
    for day in forged:
        day.verify(Ed25519PublicKey.from_public_bytes(OLD.signing_public_key))
    with pytest.raises(VerificationFailed, match="is not the one that is known"):
        enter(ledger, forged)
