# SPDX-License-Identifier: Apache-2.0
"""Meter certificates that end, and an authority's list of those that were revoked before.

    RevocationList   number, time of issue, and for each certifier's key from when it counts no more

What was certified before that moment stays valid. A list takes the place of an earlier one of the
same authority, by its number, and keeps every entry of it: nobody is let back in silently.

Errors: MalformedMessage, RoundRefused
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import ClassVar, Final

from protocols.aggregation.errors import MalformedMessage, RoundRefused
from protocols.aggregation.members import MeterCertificate, TermedCertificate
from protocols.aggregation.wire import KEY_SIZE, SignedMessage, cut, written

_TIME_SIZE: Final = 8
MOST_REVOCATIONS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certifier's key, and from when what it certifies counts no more."""

    certifier: bytes
    since: int
    """Epoch seconds."""

    def __post_init__(self) -> None:
        if len(self.certifier) != KEY_SIZE or not 0 <= self.since < 1 << 40:
            raise MalformedMessage("a revocation is of a key of 32 bytes, from a moment on")

    def encode(self) -> bytes:
        """Return 40 bytes."""
        return self.certifier + self.since.to_bytes(_TIME_SIZE, "big")


def _write(entries: Sequence[Revocation]) -> bytes:
    return b"".join(entry.encode() for entry in entries)


def _read(data: bytes) -> tuple[Revocation, ...]:
    return tuple(
        Revocation(piece[:KEY_SIZE], int.from_bytes(piece[KEY_SIZE:], "big"))
        for piece in cut(data, KEY_SIZE + _TIME_SIZE)
    )


@dataclass(frozen=True, slots=True)
class RevocationList(SignedMessage):
    """The authority's word on which certifiers count no more, and since when."""

    LABEL: ClassVar[str] = "meterlet meter revocations 1"

    number: int
    """One up with each list."""
    issued: int
    """Epoch seconds."""
    entries: tuple[Revocation, ...] = field(metadata=written(_write, _read))
    """In order of their keys, each once."""

    def _check(self) -> None:
        if not 1 <= self.number < 1 << 40 or not 0 <= self.issued < 1 << 40:
            raise MalformedMessage("a list has a number of 1 or more, and a time")
        if len(self.entries) > MOST_REVOCATIONS:
            raise MalformedMessage(f"{len(self.entries)} revocations are too many")
        if any(one.certifier >= two.certifier for one, two in pairwise(self.entries)):
            raise MalformedMessage("the revocations are not in order, or one is there twice")

    def since(self, certifier: bytes) -> int | None:
        """Return from when a certifier counts no more; None where it is not on the list."""
        return next((one.since for one in self.entries if one.certifier == certifier), None)

    def revoking(self, certifier: bytes, since: int, issued: int) -> "RevocationList":
        """Return the next list, not signed yet, with one more entry.

        Raises `MalformedMessage` where the key is on the list from an earlier moment already.
        """
        known = self.since(certifier)
        if known is not None and known < since:
            raise MalformedMessage("the key is revoked from an earlier moment already")
        others = [one for one in self.entries if one.certifier != certifier]
        entries = sorted([*others, Revocation(certifier, since)], key=lambda one: one.certifier)
        return RevocationList(self.number + 1, issued, tuple(entries))

    def replaces(self, earlier: "RevocationList") -> bool:
        """Tell whether this list is a later one, in which nothing of the earlier one is undone."""
        return self.number > earlier.number and all(
            (since := self.since(one.certifier)) is not None and since <= one.since
            for one in earlier.entries
        )


def revoked_since(certifier: bytes, lists: Iterable[RevocationList]) -> int | None:
    """Return the earliest moment from which a list says that a certifier counts no more."""
    moments = [since for one in lists if (since := one.since(certifier)) is not None]
    return min(moments, default=None)


def require_standing(
    certificate: MeterCertificate, begin: int, end: int, lists: Iterable[RevocationList]
) -> None:
    """Return if a certificate holds for all of [begin, end); raise `RoundRefused` if not."""
    meter = certificate.meter.hex()
    if isinstance(certificate, TermedCertificate):
        if begin < certificate.begins:
            raise RoundRefused(f"meter {meter}: its certificate begins {_text(certificate.begins)}")
        if end > certificate.ends:
            raise RoundRefused(f"meter {meter}: its certificate ended {_text(certificate.ends)}")
    since = revoked_since(certificate.certifier, lists)
    if since is not None and end > since:
        raise RoundRefused(f"meter {meter}: its certificate was revoked from {_text(since)} on")


def _text(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
