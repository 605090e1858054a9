# SPDX-License-Identifier: Apache-2.0
"""Raw applets: they see readings, and this is their only way out.

    ---- boundary k ---------------------------------- boundary k+1 ----------
         release what was held, then let the applet     release that; ...
         `update`: it reads, and sets its outputs

An output has the size that its manifest declares. It leaves at multiples of its hours since the
epoch, or when a month ends on the hub's clock, and at no other time, whether the applet has set it
or not. What a recipient can ask for is the last release, which this module answers without asking
the applet: so how long the applet computes, how often it sets an output, whether it breaks, what it
would answer and when, all say nothing. What can be said is 8 bits a byte of output a release, and
the ledger counts them.

An output that the applet has never set is released as such, with a status word of its own and never
as zeros, which would be a value. Its bits count all the same. How long an output stays unset tells
less than one bit more, in all its releases together: once set, it is set for good.

The hub was off over a boundary: what is held is released once, for the last boundary that has
passed, not once for each.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from hub.machine.errors import AppletFault
from hub.machine.instance import AppletInstance
from hub.machine.manifest import Manifest, Output
from hub.vault.database import Component, Database
from hub.vault.sealing import Sealer, resealed
from protocols.platform.errors import Refused
from protocols.platform.services import Use
from protocols.told_outputs import CLA, GET_DATA, NOT_SET, TIME_SIZE

PURPOSE: Final = "applet output"
HELD: Final = b"held"
RELEASED: Final = b"released"
"""What is held does not open as released: only the board releases."""


def _bound(applet: bytes, name: str, part: bytes) -> tuple[bytes, bytes, bytes]:
    return applet, name.encode(), part


def _seal_outputs(database: Database) -> None:
    """Seal the outputs of release 0.1: what is held has not been released to anybody."""
    connection, sealer = database.connection, database.sealer(PURPOSE)
    rows = connection.execute("SELECT applet, name, held, released FROM applet_output").fetchall()
    for applet, name, held, released in rows:
        sealed = [
            None if value is None else sealer.seal(value, *_bound(applet, name, part))
            for value, part in ((held, HELD), (released, RELEASED))
        ]
        connection.execute(
            "UPDATE applet_output SET held = ?, released = ? WHERE applet = ? AND name = ?",
            (*sealed, applet, name),
        )


OUTPUT_COMPONENT: Final = Component(
    "applet_output",
    (
        """
        CREATE TABLE applet_output (
            applet BLOB NOT NULL,
            name TEXT NOT NULL,
            held BLOB NOT NULL,
            boundary INTEGER NOT NULL,
            released_at INTEGER,
            released BLOB,
            PRIMARY KEY (applet, name)
        ) STRICT;
        """,
        _seal_outputs,
    ),
)


def reseal_outputs(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal outputs with a new vault key, within a transaction; yield how many rows are done."""
    connection, old = database.connection, database.sealer(PURPOSE)
    new = Sealer.of(vault_key, PURPOSE)
    rows = connection.execute("SELECT applet, name, held, released FROM applet_output").fetchall()
    for applet, name, held, released in rows:
        again = [
            None if sealed is None else resealed(old, new, sealed, *_bound(applet, name, part))
            for sealed, part in ((held, HELD), (released, RELEASED))
        ]
        connection.execute(
            "UPDATE applet_output SET held = ?, released = ? WHERE applet = ? AND name = ?",
            (*again, applet, name),
        )
        yield 1


HOUR: Final = 3600
SW_SUCCESS: Final = b"\x90\x00"
SW_NOT_SET: Final = NOT_SET.to_bytes(2, "big")
SW_WRONG_LENGTH: Final = b"\x67\x00"
SW_NOT_YET: Final = b"\x69\x85"
SW_NO_SUCH_OUTPUT: Final = b"\x6a\x88"
SW_NO_SUCH_INSTRUCTION: Final = b"\x6d\x00"
SW_NO_SUCH_CLASS: Final = b"\x6e\x00"


@dataclass(frozen=True, slots=True)
class Released:
    """An output that has left its applet."""

    output: Output
    boundary: int
    """For which time it was released, whenever that was done."""
    value: bytes
    """Empty where the applet has never set it."""

    @property
    def is_set(self) -> bool:
        """Whether the applet has ever set it."""
        return bool(self.value)


