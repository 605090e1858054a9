# SPDX-License-Identifier: Apache-2.0
"""Readings at rest: sealed the moment they arrive, only ever added to.

A row holds one reading of one register:

    channel ‖ sequence ‖ time        in clear, for searching
    nonce (12)                       random
    AES-256-GCM(register (8) ‖ flags (1))
        associated data: "meterlet reading 1" ‖ meter ‖ register ‖ sequence (8) ‖ time (8)

The associated data ties a row to its meter, register, place and moment: a row that is swapped,
moved, edited or left out is found when it is read. Triggers refuse every UPDATE and DELETE, so
that a bug of ours cannot thin out history either. What is known better since lies beside it
(`hub.vault.corrections`): readings are handed out as they are known now, or as they were received.
"""

import hmac
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.errors import HubError
from hub.readings import LARGEST_REGISTER_WH, Reading, ReadingFlag, has_leapt
from hub.text import utc_text
from hub.vault.corrections import (
    CORRECTION_TABLE,
    CorrectedReadings,
    Head,
    label_of,
    nearest,
    opened,
)
from hub.vault.database import Component, Database
from hub.vault.sealing import check_value_of
from protocols.metrology import medium_of

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 12
_PLAIN: Final = struct.Struct(">QB")
_PLACE: Final = struct.Struct(">Qq")
_LABEL: Final = b"meterlet reading 1"
_ALL_FLAGS: Final = (
    ReadingFlag.RESUMED | ReadingFlag.SUSPECT | ReadingFlag.EXCHANGED | ReadingFlag.COARSE
)

VAULT_COMPONENT: Final = Component(
    "vault",
    (
        """
        CREATE TABLE vault_key (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            check_value BLOB NOT NULL
        ) STRICT;
        CREATE TABLE channel (
            id INTEGER PRIMARY KEY,
            meter BLOB NOT NULL,
            register BLOB NOT NULL,
            UNIQUE (meter, register)
        ) STRICT;
        CREATE TABLE reading (
            channel INTEGER NOT NULL REFERENCES channel (id),
            sequence INTEGER NOT NULL,
            time INTEGER NOT NULL,
            nonce BLOB NOT NULL,
            sealed BLOB NOT NULL,
            PRIMARY KEY (channel, sequence),
            UNIQUE (channel, time)
        ) STRICT;
        CREATE TRIGGER reading_is_never_changed BEFORE UPDATE ON reading
        BEGIN SELECT RAISE(ABORT, 'readings are append-only'); END;
        CREATE TRIGGER reading_is_never_deleted BEFORE DELETE ON reading
        BEGIN SELECT RAISE(ABORT, 'readings are append-only'); END;
        """,
        CORRECTION_TABLE,
    ),
)


class VaultError(HubError):
    """Base of what the vault refuses."""

    status_word = 0x6581  # memory failure


class ReadingRefused(VaultError):
    """A reading does not follow the one before it; nothing of its batch was stored."""


class VaultTampered(VaultError):
    """What is stored is not what was stored, or the key belongs to another vault."""

    http_status = 500


class KeyReplaced(VaultError):
    """Another process, or a command over the card, has given the hub a new key since."""

    http_status = 503

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: the {what} has a new key; start this command again")


@dataclass(frozen=True, slots=True)
class Channel:
    """One register of one meter."""

    meter: bytes
    """The server identification the meter sends, 1 to 32 bytes."""
    register: bytes
    """The register's OBIS code, 6 bytes."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.meter) <= 32:
            raise ValueError(f"a meter's identification has 1 to 32 bytes, not {len(self.meter)}")
        if len(self.register) != 6:
            raise ValueError(f"an OBIS code has 6 bytes, not {len(self.register)}")

    @property
    def unit(self) -> str:
        """The unit of the register's whole steps."""
        return medium_of(self.register).step


