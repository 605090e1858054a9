# SPDX-License-Identifier: Apache-2.0
"""Applets onto the hub and off it again, the way any GlobalPlatform tool does it.

    build     a folder -> signed bundle -> CAP file
    install   SCP03 to the issuer's domain: make the applet's security domain, put its keys, load
              the package into it, install; then record the resident's consents
    remove    delete instance, package and domain; revoke the consents
    load      a library, into the issuer's domain, for applets that import it

An applet's domain and package are named after it: its AID with one byte put in after the fourth. (A
byte at the end would make the applet's AID a partial AID of theirs, which SELECT finds, too.)
Nothing here takes a short cut into the registry: commands go through the card.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.applet_host.registers import granted_registers
from hub.card.entries import Kind, Privilege, RegistryEntry
from hub.card.line import Line
from hub.card.open import Card
from hub.card.packages.cap_file import CapFile, PackageError, build_cap
from hub.card.packages.host_tool import CardManager, Listed
from hub.device import CHANNEL_KEY_SIZE, Device, static_keys
from hub.disclosure import Consent, ConsentTerms
from hub.errors import HubError
from hub.machine.bundle import Bundle, build_bundle
from hub.machine.consent_terms import terms_of as terms_of
from hub.machine.errors import BundleError, MachineError
from hub.machine.library import (
    Library,
    LibraryManifest,
    build_library,
    is_library,
    means_library,
    require_library,
    require_next_library,
)
from hub.machine.linking import imports_of, link, linked_bundle
from hub.machine.manifest import Manifest
from hub.machine.packed import bundles_of, pack, require_successor, signer_of
from hub.text import dotted
from protocols.canonical.signing import key_id_of
from protocols.enrolment import Enrolment, following_version
from protocols.packages.load_file import PackageImport
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.keys import StaticKeys
from sml_codec import Obis

DOMAIN: Final = 0xD0
PACKAGE: Final = 0xE0
CHANNEL_KEY_VERSION: Final = 0x30
CHALLENGE_SIZE: Final = 8
LOAD_BLOCK: Final = 0xEF
LONGEST_AID: Final = 15

ResultT = TypeVar("ResultT")


class InstallationError(HubError):
    """A package cannot be built, installed or removed; the hub is as it was."""


@dataclass(frozen=True, slots=True)
class Package:
    """A CAP file, and an applet in it whose bundle a trusted vendor has signed."""

    cap: CapFile
    bundle: Bundle

    @property
    def manifest(self) -> Manifest:
        """What the applet is, and all it may do."""
        return self.bundle.manifest


@dataclass(frozen=True, slots=True)
class LibraryPackage:
    """A CAP file of a library that a trusted vendor has signed."""

    cap: CapFile
    library: Library


def build_package(
    folder: Path,
    signer: Ed25519PrivateKey,
    search_path: Sequence[Path],
    manifest: str = "manifest.toml",
) -> bytes:
    """Return the CAP file of the applet in `folder`, signed; raise `InstallationError`.

    `search_path` is where the packages that its manifest includes are found; `manifest` is the
    name of another one, of a program that may be let do more or less.
    """
    return build_packages([folder], signer, search_path, manifest)


def build_packages(
    folders: Sequence[Path],
    signer: Ed25519PrivateKey,
    search_path: Sequence[Path],
    manifest: str = "manifest.toml",
) -> bytes:
    """Return one CAP file of the applets in `folders`, named after the first one.

    A library stands by itself.
    """
    if any(map(means_library, folders)):
        return _build_library(folders, signer, search_path)
    bundles: dict[bytes, bytes] = {}
    read: list[Bundle] = []
    try:
        for folder in folders:
            key_id = key_id_of(signer.public_key())
            content = build_bundle(folder, signer, key_id, search_path, manifest)
            read.append(Bundle.decode(content, {key_id: signer.public_key()}))
            aid = read[-1].manifest.aid
            if aid in bundles:
                raise BundleError(f"another applet has the AID {aid.hex().upper()}")
            bundles[aid] = content
        first = read[0].manifest
        imports = imports_of(read)
        major, minor, *_ = (int(part) for part in first.version.split("."))
        return build_cap(
            _named(first.aid, PACKAGE),
            (major, minor),
            tuple(bundles),
            pack(bundles),
            f"com.meterlet.{first.name.replace('-', '_')}",
            tuple(PackageImport(package, version) for package, version in imports.items()),
        )
    except (BundleError, PackageError, ValueError) as error:
        raise InstallationError(f"{folder}: {error}") from None


def _build_library(
    folders: Sequence[Path], signer: Ed25519PrivateKey, search_path: Sequence[Path]
) -> bytes:
    folder, *others = folders
    try:
        if others:
            raise BundleError("a library is a package by itself")
        key_id = key_id_of(signer.public_key())
        content = build_library(folder, signer, key_id, search_path)
        library = Library.decode(content, {key_id: signer.public_key()})
        major, minor = library.version
        name = f"com.meterlet.{library.manifest.name.replace('-', '_')}"
        return build_cap(library.manifest.aid, (major, minor), (), content, name)
    except (MachineError, PackageError) as error:
        raise InstallationError(f"{folder}: {error}") from None


def consent_terms(bundle: Bundle, applet: bytes = b"") -> list[ConsentTerms]:
    """Return the consents that a package asks for: one for each statement or output it names.

    `applet` is the instance that is meant, where its AID is not the manifest's.
    """
    return terms_of(bundle.manifest, bundle.digest, applet)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A package's new version, and what each installed applet will be run from."""

    cap: CapFile
    bundles: dict[bytes, Bundle]


