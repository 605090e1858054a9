# SPDX-License-Identifier: Apache-2.0
"""Another resident, or another home: nobody inherits readings, consents or invoices.

A hand-over makes new files for the hub, into which it takes just what may stay, and puts them in
the place of the former ones (`hub.replacing`). What it does not take is gone, whatever release has
kept it there: readings, days, consents, applets with their stores and channels, answers, the log's
entries, the pages' accounts and tokens, and every key but one.

    same meter, another custody    the certifier's signing key and what it announced; where each
                                   chain of days stands (`InheritedChain`); readings, signed slots
                                   and facts from the custody's first day on; of each entry of the
                                   log a digest that tells nothing
    another meter, another home    the vendors and authorities that are trusted

Either way the log's first entry says that a custody began. With the same meter it goes on from the
former one's head, so that recipients see a log that has grown (`hub.disclosure.log`).

Errors: HandOverRefused, and those of the hub's parts
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from hub.applet_host import RoundRecord
from hub.card.entries import Kind
from hub.certifier import NewCustody
from hub.certifier.facts import decode_fact
from hub.certifier.succession import announced, certifier_key_file, put_announcement
from hub.components import COMPONENTS
from hub.device import CHANNEL_KEY_SIZE, Description, Device, RoundsUnderWay
from hub.errors import HubError
from hub.metering import LATEST, MeteredRegister
from hub.meters.trust import CERTIFICATE
from hub.readings import Reading
from hub.replacing import DATABASE, KEYS, NO_KEY, finish_replacing, new_files, put_in_place
from hub.vault.database import Database
from hub.vault.days import DayJournal
from hub.vault.key_file import VAULT_KEY
from hub.vault.secret_file import write_secret
from hub.vault.vault import KEY_SIZE, Vault, VaultTampered
from protocols.metrology import DayGrid, Period
from protocols.metrology.events import CUSTODY_SIZE

ENTRY: Final = "custody"
"""The kind of the log's entry that says that a custody began."""
_DAY: Final = timedelta(days=1)
_COUNTED: Final = {
    "readings": "reading",
    "certified_days": "certified_day",
    "log_entries": "disclosure_entry",
    "applets": f"card_entry WHERE kind = {Kind.APPLICATION.value}",
    "kept_by_applets": "applet_store",
    "answers": "told_answer",
}

Step = Callable[[str], None]
"""Hears what was done."""


class HandOverRefused(HubError):
    """A hub cannot be handed over now; it is as it was."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """What a hand-over does, or did."""

    meter: bytes
    """The meter that the hub is named for afterwards."""
    first_day: date | None
    """The first day of the custody; None at another meter, where it is the first with readings."""
    custody: bytes
    """Names the custody in the first day's content; nothing at another meter."""
    goes: Mapping[str, int]
    """How much of what goes."""
    stays: int
    """How many readings stay: those of the first day, which has begun."""


def plan_hand_over(device: Device, first_day: date | None = None) -> HandOver:
    """Return what handing over the meter's hub does; `first_day` has to be the day that is due.

    Raises `HandOverRefused` where days before are not certified.
    """
    due = _due_day(device)
    if first_day not in (None, due):
        raise HandOverRefused(
            f"a custody can begin with {due} only, the first day that is not certified yet:"
            f" hand over on the day itself, not {first_day}"
        )
    stays = sum(len(_readings_from(register, due)) for register in device.every_register.values())
    goes = _counted(device)
    return HandOver(
        device.description.meter, due, b"", {**goes, "readings": goes["readings"] - stays}, stays
    )


def hand_over(
    folder: Path,
    first_day: date | None = None,
    *,
    abandon_rounds: bool = False,
    now: Callable[[], int] = lambda: int(time.time()),
    randomness: Callable[[int], bytes] = os.urandom,
    step: Step = lambda _: None,
) -> HandOver:
    """Hand the hub of a meter over to another resident; return what was done.

    Raises `HandOverRefused` as `plan_hand_over`, and `RoundsUnderWay` unless `abandon_rounds`.
    """
    custody = randomness(CUSTODY_SIZE)
    with (
        Device.open(folder, now=now, randomness=randomness) as device,
        device.database.transaction() as connection,
        new_files(folder) as making,
    ):
        _require_no_round(device, abandon_rounds=abandon_rounds)
        device.certify()
        plan = plan_hand_over(device, first_day)
        _require_one_custody_a_day(device, _due_day(device))
        step("make the new files")
        _take_along(device, making, custody)
        put_in_place(folder)
        step("the new files are the hub's")
        # No process that has the former key writes any more, into files that are about to go.
        connection.execute("UPDATE vault_key SET check_value = ?", (NO_KEY,))
    finish_replacing(folder, step)
    return HandOver(plan.meter, plan.first_day, custody, plan.goes, plan.stays)