@dataclass(slots=True)
class Vault:
    """The readings of a hub, behind one key."""

    database: Database
    key: bytes = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)
    _cipher: AESGCM = field(init=False, repr=False)
    _corrections: dict[Channel, tuple[bytes, list[CorrectedReadings]]] = field(
        default_factory=dict, init=False, repr=False
    )
    """Of each register, with the nonce of the newest: rows are only ever added."""

    def __post_init__(self) -> None:
        if len(self.key) != KEY_SIZE:
            raise ValueError(f"the vault's key has {KEY_SIZE} bytes")
        self._cipher = AESGCM(self.key)
        check_value = check_value_of(self.key)
        stored = stored_check_value(self.database)
        if stored is None:
            with self.database.transaction() as connection:
                connection.execute("INSERT OR IGNORE INTO vault_key VALUES (1, ?)", (check_value,))
                stored = stored_check_value(self.database)
        if stored is None or not hmac.compare_digest(stored, check_value):
            raise VaultTampered(f"{self.database.path}: sealed with another key")
        # Whoever has an old key in memory seals nothing with it (`hub.vault.resealing`).
        self.database.require_current = self.require_current

    def require_current(self) -> None:
        """Return if this key is still the vault's; raise `KeyReplaced` if not."""
        stored = stored_check_value(self.database)
        if stored is None or not hmac.compare_digest(stored, check_value_of(self.key)):
            raise KeyReplaced(self.database.path, "vault")

    def append(self, channel: Channel, readings: Iterable[Reading]) -> int:
        """Seal and store readings in one transaction; return how many.

        Times must grow and the register must not shrink, also against what is stored already;
        otherwise `ReadingRefused`, and none of them is stored.
        """
        label = _label(channel)
        with self.database.transaction() as connection:
            channel_id = self._channel_id(channel, create=True)
            last = self._last(channel, channel_id)
            sequence, previous = last if last is not None else (0, None)
            first = sequence
            rows: list[tuple[int | None, int, int, bytes, bytes]] = []
            for reading in readings:
                _follow(channel, previous, reading)
                sequence += 1
                nonce = self.randomness(NONCE_SIZE)
                plain = _PLAIN.pack(reading.register_wh, reading.flags)
                place = _PLACE.pack(sequence, reading.time)
                sealed = self._cipher.encrypt(nonce, plain, label + place)
                rows.append((channel_id, sequence, reading.time, nonce, sealed))
                previous = reading
            connection.executemany("INSERT INTO reading VALUES (?, ?, ?, ?, ?)", rows)
        return sequence - first

    def between(self, channel: Channel, begin: int, end: int) -> Iterator[Reading]:
        """Yield the readings of [begin, end] as they are known, and the nearest on either side.

        In order of time. Raises `VaultTampered` as `received` does.
        """
        corrections = self.corrections(channel)
        if not corrections:
            yield from self.received(channel, begin, end)
            return
        readings = list(self.received(channel, begin, end))
        for one in corrections:
            if not readings or readings[-1].time < one.first:
                continue
            readings = one.over(readings)
        yield from nearest(readings, begin, end)

    def received(self, channel: Channel, begin: int, end: int) -> Iterator[Reading]:
        """Yield the readings of [begin, end] as they were received, and the nearest on either side.

        Raises `VaultTampered` at the first row that was changed, moved or left out.
        """
        channel_id = self._channel_id(channel)
        if channel_id is None:
            return
        select = "SELECT sequence, time, nonce, sealed FROM reading WHERE channel = ?"
        rows = self.database.connection.execute(
            f"{select} AND sequence >= coalesce((SELECT max(sequence) FROM reading"  # noqa: S608
            " WHERE channel = ? AND time <= ?), 0) AND sequence <= coalesce((SELECT min(sequence)"
            " FROM reading WHERE channel = ? AND time >= ?), 9223372036854775807)"
            " ORDER BY sequence",
            (channel_id, channel_id, begin, channel_id, end),
        )
        expected: int | None = None
        for sequence, time, nonce, sealed in rows:
            if expected is not None and sequence != expected:
                raise VaultTampered(f"reading {expected} of {channel.register.hex()} is missing")
            expected = sequence + 1
            yield self._open(channel, sequence, time, nonce, sealed)

    def latest(self, channel: Channel) -> Reading | None:
        """Return the newest reading as it is known, or None where there is none."""
        last = self.newest_received(channel)
        if last is None or not self.corrections(channel):
            return last
        return list(self.between(channel, last.time, last.time))[-1]

    def newest_received(self, channel: Channel) -> Reading | None:
        """Return the newest reading as it was received: the next one has to follow it."""
        channel_id = self._channel_id(channel)
        last = None if channel_id is None else self._last(channel, channel_id)
        return None if last is None else last[1]

    def correct(
        self, channel: Channel, time: int, reason: str, readings: Sequence[Reading], lift_wh: int
    ) -> CorrectedReadings:
        """Add a correction; raise `ReadingRefused` where it does not fit what is around it.

        It begins after the first reading that was received, and ends by the last one.
        """
        key = channel.meter, channel.register
        with self.database.transaction() as connection:
            number = len(self.corrections(channel)) + 1
            made = CorrectedReadings(number, time, reason, tuple(readings), lift_wh)
            newest = self.newest_received(channel)
            known = list(self.between(channel, made.first - 1, made.last + 1))
            if newest is None or not (known[0].time < made.first and made.last <= newest.time):
                raise ReadingRefused("a correction lies between readings that were received")
            for before, after in pairwise(made.over(known)):
                _follow(channel, before, after)
            nonce = self.randomness(NONCE_SIZE)
            sealed = made.seal(self._cipher, nonce, _channel_name(channel))
            connection.execute(
                "INSERT INTO correction VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, number, time, reason, made.first, made.last, nonce, sealed),
            )
        return made

    def corrections(self, channel: Channel) -> list[CorrectedReadings]:
        """Return the corrections of a register, in the order in which they were made.

        Raises `VaultTampered` at the first one that was changed, moved or left out.
        """
        connection, key = self.database.connection, (channel.meter, channel.register)
        newest = connection.execute(
            "SELECT nonce FROM correction WHERE meter = ? AND register = ?"
            " ORDER BY number DESC LIMIT 1",
            key,
        ).fetchone()
        if newest is None:
            return []
        nonce, known = self._corrections.get(channel, (b"", []))
        if nonce != newest[0]:
            rows = connection.execute(
                "SELECT number, time, reason, first, last, nonce, sealed FROM correction"
                " WHERE meter = ? AND register = ? ORDER BY number",
                key,
            )
            known = [
                self._opened_correction(channel, place, row)
                for place, row in enumerate(rows, start=1)
            ]
            self._corrections[channel] = newest[0], known
        return known

    def _opened_correction(
        self, channel: Channel, place: int, row: tuple[int, int, str, int, int, bytes, bytes]
    ) -> CorrectedReadings:
        head: Head = row[:5]
        found = opened(self._cipher, _channel_name(channel), head, *row[5:])
        if found is None or found.number != place:
            self.require_current()  # a new key is no damage
            raise _correction_changed(channel, place)
        return found

    def earliest(self, channel: Channel) -> Reading | None:
        """Return the oldest reading, or None where there is none."""
        channel_id = self._channel_id(channel)
        row = self.database.connection.execute(
            "SELECT sequence, time, nonce, sealed FROM reading"
            " WHERE channel = ? ORDER BY sequence LIMIT 1",
            (channel_id,),
        ).fetchone()
        return None if row is None else self._open(channel, *row)

    def count(self, channel: Channel) -> int:
        """Return how many readings of the channel are stored."""
        (number,) = self.database.connection.execute(
            "SELECT count(*) FROM reading WHERE channel = ?", (self._channel_id(channel),)
        ).fetchone()
        return int(number)

    def channels(self) -> list[Channel]:
        """Return the registers that have readings."""
        rows = self.database.connection.execute("SELECT meter, register FROM channel ORDER BY id")
        return [Channel(meter, register) for meter, register in rows]

    def _channel_id(self, channel: Channel, *, create: bool = False) -> int | None:
        connection = self.database.connection
        key = (channel.meter, channel.register)
        if create:
            connection.execute("INSERT OR IGNORE INTO channel (meter, register) VALUES (?, ?)", key)
        row = connection.execute(
            "SELECT id FROM channel WHERE meter = ? AND register = ?", key
        ).fetchone()
        return None if row is None else int(row[0])

    def _last(self, channel: Channel, channel_id: int | None) -> tuple[int, Reading] | None:
        row = self.database.connection.execute(
            "SELECT sequence, time, nonce, sealed FROM reading"
            " WHERE channel = ? ORDER BY sequence DESC LIMIT 1",
            (channel_id,),
        ).fetchone()
        return None if row is None else (row[0], self._open(channel, *row))

    def _open(
        self, channel: Channel, sequence: int, time: int, nonce: bytes, sealed: bytes
    ) -> Reading:
        try:
            plain = self._cipher.decrypt(
                nonce, sealed, _label(channel) + _PLACE.pack(sequence, time)
            )
            register_wh, flags = _PLAIN.unpack(plain)
        except (InvalidTag, ValueError, struct.error):
            self.require_current()  # a new key is no damage
            raise _changed(channel, sequence, time) from None
        return Reading(time, register_wh, ReadingFlag(flags & _ALL_FLAGS))


