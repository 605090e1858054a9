# SPDX-License-Identifier: Apache-2.0
"""The world as an applet sees it: a few narrow services, and nothing else.

The same in the machine, where each call crosses into the hub, and natively under pytest, where
`applets.sdk.testing` stands behind them. Times are seconds since 1970-01-01T00:00:00Z, energy is
whole watt-hours, a period is [begin, end). Whatever is refused raises `Refused`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "Aggregation",
    "Calendar",
    "Clock",
    "Grid",
    "Log",
    "Opened",
    "OpenedAmounts",
    "Outputs",
    "Peers",
    "Platform",
    "Readings",
    "Signatures",
    "Slots",
    "Statements",
    "Store",
    "Transactions",
    "Use",
]


@dataclass(frozen=True, slots=True)
class Opened:
    """Σ weight·use over a period, and what proves it."""

    value: int
    opening: bytes
    """Σ weight·blinding modulo the group's order; 32 bytes, big-endian."""
    certified_days: tuple[bytes, ...]
    """The period's certified days, in order, as the certifier signed them."""
    digest: bytes
    """What the disclosure ledger calls this release; 32 bytes."""


@dataclass(frozen=True, slots=True)
class OpenedAmounts:
    """What several amounts come to over a period, and what proves it."""

    values: tuple[int, ...]
    proof: bytes
    certified_days: tuple[bytes, ...]
    """The period's certified days, in order, as the certifier signed them."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How time is cut into slots."""

    zone: str
    """The IANA zone whose local days the slots fill."""
    slot_minutes: int


@dataclass(frozen=True, slots=True)
class Slots:
    """A period's slots, in order."""

    starts: tuple[int, ...]
    states: bytes
    """A byte a slot: 0 measured, 1 estimated, 2 substituted, 3 missing."""


@dataclass(frozen=True, slots=True)
class Use:
    """What was used in a period's slots; for raw applets only."""

    starts: tuple[int, ...]
    watt_hours: tuple[int, ...]
    states: bytes


class Statements(Protocol):
    """Statements about readings that the applet never sees."""

    def open_linear(
        self, register: str, begin: int, end: int, weights: Sequence[int], context: bytes
    ) -> Opened:
        """Open Σ weight·use over the slots that start in [begin, end); a weight for each.

        `context` (at most 4096 bytes) is bound into the release, which counts as released when
        this returns.
        """

    def open_amounts(
        self, register: str, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedAmounts:
        """Open sums, blocks, excesses and peaks over the slots from `begin` to `end`, in one proof.

        `amounts` is what `protocols.amounts.encode_amounts` makes; the manifest includes that
        package and names each kind among them. `context` and release are as for `open_linear`.
        """


class Aggregation(Protocol):
    """This household's part in sums over many, made and signed by the platform.

    A round's steps in order; messages are those of `protocols.aggregation`, which an applet need
    not understand. Needs the manifest's statement kind `aggregate`.
    """

    def tell_keys(self, nonce: bytes) -> bytes:
        """Return this meter's keys for the round of a nonce of 32 bytes."""

    def contribute(self, operator: bytes, announced: bytes) -> bytes:
        """Return the contribution to a round that the operator of this Ed25519 key announced."""

    def agree(self, contributors: bytes) -> bytes:
        """Return the agreement to open the sum over these contributors, and over no others."""

    def open_sum(self, contributors: bytes, agreements: bytes) -> bytes:
        """Return what opens it; `agreements` are all contributors' signatures, 64 bytes each.

        It counts as released when this returns.
        """

    def show_points(self, contributors: bytes) -> bytes:
        """Return, in a dispute, commitments to the masks shared with the other contributors."""

    def show_key(self, contributors: bytes, points: bytes) -> bytes:
        """Return, in a dispute, the secret of the pair with whom signed wrong points."""


class Calendar(Protocol):
    """How time is cut into slots."""

    def grid(self) -> Grid:
        """Return the zone and the width of the slots."""

    def slots(self, register: str, begin: int, end: int) -> Slots:
        """Return the slots that start in [begin, end)."""


class Store(Protocol):
    """What the applet keeps; part of the command's transaction, unlike its memory."""

    def get(self, key: bytes) -> bytes | None:
        """Return what `put` kept under `key`, None if nothing."""

    def put(self, key: bytes, value: bytes) -> None:
        """Keep `value` under `key`; `Refused` TOO_MUCH beyond the manifest's limit."""

    def delete(self, key: bytes) -> None:
        """Forget `key`; nothing happens if it is not there."""

    def keys(self) -> list[bytes]:
        """Return the keys, in order."""


class Transactions(ABC):
    """A transaction of the applet's own within the command's, one level deep.

    `with self.platform.transactions:` commits at the block's end and aborts if it raises. What is
    not committed when the applet returns is taken back. Meanwhile no statement is opened: what
    has been told cannot be taken back.
    """

    @abstractmethod
    def begin(self) -> None:
        """Begin; `Refused` MALFORMED if one is open already."""

    @abstractmethod
    def commit(self) -> None:
        """Keep what was put into the store since `begin`, if the command succeeds."""

    @abstractmethod
    def abort(self) -> None:
        """Take back what was put into the store since `begin`."""

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


class Peers(Protocol):
    """Other applets, as far as the manifest names them and they share something."""

    def call(self, aid: bytes, service: int, request: bytes) -> bytes:
        """Return the answer of the applet with that AID; `Refused` NOT_GRANTED otherwise."""


class Clock(Protocol):
    """The hub's clock."""

    def now(self) -> int:
        """Return the time."""


class Signatures(Protocol):
    """Checks that would be slow inside the machine."""

    def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is the key's (RFC 8032)."""


class Log(Protocol):
    """For the applet's developer; a hub in use keeps little of it."""

    def write(self, text: str) -> None:
        """Note `text`."""


class Readings(Protocol):
    """Readings themselves; refused to every applet but a raw one."""

    def read(self, register: str, begin: int, end: int) -> Use:
        """Return what was used in the slots that start in [begin, end)."""


class Outputs(Protocol):
    """The only way out of a raw applet."""

    def set(self, name: str, value: bytes) -> None:
        """Set what the output holds when it is next released; exactly its declared size."""


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything an applet is handed."""

    statements: Statements
    calendar: Calendar
    store: Store
    clock: Clock
    signatures: Signatures
    log: Log
    readings: Readings
    outputs: Outputs
    transactions: Transactions
    peers: Peers
    aggregation: Aggregation
