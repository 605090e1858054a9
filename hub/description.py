# SPDX-License-Identifier: Apache-2.0
"""Which meter a hub is for, as `hub.toml` says it.

format = 2
meter = "0a01454d480000bc614e"
registers = ["1-0:1.8.0*255"]
zone = "Europe/Berlin"
slot_minutes = 15
fuse_amperes = 63               where somebody has said it
phases = 3
"""

import tomllib
from dataclasses import dataclass
from typing import Final, Self

from hub.meters.fuse import Fuse
from hub.vault.vault import Channel
from protocols.metrology import SLOT_MINUTES, feed_in_of, find_zone, is_feed_in_pair
from sml_codec import Obis

FORMAT: Final = 2
"""Of hub.toml; a file that says none is of the first."""


@dataclass(frozen=True, slots=True)
class Description:
    """Which meter the hub is for, and which of its registers."""

    meter: bytes
    registers: tuple[bytes, ...]
    """OBIS codes, distinct and at least one; the first is the main one, which bills are about."""
    zone: str
    slot_minutes: int
    fuse: Fuse | None = None
    """The fuse before the meter, where somebody has said."""

    def __post_init__(self) -> None:
        if not self.registers or len(set(self.registers)) != len(self.registers):
            raise ValueError("a hub is for at least one register, and for each once")
        for register in self.registers:
            Channel(self.meter, register)
        find_zone(self.zone)
        if self.slot_minutes not in SLOT_MINUTES:
            raise ValueError(f"slots of {self.slot_minutes} minutes: only 5, 15, 30 or 60")

    @property
    def register(self) -> bytes:
        """The main register."""
        return self.registers[0]

    @property
    def feed_in_register(self) -> bytes | None:
        """The register of what is fed in beside the main one, or None."""
        return feed_in_of(self.register, self.registers)

    def to_toml(self) -> str:
        """Return the text of hub.toml."""
        registers = "".join(f'    "{Obis(register)}",\n' for register in self.registers)
        fuse = self.fuse
        return (
            f'format = {FORMAT}\nmeter = "{self.meter.hex()}"\nregisters = [\n{registers}]\n'
            f'zone = "{self.zone}"\nslot_minutes = {self.slot_minutes}\n'
            + (f"fuse_amperes = {fuse.amperes}\nphases = {fuse.phases}\n" if fuse else "")
        )

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Return the description in a hub.toml; raise `ValueError` otherwise.

        Hubs made before 0.2 have `register` and perhaps `feed_in_register`, in hex.
        """
        members = tomllib.loads(text)
        version = members.pop("format", None)
        if version is not None and (type(version) is not int or version != FORMAT):
            raise ValueError(f"its format is {version!r}, this release knows {FORMAT}")
        fed_in = members.pop("feed_in_register", None)
        fuse = _fuse(members.pop("fuse_amperes", None), members.pop("phases", None))
        match members:
            case {
                "meter": str(meter),
                "registers": [*codes],
                "zone": str(zone),
                "slot_minutes": int(slot_minutes),
            } if len(members) == 4 and fed_in is None:
                registers = tuple(Obis.parse(str(code)).code for code in codes)
                return cls(bytes.fromhex(meter), registers, zone, slot_minutes, fuse)
            case {
                "meter": str(meter),
                "register": str(register),
                "zone": str(zone),
                "slot_minutes": int(slot_minutes),
            } if (
                len(members) == 4
                and version is None
                and fuse is None
                and isinstance(fed_in, str | None)
            ):
                registers = tuple(bytes.fromhex(code) for code in (register, fed_in) if code)
                if len(registers) == 2 and not is_feed_in_pair(*registers):
                    raise ValueError("feed_in_register: not of what the meter feeds in")
                return cls(bytes.fromhex(meter), registers, zone, slot_minutes)
            case _:
                raise ValueError(
                    "it needs just format, meter, registers, zone and slot_minutes; it may have"
                    " fuse_amperes and phases"
                )


def _fuse(amperes: object, phases: object) -> Fuse | None:
    """Return the fuse that a hub.toml says, None where it says none; raise `ValueError`."""
    if amperes is None and phases is None:
        return None
    if type(amperes) is not int or type(phases) is not int:
        raise ValueError("fuse_amperes and phases are whole numbers, and go together")
    return Fuse(amperes, phases)