class OutputBoard:
    """One raw applet's outputs: held, and released; implements `platform.Outputs`."""

    def __init__(
        self,
        database: Database,
        applet: bytes,
        manifest: Manifest,
        permit: Callable[[Released], None],
        zone: str = "UTC",
    ) -> None:
        """`permit` records a release in the ledger, or raises `Refused`: then it stays in.

        Outputs by the month are released when a month ends on the clock of `zone`.
        """
        self._database, self._applet = database, applet
        self._outputs, self._permit, self._zone = manifest.outputs, permit, zone

    def install(self, now: int) -> None:
        """Hold nothing until the applet sets something; nothing is released before a boundary."""
        with self._database.transaction() as connection:
            for output in self._outputs:
                connection.execute(
                    "INSERT INTO applet_output VALUES (?, ?, ?, ?, NULL, NULL)",
                    (
                        self._applet,
                        output.name,
                        self._seal(output.name, HELD, b""),
                        boundary(output, now, self._zone),
                    ),
                )

    def uninstall(self) -> None:
        """Forget everything."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM applet_output WHERE applet = ?", (self._applet,))

    def set(self, name: str, value: bytes) -> None:
        """Hold `value`; its size was checked against the manifest before."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE applet_output SET held = ? WHERE applet = ? AND name = ?",
                (self._seal(name, HELD, value), self._applet, name),
            )

    def release_due(self, now: int) -> list[Released]:
        """Release what has passed a boundary since it was released last; return it.

        What `permit` refuses stays in, and is not released later either.
        """
        with self._database.transaction() as connection:
            due = []
            for output in self._outputs:
                held, last = connection.execute(
                    "SELECT held, boundary FROM applet_output WHERE applet = ? AND name = ?",
                    (self._applet, output.name),
                ).fetchone()
                begin = boundary(output, now, self._zone)
                if begin > last:
                    due.append(Released(output, begin, self._open(output.name, HELD, held)))
            return [release for release in due if self._release(release)]

    def _release(self, release: Released) -> bool:
        with self._database.transaction() as connection:
            place = (self._applet, release.output.name)
            connection.execute(
                "UPDATE applet_output SET boundary = ? WHERE applet = ? AND name = ?",
                (release.boundary, *place),
            )
            try:
                self._permit(release)
            except Refused:
                return False
            connection.execute(
                "UPDATE applet_output SET released_at = ?, released = ?"
                " WHERE applet = ? AND name = ?",
                (
                    release.boundary,
                    self._seal(release.output.name, RELEASED, release.value),
                    *place,
                ),
            )
        return True

    def answer(self, command: bytes) -> bytes:
        """Answer a recipient's command: GET DATA with the output's number in P2.

        The answer is the boundary (8 bytes) and the value, of the same length every time. Of an
        output that was never set it has zeros for the value, and says so by its status word. The
        applet has no part in it.
        """
        if len(command) not in (4, 5, 7):
            return SW_WRONG_LENGTH
        cla, ins, p1, p2 = command[:4]
        if cla != CLA:
            return SW_NO_SUCH_CLASS
        if ins != GET_DATA:
            return SW_NO_SUCH_INSTRUCTION
        number = p1 << 8 | p2
        if number >= len(self._outputs):
            return SW_NO_SUCH_OUTPUT
        time, released = self._database.connection.execute(
            "SELECT released_at, released FROM applet_output WHERE applet = ? AND name = ?",
            (self._applet, self._outputs[number].name),
        ).fetchone()
        if released is None:
            return SW_NOT_YET
        output = self._outputs[number]
        value = self._open(output.name, RELEASED, released)
        status = SW_SUCCESS if value else SW_NOT_SET
        return int(time).to_bytes(TIME_SIZE, "big") + value.ljust(output.size, b"\0") + status

    def _seal(self, name: str, part: bytes, value: bytes) -> bytes:
        return self._database.sealer(PURPOSE).seal(value, *_bound(self._applet, name, part))

    def _open(self, name: str, part: bytes, sealed: bytes) -> bytes:
        return self._database.sealer(PURPOSE).open(sealed, *_bound(self._applet, name, part))


def boundary(output: Output, now: int, zone: str = "UTC") -> int:
    """Return the last time, not after `now`, at which the output is released."""
    if output.is_monthly:
        local = datetime.fromtimestamp(now, ZoneInfo(zone))
        first = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
        return int(first.timestamp())
    return now - now % (output.every_hours * HOUR)


class RawApplet:
    """A raw applet at work: updated after each boundary, out of everybody's sight."""

    def __init__(
        self,
        instance: AppletInstance,
        board: OutputBoard,
        database: Database,
        report: Callable[[AppletFault], None],
    ) -> None:
        """`report` is told of faults; recipients are not."""
        self._instance, self._board = instance, board
        self._database, self._report = database, report
        self._is_fresh = True
        """Whether an update is due."""

    def tick(self, now: int) -> list[Released]:
        """Do what is due; called now and then. Return what has been released."""
        released = self.release(now)
        self.update_due()
        return released

    def release(self, now: int) -> list[Released]:
        """Release what is due, and return it; an update is due from then on."""
        released = self._board.release_due(now)
        self._is_fresh = self._is_fresh or bool(released)
        return released

    def update_due(self) -> int:
        """Update the applet if that is due; return the fuel that it burnt."""
        if not self._is_fresh:
            return 0
        self._is_fresh = False
        self._update()
        return self._instance.usage.fuel

    def _update(self) -> None:
        try:
            with self._database.transaction():
                self._instance.update()
        except AppletFault as fault:
            self._report(fault)


def at_resolution(use: Use, slot_minutes: int, resolution_minutes: int) -> Use:
    """Return the use in slots of the resolution that a manifest asks for.

    Slots that begin in the same multiple of the resolution since the epoch become one; its state
    is the worst of theirs. Finer than the meter's slots there is nothing.
    """
    width = max(slot_minutes, resolution_minutes) * 60
    rows = zip(use.starts, use.watt_hours, use.states, strict=True)
    merged = [(list(group)) for _, group in groupby(rows, key=lambda row: row[0] // width)]
    return Use(
        tuple(group[0][0] for group in merged),
        tuple(sum(row[1] for row in group) for group in merged),
        bytes(max(row[2] for row in group) for group in merged),
    )