def stored_check_value(database: Database) -> bytes | None:
    """Return the check value of the key that the database's rows are sealed with, if any are."""
    row = database.connection.execute("SELECT check_value FROM vault_key").fetchone()
    return None if row is None else bytes(row[0])


def resealed_reading(
    old: AESGCM, new: AESGCM, nonce: bytes, channel: Channel, row: tuple[int, int, bytes, bytes]
) -> bytes:
    """Return a row (sequence, time, nonce, sealed) sealed anew; raise `VaultTampered`."""
    sequence, time, old_nonce, sealed = row
    label = _label(channel) + _PLACE.pack(sequence, time)
    try:
        return new.encrypt(nonce, old.decrypt(old_nonce, sealed, label), label)
    except (InvalidTag, ValueError):
        raise _changed(channel, sequence, time) from None


def resealed_correction(
    old: AESGCM,
    new: AESGCM,
    nonce: bytes,
    channel: Channel,
    row: tuple[int, int, str, int, int, bytes, bytes],
) -> bytes:
    """Return a row (number, time, reason, first, last, nonce, sealed) sealed anew."""
    number, time, reason, first, last, old_nonce, sealed = row
    label = label_of(_channel_name(channel), (number, time, reason, first, last))
    try:
        return new.encrypt(nonce, old.decrypt(old_nonce, sealed, label), label)
    except (InvalidTag, ValueError):
        raise VaultTampered(
            f"correction {number} of {channel.register.hex()} was changed"
        ) from None


