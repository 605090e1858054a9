# SPDX-License-Identifier: Apache-2.0
"""The rows: every call between an applet and the hub, once.

From these methods are made the WIT file, the types that a component is held to, what takes calls
in the hub, and what makes them inside the machine (`protocols.platform.table`). The hub and the
test double of the SDK implement them. Results are records. Docstrings go into the WIT file.

Times are seconds since 1970-01-01T00:00:00Z, energy is whole watt-hours, a period is [begin, end).
Whatever is refused raises `Refused`. Any other exception of a service is a bug of the hub's.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, NoReturn, Protocol

from protocols.platform.errors import Refusal, Refused
from protocols.platform.rows import Needs, Size, refusable

MAX_AMOUNTS: Final = 3 << 20
"""Bytes that describe amounts: a weight for each slot of a year of slots of five minutes."""
MAX_PEER_MESSAGE: Final = 1 << 16
"""Bytes of a request to another applet, and of its answer."""

MAX_REGISTERS: Final = 8
OBIS_SIZE: Final = 6

Amounts = Annotated[bytes, Size(MAX_AMOUNTS)]
Context = Annotated[bytes, Size(4_096)]
Key = Annotated[bytes, Size(256, Refusal.MALFORMED, least=1)]
Name = Annotated[str, Size(128, Refusal.NOT_FOUND)]
Registers = Annotated[bytes, Size(MAX_REGISTERS * OBIS_SIZE, Refusal.MALFORMED, least=OBIS_SIZE)]
"""OBIS codes of 6 bytes, one after the other."""
State = Annotated[bytes, Size(1 << 16, Refusal.MALFORMED, least=1)]
RoundMessage = Annotated[bytes, Size(1 << 18)]
"""An announcement to a thousand members fits."""


U32 = Annotated[int, "u32"]
"""A whole number of 32 bits; an `int` has 64 and a sign."""


@dataclass(frozen=True, slots=True)
class OpenedAmounts:
    """What several amounts come to over a period, and what proves it.

    certified days    the period's, in order, as the certifier signed them
    """

    values: tuple[int, ...]
    proof: bytes
    certified_days: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OpenedNumbers:
    """Numbers that amounts of registers come to over a period, and what proves them.

    certified days    the period's, in order, as the certifier signed them; those of one register
                      after those of the other, as many of each
    """

    values: tuple[int, ...]
    proof: bytes
    certified_days: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CarriedNumbers:
    """Numbers that go on from earlier ones, what proves them, and what they hand on.

    certified days    as those of opened numbers
    state             what the next numbers go on from, as `protocols.carried` encodes it
    """

    values: tuple[int, ...]
    proof: bytes
    certified_days: tuple[bytes, ...]
    state: bytes


@dataclass(frozen=True, slots=True)
class BoundedEnergy:
    """What is opened of unattributed energy, and what proves that, or that it is within a limit.

    opened            the watt-hours of the period, if they are more than the limit; else nothing
    certified days    the period's, in order, as the certifier signed them
    """

    opened: tuple[int, ...]
    proof: bytes
    certified_days: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """How time is cut into slots, which fill the local days of an IANA zone."""

    record: ClassVar = "slot-grid"

    zone: str
    slot_minutes: U32


@dataclass(frozen=True, slots=True)
class Slots:
    """When a period's slots start, in order, and their states.

    A state is a byte: 0 measured, 1 estimated, 2 substituted, 3 missing.
    """

    record: ClassVar = "slot-list"

    starts: tuple[int, ...]
    states: bytes


@dataclass(frozen=True, slots=True)
class Use:
    """What was used in a period's slots; starts and states are those of slots."""

    record: ClassVar = "slot-use"

    starts: tuple[int, ...]
    watt_hours: tuple[int, ...]
    states: bytes


def codes_of(registers: bytes) -> list[bytes]:
    """Return the OBIS codes; raise `Refused` (MALFORMED) where they are not some, each once."""
    codes = [registers[place : place + OBIS_SIZE] for place in range(0, len(registers), OBIS_SIZE)]
    if not codes or len(codes[-1]) != OBIS_SIZE or len(set(codes)) != len(codes):
        raise Refused(Refusal.MALFORMED, f"OBIS codes have {OBIS_SIZE} bytes, each is there once")
    return codes


def names_of(registers: bytes) -> list[str]:
    """Return the OBIS codes as text, as `codes_of` reads them."""
    return ["{}-{}:{}.{}.{}*{}".format(*code) for code in codes_of(registers)]


