# SPDX-License-Identifier: Apache-2.0
"""The keys of the card's security domains, sealed, with their counters.

A key set has a version and counters of its own: the AES keys 01 (ENC), 02 (MAC) and 03 (DEK) of
SCP03 are one, any other key is one by itself. Sequence and failure counters belong to the set.
Whoever opens a session writes them first, in a transaction of their own, so that no refused
command and no power cut takes them back. Secret parts are AES-256-GCM under the storage key,
bound to domain, version, identifier and part.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.card.status import CardRefusal, Sw
from hub.vault.database import Database
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp03 import SEQUENCE_END

_NONCE: Final = 12
ENC, MAC, DEK = 1, 2, 3


class KeyType(enum.IntEnum):
    """How a part of a key is coded (GPCS 2.3.1, table 11-16)."""

    AES = 0x88
    RSA_EXPONENT = 0xA0
    RSA_MODULUS = 0xA1
    RSA_PRIVATE_MODULUS = 0xA2
    RSA_PRIVATE_EXPONENT = 0xA3
    EC_PUBLIC = 0xB0
    EC_PRIVATE = 0xB1
    EC_PARAMETERS = 0xF0


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One component of a key: its type and its bytes."""

    type: KeyType
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a domain, with its parts in the order they came."""

    version: int
    identifier: int
    parts: tuple[KeyPart, ...]

    def part(self, kind: KeyType) -> bytes | None:
        """Return the bytes of one part, or None."""
        return next((part.value for part in self.parts if part.type is kind), None)


def base_of(identifier: int) -> int:
    """Return the identifier of the first key in the set that a key belongs to."""
    return ENC if identifier in {ENC, MAC, DEK} else identifier


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys that are used together, and how far their counters are."""

    domain: bytes
    version: int
    base: int
    sequence: int
    failures: int


