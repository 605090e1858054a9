# SPDX-License-Identifier: Apache-2.0
"""The applets on the hub, read from its registry: no applet is started for being looked at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hub.card.entries import Kind
from hub.card.packages.cap_file import CapFile, PackageError
from hub.card.registry import Registry
from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.installer import InstallationError
from hub.machine.bundle import Bundle
from hub.machine.errors import MachineError
from hub.machine.library import is_library
from hub.machine.linking import link, linked_bundle
from hub.machine.manifest import Manifest
from hub.machine.packed import bundle_of, bundles_of
from hub.machine.packed import signer_of as signer_name
from protocols.canonical.signing import key_id_of

LOCKED: Final = 0x80


@dataclass(frozen=True, slots=True)
class Vendor:
    """Whose applets the resident trusts."""

    name: str
    """That of the file with the key."""
    key: bytes
    """The key's short name."""


@dataclass(frozen=True, slots=True)
class Installed:
    """An applet on the hub."""

    aid: bytes
    is_locked: bool
    size: int
    """Of its package, in bytes."""
    stored: int
    """Bytes that it keeps."""
    bundle: Bundle | None
    """None where it cannot be read; `reason` says why."""
    vendor: Vendor | None
    reason: str = ""

    @property
    def manifest(self) -> Manifest | None:
        """What its vendor declares."""
        return None if self.bundle is None else self.bundle.manifest

    @property
    def name(self) -> str:
        """What the vendor calls it, or its AID."""
        return self.aid.hex().upper() if self.manifest is None else self.manifest.name


def installed_applets(device: Device) -> list[Installed]:
    """Return the applets, oldest first."""
    registry, applets = Registry(device.database), []
    for entry in registry.entries():
        if entry.kind is not Kind.APPLICATION:
            continue
        content = registry.content(entry.package) or b""
        stored = sum(len(key) + len(value) for key, value in device.documents(entry.aid).items())
        facts = entry.aid, bool(entry.life_cycle & LOCKED), len(content), stored
        try:
            bundle = linked_bundle(content, entry.module, device.vendors(), registry.content)
        except MachineError as error:
            applets.append(Installed(*facts, None, None, str(error)))
            continue
        applets.append(Installed(*facts, bundle, signer_of(device, content, entry.module)))
    return applets


def find_applet(device: Device, aid: str) -> Installed:
    """Return the applet of an AID in hexadecimal; raise `InspectionError` if there is none."""
    for applet in installed_applets(device):
        if applet.aid.hex() == aid:
            return applet
    raise InspectionError(f"there is no applet {aid[:32].upper()}")


def vendors_of(device: Device) -> list[tuple[Vendor, Ed25519PublicKey]]:
    """Return the vendors whose keys lie in the hub's folder, with these."""
    vendors = []
    trusted = device.vendors()
    for path in sorted((device.folder / "vendors").glob("*.pem")):
        name = _key_name(path)
        if name in trusted:
            vendors.append((Vendor(path.stem, name), trusted[name]))
    return vendors


def signer_of(device: Device, content: bytes, module: bytes) -> Vendor | None:
    """Return who signed a package's module, or None where it is nobody the resident trusts."""
    for vendor, key in vendors_of(device):
        try:
            bundle_of(content, module, {vendor.key: key})
        except MachineError:
            continue
        return vendor
    return None


def read_package(device: Device, content: bytes) -> list[tuple[Bundle, Vendor]]:
    """Return the bundles of a package's applets, each with who signed it.

    Raises `InstallationError` where its form or its signature is not right.
    """
    try:
        cap = CapFile.decode(content)
        if is_library(cap.file.bundle):
            raise InstallationError(
                "the package is a library, for applets to import: `meterlet applet load` it"
            )
        registry = Registry(device.database)
        bundles = [
            link(
                one,
                signer_name(cap.file.bundle, one.manifest.aid),
                device.vendors(),
                registry.content,
            )
            for one in bundles_of(cap.file.bundle, device.vendors())
        ]
    except (PackageError, MachineError) as error:
        raise InstallationError(f"the package: {error}") from None
    signed = []
    for bundle in bundles:
        vendor = signer_of(device, cap.file.bundle, bundle.manifest.aid)
        if vendor is None:
            raise InstallationError("the package: signed by nobody who is trusted to sign applets")
        signed.append((bundle, vendor))
    return signed


def _key_name(path: Path) -> bytes:
    key = load_pem_public_key(path.read_bytes())
    assert isinstance(key, Ed25519PublicKey)  # `Device.vendors` has refused any other
    return key_id_of(key)
