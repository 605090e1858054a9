# SPDX-License-Identifier: Apache-2.0
"""What the hub does for an applet: statements, the calendar, a store, the time.

An applet is given one set of services, cut to it: its own corner of the store, the registers its
manifest names, and statements that pass the release guard before they are proved. Of a register
that a manifest does not name, an applet is not told whether there is one.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from hub.applet_host.command import CommandStack
from hub.certifier import Certification
from hub.disclosure import (
    Disclosure,
    ReleaseRefused,
    ReleaseRequest,
    number_of,
)
from hub.machine.manifest import Manifest
from hub.machine.raw import at_resolution
from hub.metering import MeteredRegister, PeriodIncomplete
from hub.vault.database import Component, Database
from protocols.amounts import decode_amounts
from protocols.metrology import Period
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import Grid, OpenedAmounts, Slots, Use
from protocols.proofs import FalseStatement, StatementContext, needs_slots, open_amounts
from protocols.proofs.transcript import DIGEST_SIZE
from sml_codec import Obis

STORE_COMPONENT: Final = Component(
    "applet_store",
    (
        """
        CREATE TABLE applet_store (
            applet BLOB NOT NULL,
            key BLOB NOT NULL,
            value BLOB NOT NULL,
            PRIMARY KEY (applet, key)
        ) STRICT;
        CREATE TABLE applet_log (
            number INTEGER PRIMARY KEY,
            applet BLOB NOT NULL,
            time INTEGER NOT NULL,
            text TEXT NOT NULL
        ) STRICT;
        """,
    ),
)

LOG_LINES: Final = 1000
"""An applet's newest lines that are kept."""
NONCE_SIZES: Final = range(16, 65)
SEED_SIZE: Final = 32


def granted_registers(
    registers: Mapping[bytes, MeteredRegister], manifest: Manifest
) -> dict[str, MeteredRegister]:
    """Return the hub's registers that a manifest names, by OBIS code in text.

    The first of the hub's, its main one, is always among them and first: what may be asked of it,
    each call's grant says.
    """
    named = {register for grant in manifest.statements for register in grant.registers}
    named |= set(manifest.registers)
    main = next(iter(registers))
    return {
        name: register
        for code, register in registers.items()
        if (name := str(Obis(code))) in named or code == main
    }


