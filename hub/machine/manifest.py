# SPDX-License-Identifier: Apache-2.0
"""An applet's manifest: who wrote it, whom it answers, what it may do.

What a manifest does not name, the platform does not do; so every key is known here, every bound is
explicit, and anything else is an error that names the key. The vendor writes TOML; the signed
bundle carries the same tables as CBOR.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from typing import Any, Final

from hub.disclosure import LEAST_MINUTES
from hub.disclosure.consents import WITH_MEMORY, WITHOUT_DOCUMENT
from hub.machine._tables import Table, between, day, each, member, names, pattern, some, text
from hub.machine.errors import ManifestError
from protocols.canonical.foreign_text import ForeignTextRefused, read_toml

MEBIBYTE: Final = 2**20
AGGREGATE: Final = "aggregate"
"""The kind of statement that is a part of a sum over many households."""
WEIGHTED: Final = "weighted"
"""The same, where a price of each slot makes one number of a period's use."""
SUMS: Final = frozenset({AGGREGATE, WEIGHTED})
"""Kinds of which nothing is told but a sum over many households."""
UNATTRIBUTED: Final = "unattributed"
"""The kind of statement about energy that belongs to no slot."""
MOST_LIBRARIES: Final = 8
LEAST_GROUP: Final = 3
"""Of two, each knows what the other used."""
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PACKAGE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,7}")
VERSION: Final = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")
_LIBRARY_VERSION: Final = re.compile(r"(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})")
STATEMENT_KINDS: Final = (
    "linear", "blocks", "demand", "excess", "count", "match", "sample", "aggregate", "weighted",
    "unattributed",
)  # fmt: skip
_STATEMENT: Final = re.compile("|".join(STATEMENT_KINDS))
"""Kinds of statements, as `protocols.amounts` names them, of sums, and of what no slot holds."""
_REGISTER: Final = re.compile(r"\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}(\*\d{1,3})?")


class Confinement(StrEnum):
    """What keeps readings in."""

    STATEMENT = "statement"
    """It never sees a reading; the platform proves its statements."""
    RAW = "raw"
    """It sees readings; its declared outputs are the only way out."""


class Runtime(StrEnum):
    """What runs it."""

    PYTHON = "python"
    COMPONENT = "component"


@dataclass(frozen=True, slots=True)
class Code:
    """Where the program is."""

    runtime: Runtime
    package: str
    """The Python package whose module `applet` holds the applet class."""
    include: tuple[str, ...] = ()
    """Further packages that the bundle carries."""


@dataclass(frozen=True, slots=True)
class StatementGrant:
    """A kind of statement that the applet may ask for, and how often."""

    kind: str
    registers: tuple[str, ...]
    minimum_days: int
    """Periods shorter than so many times 23 hours are refused."""
    at_most: int
    """Numbers about any one moment, and about all periods that lie within any `within_days` days;
    of samples, all of one answer count as one."""
    within_days: int
    """What counts is the time that is asked about, not when it is asked."""
    value_bits: int = 64
    least_minutes: int = LEAST_MINUTES
    """How many minutes of slots, at least, are mixed in anything that can be worked out. Where
    every slot has a weight of its own (a price, say), no more than a slot is."""
    slot_bits: int = 0
    """How many bits are told about any one slot at most; 0: prices keep within the guard's bounds
    (docs/guard.md), as the prices of most tariffs do."""
    memory_days: int = 0
    """How many days back a number may depend on, by what earlier ones have handed on; 0: on its own
    period alone."""
    published: int = 0
    """For how many meters, at least, the document that it answers under has to be published by its
    signer's word; 0: it need not be."""
    corrected_minutes: int = 0
    """Where readings were corrected since a number was told: over how many minutes of corrected
    slots, at least, a total may become known, though they are fewer days; 0: none may."""
    smallest_group: int = 0
    """Of `aggregate` and `weighted`, and of them alone: over how many households a sum goes."""


class Every(StrEnum):
    """By which part of the calendar an output is released."""

    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Output:
    """What a raw applet may let out."""

    name: str
    size: int
    """Bytes, exactly."""
    every_hours: int = 0
    """Released at multiples of so many hours since the epoch, whether it has changed or not."""
    every: Every | None = None
    """Released when each month ends on the hub's clock, in the place of hours."""

    @property
    def is_monthly(self) -> bool:
        """Whether it is released by the calendar month."""
        return self.every is Every.MONTH


