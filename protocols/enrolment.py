# SPDX-License-Identifier: Apache-2.0
"""What the hub's installer hands to an applet's recipient, once and out of band.

The file holds the keys of the applet's secure channel, so it is as secret as they are; and the
certifier's public key, which tells the recipient whose signatures to believe. JSON, one form:

    {"format": "meterlet enrolment 2", "meter": hex, "zone": "Europe/Berlin", "main": hex,
     "registers": {hex: {"slot_minutes": 15}, ...}, "certifier": hex (Ed25519),
     "applet": hex (AID), "security_domain": hex (AID),
     "keys": {"version": 48, "enc": hex, "mac": hex, "dek": hex}}

`registers` are those that the applet may speak of, by OBIS code (6 bytes); `main` is one of them,
which bills are about. An enrolment by a certifier that has had other keys names the first as
"certifier", and has "announcements": hex of the chain that leads to the one of now
(`protocols.metrology.key_chain`). Files of version 1 are read (`protocols.enrolment_version1`).

Errors: EnrolmentError
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Self

from protocols import enrolment_version1
from protocols.canonical.foreign_text import ForeignTextRefused, read_json
from protocols.metrology.key_chain import (
    ChainRefused,
    KeyAnnouncement,
    KeyChain,
    MalformedAnnouncement,
    decode_announcements,
    encode_announcements,
)
from protocols.metrology.registers import decode_registers, encode_registers, feed_in_of
from protocols.secure_channel.keys import StaticKeys

FORMAT: Final = "meterlet enrolment 2"
_HEX: Final = re.compile("(?:[0-9a-f]{2})*")
_LARGEST: Final = 1 << 14
_MEMBERS: Final = frozenset(
    {
        "format",
        "meter",
        "main",
        "registers",
        "zone",
        "certifier",
        "applet",
        "security_domain",
        "keys",
    }
)
_ANNOUNCEMENTS: Final = "announcements"


class EnrolmentError(Exception):
    """Bytes are not an enrolment."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One applet of one hub, as its recipient knows it."""

    meter: bytes
    register: bytes
    zone: str
    slot_minutes: int
    certifier: bytes
    """The certifier's first Ed25519 public key, 32 bytes."""
    applet: bytes
    security_domain: bytes
    key_version: int
    keys: StaticKeys
    others: tuple[bytes, ...] = ()
    """The other registers that the applet may speak of, in order."""
    announcements: tuple[KeyAnnouncement, ...] = ()
    """Of the certifier's later keys."""

    def __post_init__(self) -> None:
        sizes = (
            ("meter", self.meter, 1, 32),
            ("register", self.register, 6, 6),
            ("certifier", self.certifier, 32, 32),
            ("applet", self.applet, 5, 16),
            ("security_domain", self.security_domain, 5, 16),
        )
        for name, value, least, most in sizes:
            if not least <= len(value) <= most:
                raise EnrolmentError(f"{name}: {len(value)} bytes, not {least} to {most}")
        known = (self.register, *self.others)
        if any(len(code) != 6 for code in known) or len(set(known)) != len(known):
            raise EnrolmentError("registers: not distinct OBIS codes of 6 bytes")
        if list(self.others) != sorted(self.others):
            raise EnrolmentError("registers: not in the order of their codes")
        try:
            KeyChain(self.meter, self.certifier, self.announcements)
        except ChainRefused as error:
            raise EnrolmentError(f"{_ANNOUNCEMENTS}: {error}") from None
        if not 1 <= self.key_version <= 0x7F:
            raise EnrolmentError(f"keys.version: {self.key_version} is not 1 to 127")
        if self.slot_minutes not in (5, 15, 30, 60):
            raise EnrolmentError(f"slot_minutes: {self.slot_minutes} is not 5, 15, 30 or 60")

    @property
    def feed_in_register(self) -> bytes | None:
        """The register of what is fed in beside the main one, or None."""
        return feed_in_of(self.register, self.others)

    def encode(self) -> bytes:
        """Return the file's bytes; they hold secret keys."""
        announced = encode_announcements(self.announcements).hex() if self.announcements else None
        members = {
            "format": FORMAT,
            "meter": self.meter.hex(),
            "zone": self.zone,
            "main": self.register.hex(),
            "registers": encode_registers(self.register, self.others, self.slot_minutes),
            "certifier": self.certifier.hex(),
            **({} if announced is None else {_ANNOUNCEMENTS: announced}),
            "applet": self.applet.hex(),
            "security_domain": self.security_domain.hex(),
            "keys": {
                "version": self.key_version,
                "enc": self.keys.enc.hex(),
                "mac": self.keys.mac.hex(),
                "dek": self.keys.dek.hex(),
            },
        }
        return json.dumps(members, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the enrolment in `data`, or raise `EnrolmentError` with the member's name.

        No error shows a byte of a key.
        """
        if len(data) > _LARGEST:
            raise EnrolmentError(f"{len(data)} bytes are too many for an enrolment")
        try:
            members = read_json(data)
        except ForeignTextRefused:
            raise EnrolmentError("not JSON") from None
        if isinstance(members, dict) and members.get("format") == enrolment_version1.FORMAT:
            try:
                members = enrolment_version1.to_version_2(members, FORMAT)
            except ValueError as error:
                raise EnrolmentError(str(error)) from None
        if not isinstance(members, dict) or members.get("format") != FORMAT:
            raise EnrolmentError(f"not a {FORMAT!r} file")
        _only(members, _MEMBERS | ({_ANNOUNCEMENTS} & members.keys()), "")
        main = _bytes(members, "main")
        try:
            others, slot_minutes = decode_registers(members["registers"], main)
        except ValueError as error:
            raise EnrolmentError(f"registers: {error}") from None
        keys = _take(members, "keys", dict)
        _only(keys, frozenset({"version", "enc", "mac", "dek"}), "keys.")
        enc, mac, dek = (_bytes(keys, name, "keys.") for name in ("enc", "mac", "dek"))
        if len({len(enc), len(mac), len(dek)}) != 1 or len(enc) not in (16, 24, 32):
            raise EnrolmentError("keys: not three AES keys of one size")
        return cls(
            meter=_bytes(members, "meter"),
            register=main,
            zone=_take(members, "zone", str),
            slot_minutes=slot_minutes,
            certifier=_bytes(members, "certifier"),
            applet=_bytes(members, "applet"),
            security_domain=_bytes(members, "security_domain"),
            key_version=_take(keys, "version", int, "keys."),
            keys=StaticKeys(enc, mac, dek),
            others=others,
            announcements=_announcements(members),
        )


def following_version(version: int) -> int:
    """Return the version of the key set that takes the place of this one: 30 to 3F in turn.

    Another one each time, so that both ends can tell which of the two sets is in force.
    """
    return 0x30 | (version + 1) & 0x0F


def _announcements(members: dict[str, Any]) -> tuple[KeyAnnouncement, ...]:
    if _ANNOUNCEMENTS not in members:
        return ()
    try:
        announcements = decode_announcements(_bytes(members, _ANNOUNCEMENTS))
    except MalformedAnnouncement as error:
        raise EnrolmentError(f"{_ANNOUNCEMENTS}: {error}") from None
    if not announcements:
        raise EnrolmentError(f"{_ANNOUNCEMENTS}: there are none")
    return announcements


def _only(members: dict[str, Any], known: frozenset[str], place: str) -> None:
    for name in members.keys() ^ known:
        what = "unknown" if name in members else "missing"
        raise EnrolmentError(f"{place}{name[:40]}: {what}")


def _take(members: dict[str, Any], name: str, kind: type, place: str = "") -> Any:
    value = members[name]
    if type(value) is not kind:
        raise EnrolmentError(f"{place}{name}: not of type {kind.__name__}")
    return value


def _bytes(members: dict[str, Any], name: str, place: str = "") -> bytes:
    text: str = _take(members, name, str, place)
    if not _HEX.fullmatch(text):
        raise EnrolmentError(f"{place}{name}: not lower-case hex")
    return bytes.fromhex(text)
