# SPDX-License-Identifier: Apache-2.0
"""Which meters a hub is for, as `hub.toml` says it.

format = 2
meter = "0a01454d480000bc614e"
registers = ["1-0:1.8.0*255"]
zone = "Europe/Berlin"
slot_minutes = 15
fuse_amperes = 63               where somebody has said it
phases = 3

A hub with further meters, of gas, water, heat or appliances, has format 3 and a table for each:

[meters.gas]
meter = "4c474220323231353031303120"
registers = ["7-0:3.0.0*255"]
zone = "Europe/Berlin@06:00"    days from six to six
slot_minutes = 60
largest_flow = 10000            litres or watt-hours in an hour, where somebody has said it

No register occurs twice: its OBIS code says which meter is meant.

The service's tables stand in the same file (`hub.service.configuration`); they are no part of this.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

from hub.meters.fuse import DEFAULT_FLOWS, DEFAULT_FUSE, FlowLimit, Fuse, Limit
from hub.vault.vault import Channel
from protocols.canonical.foreign_text import read_toml
from protocols.metrology import (
    SLOT_MINUTES,
    Medium,
    feed_in_of,
    find_zone,
    is_feed_in_pair,
    medium_of,
)
from sml_codec import Obis

FORMAT: Final = 2
"""Of hub.toml; a file that says none is of the first."""
FORMAT_OF_SEVERAL: Final = 3
"""Of a hub with further meters."""
SERVICE_TABLES: Final = ("sources", "serve", "pages", "health", "recipients")
"""What hub.toml says of the service."""
NO_HUB: Final = "there is no hub; `meterlet hub init` makes one"
NO_DESCRIPTION: Final = "hub.toml is missing, though the hub is here: put it back from a backup"
MOST_METERS: Final = 32
"""Further ones."""
_NAME: Final = re.compile("[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Description:
    """Which meter the hub is for, and which of its registers; and its further meters."""

    meter: bytes
    registers: tuple[bytes, ...]
    """OBIS codes, distinct and at least one; the first is the main one, which bills are about."""
    zone: str
    slot_minutes: int
    fuse: Fuse | None = None
    """The fuse before the meter, where somebody has said."""
    meters: "Mapping[str, Description]" = field(default_factory=dict)
    """Further meters by their names, without further ones of their own."""
    largest_flow: int | None = None
    """Of a further meter: what flows through it in an hour at most, where somebody has said."""

    def __post_init__(self) -> None:
        if not self.registers or len(set(self.registers)) != len(self.registers):
            raise ValueError("a hub is for at least one register, and for each once")
        for register in self.registers:
            Channel(self.meter, register)
        find_zone(self.zone)
        if self.slot_minutes not in SLOT_MINUTES:
            raise ValueError(f"slots of {self.slot_minutes} minutes: only 5, 15, 30 or 60")
        if self.largest_flow is not None:
            FlowLimit(self.largest_flow, self.medium)
        self._check_further()

    def _check_further(self) -> None:
        if len(self.meters) > MOST_METERS:
            raise ValueError(f"a hub has at most {MOST_METERS} further meters")
        every: tuple[Description, ...] = (self, *self.meters.values())
        codes = list(chain.from_iterable(one.registers for one in every))
        for name, one in self.meters.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} names no meter: small letters, digits and hyphens")
            if one.meters or one.fuse is not None:
                raise ValueError(f"{name}: a further meter has no fuse and no meters of its own")
        twice = next((code for code in codes if codes.count(code) > 1), None)
        if twice is not None:
            raise ValueError(f"two meters have the register {Obis(twice)}: give one another code")
        if len({one.meter for one in every}) != len(every):
            raise ValueError("two meters have the same identification")

    @property
    def register(self) -> bytes:
        """The main register."""
        return self.registers[0]

    @property
    def medium(self) -> Medium:
        """What the main register counts."""
        return medium_of(self.register)

    @property
    def feed_in_register(self) -> bytes | None:
        """The register of what is fed in beside the main one, or None."""
        return feed_in_of(self.register, self.registers)

    @property
    def limit(self) -> Limit:
        """What flows through the meter at most: what was said, or more than a home has."""
        if self.largest_flow is not None:
            return FlowLimit(self.largest_flow, self.medium)
        if self.fuse is not None or self.medium is Medium.ELECTRICITY:
            return self.fuse or DEFAULT_FUSE
        return FlowLimit(DEFAULT_FLOWS[self.medium], self.medium)

    def with_meter(self, name: str, meter: "Description") -> "Description":
        """Return the description with a further meter; raise `ValueError` where it has one so."""
        if name in self.meters:
            raise ValueError(f"there is a meter {name} already")
        return replace(self, meters={**self.meters, name: meter})

    def to_toml(self) -> str:
        """Return the text of hub.toml."""
        number = FORMAT_OF_SEVERAL if self.meters else FORMAT
        further = (f"\n[meters.{name}]\n{one._members()}" for name, one in self.meters.items())
        return f"format = {number}\n{self._members()}{''.join(further)}"

    def _members(self) -> str:
        registers = "".join(f'    "{Obis(register)}",\n' for register in self.registers)
        fuse, flow = self.fuse, self.largest_flow
        return (
            f'meter = "{self.meter.hex()}"\nregisters = [\n{registers}]\n'
            f'zone = "{self.zone}"\nslot_minutes = {self.slot_minutes}\n'
            + (f"fuse_amperes = {fuse.amperes}\nphases = {fuse.phases}\n" if fuse else "")
            + (f"largest_flow = {flow}\n" if flow is not None else "")
        )

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Return the description in a hub.toml; raise `ValueError` otherwise.

        Hubs made before 0.2 have `register` and perhaps `feed_in_register`, in hex.
        """
        members = read_toml(text)
        service = [name for name in SERVICE_TABLES if members.pop(name, None) is not None]
        version = members.pop("format", None)
        if service and version is None:  # such a file is written anew when the hub is opened
            raise ValueError(f"[{service[0]}]: a file without a format has no such table")
        if version is not None and (
            type(version) is not int or version not in (FORMAT, FORMAT_OF_SEVERAL)
        ):
            raise ValueError(
                f"its format is {version!r}, this release knows {FORMAT} and {FORMAT_OF_SEVERAL}"
            )
        further = _further(members.pop("meters", None), version)
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
                meters = {name: cls._further(name, one) for name, one in further.items()}
                return cls(bytes.fromhex(meter), registers, zone, slot_minutes, fuse, meters)
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

    @classmethod
    def _further(cls, name: str, table: object) -> Self:
        match table:
            case {
                "meter": str(meter),
                "registers": [*codes],
                "zone": str(zone),
                "slot_minutes": int(slot_minutes),
                **rest,
            } if rest.keys() <= {"largest_flow"}:
                flow = rest.get("largest_flow")
                if flow is not None and type(flow) is not int:
                    raise ValueError(f"meters.{name}: largest_flow is a whole number")
                registers = tuple(Obis.parse(str(code)).code for code in codes)
                return cls(bytes.fromhex(meter), registers, zone, slot_minutes, largest_flow=flow)
            case _:
                raise ValueError(
                    f"meters.{name} needs just meter, registers, zone and slot_minutes; it may"
                    " have largest_flow"
                )