class Statements(Protocol):
    """Statements about readings that the applet itself never sees.

    A context (tariff, nonce, ...) is bound into the release. What is returned counts as released.
    """

    @refusable(*Refusal, needs=Needs.AMOUNTS)
    def open_amounts(
        self, register: str, begin: int, end: int, amounts: Amounts, context: Context
    ) -> OpenedAmounts:
        """Open several amounts over the slots that start in [begin, end), in one proof.

        `protocols.amounts` describes and packs them: sums, what blocks come to, peaks, what lies
        above limits, matches and samples. Packages of version 0.1 ask so; a bill is one number of
        `open_numbers`, which tells none of its parts.
        """

    @refusable(*Refusal, needs=Needs.NUMBERS)
    def open_numbers(
        self, registers: Registers, begin: int, end: int, amounts: Amounts, context: Context
    ) -> OpenedNumbers:
        """Open rounded totals over the registers' slots that start in [begin, end), in one proof.

        `protocols.amounts` describes and packs them: totals of several registers' amounts,
        matches and samples of the first register. What totals are made of stays hidden.
        """

    @refusable(*Refusal, needs=Needs.MEMORY)
    def carry_numbers(
        self,
        registers: Registers,
        begin: int,
        end: int,
        amounts: Amounts,
        context: Context,
        state: State,
    ) -> CarriedNumbers:
        """Open totals that go on from a state, as `open_numbers` does, and keep what they hand on.

        The state is the one that the numbers before have left, of `protocols.carried`, or the
        opening one of an account; the period begins where it ends. What is carried is never told.
        """

    @refusable(*Refusal, needs=Needs.UNATTRIBUTED)
    def bound_unattributed(
        self, register: Name, begin: int, end: int, limit_wh: int, context: Context
    ) -> BoundedEnergy:
        """Show that the energy in no slot of [begin, end) is within a limit, or open it.

        Missing slots stand for such energy.
        """


class Calendar(Protocol):
    """How time is cut into slots."""

    def grid(self) -> Grid:
        """Return the zone and the width of the slots."""

    @refusable(Refusal.NOT_FOUND, Refusal.INCOMPLETE, Refusal.MALFORMED, Refusal.NO_CONSENT)
    def slots(self, register: Name, begin: int, end: int) -> Slots:
        """Return the slots that start in [begin, end)."""


class Store(Protocol):
    """What the applet keeps; part of the command's transaction, unlike its memory."""

    def get(self, key: Key) -> bytes | None:
        """Return what is kept under `key`, if anything."""

    @refusable(Refusal.TOO_MUCH, Refusal.MALFORMED, needs=Needs.ROOM)
    def put(self, key: Key, value: Annotated[bytes, Size(1 << 20)]) -> None:
        """Keep `value` under `key`; all keys and values together fill `store_bytes` at most."""

    def delete(self, key: Key) -> None:
        """Forget `key`, if it is there."""

    def keys(self) -> list[bytes]:
        """Return the keys, in order."""


class Transactions(Protocol):
    """A transaction of the applet's own within the command's, one level deep.

    What is not committed when the applet returns is taken back. Meanwhile no statement is opened:
    what was released cannot be taken back. In Python, `with self.platform.transactions:` commits
    at the block's end and aborts if it raises.
    """

    @refusable(Refusal.NOT_GRANTED, Refusal.MALFORMED)
    def begin(self) -> None:
        """Begin; malformed if one is open already."""

    @refusable(Refusal.NOT_GRANTED, Refusal.MALFORMED)
    def commit(self) -> None:
        """Keep what was put into the store since `begin`, if the command succeeds."""

    @refusable(Refusal.NOT_GRANTED, Refusal.MALFORMED)
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

    @refusable(Refusal.NOT_GRANTED, needs=Needs.PEER)
    def call(
        self, peer: bytes, service: U32, request: Annotated[bytes, Size(MAX_PEER_MESSAGE)]
    ) -> bytes:
        """Return what the applet with that AID answers, as long as a request at most.

        Every refusal is the same, or an applet could find out what is installed.
        """


class Clock(Protocol):
    """The hub's clock."""

    def now(self) -> int:
        """Return the time."""


class Signatures(Protocol):
    """Checks that would be slow inside the machine."""

    def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is the key's (RFC 8032); malformed ones are nobody's."""


class Log(Protocol):
    """For the applet's developer; a hub in use keeps little of it."""

    def write(self, text: str) -> None:
        """Note a line of the applet's own making."""