@dataclass(slots=True)
class Installer:
    """The resident's own card manager."""

    device: Device
    card: Card
    load_block: int = LOAD_BLOCK
    """Bytes of a package in one command; more than `LOAD_BLOCK` takes extended APDUs."""

    def read(self, content: bytes, applet: bytes = b"") -> Package:
        """Return a package whose form and signature are right; raise `InstallationError`.

        `applet` says which one is meant of several.
        """
        try:
            cap = CapFile.decode(content)
            if is_library(cap.file.bundle):
                raise InstallationError(
                    "the package is a library, for applets to import: `meterlet applet load` it"
                )
            vendors = self.device.vendors()
            bundle = the_one(bundles_of(cap.file.bundle, vendors), applet)
            signer = signer_of(cap.file.bundle, bundle.manifest.aid)
            return Package(cap, link(bundle, signer, vendors, self.card.bundle))
        except (PackageError, BundleError) as error:
            raise InstallationError(f"the package: {error}") from None

    def read_library(self, content: bytes) -> LibraryPackage:
        """Return a library whose form and signature are right; raise `InstallationError`."""
        try:
            cap = CapFile.decode(content)
            file = cap.file
            if file.modules:
                raise InstallationError("the package has applets: `meterlet applet install` them")
            vendors = self.device.vendors()
            return LibraryPackage(
                cap, require_library(file.bundle, file.aid, file.version, vendors)
            )
        except (PackageError, MachineError) as error:
            raise InstallationError(f"the package: {error}") from None

    def library(self, package: bytes) -> LibraryManifest:
        """Return what the vendor of a library on the card says of it; raise `InstallationError`."""
        content = self.card.bundle(package)
        if content is None:
            raise InstallationError(f"there is no library {package.hex().upper()}")
        try:
            return Library.decode(content, self.device.vendors()).manifest
        except MachineError as error:
            raise InstallationError(f"the package: {error}") from None

    def package_name(self, package: bytes) -> str:
        """Return the names of a package's applets; raise `InstallationError`."""
        try:
            bundles = bundles_of(self.card.bundle(package) or b"", self.device.vendors())
        except MachineError as error:
            raise InstallationError(f"the package: {error}") from None
        return ", ".join(sorted(bundle.manifest.name for bundle in bundles))

    def load_library(
        self, package: LibraryPackage, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Put a library onto the card, for applets to import; raise `InstallationError`."""
        file = package.cap.file
        if (there := self.card.find(file.aid)) is not None:
            raise InstallationError(
                f"{file.aid.hex().upper()} is on the card already, version"
                f" {dotted(there.version)}: `meterlet applet upgrade` puts another in its place"
            )
        self.tell(lambda manager: manager.load(package.cap, progress=progress))

    def entries(self) -> list[Listed]:
        """Return what is on the card; raise `InstallationError` if it will not say."""
        return self.tell(lambda manager: manager.entries())

    def install(
        self,
        package: Package,
        parameters: bytes,
        progress: Callable[[int, int], None] | None = None,
    ) -> Enrolment:
        """Install an applet with a security domain and channel keys of its own.

        An applet of a further meter is told its register, behind the parameters.

        The resident, who calls this, consents to the statements that the manifest names. Returns
        what its recipient needs, the channel's secret keys included: they are nowhere else in the
        clear. Raises `InstallationError`, leaving nothing behind.
        """
        manifest = package.manifest
        parameters += self._register_of(manifest)
        if self.card.find(manifest.aid) is not None:
            raise InstallationError(f"applet {manifest.aid.hex().upper()} is installed already")
        if self.card.bundle(package.cap.file.aid) not in {None, package.cap.file.bundle}:
            raise InstallationError(
                f"another package {package.cap.file.aid.hex().upper()} is on the card: remove its"
                " applets first"
            )
        keys = static_keys(self.device.randomness(3 * CHANNEL_KEY_SIZE))
        try:
            self._load(package, keys, parameters, progress)
        except CardRefused as refused:
            self._clear(manifest.aid, package.cap.file.aid)
            raise InstallationError(f"the card refused: {refused}") from None
        with self.device.database.transaction():
            self.consent(package.bundle)
        return self._enrolment(manifest.aid, CHANNEL_KEY_VERSION, keys)

    def read_upgrade(self, content: bytes) -> "Upgrade":
        """Return a new version that the card will take; raise `InstallationError`, with the reason.

        The card checks it all again.
        """
        vendors = self.device.vendors()
        try:
            cap = CapFile.decode(content)
            affected = {cap.file.aid, *self.card.registry.importers(cap.file.aid)}
            entries = [entry for entry in self.card.entries() if entry.package in affected]
            old, loaded = self.card.bundle(cap.file.aid), self.card.find(cap.file.aid)
            library = is_library(cap.file.bundle)
            if old is None or loaded is None or not (entries or library):
                raise InstallationError(
                    f"no applet of the package {cap.file.aid.hex().upper()} is installed"
                )
            if cap.file.version <= loaded.version:
                raise InstallationError(
                    f"the package has version {dotted(cap.file.version)}, and"
                    f" {dotted(loaded.version)} is installed"
                )
            if library:
                require_next_library(old, cap.file.bundle, vendors)

            def find(package: bytes) -> bytes | None:
                return cap.file.bundle if package == cap.file.aid else self.card.bundle(package)

            new = {}
            for entry in entries:
                if not library:
                    require_successor(old, cap.file.bundle, entry.module, vendors)
                carried = find(entry.package) or b""
                new[entry.aid] = linked_bundle(carried, entry.module, vendors, find)
            return Upgrade(cap, new)
        except (PackageError, MachineError) as error:
            raise InstallationError(f"the package: {error}") from None

    def upgrade(
        self, upgrade: "Upgrade", progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Put a package's new version in the old one's place.

        Instances keep all that they have stored, and their channels. The resident, who calls this,
        consents to what the new manifests name; consents to the old version are revoked. Raises
        `InstallationError`, and the old version is there as before.
        """
        cap = upgrade.cap
        manager = self._manager(self.card.profile.issuer_aid)
        with suppress(CardRefused):
            manager.abort_upgrade()  # one that somebody has begun and left
        owner = self.card.find(cap.file.aid)
        domain = b"" if owner is None else owner.domain
        try:
            manager.begin_upgrade(cap.file.aid)
            manager.load(cap, domain=domain, progress=progress)
        except CardRefused as refused:
            with suppress(CardRefused):
                self._manager(self.card.profile.issuer_aid).abort_upgrade()
            raise InstallationError(f"the card refused the new version: {refused}") from None
        disclosure = self.device.disclosure
        with self.device.database.transaction():
            for consent in disclosure.consents():
                if consent.terms.applet in upgrade.bundles and consent.revoked is None:
                    disclosure.revoke(consent.number)
            for applet, bundle in upgrade.bundles.items():
                self.consent(bundle, applet)

    def rotate_channel(self, applet: bytes) -> Enrolment:
        """Give an applet's channel new keys; return what its recipient needs from now on.

        The old keys open nothing more, and attempts are counted anew. Raises `InstallationError`
        where there is no such applet, or its domain has no keys of its own.
        """
        self._must_have(applet)
        card, domain = self.card, _named(applet, DOMAIN)
        # Not by PUT KEY: the resident may do so, too, when attempts at the reader are used up.
        with card.turn(), self.device.database.transaction():
            old = card.keys.find_set(domain, 0)
            if old is None:
                raise InstallationError(f"applet {applet.hex().upper()} has no channel of its own")
            version = following_version(old.version)
            keys = static_keys(self.device.randomness(3 * CHANNEL_KEY_SIZE))
            card.keys.put_static(domain, version, keys)
            card.keys.remove(domain, version=old.version)
            facts = {"key": "channel", "applet": applet, "version": version}
            self.device.disclosure.log.append(self.device.now(), "new key", facts)
        return self._enrolment(applet, version, keys)

    def channel_versions(self) -> dict[bytes, int]:
        """Return the version of each applet's channel keys, by AID."""
        versions = {}
        for entry in self.card.entries():
            if entry.kind is Kind.APPLICATION and len(entry.aid) <= LONGEST_AID:
                found = self.card.keys.find_set(_named(entry.aid, DOMAIN), 0)
                if found is not None:
                    versions[entry.aid] = found.version
        return versions

    def _register_of(self, manifest: Manifest) -> bytes:
        """Return the code of the register that an applet of a further meter is about; else nothing.

        Raises `InstallationError` where it is about registers of a kind that no meter here has.
        """
        every = self.device.every_register
        named = [register for grant in manifest.statements for register in grant.registers]
        there = {code[0] for code in every}
        if named and not any(Obis.parse(one).code[0] in there for one in named):
            raise InstallationError(
                f"the applet is about {named[0]}, and no meter of this hub counts that:"
                " `meterlet hub meters add` adds one"
            )
        [main, *_] = granted_registers(every, manifest).values()
        return b"" if main.channel.meter == self.device.description.meter else main.channel.register

    def _enrolment(self, applet: bytes, version: int, keys: StaticKeys) -> Enrolment:
        granted = granted_registers(self.device.every_register, self.bundle(applet).manifest)
        [main, *_] = granted.values()
        series, certifier = main.certifier.series, main.certifier.keys
        return Enrolment(
            meter=series.meter,
            register=series.register,
            zone=series.zone,
            slot_minutes=series.slot_minutes,
            certifier=certifier.public_key.public_bytes_raw(),
            applet=applet,
            security_domain=_named(applet, DOMAIN),
            key_version=version,
            keys=keys,
            others=tuple(
                sorted(
                    one.channel.register
                    for one in granted.values()
                    if one is not main and one.channel.meter == series.meter
                )
            ),
            announcements=certifier.announcements,
        )

    def consent(self, bundle: Bundle, applet: bytes = b"") -> list[Consent]:
        """Record the resident's consent to all that a package's manifest names, for an instance."""
        return [self.device.disclosure.grant(terms) for terms in consent_terms(bundle, applet)]

    def bundle(self, applet: bytes) -> Bundle:
        """Return what an applet was installed from; raise `InstallationError` if none is."""
        entry = self.card.find(applet)
        content = None if entry is None else self.card.bundle(entry.package)
        if entry is None or content is None:
            raise InstallationError(f"there is no applet {applet.hex().upper()}")
        try:
            vendors = self.device.vendors()
            return linked_bundle(content, entry.module, vendors, self.card.bundle)
        except BundleError as error:
            raise InstallationError(f"applet {applet.hex().upper()}: {error}") from None

    def lock(self, applet: bytes) -> None:
        """Lock an applet: it answers nobody until it is unlocked."""
        self._must_have(applet)
        self.tell(lambda manager: manager.lock(applet))

    def unlock(self, applet: bytes) -> None:
        """Let a locked applet answer again."""
        self._must_have(applet)
        self.tell(lambda manager: manager.unlock(applet))

    def remove(self, applet: bytes) -> None:
        """Remove an applet, its package, its domain with the channel's keys, and its consents.

        Or a library that no applet imports.
        """
        entry = self._must_have(applet)
        if entry.kind is Kind.PACKAGE and (importers := self.card.registry.importers(applet)):
            names = ", ".join(aid.hex().upper() for aid in importers)
            raise InstallationError(f"{applet.hex().upper()} is imported by {names}")
        self.tell(lambda manager: manager.delete(applet))
        if entry.kind is Kind.PACKAGE:
            return
        self._clear(applet, entry.package)
        for consent in self.device.disclosure.consents():
            if consent.terms.applet == applet and consent.revoked is None:
                self.device.disclosure.revoke(consent.number)

    def _load(
        self,
        package: Package,
        keys: StaticKeys,
        parameters: bytes,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        profile, aid = self.card.profile, package.manifest.aid
        domain = _named(aid, DOMAIN)
        manager = self._manager(profile.issuer_aid)
        manager.install(
            domain,
            package=profile.domain_package,
            module=profile.domain_module,
            privileges=Privilege.SECURITY_DOMAIN,
        )
        # A new domain takes its parent's keys until it has its own.
        self._manager(domain).put_keys(CHANNEL_KEY_VERSION, keys)
        if self.card.bundle(package.cap.file.aid) is None:  # of several, one brings it for all
            manager.load(package.cap, domain=domain, progress=progress)
        manager.install(aid, package=package.cap.file.aid, module=aid, parameters=parameters)
        # Whoever installs an application has it; this one is to hear its recipient alone.
        manager.extradite(aid, domain)

    def _manager(self, domain: bytes) -> CardManager:
        client = CardClient(self.card.connect(Line.HOME).transmit)
        client.select(domain)
        try:
            client.open_scp03(
                self.device.issuer_keys(),
                self.device.randomness(CHALLENGE_SIZE),
                expected_aid=domain,
            )
        except RemoteChannelError as error:
            raise InstallationError(f"the issuer's key does not open the card: {error}") from None
        return CardManager(client, self.load_block)

    def _must_have(self, applet: bytes) -> RegistryEntry:
        entry = self.card.find(applet)
        if entry is None:
            raise InstallationError(f"there is no applet {applet.hex().upper()}")
        return entry

    def tell(self, command: Callable[[CardManager], ResultT]) -> ResultT:
        """Let the card's issuer, which is the resident, tell the card something.

        Raises `InstallationError` where the card refuses.
        """
        try:
            return command(self._manager(self.card.profile.issuer_aid))
        except CardRefused as refused:
            raise InstallationError(f"the card refused: {refused}") from None

    def _clear(self, applet: bytes, package: bytes) -> None:
        """Delete what was made for an applet, as far as it is there and no other needs it."""
        manager = self._manager(self.card.profile.issuer_aid)
        loaded = self.card.find(package)
        owner = applet if loaded is None else loaded.domain
        # An instance that a tool has made may have a longer AID, and no domain of its own.
        domain = _named(applet, DOMAIN) if len(applet) <= LONGEST_AID else owner
        for aid in (applet, package, domain, owner):
            with suppress(CardRefused):
                manager.delete(aid)


def the_one(bundles: Sequence[Bundle], applet: bytes = b"") -> Bundle:
    """Return the applet that is meant of a package's; raise `InstallationError` if none is."""
    if len(bundles) == 1 and not applet:
        return bundles[0]
    for bundle in bundles:
        if bundle.manifest.aid == applet:
            return bundle
    held = ", ".join(f"{one.manifest.name} {one.manifest.aid.hex().upper()}" for one in bundles)
    raise InstallationError(f"the package: name the applet that is meant with --applet: {held}")


def security_domain_of(applet: bytes) -> bytes:
    """Return the AID of the security domain that an applet is installed with."""
    return _named(applet, DOMAIN)


def _named(applet: bytes, kind: int) -> bytes:
    """Return the AID of what belongs to an applet."""
    if len(applet) > LONGEST_AID:
        raise InstallationError(f"the AID {applet.hex().upper()} leaves no room to name its domain")
    return applet[:4] + bytes([kind]) + applet[4:]
