# SPDX-License-Identifier: Apache-2.0
"""The journal of certified days: encoded, in order, only ever added to.

Beside each day lies what it commits to (the slots' use), sealed with AES-256-GCM under the
vault's key; the associated data ties it to its meter, register and day. The journal keeps bytes
and the few facts it searches by: whether a day's signature and its place in the chain are right
is for whoever decodes it.

A day whose readings came late or were replaced is signed again, as its next revision
(`protocols.metrology.correction`). Revisions lie beside the day as it was first signed; the newest
one is what is handed out.

Of the slots that were signed when they ended there are the signatures, 64 bytes each, a row for all
that were signed at once. What was signed follows from the day's readings; the row has the digest of
its last slot, so that readings which have become others are noticed. Nothing of it is secret. What
happened to the meter waits here, sealed like the days' uses, until it is signed with its day. Where
another custody has begun, the days before it are gone; how the chain goes on lies here, sealed.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.vault.corrections import CORRECTED_DAY_TABLE
from hub.vault.database import Component, Database
from hub.vault.vault import NONCE_SIZE, Channel, VaultError, VaultTampered

_LABEL: Final = b"meterlet day 1"
_CORRECTED_LABEL: Final = b"meterlet corrected day 1"
_FACT_LABEL: Final = b"meterlet meter fact 1"
_INHERITED_LABEL: Final = b"meterlet inherited chain 1"
SIGNATURE_SIZE: Final = 64
_LATEST: Final = 1 << 62

DAYS_COMPONENT: Final = Component(
    "days",
    (
        """
        CREATE TABLE certified_day (
            meter BLOB NOT NULL,
            register BLOB NOT NULL,
            day TEXT NOT NULL,
            counter INTEGER NOT NULL,
            encoded BLOB NOT NULL,
            nonce BLOB NOT NULL,
            sealed BLOB NOT NULL,
            PRIMARY KEY (meter, register, day),
            UNIQUE (meter, register, counter)
        ) STRICT;
        CREATE TRIGGER day_is_never_changed BEFORE UPDATE ON certified_day
        BEGIN SELECT RAISE(ABORT, 'certified days are append-only'); END;
        CREATE TRIGGER day_is_never_deleted BEFORE DELETE ON certified_day
        BEGIN SELECT RAISE(ABORT, 'certified days are append-only'); END;
        """,
        """
        CREATE TABLE signed_slots (
            meter BLOB NOT NULL,
            register BLOB NOT NULL,
            day TEXT NOT NULL,
            first INTEGER NOT NULL,
            digest BLOB NOT NULL,
            signatures BLOB NOT NULL,
            PRIMARY KEY (meter, register, day, first)
        ) STRICT;
        CREATE TABLE meter_fact (
            meter BLOB NOT NULL,
            register BLOB NOT NULL,
            time INTEGER NOT NULL,
            place INTEGER NOT NULL,
            nonce BLOB NOT NULL,
            sealed BLOB NOT NULL,
            PRIMARY KEY (meter, register, time, place)
        ) STRICT;
        CREATE TRIGGER slots_are_never_changed BEFORE UPDATE ON signed_slots
        BEGIN SELECT RAISE(ABORT, 'certified slots are append-only'); END;
        CREATE TRIGGER slots_are_never_deleted BEFORE DELETE ON signed_slots
        BEGIN SELECT RAISE(ABORT, 'certified slots are append-only'); END;
        CREATE TRIGGER fact_is_never_changed BEFORE UPDATE ON meter_fact
        BEGIN SELECT RAISE(ABORT, 'facts about the meter are append-only'); END;
        CREATE TRIGGER fact_is_never_deleted BEFORE DELETE ON meter_fact
        BEGIN SELECT RAISE(ABORT, 'facts about the meter are append-only'); END;
        """,
        """
        CREATE TABLE inherited_chain (
            meter BLOB NOT NULL,
            register BLOB NOT NULL,
            nonce BLOB NOT NULL,
            sealed BLOB NOT NULL,
            PRIMARY KEY (meter, register)
        ) STRICT;
        CREATE TRIGGER inherited_is_never_changed BEFORE UPDATE ON inherited_chain
        BEGIN SELECT RAISE(ABORT, 'how a custody begins is never changed'); END;
        CREATE TRIGGER inherited_is_never_deleted BEFORE DELETE ON inherited_chain
        BEGIN SELECT RAISE(ABORT, 'how a custody begins is never changed'); END;
        """,
        CORRECTED_DAY_TABLE,
    ),
)


class DayAlreadyJournalled(VaultError):
    """A day is in the journal already: the certifier signs each day once."""


@dataclass(frozen=True, slots=True)
class JournalledDay:
    """A day as the journal has it."""

    day: date
    certified: bytes
    """The encoded certified day."""
    use: bytes = field(repr=False)
    """The encoded use that it commits to; never leaves the hub."""
    revision: int = 0
    """How often it was corrected."""
    time: int = 0
    """When this revision was made; 0 for the first."""


@dataclass(frozen=True, slots=True)
class DayJournal:
    """The certified days of one register."""

    database: Database
    channel: Channel
    key: bytes = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def append(self, day: date, counter: int, certified: bytes, use: bytes) -> None:
        """Add a day; raise `DayAlreadyJournalled` if it, or its counter, is there already."""
        nonce = self.randomness(NONCE_SIZE)
        sealed = AESGCM(self.key).encrypt(nonce, use, self._label(day.isoformat()))
        try:
            with self.database.transaction() as connection:
                connection.execute(
                    "INSERT INTO certified_day VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*self._key, day.isoformat(), counter, certified, nonce, sealed),
                )
        except sqlite3.IntegrityError:
            raise DayAlreadyJournalled(f"{day}: certified already (counter {counter})") from None

    def append_revision(
        self, day: date, revision: int, time: int, certified: bytes, use: bytes
    ) -> None:
        """Add a day's next revision; raise `DayAlreadyJournalled` if it is there already."""
        nonce = self.randomness(NONCE_SIZE)
        label = _corrected_label(self.channel, day.isoformat(), revision)
        sealed = AESGCM(self.key).encrypt(nonce, use, label)
        try:
            with self.database.transaction() as connection:
                connection.execute(
                    "INSERT INTO corrected_day VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*self._key, day.isoformat(), revision, time, certified, nonce, sealed),
                )
        except sqlite3.IntegrityError:
            raise DayAlreadyJournalled(f"{day}: revision {revision} is there already") from None

    def append_slots(
        self, day: date, first: int, digest: bytes, signatures: Sequence[bytes]
    ) -> None:
        """Add the signatures of a day's slots from `first` on; `digest` is that of the last one.

        Raises `DayAlreadyJournalled` if there are such.
        """
        try:
            with self.database.transaction() as connection:
                connection.execute(
                    "INSERT INTO signed_slots VALUES (?, ?, ?, ?, ?, ?)",
                    (*self._key, day.isoformat(), first, digest, b"".join(signatures)),
                )
        except sqlite3.IntegrityError:
            raise DayAlreadyJournalled(f"{day}: slot {first} was certified already") from None

    def slots(self, day: date) -> tuple[tuple[bytes, ...], bytes]:
        """Return the signatures of a day's slots, as far as there are any, and the last's digest.

        Raises `VaultTampered` where some in between are missing.
        """
        rows = self.database.connection.execute(
            "SELECT first, digest, signatures FROM signed_slots"
            " WHERE meter = ? AND register = ? AND day = ? ORDER BY first",
            (*self._key, day.isoformat()),
        )
        signatures, last = list[bytes](), b""
        for first, digest, joined in rows:
            if first != len(signatures) or not joined or len(joined) % SIGNATURE_SIZE:
                raise VaultTampered(f"{day}: the signatures of its slots are not all there")
            starts = range(0, len(joined), SIGNATURE_SIZE)
            signatures += [joined[start : start + SIGNATURE_SIZE] for start in starts]
            last = digest
        return tuple(signatures), last

    def append_fact(self, time: int, encoded: bytes) -> None:
        """Add what happened to the meter; raise `DayAlreadyJournalled` if it is there already."""
        with self.database.transaction() as connection:
            there = [fact for _, fact in self.facts(time, time)]
            if encoded in there:
                raise DayAlreadyJournalled("this is recorded of the meter already")
            nonce, place = self.randomness(NONCE_SIZE), len(there)
            sealed = AESGCM(self.key).encrypt(nonce, encoded, self._fact_label(time, place))
            connection.execute(
                "INSERT INTO meter_fact VALUES (?, ?, ?, ?, ?, ?)",
                (*self._key, time, place, nonce, sealed),
            )

    def facts(self, begin: int, end: int) -> list[tuple[int, bytes]]:
        """Return what happened to the meter in [begin, end], in order.

        Raises `VaultTampered` where that is not what was stored.
        """
        rows = self.database.connection.execute(
            "SELECT time, place, nonce, sealed FROM meter_fact WHERE meter = ? AND register = ?"
            " AND time BETWEEN ? AND ? ORDER BY time, place",
            (*self._key, begin, end),
        )
        found = []
        for time, place, nonce, sealed in rows:
            try:
                fact = AESGCM(self.key).decrypt(nonce, sealed, self._fact_label(time, place))
            except (InvalidTag, ValueError):
                self.database.require_current()  # a new key is no damage
                raise VaultTampered("what is recorded of the meter was changed") from None
            found.append((int(time), fact))
        return found

    def inherit(self, encoded: bytes) -> None:
        """Keep how the chain goes on after a former custody; raise `DayAlreadyJournalled`."""
        nonce = self.randomness(NONCE_SIZE)
        sealed = AESGCM(self.key).encrypt(nonce, encoded, _inherited_label(self.channel))
        try:
            with self.database.transaction() as connection:
                connection.execute(
                    "INSERT INTO inherited_chain VALUES (?, ?, ?, ?)", (*self._key, nonce, sealed)
                )
        except sqlite3.IntegrityError:
            raise DayAlreadyJournalled("how this chain goes on is kept already") from None

    def inherited(self) -> bytes | None:
        """Return how the chain goes on after a former custody; None where there was none.

        Raises `VaultTampered` where that is not what was stored.
        """
        row = self.database.connection.execute(
            "SELECT nonce, sealed FROM inherited_chain WHERE meter = ? AND register = ?", self._key
        ).fetchone()
        if row is None:
            return None
        try:
            nonce, sealed = row
            return AESGCM(self.key).decrypt(nonce, sealed, _inherited_label(self.channel))
        except (InvalidTag, ValueError):
            self.database.require_current()  # a new key is no damage
            raise _other_beginning() from None

    def last_day_of_slots(self) -> date | None:
        """Return the last day of which slots were signed when they ended, or None."""
        (day,) = self.database.connection.execute(
            "SELECT max(day) FROM signed_slots WHERE meter = ? AND register = ?", self._key
        ).fetchone()
        return None if day is None else date.fromisoformat(day)

    def latest(self) -> JournalledDay | None:
        """Return the day with the highest counter, in its newest revision, or None."""
        (day,) = self.database.connection.execute(
            "SELECT max(day) FROM certified_day WHERE meter = ? AND register = ?", self._key
        ).fetchone()
        last = None if day is None else date.fromisoformat(day)
        return None if last is None else self.between(last, last)[0]

    def between(self, first: date, last: date, before: int | None = None) -> list[JournalledDay]:
        """Return the days of [first, last] that there are, in order, in their newest revisions.

        With `before`, as they were known before that moment. Raises `VaultTampered` where what a
        day commits to is not what was stored.
        """
        newest = {
            row[0]: row
            for row in self.database.connection.execute(
                "SELECT day, encoded, nonce, sealed, revision, time FROM corrected_day"
                " WHERE meter = ? AND register = ? AND day BETWEEN ? AND ? AND time < ?"
                " ORDER BY revision",
                (
                    *self._key,
                    first.isoformat(),
                    last.isoformat(),
                    _LATEST if before is None else before,
                ),
            )
        }
        return [self._open(*newest.get(row[0], row)) for row in self._first(first, last)]

    def as_first_certified(self, first: date, last: date) -> list[JournalledDay]:
        """Return the days of [first, last] that there are, in order, as they were first signed."""
        return [self._open(*row) for row in self._first(first, last)]

    def revisions(self, first: date, last: date) -> list[JournalledDay]:
        """Return all revisions of the days of [first, last], in order; the first of each apart."""
        rows = self.database.connection.execute(
            "SELECT day, encoded, nonce, sealed, revision, time FROM corrected_day"
            " WHERE meter = ? AND register = ? AND day BETWEEN ? AND ? ORDER BY day, revision",
            (*self._key, first.isoformat(), last.isoformat()),
        )
        return [self._open(*row) for row in rows]

    def corrected(self, first: date, last: date) -> int:
        """Return how many revisions there are of the days of [first, last]."""
        (count,) = self.database.connection.execute(
            "SELECT count(*) FROM corrected_day"
            " WHERE meter = ? AND register = ? AND day BETWEEN ? AND ?",
            (*self._key, first.isoformat(), last.isoformat()),
        ).fetchone()
        return int(count)

    def span(self) -> tuple[date, date, int] | None:
        """Return the first and last certified day and how many there are, or None."""
        first, last, count = self.database.connection.execute(
            "SELECT min(day), max(day), count(*) FROM certified_day"
            " WHERE meter = ? AND register = ?",
            self._key,
        ).fetchone()
        return (date.fromisoformat(first), date.fromisoformat(last), count) if count else None

    def fingerprints(self, first: date, last: date) -> dict[date, bytes]:
        """Return a digest of each day of [first, last]: it stands for all days before, too.

        A day holds the digest of the one before it. Of corrections it does not tell which they
        are: with each one, all digests change.
        """
        rows = self.database.connection.execute(
            "SELECT day, encoded FROM certified_day"
            " WHERE meter = ? AND register = ? AND day BETWEEN ? AND ? ORDER BY counter",
            (*self._key, first.isoformat(), last.isoformat()),
        )
        revisions = self.corrected(date.min, date.max)
        since = b"" if not revisions else revisions.to_bytes(8, "big")
        return {date.fromisoformat(day): sha256(since + encoded).digest() for day, encoded in rows}

    def _first(self, first: date, last: date) -> list[tuple[str, bytes, bytes, bytes]]:
        return self.database.connection.execute(
            "SELECT day, encoded, nonce, sealed FROM certified_day"
            " WHERE meter = ? AND register = ? AND day BETWEEN ? AND ? ORDER BY counter",
            (*self._key, first.isoformat(), last.isoformat()),
        ).fetchall()

    def _open(
        self,
        day: str,
        encoded: bytes,
        nonce: bytes,
        sealed: bytes,
        revision: int = 0,
        time: int = 0,
    ) -> JournalledDay:
        label = _corrected_label(self.channel, day, revision) if revision else self._label(day)
        try:
            use = AESGCM(self.key).decrypt(nonce, sealed, label)
        except (InvalidTag, ValueError):
            self.database.require_current()  # a new key is no damage
            raise VaultTampered(f"{day}: the day's use is not what was stored") from None
        return JournalledDay(date.fromisoformat(day), encoded, use, revision, time)

    @property
    def _key(self) -> tuple[bytes, bytes]:
        return self.channel.meter, self.channel.register

    def _label(self, day: str) -> bytes:
        return _label(self.channel, day)

    def _fact_label(self, time: int, place: int) -> bytes:
        return _fact_label(self.channel, time, place)