class Readings(Protocol):
    """Readings themselves; refused to every applet but a raw one."""

    @refusable(*Refusal, needs=Needs.RAW)
    def read(self, register: Name, begin: int, end: int) -> Use:
        """Return what was used in the slots that start in [begin, end)."""


class Outputs(Protocol):
    """The only way out of a raw applet."""

    @refusable(Refusal.NOT_GRANTED, Refusal.MALFORMED, needs=Needs.OUTPUT)
    def set(self, name: str, value: bytes) -> None:
        """Set what the output holds until its next release."""


class Aggregation(Protocol):
    """A household's part in sums over many, which get what is encrypted and masked.

    A round's steps in order; messages are those of `protocols.aggregation`, made, checked and
    signed by the platform. A step that was taken is answered again as it was.
    """

    @refusable(*Refusal, needs=Needs.SUMS)
    def tell_keys(self, nonce: RoundMessage) -> bytes:
        """Return this meter's keys for the round of a nonce of 32 bytes."""

    @refusable(*Refusal, needs=Needs.SUMS)
    def contribute(self, operator: RoundMessage, announced: RoundMessage) -> bytes:
        """Return the contribution to a round that the operator of this Ed25519 key announced."""

    @refusable(*Refusal, needs=Needs.SUMS)
    def agree(self, contributors: RoundMessage) -> bytes:
        """Return the agreement to open the sum over these; over no others of the round ever."""

    @refusable(*Refusal, needs=Needs.SUMS)
    def open_sum(self, contributors: RoundMessage, agreements: RoundMessage) -> bytes:
        """Return what opens the sum, given all contributors' signatures, 64 bytes each.

        It counts as released when this returns.
        """

    @refusable(*Refusal, needs=Needs.SUMS)
    def show_points(self, contributors: RoundMessage) -> bytes:
        """Return, in a dispute, commitments to the masks shared with the other contributors."""

    @refusable(*Refusal, needs=Needs.SUMS)
    def show_key(self, contributors: RoundMessage, points: RoundMessage) -> bytes:
        """Return, in a dispute, the secret of the pair with whom signed wrong points."""


class _NotOffered:
    def __getattr__(self, name: str) -> NoReturn:
        raise Refused(Refusal.NOT_GRANTED, "the platform has no such service")


NOT_OFFERED: Final[Any] = _NotOffered()
"""Stands for a service that an applet is not given: every call is refused."""


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything an applet is handed; a field names an interface."""

    statements: Statements
    calendar: Calendar
    store: Store
    clock: Clock
    signatures: Signatures
    log: Log
    readings: Readings = NOT_OFFERED
    outputs: Outputs = NOT_OFFERED
    transactions: Transactions = NOT_OFFERED
    peers: Peers = NOT_OFFERED
    aggregation: Aggregation = NOT_OFFERED


class AppletExports(Protocol):
    """What the hub calls; each call takes as long as its fuel lasts, and no longer.

    Answers are ISO/IEC 7816-4 responses: data, then a status word of two bytes. An error says that
    the applet broke. Its text is for the developer; the peer gets status word 6400.
    """

    def install(self, parameters: bytes) -> bytes:
        """Prepare the store; once, when a card manager installs the applet."""

    def select(self) -> bytes:
        """Return what a peer that selects the applet gets."""

    def process(self, command: bytes) -> bytes:
        """Answer a command APDU."""

    def deselect(self) -> None:
        """Forget the peer."""

    def update(self) -> None:
        """Read, and set outputs: of raw applets, after each time at which outputs were released."""

    def uninstall(self) -> bytes:
        """Say goodbye; once, before the applet is deleted."""


class SharingExports(Protocol):
    """What an applet shares with others; a component without it shares nothing.

    The hub asks only for clients that the manifest names. An error is a refusal to the client.
    """

    def grants(self, client: bytes, service: U32) -> bool:
        """Return whether the client of that AID may use the service."""

    def serve(self, client: bytes, service: U32, request: bytes) -> bytes:
        """Answer a request of a client that `grants` has agreed to."""


class PythonExports(Protocol):
    """What runs Python applets: a component that is handed its program.

    It is no part of the public contract; the runtime is built against a copy of this text in
    which bytes cross as text, a character each.
    """

    def compile(self, sources: bytes) -> str:
        """Compile modules to an image.

        Sources are repeated: path length in 4 bytes, path, source length in 4 bytes, source.
        """

    def load(self, image: str, module: str) -> str:
        """Start the applet class in `module` of an image.

        Return an image that starts faster, or nothing if this is one already.
        """