def _correction_changed(channel: Channel, number: int) -> VaultTampered:
    return VaultTampered(f"correction {number} of {channel.register.hex()} was changed")


def _channel_name(channel: Channel) -> bytes:
    return bytes([len(channel.meter)]) + channel.meter + channel.register


def _changed(channel: Channel, sequence: int, time: int) -> VaultTampered:
    return VaultTampered(
        f"reading {sequence} of {channel.register.hex()}, {utc_text(time)}:"
        " not what was stored there"
    )


def _label(channel: Channel) -> bytes:
    return b"".join((_LABEL, bytes([len(channel.meter)]), channel.meter, channel.register))


def _follow(channel: Channel, previous: Reading | None, reading: Reading) -> None:
    if reading.register_wh > LARGEST_REGISTER_WH:
        raise ReadingRefused(f"{utc_text(reading.time)}: no register counts that far")
    if previous is None:
        return
    if reading.time <= previous.time:
        raise ReadingRefused(
            f"{utc_text(reading.time)}: not later than the reading before it,"
            f" {utc_text(previous.time)}"
        )
    if reading.flags & ReadingFlag.EXCHANGED:
        return  # a new meter's register has nothing to do with the old one's
    if reading.register_wh < previous.register_wh:
        raise ReadingRefused(
            f"{utc_text(reading.time)}: the register fell from {previous.register_wh}"
            f" to {reading.register_wh} {channel.unit}"
        )
    if has_leapt(previous, reading):
        seconds = reading.time - previous.time
        raise ReadingRefused(
            f"{utc_text(reading.time)}: the register leapt from {previous.register_wh}"
            f" to {reading.register_wh} {channel.unit} in {seconds} s"
        )