def plan_move(device: Device, meter: bytes, registers: tuple[bytes, ...] = ()) -> HandOver:
    """Return what moving the hub to another meter does; raise `HandOverRefused` at the same one."""
    _moved(device, meter, registers)
    return HandOver(meter, None, b"", _counted(device), 0)


def move(
    folder: Path,
    meter: bytes,
    registers: tuple[bytes, ...] = (),
    *,
    abandon_rounds: bool = False,
    now: Callable[[], int] = lambda: int(time.time()),
    randomness: Callable[[int], bytes] = os.urandom,
    step: Step = lambda _: None,
) -> HandOver:
    """Make the hub that of another meter, with keys and a chain of its own; return what was done.

    `registers` are OBIS codes, by default those that the hub is for. Raises `HandOverRefused` at
    the meter that it is for already, and `RoundsUnderWay` unless `abandon_rounds`.
    """
    with (
        Device.open(folder, now=now, randomness=randomness) as device,
        device.database.transaction() as connection,
        new_files(folder) as making,
    ):
        _require_no_round(device, abandon_rounds=abandon_rounds)
        plan = plan_move(device, meter, registers)
        step("make the new files")
        description = _moved(device, meter, registers)
        with Device.create(making, description, now=now, randomness=randomness) as fresh:
            fresh.disclosure.log.append(now(), ENTRY, {"meter": meter})
        for kind in ("vendors", "authorities"):
            _copy_trust(folder / kind, making / kind)
        put_in_place(folder)
        step("the new files are the hub's")
        connection.execute("UPDATE vault_key SET check_value = ?", (NO_KEY,))
    finish_replacing(folder, step)
    return plan


def _moved(device: Device, meter: bytes, registers: tuple[bytes, ...]) -> Description:
    old = device.description
    if meter in (old.meter, device.mounted_meter):
        raise HandOverRefused(
            f"the hub is for meter {meter.hex()} already: hand it over without naming a meter"
        )
    try:
        return Description(meter, registers or old.registers, old.zone, old.slot_minutes)
    except ValueError as error:
        raise HandOverRefused(str(error)) from None


def _require_no_round(device: Device, *, abandon_rounds: bool) -> None:
    until = RoundRecord(device.database).under_way(device.now())
    if until is not None and not abandon_rounds:
        raise RoundsUnderWay(until)


def _counted(device: Device) -> dict[str, int]:
    connection = device.database.connection
    counted = {
        name: int(connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])  # noqa: S608 - constant text
        for name, rows in _COUNTED.items()
    }
    standing = [one for one in device.disclosure.consents() if one.revoked is None]
    waiting = device.quarantine.count()
    odd = {"set_aside": waiting} if waiting else {}
    return {**counted, **odd, "consents": len(standing)}


def _due_day(device: Device) -> date:
    """Return the first day that is not certified; all days before it have to be."""
    spans = {register.journal.span() for register in device.every_register.values()}
    last_days = {None if span is None else span[1] for span in spans}
    last = last_days.pop()
    if last is None:
        raise HandOverRefused(
            "no day of this custody is certified yet, and none can end: make a new hub with"
            " `meterlet hub init`"
        )
    if last_days:
        raise HandOverRefused("the registers are certified up to different days: ingest first")
    due = last + _DAY
    for register in device.every_register.values():
        latest = register.vault.latest(register.channel)
        if latest is not None and latest.time >= _grid(register, due).end:
            raise HandOverRefused(
                f"{due} is over and not certified: the custody would begin with another's readings"
            )
    return due