def _resealed(
    old: AESGCM,
    new: AESGCM,
    nonces: tuple[bytes, bytes],
    sealed: bytes,
    label: bytes,
    problem: VaultTampered,
) -> bytes:
    """Return what is sealed under a label sealed anew; raise the problem where it was changed."""
    old_nonce, nonce = nonces
    try:
        return new.encrypt(nonce, old.decrypt(old_nonce, sealed, label), label)
    except (InvalidTag, ValueError):
        raise problem from None


def resealed_use(
    old: AESGCM, new: AESGCM, nonce: bytes, channel: Channel, row: tuple[str, bytes, bytes]
) -> bytes:
    """Return a row's use (day, nonce, sealed) sealed anew; raise `VaultTampered`."""
    day, old_nonce, sealed = row
    label = _label(channel, day)
    problem = VaultTampered(f"{day}: the day's use is not what was stored")
    return _resealed(old, new, (old_nonce, nonce), sealed, label, problem)


def resealed_revision(
    old: AESGCM, new: AESGCM, nonce: bytes, channel: Channel, row: tuple[str, int, bytes, bytes]
) -> bytes:
    """Return a revision's use (day, revision, nonce, sealed) sealed anew; raise `VaultTampered`."""
    day, revision, old_nonce, sealed = row
    label = _corrected_label(channel, day, revision)
    problem = VaultTampered(f"{day}: the day's use is not what was stored")
    return _resealed(old, new, (old_nonce, nonce), sealed, label, problem)