def with_meter_in(text: str, name: str, described: Description) -> str:
    """Return the text of a hub.toml with the table of a further meter; all else stays as it is.

    `described` has the new meter already. Raises `ValueError` where the file is written in such a
    way that this cannot be done.
    """
    number = rf"\g<1>{FORMAT_OF_SEVERAL}\g<2>"
    changed = re.sub(rf"(?m)^(\s*format\s*=\s*){FORMAT}(\s*(?:#.*)?)$", number, text, count=1)
    changed = f"{changed.rstrip()}\n\n[meters.{name}]\n{described.meters[name]._members()}"
    before = read_toml(text)
    try:
        after = read_toml(changed)
        same = all(before.get(one) == after.get(one) for one in SERVICE_TABLES)
        fits = same and Description.from_toml(changed) == described
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"its form does not allow it: write the table [meters.{name}] by hand")
    return changed


def _further(tables: object, version: int | None) -> Mapping[str, Any]:
    """Return the tables of further meters; raise `ValueError` where there may be none."""
    if (tables is None) != (version != FORMAT_OF_SEVERAL):
        raise ValueError(f"just format {FORMAT_OF_SEVERAL} has tables of further meters")
    if tables is None:
        return {}
    if not isinstance(tables, dict) or not tables:
        raise ValueError("meters: no tables of further meters")
    return tables


def _fuse(amperes: object, phases: object) -> Fuse | None:
    """Return the fuse that a hub.toml says, None where it says none; raise `ValueError`."""
    if amperes is None and phases is None:
        return None
    if type(amperes) is not int or type(phases) is not int:
        raise ValueError("fuse_amperes and phases are whole numbers, and go together")
    return Fuse(amperes, phases)


def why_missing(folder: Path) -> str:
    """Say why a folder has no hub.toml: there is no hub, or the file alone is gone."""
    return NO_DESCRIPTION if (folder / "hub.db").exists() else NO_HUB