def _require_one_custody_a_day(device: Device, day: date) -> None:
    for register in device.every_register.values():
        facts = register.journal.facts(_grid(register, day).begin, LATEST)
        if any(isinstance(decode_fact(*fact), NewCustody) for fact in facts):
            raise HandOverRefused("another custody is recorded of the meter already")


def _take_along(device: Device, making: Path, custody: bytes) -> None:
    """Make the files of the same meter's hub in another custody."""
    day, key = _due_day(device), device.randomness(KEY_SIZE)
    write_secret(making / KEYS / VAULT_KEY, key)
    # Who signs stays the same; what blinded former days is in no file any more.
    for one in device.every_meter:
        keys = one.main.certifier.keys.bereft(device.randomness)
        keys.save(making / KEYS / certifier_key_file(one.name))
    write_secret(making / KEYS / "issuer.key", device.randomness(3 * CHANNEL_KEY_SIZE))
    (making / "hub.toml").touch(mode=0o600)
    (making / "hub.toml").write_text(device.description.to_toml())
    with Database(making / DATABASE, COMPONENTS, key=key) as database:
        Vault(database, key, device.randomness)
        with database.transaction():
            for one in device.every_meter:
                for place, encoded in enumerate(announced(device.database, one.name), 1):
                    put_announcement(database, place, encoded, one.name)
            for register in device.every_register.values():
                journal = DayJournal(database, register.channel, key, device.randomness)
                _inherit(register, journal, day, custody)
    with Device.open(making, now=device.now, randomness=device.randomness) as fresh:
        with fresh.database.transaction():
            for code, register in device.every_register.items():
                _take_day(register, fresh.every_register[code], day, custody)
            _begin_log(device, fresh, day, custody)
        for register in fresh.every_register.values():
            _require_same_slots(register, day)
        fresh.disclosure.log.verify()


def _inherit(register: MeteredRegister, journal: DayJournal, day: date, custody: bytes) -> None:
    grid = _grid(register, day)
    [previous] = register.certifications(Period(day - _DAY, day - _DAY))
    signatures, _ = register.journal.slots(day)
    readings = list(register.vault.between(register.channel, grid.begin, grid.end))
    inherited = register.certifier.inheritance(custody, previous, readings, len(signatures))
    journal.inherit(inherited.encode())


def _take_day(register: MeteredRegister, fresh: MeteredRegister, day: date, custody: bytes) -> None:
    """Take along what is there of the custody's first day, and record that it is the first."""
    grid = _grid(register, day)
    fresh.vault.append(fresh.channel, _readings_from(register, day))
    for time_, fact in register.journal.facts(grid.begin, LATEST):
        fresh.journal.append_fact(time_, fact)
    signatures, digest = register.journal.slots(day)
    if signatures:
        fresh.journal.append_slots(day, 0, digest, signatures)
    fresh.record(NewCustody(grid.begin, custody))


def _readings_from(register: MeteredRegister, day: date) -> list[Reading]:
    begin = _grid(register, day).begin
    found = register.vault.between(register.channel, begin, LATEST)
    return [reading for reading in found if reading.time >= begin]


def _begin_log(device: Device, fresh: Device, day: date, custody: bytes) -> None:
    log = device.disclosure.log
    entries = log.verify()
    fresh.disclosure.log.begin_after(log.leaves(0, entries))
    facts = {
        "meter": device.description.meter,
        "first_day": day.isoformat(),
        "custody": custody,
        "former_entries": entries,
    }
    fresh.disclosure.log.append(device.now(), ENTRY, facts)


def _require_same_slots(register: MeteredRegister, day: date) -> None:
    """Refuse where the day's slots that are signed do not follow from what stays."""
    if not register.journal.slots(day)[0]:
        return
    try:
        register.certified_slots(day)
    except VaultTampered:
        raise HandOverRefused(
            f"slots of {day} were signed from readings before it, as nobody read the meter at"
            f" midnight: hand over on {day + _DAY}"
        ) from None


def _copy_trust(old: Path, new: Path) -> None:
    """Copy whom the hub trusts, and what they say of revoked meters; not what they say of this."""
    for path in sorted(old.iterdir()):
        if path.is_file() and path.name != CERTIFICATE:
            shutil.copyfile(path, new / path.name)


def _grid(register: MeteredRegister, day: date) -> DayGrid:
    return DayGrid(day, register.zone, register.slot_minutes)
