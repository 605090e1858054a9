# SPDX-License-Identifier: Apache-2.0
"""Buckets kept so that years need not be opened day by day: sealed like the readings.

    inspection.db: begin ‖ end ‖ subject    in clear, for searching; the subject names the tariffs,
                                            and the meter where it is a further one
                   nonce (12) ‖ AES-256-GCM(bucket)
                   associated data: "meterlet summary 2" ‖ begin ‖ end ‖ subject ‖ basis (32)

The basis is a digest of what the bucket was made from: the last certified day in it, of each
register, which by the chain stands for every day before, and how far the readings went where it is
provisional. It is not stored but known when a bucket is asked for, so that a bucket made from
anything else, or by an older release, does not open and is made again. The file can be deleted at
any time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from struct import Struct
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.device import Device
from hub.inspection.views.bucket import BandUse, Peak, StateCounts, UseBucket
from hub.inspection.views.money import Money
from hub.vault.database import Component, Database
from protocols.canonical.stored import decode_row, encode_row

SUMMARY_COMPONENT: Final = Component(
    "summary",
    (
        """
        CREATE TABLE summary (
            begin INTEGER NOT NULL,
            until INTEGER NOT NULL,
            subject BLOB NOT NULL,
            nonce BLOB NOT NULL,
            sealed BLOB NOT NULL,
            PRIMARY KEY (begin, until, subject)
        ) STRICT;
        """,
    ),
)
NONCE_SIZE: Final = 12
_LABEL: Final = b"meterlet summary 2"
INTO_SUMMARY: Final = "INSERT OR REPLACE INTO summary VALUES (?, ?, ?, ?, ?)"
_TIMES: Final = Struct(">qq")


class BucketKey(NamedTuple):
    """Which bucket, and what it is made from."""

    begin: int
    end: int
    subject: bytes
    basis: bytes


@dataclass(frozen=True, slots=True)
class BucketCache:
    """The kept buckets of one hub."""

    database: Database
    device: Device = field(repr=False)
    _cipher: AESGCM = field(repr=False)

    @classmethod
    def of(cls, device: Device, database: Database) -> "BucketCache":
        """Return the buckets in a file that was opened with `SUMMARY_COMPONENT`."""
        return cls(database, device, AESGCM(device.sealing_key("summaries")))

    def find(self, keys: Sequence[BucketKey]) -> dict[BucketKey, UseBucket]:
        """Return those buckets that are kept and were made from just this."""
        if not keys:
            return {}
        rows = self.database.connection.execute(
            "SELECT begin, until, subject, nonce, sealed FROM summary"
            " WHERE begin >= ? AND until <= ?",
            (min(key.begin for key in keys), max(key.end for key in keys)),
        )
        kept = {
            (begin, end, subject): (nonce, sealed) for begin, end, subject, nonce, sealed in rows
        }
        opened = {key: self._open(key, *kept[key[:3]]) for key in keys if key[:3] in kept}
        return {key: bucket for key, bucket in opened.items() if bucket is not None}

    def keep(self, buckets: Iterable[tuple[BucketKey, UseBucket]]) -> None:
        """Keep buckets, in the place of older ones."""
        rows = []
        for key, bucket in buckets:
            nonce = self.device.randomness(NONCE_SIZE)
            sealed = self._cipher.encrypt(nonce, _encode(bucket), _bound(key))
            rows.append((*key[:3], nonce, sealed))
        if rows:
            with self.database.transaction() as connection:
                connection.executemany(INTO_SUMMARY, rows)

    def _open(self, key: BucketKey, nonce: bytes, sealed: bytes) -> UseBucket | None:
        try:
            plain = self._cipher.decrypt(nonce, sealed, _bound(key))
        except (InvalidTag, ValueError):
            return None
        return _decode(key, plain)


def _bound(key: BucketKey) -> bytes:
    return b"".join((_LABEL, _TIMES.pack(key.begin, key.end), key.subject, key.basis))


def _encode(bucket: UseBucket) -> bytes:
    _, _, *members = astuple(bucket)  # the key has its bounds
    return encode_row(members)


def _decode(key: BucketKey, data: bytes) -> UseBucket:
    energy, states, unknown, unattributed, provisional, peak, bands, price, *rest = decode_row(data)
    energy_cost, cost, reason, fed_in = rest
    return UseBucket(
        begin=key.begin,
        end=key.end,
        energy_wh=energy,
        states=StateCounts(*states),
        unknown_seconds=unknown,
        unattributed_wh=unattributed,
        is_provisional=provisional,
        peak=None if peak is None else Peak(*peak),
        bands=tuple(BandUse(*band) for band in bands),
        price_micro=price,
        energy_cost=None if energy_cost is None else Money(*energy_cost),
        cost=None if cost is None else Money(*cost),
        reason=reason,
        fed_in_wh=fed_in,
    )
