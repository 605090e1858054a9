# SPDX-License-Identifier: Apache-2.0
"""Where a fleet lives, and what was said when it was made.

    fleet.json              seed, zone, slots, and whose applet the hubs have; format 1
    billing.cap             the applet's package, and
    vendor.pem              whose signature on it the hubs trust
    homes/NUMBER/           a hub's folder, once it is made whole
    homes/NUMBER.enrolment  what its installer hands to the utility (mode 0600), and
    homes/NUMBER.request    the request for its certificate, until it has one
    utility/                the utility, unless another was named

Errors: FleetError
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.installer import build_package
from meterlet.fleet.errors import FleetError
from meterlet.fleet.homes import EmulatedHome
from meterlet.key_files import public_pem
from meterlet.resources import APPLETS, SOURCES
from protocols.canonical.foreign_text import read_json

FORMAT: Final = "meterlet fleet 1"
SETTINGS: Final = "fleet.json"
RECIPIENT: Final = "supplier"
"""By this name the hubs know the utility."""
_DIGITS: Final = 7
_SUPPLIER: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What all homes of a fleet have in common."""

    seed: int
    zone: str
    slot_minutes: int
    supplier: str
    """The utility's public key, in hex: the applets answer nobody else."""

    def encode(self) -> str:
        """Return the file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the settings in a file; raise `ValueError` otherwise."""
        match read_json(text):
            case {
                "format": "meterlet fleet 1",
                "seed": int(seed),
                "zone": str(zone),
                "slot_minutes": int(slot_minutes),
                "supplier": str(supplier),
                **more,
            } if not more and _SUPPLIER.fullmatch(supplier):
                return cls(seed, zone, slot_minutes, supplier)
        raise ValueError(f"not a {FORMAT!r}")


@dataclass(frozen=True, slots=True)
class FleetFolder:
    """A fleet's folder."""

    path: Path
    settings: FleetSettings

    @classmethod
    def open(cls, path: Path, settings: FleetSettings) -> Self:
        """Return the fleet in a folder, which is made where there is none.

        Raises `FleetError` where the folder holds something else, or a fleet that was made with
        other settings.
        """
        file = path / SETTINGS
        if not file.exists():
            if path.exists() and any(one.name != "utility" for one in path.iterdir()):
                raise FleetError(f"{path}: not empty; a fleet is made in a folder of its own")
            cls._create(path, settings)
        try:
            known = FleetSettings.decode(file.read_text())
        except ValueError as error:
            raise FleetError(f"{file}: {error}") from None
        for name, value in asdict(settings).items():
            had = asdict(known)[name]
            if had != value:
                raise FleetError(
                    f"{path}: its hubs were made with {name.replace('_', ' ')} {had}, not {value}:"
                    " make another fleet in another folder"
                )
        return cls(path, known)

    @staticmethod
    def _create(path: Path, settings: FleetSettings) -> None:
        (path / "homes").mkdir(parents=True, exist_ok=True, mode=0o700)
        vendor = Ed25519PrivateKey.generate()  # of which nobody needs the private half again
        (path / "billing.cap").write_bytes(build_package(APPLETS / "billing", vendor, [SOURCES]))
        (path / "vendor.pem").write_bytes(public_pem(vendor.public_key()))
        partial = path / f".{SETTINGS}.partial"
        partial.write_text(settings.encode())
        partial.replace(path / SETTINGS)  # last: a folder that has it is whole

    @property
    def package(self) -> Path:
        """The applet's package."""
        return self.path / "billing.cap"

    @property
    def vendor(self) -> Path:
        """Whose signature on it the hubs trust."""
        return self.path / "vendor.pem"

    def home(self, number: int) -> EmulatedHome:
        """Return the home with a number."""
        own = self.settings
        return EmulatedHome(number, own.seed, own.zone, own.slot_minutes)

    def hub(self, number: int) -> Path:
        """Return a hub's folder, which is there once the hub is made."""
        return self.path / "homes" / f"{number:0{_DIGITS}d}"

    def enrolment(self, number: int) -> Path:
        """Return the file with a hub's enrolment, until its certificate is there."""
        return self.hub(number).with_suffix(".enrolment")

    def request(self, number: int) -> Path:
        """Return the file with a hub's request for its certificate."""
        return self.hub(number).with_suffix(".request")

    def certificate(self, number: int) -> Path:
        """Return the file with a hub's certificate."""
        return self.hub(number) / "recipients" / RECIPIENT / "client.pem"

    def made(self, numbers: Iterable[int]) -> list[int]:
        """Return those of some homes whose hubs are made."""
        return [number for number in numbers if self.hub(number).exists()]
