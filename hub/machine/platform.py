# SPDX-License-Identifier: Apache-2.0
"""What the device does for an applet, asked for by the machine.

One `Platform` stands behind one applet. The machine has checked sizes, and that the manifest names
what is asked, before a service hears of it; consents, budgets and the ledger are the services' own.
A service raises `Refused` to refuse. Any other exception is taken for a bug of ours: it ends the
command and reaches the caller of `AppletInstance.process` as it is.

Times are seconds since 1970-01-01T00:00:00Z, energy is whole watt-hours, a period is [begin, end).
"""

from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = [
    "Aggregation",
    "Calendar",
    "Clock",
    "Ed25519Signatures",
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
    """Signed, 64 bits."""
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
    """Signed, 64 bits."""
    proof: bytes
    certified_days: tuple[bytes, ...]
    """The period's certified days, in order, as the certifier signed them."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How time is cut into slots."""

    zone: str
    slot_minutes: int


@dataclass(frozen=True, slots=True)
class Slots:
    """A period's slots, in order."""

    starts: tuple[int, ...]
    states: bytes
    """A byte a slot: 0 measured, 1 estimated, 2 substituted, 3 missing."""


@dataclass(frozen=True, slots=True)
class Use:
    """What was used in a period's slots."""

    starts: tuple[int, ...]
    watt_hours: tuple[int, ...]
    states: bytes


class Statements(Protocol):
    """Statements about readings, for applets that never see one."""

    def open_linear(
        self, register: str, begin: int, end: int, weights: tuple[int, ...], context: bytes
    ) -> Opened:
        """Open Σ weight·use over the slots that start in [begin, end), in order.

        It counts as released when this returns. `context` is at most 4096 bytes.
        """

    def open_amounts(
        self, register: str, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedAmounts:
        """Open what `protocols.amounts` describes, over the slots that start in [begin, end).

        The machine has decoded `amounts`, and the manifest grants every kind among them.
        """


class Aggregation(Protocol):
    """A household's part in sums over many; messages as in `protocols.aggregation`."""

    def tell_keys(self, nonce: bytes) -> bytes:
        """Return this meter's keys for the round of a nonce."""

    def contribute(self, operator: bytes, announced: bytes) -> bytes:
        """Return the contribution to a round that the operator of this Ed25519 key announced."""

    def agree(self, contributors: bytes) -> bytes:
        """Return the agreement to open the sum over these, and over no others."""

    def open_sum(self, contributors: bytes, agreements: bytes) -> bytes:
        """Return the opening, given all agreements' signatures; it counts as released then."""

    def show_points(self, contributors: bytes) -> bytes:
        """Return commitments to the pairs' masks, once the sum was opened."""

    def show_key(self, contributors: bytes, points: bytes) -> bytes:
        """Return the secret of the pair with whom signed wrong points."""


class Calendar(Protocol):
    """How time is cut into slots."""

    def grid(self) -> Grid:
        """Return the zone and the width of the slots."""

    def slots(self, register: str, begin: int, end: int) -> Slots:
        """Return the slots that start in [begin, end)."""


class Store(Protocol):
    """What the applet keeps; within the command's transaction."""

    def get(self, key: bytes) -> bytes | None:
        """Return what is kept under `key`, None if nothing."""

    def put(self, key: bytes, value: bytes) -> None:
        """Keep `value`; `Refused` TOO_MUCH beyond the manifest's `store_bytes`."""

    def delete(self, key: bytes) -> None:
        """Forget `key`, if it is there."""

    def keys(self) -> list[bytes]:
        """Return the keys, in order."""


class Transactions(Protocol):
    """A transaction of the applet's own within its command's; `Refused` MALFORMED out of order."""

    def begin(self) -> None:
        """Begin; one level deep."""

    def commit(self) -> None:
        """Keep what was written since `begin`, if the command succeeds."""

    def abort(self) -> None:
        """Take back what was written since `begin`."""


class Peers(Protocol):
    """Other applets."""

    def call(self, aid: bytes, service: int, request: bytes) -> bytes:
        """Return the answer of at most 64 KiB; `Refused` whatever is in the way."""


class Clock(Protocol):
    """The hub's clock."""

    def now(self) -> int:
        """Return the time."""


class Signatures(Protocol):
    """Checks that would be slow inside the machine."""

    def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is the key's; malformed ones are nobody's."""


class Log(Protocol):
    """For the applet's developer."""

    def write(self, text: str) -> None:
        """Note a line of an applet's own making: hostile text, of bounded length."""


class Readings(Protocol):
    """Readings, for raw applets."""

    def read(self, register: str, begin: int, end: int) -> Use:
        """Return what was used in the slots that start in [begin, end)."""


class Outputs(Protocol):
    """What a raw applet may let out."""

    def set(self, name: str, value: bytes) -> None:
        """Hold `value`, of exactly the declared size, until the output's next release."""


class Ed25519Signatures:
    """`Signatures` by the `cryptography` package."""

    def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is the key's (RFC 8032)."""
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Platform:
    """The services behind one applet."""

    statements: Statements
    calendar: Calendar
    store: Store
    clock: Clock
    signatures: Signatures
    log: Log
    readings: Readings | None = None
    outputs: Outputs | None = None
    transactions: Transactions | None = None
    peers: Peers | None = None
    aggregation: Aggregation | None = None