def resealed_fact(
    old: AESGCM, new: AESGCM, nonce: bytes, channel: Channel, row: tuple[int, int, bytes, bytes]
) -> bytes:
    """Return a row's fact (time, place, nonce, sealed) sealed anew; raise `VaultTampered`."""
    time, place, old_nonce, sealed = row
    label = _fact_label(channel, time, place)
    problem = VaultTampered("what is recorded of the meter was changed")
    return _resealed(old, new, (old_nonce, nonce), sealed, label, problem)


def resealed_inheritance(
    old: AESGCM, new: AESGCM, nonce: bytes, channel: Channel, row: tuple[bytes, bytes]
) -> bytes:
    """Return a row (nonce, sealed) sealed anew; raise `VaultTampered`."""
    old_nonce, sealed = row
    label = _inherited_label(channel)
    return _resealed(old, new, (old_nonce, nonce), sealed, label, _other_beginning())


def _other_beginning() -> VaultTampered:
    return VaultTampered("how the custody began is not what was stored")


def _label(channel: Channel, day: str) -> bytes:
    meter, register = channel.meter, channel.register
    return b"".join((_LABEL, bytes([len(meter)]), meter, register, day.encode()))


def _corrected_label(channel: Channel, day: str, revision: int) -> bytes:
    meter, place = channel.meter, revision.to_bytes(4, "big")
    return b"".join(
        (_CORRECTED_LABEL, bytes([len(meter)]), meter, channel.register, place, day.encode())
    )


def _inherited_label(channel: Channel) -> bytes:
    meter, register = channel.meter, channel.register
    return b"".join((_INHERITED_LABEL, bytes([len(meter)]), meter, register))


def _fact_label(channel: Channel, time: int, place: int) -> bytes:
    meter, register = channel.meter, channel.register
    said = time.to_bytes(8, "big", signed=True) + place.to_bytes(2, "big")
    return b"".join((_FACT_LABEL, bytes([len(meter)]), meter, register, said))