class KeyStore:
    """Keys and counters; write inside a transaction."""

    def __init__(
        self, database: Database, storage_key: bytes, random: Callable[[int], bytes]
    ) -> None:
        self._database, self._random = database, random
        self._aead = AESGCM(storage_key)

    def put(self, domain: bytes, keys: Sequence[Key], *, replaces: int = 0) -> None:
        """Add `keys`, all of one version; `replaces` is the version they take the place of.

        A version that is replaced keeps its rank, so that what was the default stays it; its
        counters start again at zero (GPC Amendment D v1.2, 6.2.2.1).
        """
        for base in sorted({base_of(key.identifier) for key in keys}):
            members = [key for key in keys if base_of(key.identifier) == base]
            self._put_set(domain, base, members, replaces)

    def _put_set(self, domain: bytes, base: int, keys: Sequence[Key], replaces: int) -> None:
        db, version = self._database.connection, keys[0].version
        if replaces and replaces != version:
            (rank,) = db.execute(
                "SELECT rank FROM card_key_set WHERE domain = ? AND version = ? AND base = ?",
                (domain, replaces, base),
            ).fetchone()
            self._delete(domain, replaces, keys)
            self._drop_empty(domain)
        else:
            (rank,) = db.execute(
                "SELECT coalesce(max(rank), 0) + 1 FROM card_key_set WHERE domain = ?", (domain,)
            ).fetchone()
        db.execute(
            "INSERT INTO card_key_set VALUES (?, ?, ?, 0, 0, ?)"
            " ON CONFLICT (domain, version, base) DO UPDATE SET sequence = 0, failures = 0",
            (domain, version, base, rank),
        )
        self._delete(domain, version, keys)
        for key in keys:
            for number, part in enumerate(key.parts):
                sealed = self._seal(domain, key, number, part)
                db.execute(
                    "INSERT INTO card_key VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (domain, version, base, key.identifier, number, part.type, len(part.value),
                     sealed),
                )  # fmt: skip

    def _delete(self, domain: bytes, version: int, keys: Sequence[Key]) -> None:
        self._database.connection.executemany(
            "DELETE FROM card_key WHERE domain = ? AND version = ? AND identifier = ?",
            [(domain, version, key.identifier) for key in keys],
        )

    def put_static(self, domain: bytes, version: int, keys: StaticKeys) -> None:
        """Add an SCP03 key set as `version`."""
        triple = ((ENC, keys.enc), (MAC, keys.mac), (DEK, keys.dek))
        self.put(
            domain,
            [Key(version, number, (KeyPart(KeyType.AES, value),)) for number, value in triple],
        )

    def remove(self, domain: bytes, *, version: int = 0, identifier: int = 0) -> int:
        """Remove the keys that match and return how many there were; 0 matches all."""
        db = self._database.connection
        where = "domain = ? AND version = coalesce(?, version)"
        where += " AND identifier = coalesce(?, identifier)"
        bounds = (domain, version or None, identifier or None)
        (count,) = db.execute(
            f"SELECT count(DISTINCT version * 256 + identifier) FROM card_key WHERE {where}",  # noqa: S608
            bounds,
        ).fetchone()
        db.execute(f"DELETE FROM card_key WHERE {where}", bounds)  # noqa: S608 - constant text
        self._drop_empty(domain)
        return int(count)

    def find(self, domain: bytes, version: int, identifier: int) -> Key | None:
        """Return a key with its parts, or None; version 0 is the lowest there is."""
        rows = self._database.connection.execute(
            "SELECT version, part, type, sealed FROM card_key WHERE domain = ? AND identifier = ?"
            " AND version = coalesce(?, (SELECT min(version) FROM card_key"
            " WHERE domain = ? AND identifier = ?)) ORDER BY part",
            (domain, identifier, version or None, domain, identifier),
        ).fetchall()
        if not rows:
            return None
        version = rows[0][0]
        parts = tuple(
            KeyPart(KeyType(kind), self._open(domain, version, identifier, part, kind, sealed))
            for _, part, kind, sealed in rows
        )
        return Key(version, identifier, parts)

    def all(self, domain: bytes) -> list[Key]:
        """Return every key of a domain."""
        found = (self.find(domain, version, number) for version, number, _ in self.describe(domain))
        return [key for key in found if key is not None]

    def reseal(self, domain: bytes, keys: Sequence[Key]) -> None:
        """Seal `keys` again for a domain that has another name now; counters stay."""
        for key in keys:
            for number, part in enumerate(key.parts):
                self._database.connection.execute(
                    "UPDATE card_key SET sealed = ? WHERE domain = ? AND version = ?"
                    " AND identifier = ? AND part = ?",
                    (self._seal(domain, key, number, part), domain, key.version, key.identifier,
                     number),
                )  # fmt: skip

    def describe(self, domain: bytes) -> list[tuple[int, int, list[tuple[int, int]]]]:
        """Return version, identifier and the (type, length) of each part, in order of rank."""
        rows = self._database.connection.execute(
            "SELECT version, identifier, type, length FROM card_key"
            " JOIN card_key_set USING (domain, version, base) WHERE domain = ?"
            " ORDER BY rank, version, identifier, part",
            (domain,),
        ).fetchall()
        grouped: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for version, identifier, kind, length in rows:
            grouped.setdefault((version, identifier), []).append((kind, length))
        return [(version, identifier, parts) for (version, identifier), parts in grouped.items()]

    # Key sets of secure channels

    def find_set(self, domain: bytes, version: int) -> KeySet | None:
        """Return the SCP03 key set `version` of a domain, or None; 0 is its default."""
        row = self._database.connection.execute(
            "SELECT version, base, sequence, failures FROM card_key_set WHERE domain = ?"
            " AND version = coalesce(?, version) AND base = 1 AND 3 = (SELECT count(*)"
            " FROM card_key WHERE card_key.domain = card_key_set.domain"
            " AND card_key.version = card_key_set.version AND card_key.base = 1"
            " AND type = ?) ORDER BY rank LIMIT 1",
            (domain, version or None, int(KeyType.AES)),
        ).fetchone()
        return None if row is None else KeySet(domain, *row)

    def set_of(self, domain: bytes, key: Key) -> KeySet:
        """Return the set that a key of a domain is in."""
        row = self._database.connection.execute(
            "SELECT version, base, sequence, failures FROM card_key_set WHERE domain = ?"
            " AND version = ? AND base = ?",
            (domain, key.version, base_of(key.identifier)),
        ).fetchone()
        return KeySet(domain, *row)

    def remove_set(self, key_set: KeySet) -> None:
        """Remove a set with its keys."""
        self._database.connection.execute(
            "DELETE FROM card_key_set WHERE domain = ? AND version = ? AND base = ?",
            (key_set.domain, key_set.version, key_set.base),
        )

    def static_keys(self, key_set: KeySet) -> StaticKeys:
        """Return the keys of an SCP03 key set."""
        values = []
        for identifier in (ENC, MAC, DEK):
            key = self.find(key_set.domain, key_set.version, identifier)
            assert key is not None  # find_set has counted them
            values.append(key.parts[0].value)
        return StaticKeys(*values)

    def next_sequence(self, key_set: KeySet) -> int:
        """Return the next value of the sequence counter, which is on the disk by then."""
        if key_set.sequence >= SEQUENCE_END:
            raise _at_end()
        with self._database.transaction() as db:
            # As the file has it now: another process may have taken one since `key_set` was read.
            row = db.execute(
                "UPDATE card_key_set SET sequence = sequence + 1 WHERE domain = ? AND version = ?"
                " AND base = ? AND sequence < ? RETURNING sequence",
                (key_set.domain, key_set.version, key_set.base, SEQUENCE_END),
            ).fetchone()
        if row is None:
            raise _at_end()
        return int(row[0])

    def count_failure(self, key_set: KeySet) -> None:
        """Count an attempt as failed, on the disk, before it is looked at."""
        self._write_counter("failures = failures + 1", key_set)

    def clear_failures(self, key_set: KeySet) -> None:
        """Take the failures back after a success."""
        self._write_counter("failures = 0", key_set)

    def _write_counter(self, change: str, key_set: KeySet) -> None:
        with self._database.transaction() as db:
            db.execute(
                f"UPDATE card_key_set SET {change}"  # noqa: S608 - constant text
                " WHERE domain = ? AND version = ? AND base = ?",
                (key_set.domain, key_set.version, key_set.base),
            )

    def _drop_empty(self, domain: bytes) -> None:
        self._database.connection.execute(
            "DELETE FROM card_key_set WHERE domain = ? AND NOT EXISTS (SELECT 1 FROM card_key"
            " WHERE card_key.domain = card_key_set.domain"
            " AND card_key.version = card_key_set.version"
            " AND card_key.base = card_key_set.base)",
            (domain,),
        )

    # Sealing

    def seal_secret(self, name: str, parts: Sequence[bytes]) -> bytes:
        """Return `parts`, all of one length, sealed under a name of their own."""
        nonce = self._random(_NONCE)
        label = b"meterlet card secret v1" + name.encode()
        return nonce + self._aead.encrypt(nonce, bytes((len(parts),)) + b"".join(parts), label)

    def open_secret(self, name: str, sealed: bytes) -> list[bytes]:
        """Return the parts that `seal_secret` was given."""
        label = b"meterlet card secret v1" + name.encode()
        plain = self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], label)
        size = (len(plain) - 1) // plain[0]
        return [plain[1 + size * number : 1 + size * (number + 1)] for number in range(plain[0])]

    def _seal(self, domain: bytes, key: Key, number: int, part: KeyPart) -> bytes:
        nonce = self._random(_NONCE)
        label = _label(domain, key.version, key.identifier, number, part.type)
        return nonce + self._aead.encrypt(nonce, part.value, label)

    def _open(
        self, domain: bytes, version: int, identifier: int, number: int, kind: int, sealed: bytes
    ) -> bytes:
        label = _label(domain, version, identifier, number, kind)
        return self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], label)


def clear_all_failures(database: Database) -> int:
    """Give every key set all its attempts again; return how many had lost some."""
    with database.transaction() as db:
        return db.execute("UPDATE card_key_set SET failures = 0 WHERE failures > 0").rowcount


def _at_end() -> CardRefusal:
    return CardRefusal(
        Sw.CONDITIONS_NOT_SATISFIED,
        "the key set's sequence counter is at its end (Amendment D, 6.2.2.1)",
    )


def _label(domain: bytes, version: int, identifier: int, number: int, kind: int) -> bytes:
    fields = bytes((version, identifier, number, kind, len(domain)))
    return b"meterlet card key v1" + fields + domain
