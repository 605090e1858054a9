# SPDX-License-Identifier: Apache-2.0
"""New versions of packages: put in place at once, or kept until the resident says yes.

Whoever has the issuer's keys acts for the resident, and what it brings is in place at once. A
domain that manages its own content acts for a recipient. What it brings, or puts back, is in place
at once where no instance asks for more than the version before (`AppletRuntime.asks_for_more`);
the consents go over to it. Else it is offered: the version that is in place answers on, with its
consents, until the resident accepts just this one (by its digest) or refuses it.

Every method runs inside the transaction of one APDU: all of it is done, or nothing.
"""

import hmac
from dataclasses import replace
from typing import Final

from hub.card.applet_runtime import AppletRuntime
from hub.card.content import ContentManager, instance_of
from hub.card.entries import Kind, RegistryEntry
from hub.card.other_versions import KeptVersion, OtherVersions, Place, kept
from hub.card.registry import Registry
from hub.card.status import CardRefusal, Sw
from hub.text import dotted
from protocols.packages.load_file import LoadFile

UPGRADE: Final = "upgrade"
"""The card's property that names the package whose new version is waited for."""


class PackageUpgrades:
    """Waits for new versions, puts them in place, offers them, and puts old ones back."""

    def __init__(
        self,
        registry: Registry,
        content: ContentManager,
        runtime: AppletRuntime,
        others: OtherVersions,
    ) -> None:
        self._registry, self._content, self._runtime = registry, content, runtime
        self.others = others

    def awaited(self, domain: RegistryEntry) -> bytes:
        """Return the package of which `domain` has announced a new version; empty for none."""
        package = self._registry.find_property(_session(domain)) or b""
        return package if package and self._registry.find(package) is not None else b""

    def begin(self, domain: RegistryEntry, package: bytes) -> None:
        """Wait for the new version of a package from `domain`; of none, where it is empty."""
        self._registry.set_property(_session(domain), package)

    def take(self, domain: RegistryEntry, file: LoadFile) -> None:
        """Take the new version that `domain` has loaded; raise `CardRefusal`."""
        entry = self._package(file.aid)
        if file.version <= entry.version:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED,
                f"version {dotted(file.version)} is not newer than {dotted(entry.version)}",
            )
        self._take(domain, entry, kept_of(file))
        self.begin(domain, b"")

    def put_back(self, domain: RegistryEntry, package: bytes) -> None:
        """Put the version back that the one in place has followed; raise `CardRefusal`.

        No other version comes back: the hub has kept it, and nobody brings it.
        """
        entry, previous = self._package(package), self.others.find(package, Place.PREVIOUS)
        if previous is None:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, "no version is kept that could be put back"
            )
        self._take(domain, entry, previous)

    def accept(self, package: bytes, digest: bytes) -> None:
        """Put the offered version in place, which must be the one that the resident has seen."""
        offered = self._offered(package, digest)
        self._switch(self._package(package), offered, carries=False, keeps=True)

    def refuse(self, package: bytes, digest: bytes) -> None:
        """Drop the offered version by the resident's word; it cannot be offered again."""
        offered = self._offered(package, digest)
        self.others.drop(package, Place.OFFERED)
        self.others.keep(Place.REFUSED, KeptVersion(package, offered.version, offered.digest))
        self._runtime.tell_of_version(package, offered.version, "refused by the resident")

    def take_back(self, package: bytes) -> None:
        """Drop the offered version by its recipient's word, if there is one."""
        offered = self.others.find(package, Place.OFFERED)
        if offered is not None:
            self.others.drop(package, Place.OFFERED)
            self._runtime.tell_of_version(package, offered.version, "taken back")

    def _take(self, domain: RegistryEntry, entry: RegistryEntry, new: KeptVersion) -> None:
        if domain.kind is Kind.ISSUER_DOMAIN:
            self._switch(entry, new, carries=False, keeps=False)
            return
        refused = self.others.find(entry.aid, Place.REFUSED)
        if refused is not None and hmac.compare_digest(refused.digest, new.digest):
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, "the resident has refused just this version"
            )
        instances = [instance_of(one) for one in self._check(new.file)]
        # What asks for more than the resident has agreed to never runs before the resident's yes.
        if not self._runtime.asks_for_more(new.file, instances):
            self._switch(entry, new, carries=True, keeps=True)
            return
        waiting = self.others.find(entry.aid, Place.OFFERED)
        if waiting is not None and hmac.compare_digest(waiting.digest, new.digest):
            return  # offered once is enough
        self.others.keep(Place.OFFERED, new)
        self._content.require_code_memory(self._content.domain(entry.domain), 0)
        self._runtime.tell_of_version(entry.aid, new.version, "offered")

    def _switch(
        self, entry: RegistryEntry, new: KeptVersion, *, carries: bool, keeps: bool
    ) -> None:
        """Put a version in the place of the one that is there; the instances stay as they are.

        `carries`: the consents go over. `keeps`: the one that was there may be put back.
        """
        file = new.file
        instances = [instance_of(one) for one in self._check(file)]
        if carries:
            self._runtime.carry_consents(file, instances)
        self._runtime.upgrade(file, instances)
        before = kept(
            entry.aid,
            entry.version,
            self._registry.content(entry.aid) or b"",
            self._registry.modules(entry.aid),
            self._registry.imports(entry.aid),
        )
        self._registry.update(replace(entry, version=file.version))
        self._registry.replace_package(file.aid, file.bundle, file.modules, file.imports)
        self.others.drop(entry.aid, *Place)
        if (
            keeps and new.version > before.version
        ):  # what was put back is not followed by what it replaced
            self.others.keep(Place.PREVIOUS, before)
        self._content.require_code_memory(self._content.domain(entry.domain), 0)
        self._runtime.tell_of_version(entry.aid, file.version, "in place")

    def _check(self, file: LoadFile) -> list[RegistryEntry]:
        """Return the instances that go with a version; raise `CardRefusal` where it does not fit.

        They are those of the package or, where it is a library, of those that import it.
        """
        importers = self._registry.importers(file.aid)
        for importer, wish in importers.items():
            if not wish.is_met_by(file.version):
                raise CardRefusal(
                    Sw.CONDITIONS_NOT_SATISFIED,
                    f"{importer.hex().upper()} imports version {dotted(wish.version)}:"
                    f" {dotted(file.version)} is another major one",
                )
        if importers and file.modules:
            raise CardRefusal(Sw.WRONG_DATA, "what others import stays a library")
        affected = {file.aid, *importers}
        instances = [other for other in self._registry.entries() if other.package in affected]
        for instance in instances:
            if instance.package == file.aid and instance.module not in file.modules:
                raise CardRefusal(
                    Sw.WRONG_DATA,
                    f"the new version lacks the module of {instance.aid.hex().upper()}",
                )
        self._content.require_loadable(file)
        self._runtime.check_upgrade(file, [instance_of(instance) for instance in instances])
        return instances

    def _package(self, aid: bytes) -> RegistryEntry:
        entry = self._registry.find(aid)
        if entry is None or entry.kind is not Kind.PACKAGE or not self._registry.content(aid):
            raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"no package {aid.hex().upper()}")
        return entry

    def _offered(self, package: bytes, digest: bytes) -> KeptVersion:
        offered = self.others.find(package, Place.OFFERED)
        if offered is None:
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "no version waits for the resident")
        if not hmac.compare_digest(offered.digest, digest):
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED,
                "another version waits than the one that was shown: look at it again",
            )
        return offered


def kept_of(file: LoadFile) -> KeptVersion:
    """Return a load file as a version that may be kept."""
    return kept(file.aid, file.version, file.bundle, file.modules, file.imports)


def _session(domain: RegistryEntry) -> str:
    """Return the property of a domain's announcement: none stands in another's way."""
    own = domain.kind is not Kind.ISSUER_DOMAIN
    return f"{UPGRADE} {domain.aid.hex()}" if own else UPGRADE