@dataclass(frozen=True, slots=True)
class HubStatements:
    """Proves sums, blocks, excesses and peaks over certified days, once the guard has agreed.

    The applet's `context` is the digest of what its weights stand for (32 bytes) and the
    recipient's nonce (16 to 64 bytes). Recipient and purpose are the manifest's: an applet
    cannot speak in another's name.
    """

    applet: bytes
    package: bytes
    """The digest of the bundle it was installed from."""
    manifest: Manifest
    registers: Mapping[str, MeteredRegister]
    """Those that the manifest names, the main one first (`granted_registers`)."""
    disclosure: Disclosure
    stack: CommandStack
    """Of the applets at work: says whether a release stays on record, and has the record."""
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    """Where the seeds of proofs come from."""

    def open_amounts(
        self, register: str, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedAmounts:
        """Return what the amounts come to and the proof; raise `Refused` where that may not be."""
        meter, days, about = self._statement(register, begin, end, context)
        slots = sum(len(day.use.grid) for day in days)
        described = decode_amounts(amounts)
        if any(form.end > slots for amount in described for form in amount.forms):
            raise Refused(Refusal.MALFORMED)
        request = ReleaseRequest(
            applet=self.applet,
            package=self.package,
            recipient=self.manifest.recipient,
            purpose=self.manifest.purpose,
            days=len(days),
            numbers=tuple(
                number_of(amount, begin, 60 * about.slot_minutes, slots, self._named(register))
                for amount in described
            ),
            subject=about.parameters,
        )
        self._permit(request)
        by_slots = needs_slots(described)
        # Once the guard has agreed: a refused question costs no work of the certifier.
        period, opening = meter.opened(meter.in_version_2(days), needs_slots=by_slots)
        source = period.source(opening, needs_slots=by_slots)
        try:
            values, proof = open_amounts(about, source, described, self.randomness(SEED_SIZE))
        except (FalseStatement, ValueError):
            # Beyond 63 bits, or beyond what blocks, limits and peaks are proved up to.
            raise Refused(Refusal.TOO_MUCH) from None
        return OpenedAmounts(values, proof, tuple(day.encode() for day in period.days))

    def _statement(
        self, register: str, begin: int, end: int, context: bytes
    ) -> tuple[MeteredRegister, list[Certification], StatementContext]:
        self.stack.require_record()
        meter = _register(self.registers, register)
        period = _period(meter, begin, end)
        parameters, nonce = context[:DIGEST_SIZE], context[DIGEST_SIZE:]
        if len(nonce) not in NONCE_SIZES:
            raise Refused(Refusal.MALFORMED)
        try:
            days = meter.certifications(period)
        except PeriodIncomplete:
            raise Refused(Refusal.INCOMPLETE) from None
        series = meter.certifier.series
        return (
            meter,
            days,
            StatementContext(
                meter=series.meter,
                register=series.register,
                begin=begin,
                end=end,
                slot_minutes=series.slot_minutes,
                parameters=parameters,
                recipient=self.manifest.recipient,
                purpose=self.manifest.purpose,
                nonce=nonce,
            ),
        )

    def _named(self, register: str) -> str:
        """Return how the guard names a register: the main one by no name."""
        return "" if register == next(iter(self.registers)) else register

    def _permit(self, request: ReleaseRequest) -> None:
        try:
            self.disclosure.permit(request)
        except ReleaseRefused as refused:
            raise self.stack.refuse(request, refused) from None
        self.stack.record.permitted.append(partial(self.disclosure.record_release, request))


@dataclass(frozen=True, slots=True)
class HubReadings:
    """What slots used, for raw applets: no finer than their manifest says."""

    registers: Mapping[str, MeteredRegister]
    resolution_minutes: int

    def read(self, register: str, begin: int, end: int) -> Use:
        """Return the use of the slots that start in [begin, end), as far as days are certified.

        Raises `Refused` (NOT_FOUND) for another register, INCOMPLETE where no day is certified.
        """
        meter = _register(self.registers, register)
        try:
            days = meter.certified_between(begin, end)
        except (ValueError, OverflowError, OSError):
            raise Refused(Refusal.MALFORMED) from None
        rows = [
            (start, watt_hours, int(state))
            for day in days
            for start, watt_hours, state in zip(
                day.grid.boundaries()[:-1], day.uses, day.states, strict=True
            )
            if begin <= start < end
        ]
        if not rows:
            raise Refused(Refusal.INCOMPLETE)
        starts, watt_hours, states = zip(*rows, strict=True)
        use = Use(starts, watt_hours, bytes(states))
        return at_resolution(use, meter.slot_minutes, self.resolution_minutes)


@dataclass(frozen=True, slots=True)
class HubCalendar:
    """Tells an applet which slots a period has and how they are known; no use."""

    registers: Mapping[str, MeteredRegister]
    """Those that the manifest names, the main one first (`granted_registers`)."""

    def grid(self) -> Grid:
        """Return zone and slot length."""
        main = next(iter(self.registers.values()))
        return Grid(main.zone, main.slot_minutes)

    def slots(self, register: str, begin: int, end: int) -> Slots:
        """Return starts and states of the period's slots; raise `Refused` where there are none."""
        meter = _register(self.registers, register)
        period = _period(meter, begin, end)
        try:
            uses = meter.uses(period)
        except PeriodIncomplete:
            raise Refused(Refusal.INCOMPLETE) from None
        starts = tuple(time for use in uses for time in use.grid.boundaries()[:-1])
        return Slots(starts, bytes(state for use in uses for state in use.states))


def _register(registers: Mapping[str, MeteredRegister], name: str) -> MeteredRegister:
    if name not in registers:
        raise Refused(Refusal.NOT_FOUND)
    return registers[name]


def _period(meter: MeteredRegister, begin: int, end: int) -> Period:
    try:
        return meter.period(begin, end)
    except (PeriodIncomplete, ValueError, OverflowError, OSError):
        raise Refused(Refusal.MALFORMED) from None


@dataclass(frozen=True, slots=True)
class AppletStore:
    """An applet's corner of the store; inside the transaction of its APDU."""

    database: Database
    applet: bytes
    quota: int = 0
    """Bytes that its keys and values may fill together."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        row = self.database.connection.execute(
            "SELECT value FROM applet_store WHERE applet = ? AND key = ?", (self.applet, key)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value; raise `Refused` (TOO_MUCH) if that would fill more than the quota."""
        with self.database.transaction() as connection:
            (others,) = connection.execute(
                "SELECT coalesce(sum(length(key) + length(value)), 0) FROM applet_store"
                " WHERE applet = ? AND key <> ?",
                (self.applet, key),
            ).fetchone()
            if others + len(key) + len(value) > self.quota:
                raise Refused(Refusal.TOO_MUCH)
            connection.execute(
                "INSERT OR REPLACE INTO applet_store VALUES (?, ?, ?)", (self.applet, key, value)
            )

    def delete(self, key: bytes) -> None:
        """Remove the value, if there is one."""
        with self.database.transaction() as connection:
            connection.execute(
                "DELETE FROM applet_store WHERE applet = ? AND key = ?", (self.applet, key)
            )

    def keys(self) -> list[bytes]:
        """Return the keys, in order."""
        rows = self.database.connection.execute(
            "SELECT key FROM applet_store WHERE applet = ? ORDER BY key", (self.applet,)
        )
        return [bytes(key) for (key,) in rows]

    @staticmethod
    def holders(database: Database, prefix: bytes) -> list[bytes]:
        """Return the applets that have a key with this prefix, in order."""
        rows = database.connection.execute(
            "SELECT DISTINCT applet FROM applet_store WHERE substr(key, 1, ?) = ? ORDER BY applet",
            (len(prefix), prefix),
        )
        return [bytes(applet) for (applet,) in rows]

    def clear(self) -> None:
        """Remove everything: the applet is gone."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM applet_store WHERE applet = ?", (self.applet,))
            connection.execute("DELETE FROM applet_log WHERE applet = ?", (self.applet,))


@dataclass(frozen=True, slots=True)
class HubClock:
    """The time, as the hub was given it."""

    time: Callable[[], int]

    def now(self) -> int:
        """Return epoch seconds."""
        return self.time()


@dataclass(frozen=True, slots=True)
class HubLog:
    """An applet's last lines, for its developer and the resident."""

    database: Database
    applet: bytes
    time: Callable[[], int]

    def write(self, text: str) -> None:
        """Keep a line, and forget the oldest beyond `LOG_LINES`."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO applet_log (applet, time, text) VALUES (?, ?, ?)",
                (self.applet, self.time(), text),
            )
            connection.execute(
                "DELETE FROM applet_log WHERE applet = ? AND number <="
                " (SELECT max(number) FROM applet_log WHERE applet = ?) - ?",
                (self.applet, self.applet, LOG_LINES),
            )
