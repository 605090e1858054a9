# SPDX-License-Identifier: Apache-2.0
"""What a hub's card says of a package and of the domain that holds it, read strictly.

It comes over a channel with the domain's keys, so it is that hub's own word and nobody else's. It
is no more than its word: a hub may say that it runs what it does not.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.errors import MalformedTlv
from protocols.iso7816.tlv import Cursor, Tlv
from protocols.secure_channel.errors import RemoteChannelError

CLA: Final = 0x80
GET_STATUS, UPGRADE = 0xF2, 0xEA
START, ABORT, STATUS, PUT_BACK = 0x01, 0x04, 0x08, 0x10
AUTHORIZED_MANAGEMENT: Final = 0x004000
"""The privilege's bit of three bytes (GPCS 2.3.1, table 11-8)."""
_SESSION, _AID, _STATUS = 0xA1, 0x4F, 0x90
_VERSION, _DIGEST = 0xCE, 0xC1
_IN_PLACE, _OFFERED, _PREVIOUS, _REFUSED = 0xE1, 0xE2, 0xE3, 0xE4
_PLACES: Final = frozenset({_IN_PLACE, _OFFERED, _PREVIOUS, _REFUSED})
_ENTRY, _PRIVILEGES = 0xE3, 0xC5
DIGEST_SIZE: Final = 32


class Awaits(IntEnum):
    """What a package's next version waits for."""

    NOTHING = 0x00
    LOAD = 0x02
    RESIDENT = 0x03
    NOTHING_MORE = 0x04
    """The resident has refused one."""


@dataclass(frozen=True, slots=True)
class PackageVersion:
    """A version of a package, and the SHA-256 of its content."""

    version: tuple[int, int]
    digest: bytes

    def __str__(self) -> str:
        major, minor = self.version
        return f"{major}.{minor} ({self.digest.hex()[:8]})"


@dataclass(frozen=True, slots=True)
class CardState:
    """How a package is on a card, and whether its recipient may bring another version."""

    awaits: Awaits
    in_place: PackageVersion
    offered: PackageVersion | None = None
    previous: PackageVersion | None = None
    refused: PackageVersion | None = None
    is_allowed: bool = True
    """Whether the resident lets the recipient bring new versions."""

    def __str__(self) -> str:
        parts = [f"{self.in_place} in place"]
        if self.offered is not None:
            parts.append(f"{self.offered} waits for the resident")
        if self.refused is not None:
            parts.append(f"{self.refused} refused by the resident")
        if self.previous is not None:
            parts.append(f"{self.previous} before")
        if not self.is_allowed:
            parts.append("new versions are not allowed")
        return ", ".join(parts)


def state_commands(domain: bytes, package: bytes) -> list[CommandApdu]:
    """Return the commands whose answers `read_state` reads."""
    about = Tlv.of(_SESSION, [Tlv(_AID, package)]).encode()
    return [
        CommandApdu(CLA, UPGRADE, STATUS, 0, about, le=256),
        CommandApdu(CLA, GET_STATUS, 0x40, 0x02, Tlv(_AID, domain).encode(), le=256),
    ]


def read_state(domain: bytes, package: bytes, answers: list[ResponseApdu]) -> CardState:
    """Return what a card has answered; raise `RemoteChannelError` for anything else.

    Both answers must be successes: the caller has looked.
    """
    told, listed = answers
    try:
        state = _package_state(package, told.data)
        privileges = _privileges(domain, listed.data)
    except (MalformedTlv, ValueError) as error:
        raise RemoteChannelError(f"the card's state: {error}") from None
    is_allowed = bool(privileges & AUTHORIZED_MANAGEMENT)
    return CardState(*state, is_allowed=is_allowed)


def _package_state(
    package: bytes, data: bytes
) -> tuple[
    Awaits,
    PackageVersion,
    PackageVersion | None,
    PackageVersion | None,
    PackageVersion | None,
]:
    cursor = Cursor(data)
    receipt, answer = cursor.take(cursor.length()), cursor.take(cursor.length())
    outer = Tlv.decode_map(answer)
    if receipt or not cursor.at_end or outer.keys() != {_SESSION}:
        raise ValueError("it is not the answer to a question about a package")
    fields = Tlv.decode_map(outer[_SESSION])
    if fields.get(_AID) != package or not {_STATUS, _IN_PLACE} <= fields.keys():
        raise ValueError("it is about another package")
    if fields.keys() - {_AID, _STATUS} - _PLACES or len(fields[_STATUS]) != 1:
        raise ValueError("it says more than how a package is")
    versions = {tag: _version(value) for tag, value in fields.items() if tag in _PLACES}
    awaits = Awaits(fields[_STATUS][0])
    if (awaits is Awaits.RESIDENT) != (_OFFERED in versions):
        raise ValueError("what waits for the resident is not there, or is not said to wait")
    return (
        awaits,
        versions[_IN_PLACE],
        versions.get(_OFFERED),
        versions.get(_PREVIOUS),
        versions.get(_REFUSED),
    )


def _version(value: bytes) -> PackageVersion:
    fields = Tlv.decode_map(value)
    version, digest = fields.get(_VERSION, b""), fields.get(_DIGEST, b"")
    if fields.keys() != {_VERSION, _DIGEST} or (len(version), len(digest)) != (2, DIGEST_SIZE):
        raise ValueError("a version has a number of two bytes and a digest of 32")
    return PackageVersion((version[0], version[1]), digest)


def _privileges(domain: bytes, data: bytes) -> int:
    for node in Tlv.decode_all(data):
        fields = Tlv.decode_map(node.value)
        if node.tag == _ENTRY and fields.get(_AID) == domain:
            privileges = fields.get(_PRIVILEGES, b"")
            if len(privileges) not in (1, 3):
                raise ValueError("privileges have one byte or three")
            return int.from_bytes(privileges.ljust(3, b"\0"), "big")
    raise ValueError("the domain does not list itself")