@dataclass(frozen=True, slots=True)
class Peer:
    """Another applet that this one may ask, and for what."""

    aid: bytes
    services: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """A service that the applet shares, and with whom at most; it may still refuse."""

    service: int
    clients: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LibraryImport:
    """A library that the applet runs with: another package, of the same vendor."""

    package: bytes
    version: str
    """Major and minor: the library has this one, or a later minor one."""


@dataclass(frozen=True, slots=True)
class AppletLimits:
    """What one applet may use up."""

    fuel: int = 20_000_000_000
    """For each command; about 10^10 a second of Python."""
    fuel_per_minute: int = 120_000_000_000
    """For all commands of a minute together."""
    memory_bytes: int = 64 * MEBIBYTE
    store_bytes: int = 65_536
    response_bytes: int = MEBIBYTE
    commands_per_minute: int = 600


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a vendor declares and a resident consents to."""

    aid: bytes
    name: str
    version: str
    vendor: str
    recipient: str
    purpose: str
    confinement: Confinement
    expires: date
    code: Code
    statements: tuple[StatementGrant, ...] = ()
    outputs: tuple[Output, ...] = ()
    limits: AppletLimits = AppletLimits()
    resolution_minutes: int | None = None
    """The finest slots a raw applet reads."""
    registers: tuple[str, ...] = ()
    """Which registers a raw applet reads beside the main one; others name theirs by statement."""
    peers: tuple[Peer, ...] = ()
    shared: tuple[Shared, ...] = ()
    libraries: tuple[LibraryImport, ...] = ()

    @property
    def protects_itself(self) -> bool:
        """Whether the applet only takes part in sums: those messages need no channel.

        They are encrypted, masked and signed by the platform; concentrators relay them, which
        share no key with the hub.
        """
        only_sums = bool(self.statements) and all(one.kind in SUMS for one in self.statements)
        return only_sums and not (self.outputs or self.peers or self.shared)

    @classmethod
    def from_toml(cls, text: str) -> "Manifest":
        """Read what a vendor wrote; raise `ManifestError`."""
        try:
            tables = read_toml(text)
        except ForeignTextRefused as error:
            raise ManifestError("manifest.toml", str(error)) from error
        return cls.from_tables(tables)

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> "Manifest":
        """Read the tables of `to_tables`; raise `ManifestError`."""
        manifest = Table("", tables).make(
            cls,
            aid=read_aid,
            name=pattern(NAME),
            version=pattern(VERSION),
            vendor=text,
            recipient=pattern(NAME),
            purpose=pattern(NAME),
            confinement=member(Confinement),
            expires=day,
            code=read_code,
            statements=each("statements", _statement),
            outputs=each("outputs", _output),
            limits=_limits,
            resolution_minutes=between(5, 1440),
            registers=names(_REGISTER),
            peers=each("peers", _peer),
            shared=each("shared", _shared),
            libraries=each("libraries", _library),
        )
        _check_libraries(manifest)
        _check_statements(manifest)
        _check_sharing(manifest)
        _check_confinement(manifest)
        return manifest

    def to_tables(self) -> dict[str, Any]:
        """Return plain tables; `from_tables` reads them back to an equal manifest."""
        tables = _plain(self)
        return {key: value for key, value in tables.items() if value not in (None, [])}


def _check_statements(manifest: Manifest) -> None:
    registers: dict[str, set[str]] = {}
    for grant in manifest.statements:
        named = set(grant.registers)
        if registers.setdefault(grant.kind, named) != named:
            # Consents are by kind: the terms for one register would hold for the other, too.
            raise ManifestError("statements", "two tables of one kind name different registers")


def _check_confinement(manifest: Manifest) -> None:
    if manifest.confinement is Confinement.STATEMENT:
        if manifest.outputs:
            raise ManifestError("outputs", "only a raw applet has outputs")
        if manifest.resolution_minutes is not None:
            raise ManifestError("resolution_minutes", "only a raw applet reads readings")
        if manifest.registers:
            raise ManifestError("registers", "only a raw applet reads readings")
        return
    if manifest.statements:
        raise ManifestError("statements", "a raw applet makes no statements")
    if manifest.resolution_minutes is None:
        raise ManifestError(
            "resolution_minutes", "missing: a raw applet must say how fine it reads"
        )
    names = [output.name for output in manifest.outputs]
    if len(set(names)) != len(names):
        raise ManifestError("outputs", "two outputs have the same name")


def _check_libraries(manifest: Manifest) -> None:
    packages = [library.package for library in manifest.libraries]
    if len(set(packages)) != len(packages):
        raise ManifestError("libraries", "two tables name the same")
    if len(packages) > MOST_LIBRARIES:
        raise ManifestError("libraries", f"must be at most {MOST_LIBRARIES}")


def _check_sharing(manifest: Manifest) -> None:
    peers = [peer.aid for peer in manifest.peers]
    services = [shared.service for shared in manifest.shared]
    for key, named in (("peers", peers), ("shared", services)):
        if named and manifest.confinement is Confinement.RAW:
            # It could whisper what it reads to one that is heard at once.
            raise ManifestError(key, "a raw applet has no dealings with others")
        if len(set(named)) != len(named):
            raise ManifestError(key, "two tables name the same")
    if manifest.aid in peers:
        raise ManifestError("peers", "an applet is no peer of its own")
    if any(manifest.aid in shared.clients for shared in manifest.shared):
        raise ManifestError("shared", "an applet is no client of its own")


def _plain(value: object) -> Any:
    match value:
        case StrEnum():
            return value.value
        case tuple():
            return [_plain(item) for item in value]
        case bytes():
            return value.hex().upper()
        case date():
            return value.isoformat()
        case (
            Manifest() | Code() | StatementGrant() | Output() | Peer() | Shared()
            | LibraryImport() | AppletLimits()
        ):  # fmt: skip
            return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def read_aid(value: object) -> bytes:
    """Return an AID; raise `ValueError` for anything else."""
    # ISO/IEC 7816-4, 8.2.1.2: five bytes of provider, up to eleven of extension.
    if not isinstance(value, str) or not re.fullmatch(r"([0-9A-F]{2}){5,16}", value):
        raise ValueError("must be 5 to 16 bytes in upper-case hexadecimal")
    return bytes.fromhex(value)


def read_code(value: object) -> Code:
    """Return where a program is; raise `ManifestError`."""
    return Table("code", value).make(
        Code, runtime=member(Runtime), package=pattern(_PACKAGE), include=names(_PACKAGE)
    )


def _statement(name: str, value: object) -> StatementGrant:
    grant = Table(name, value).make(
        StatementGrant,
        kind=pattern(_STATEMENT),
        registers=names(_REGISTER),
        minimum_days=between(1, 3660),
        at_most=between(1, 10_000),
        within_days=between(1, 3660),
        value_bits=between(1, 64),
        least_minutes=between(5, 44_640),
        slot_bits=between(0, 65_536),
        memory_days=between(0, 3660),
        published=between(0, 1 << 32),
        corrected_minutes=between(0, 44_640),
        smallest_group=between(0, 65_536),
    )
    if grant.kind in SUMS and grant.smallest_group < LEAST_GROUP:
        raise ManifestError(f"{name}.smallest_group", f"must be {LEAST_GROUP} or more")
    if grant.kind not in WITH_MEMORY and grant.memory_days:
        raise ManifestError(f"{name}.memory_days", "goes with amounts of totals alone")
    if grant.kind not in SUMS and grant.smallest_group:
        raise ManifestError(f"{name}.smallest_group", "goes with sums over households alone")
    if grant.kind in WITHOUT_DOCUMENT and grant.published:
        raise ManifestError(f"{name}.published", "it is told under no document")
    if grant.kind in WITHOUT_DOCUMENT and grant.corrected_minutes:
        raise ManifestError(f"{name}.corrected_minutes", "it is told with numbers over slots alone")
    return grant


def _output(name: str, value: object) -> Output:
    output = Table(name, value).make(
        Output,
        name=pattern(NAME),
        size=between(1, 4096),
        every_hours=between(1, 24 * 366),
        every=member(Every),
    )
    if not output.every_hours and output.every is None:
        raise ManifestError(f"{name}.every_hours", 'missing; or every = "month"')
    if output.every_hours and output.every is not None:
        raise ManifestError(f"{name}.every", "goes without every_hours")
    return output


def _peer(name: str, value: object) -> Peer:
    return Table(name, value).make(Peer, aid=read_aid, services=some(between(0, 2**32 - 1)))


def _shared(name: str, value: object) -> Shared:
    return Table(name, value).make(Shared, service=between(0, 2**32 - 1), clients=some(read_aid))


def _library(name: str, value: object) -> LibraryImport:
    return Table(name, value).make(
        LibraryImport, package=read_aid, version=pattern(_LIBRARY_VERSION)
    )


def _limits(value: object) -> AppletLimits:
    return Table("limits", value).make(
        AppletLimits,
        fuel=between(10**6, 10**12),
        fuel_per_minute=between(10**6, 10**12),
        memory_bytes=between(MEBIBYTE, 256 * MEBIBYTE),
        store_bytes=between(0, 16 * MEBIBYTE),
        response_bytes=between(2, MEBIBYTE),
        commands_per_minute=between(1, 60_000),
    )
