# SPDX-License-Identifier: Apache-2.0
"""Card content management: what LOAD, INSTALL and DELETE do to the registry.

GPCS 2.3.1, chapter 9. Every method runs inside the caller's transaction and either does all of it
or raises `CardRefusal`.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Final

from hub.card.applet_runtime import AppletRuntime, RegisteredApplet
from hub.card.entries import DomainState, Kind, LifeCycle, Privilege, RegistryEntry, check_aid
from hub.card.keys.keystore import KeyStore
from hub.card.profile import CardProfile
from hub.card.registry import Registry
from hub.card.status import CardRefusal, Sw
from hub.text import dotted
from protocols.packages.load_file import LoadFile

_DOMAINS_ONLY: Final = (
    Privilege.DAP_VERIFICATION
    | Privilege.DELEGATED_MANAGEMENT
    | Privilege.MANDATED_DAP
    | Privilege.TRUSTED_PATH
    | Privilege.AUTHORIZED_MANAGEMENT
    | Privilege.TOKEN_VERIFICATION
    | Privilege.RECEIPT_GENERATION
    | Privilege.CIPHERED_LOAD_FILE
)
_ISSUERS_ONLY: Final = (
    Privilege.MANDATED_DAP
    | Privilege.CARD_LOCK
    | Privilege.CARD_TERMINATE
    | Privilege.AUTHORIZED_MANAGEMENT
    | Privilege.TOKEN_VERIFICATION
    | Privilege.RECEIPT_GENERATION
    | Privilege.GLOBAL_DELETE
    | Privilege.GLOBAL_LOCK
    | Privilege.GLOBAL_REGISTRY
    | Privilege.FINAL_APPLICATION
)
_UNSUPPORTED: Final = (
    Privilege.GLOBAL_SERVICE
    | Privilege.CIPHERED_LOAD_FILE
    | Privilege.CONTACTLESS_ACTIVATION
    | Privilege.CONTACTLESS_SELF_ACTIVATION
)
"""Privileges whose promise this card cannot keep: nobody gets them."""
_OF_APPLETS: Final = Privilege.CARD_RESET | Privilege.FINAL_APPLICATION
"""What an application can use: an applet's program has no way to lock, to look or to set a PIN."""
_EXCLUSIVE: Final = (
    (
        Privilege.DELEGATED_MANAGEMENT | Privilege.AUTHORIZED_MANAGEMENT,
        "management is authorised or delegated, not both",
    ),
    (
        Privilege.DELEGATED_MANAGEMENT | Privilege.TOKEN_VERIFICATION,
        "whoever needs tokens does not verify them",
    ),
)
"""Privileges that exclude each other (GPCS 6.6.2)."""
_OF_ONE: Final = Privilege.CARD_RESET | Privilege.FINAL_APPLICATION
"""What the issuer's domain has until an application has it, and then not (GPCS 6.6.2)."""
MOVES: Final = 0x2000082
"""The data object, out of reach of GET DATA, for what C9 of a domain says of extradition."""


def instance_of(entry: RegistryEntry) -> RegisteredApplet:
    """Return what the runtime is told of an application."""
    return RegisteredApplet(
        entry.aid, entry.package, entry.module, entry.domain, entry.privileges, entry.data_quota
    )


class ContentManager:
    """Changes the registry by the rules, and tells the runtime."""

    def __init__(
        self, registry: Registry, keys: KeyStore, runtime: AppletRuntime, profile: CardProfile
    ) -> None:
        self._registry, self._keys = registry, keys
        self._runtime, self._profile = runtime, profile

    def domain(self, aid: bytes) -> RegistryEntry:
        """Return a security domain; raise `CardRefusal` where there is none of this AID."""
        entry = self._registry.issuer() if aid in self._profile.aliases else None
        entry = entry or self._registry.find(aid)
        if entry is None or not entry.is_domain:
            raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"no security domain {aid.hex().upper()}")
        return entry

    def application(self, aid: bytes) -> RegistryEntry:
        """Return an application or domain; raise `CardRefusal` where there is none of this AID."""
        entry = self._registry.find(aid)
        if entry is None or entry.kind is Kind.PACKAGE:
            raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"no application {aid.hex().upper()}")
        return entry

    def home(self, performing: RegistryEntry, package: bytes) -> RegistryEntry:
        """Return the domain that an instance of `package` becomes associated with (GPCS 7.2).

        That is the package's if it is the one that installs or below it, and else the one that
        installs: nobody puts an instance into a domain above or beside.
        """
        entry = self._registry.find(package)
        owner = entry and self._registry.find(entry.domain)
        above = () if owner is None else self._registry.ancestry(owner)
        if owner is None or all(domain.aid != performing.aid for domain in above):
            return performing
        if owner.is_locked:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, "the package's security domain is locked"
            )
        return owner

    def free_code_memory(self) -> int:
        """Return how many bytes packages may still fill."""
        return self._profile.code_memory - sum(self._registry.content_sizes().values())

    def require_code_memory(self, domain: RegistryEntry, size: int) -> None:
        """Return if `size` bytes more fit below `domain`; raise `CardRefusal` (6A84) otherwise."""
        sizes = self._registry.content_sizes()
        if size > self._profile.code_memory - sum(sizes.values()):
            raise CardRefusal(Sw.NO_MEMORY, f"{size} bytes of code: the packages' memory is full")
        for above in self._registry.ancestry(domain):
            if above.code_quota is None:
                continue
            used = sum(sizes.get(entry.aid, 0) for entry in self._below(above))
            if used + size > above.code_quota:
                raise CardRefusal(
                    Sw.NO_MEMORY, f"the quota of {above.code_quota} bytes of code (C6) is used up"
                )

    def require_data_memory(self, domain: RegistryEntry, volatile: int, data: int) -> None:
        """Return if an instance may reserve that much below `domain`; else raise `CardRefusal`."""
        for name, size, total in (
            ("volatile_quota", volatile, self._profile.volatile_memory),
            ("data_quota", data, self._profile.data_memory),
        ):
            everything = self._registry.entries()
            reserved = sum(
                getattr(entry, name) or 0 for entry in everything if entry.kind is Kind.APPLICATION
            )
            if reserved + size > total:
                raise CardRefusal(Sw.NO_MEMORY, f"{size} bytes of {name}: the card has no more")
            for above in self._registry.ancestry(domain):
                quota = getattr(above, name)
                if quota is None:
                    continue
                below = self._below(above)
                used = sum(getattr(entry, name) or 0 for entry in below if entry.aid != above.aid)
                if used + size > quota:
                    raise CardRefusal(Sw.NO_MEMORY, f"the {name} of {quota} bytes is used up")

    def _below(self, domain: RegistryEntry) -> list[RegistryEntry]:
        return [
            entry
            for entry in self._registry.entries()
            if any(above.aid == domain.aid for above in self._registry.ancestry(entry))
        ]

    def check_privileges(
        self, domain: RegistryEntry, wanted: Privilege, before: RegistryEntry | None = None
    ) -> None:
        """Return if `domain` may grant them together; raise `CardRefusal` otherwise (GPCS 6.6).

        `before` is the entry that has them then, where it is there already.
        """
        granted = wanted if before is None else wanted & ~before.privileges
        if granted & _UNSUPPORTED:
            raise CardRefusal(
                Sw.WRONG_DATA,
                "the card has no ciphered loads, global services or contactless interface: it does"
                " not grant their privileges",
            )
        if not wanted & Privilege.SECURITY_DOMAIN and granted & ~(_DOMAINS_ONLY | _OF_APPLETS):
            raise CardRefusal(
                Sw.WRONG_DATA, "an applet can be default and final application, and no more"
            )
        if wanted & _DOMAINS_ONLY and not wanted & Privilege.SECURITY_DOMAIN:
            raise CardRefusal(Sw.WRONG_DATA, "the privileges are for security domains only")
        if wanted & Privilege.MANDATED_DAP and not wanted & Privilege.DAP_VERIFICATION:
            raise CardRefusal(Sw.WRONG_DATA, "mandated DAP needs DAP verification")
        for both, reason in _EXCLUSIVE:
            if wanted & both == both:
                raise CardRefusal(Sw.WRONG_DATA, f"{reason} (GPCS 6.6.2)")
        if domain.kind is not Kind.ISSUER_DOMAIN and granted & _ISSUERS_ONLY:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, "only the issuer's domain grants these privileges"
            )
        final = Privilege.FINAL_APPLICATION
        if granted & final and before != self._registry.issuer() and self._holders(final):
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, "another is the final application (GPCS 6.6.2)"
            )

    def held_privileges(self, entry: RegistryEntry) -> Privilege:
        """Return what an entry may do now: the issuer's domain stands back for an application."""
        if entry.kind is not Kind.ISSUER_DOMAIN:
            return entry.privileges
        others = (other.privileges for other in self._holders(_OF_ONE))
        return entry.privileges & ~(_OF_ONE & Privilege(reduce(or_, others, 0)))

    def _holders(self, privileges: Privilege) -> list[RegistryEntry]:
        """Return who has one of `privileges`, the issuer's domain left aside."""
        return [
            entry
            for entry in self._registry.entries()
            if entry.kind is not Kind.ISSUER_DOMAIN and entry.privileges & privileges
        ]

    def allow_moves(self, domain: bytes, moves_in: bool, moves_out: bool) -> None:
        """Keep what a domain's parameters say of extradition into it and out of it."""
        self._registry.set_object(domain, MOVES, bytes((moves_in, moves_out)))

    def require_personalised(self, domain: RegistryEntry) -> None:
        """Return if a domain may hold and manage content, as all may but on a strict card."""
        ready = domain.life_cycle == DomainState.PERSONALIZED
        if self._profile.strict and domain.kind is not Kind.ISSUER_DOMAIN and not ready:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED,
                f"the security domain {domain.aid.hex().upper()} is not PERSONALIZED: put its keys,"
                " then SET STATUS 40 0F (GPCS 5.3.2)",
            )

    def require_move(self, source: bytes, target: RegistryEntry) -> None:
        """Return if things may go from `source` to `target`; a strict card asks C9 of both."""
        if not self._profile.strict or source == target.aid:
            return
        self.require_personalised(target)
        if target.kind is Kind.ISSUER_DOMAIN:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, "nothing moves to the issuer's domain of this card"
            )
        leaves = source == self._registry.issuer().aid or self._moves(source)[1]
        if not leaves or not self._moves(target.aid)[0]:
            reason = "82: the target takes nothing in" if leaves else "87: the domain lets none go"
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, f"{reason}, as its installation said (C9)"
            )

    def _moves(self, domain: bytes) -> tuple[bool, bool]:
        moves_in, moves_out = self._registry.find_object(domain, MOVES) or bytes(2)
        return bool(moves_in), bool(moves_out)

    def change(self, entry: RegistryEntry) -> None:
        """Write a changed entry; there is one default application at most, one for a channel."""
        if entry.implicit:
            for other in self._registry.entries():
                if other.implicit == entry.implicit and other.aid != entry.aid:
                    raise CardRefusal(
                        Sw.CONDITIONS_NOT_SATISFIED,
                        f"{other.aid.hex().upper()} is selected implicitly on that channel (CF)",
                    )
        if entry.kind is not Kind.ISSUER_DOMAIN and entry.has(Privilege.CARD_RESET):
            for other in self._holders(Privilege.CARD_RESET):
                if other.aid != entry.aid:
                    rest = other.privileges & ~Privilege.CARD_RESET
                    self._registry.update(replace(other, privileges=rest))
        self._registry.update(entry)

    def rename(self, old: bytes, new: bytes) -> None:
        """Give a security domain another AID; its keys are sealed for the new one."""
        if old == new:
            return
        self.require_new(new)
        keys = self._keys.all(old)
        self._registry.rename(old, new)
        self._keys.reseal(new, keys)

    def load(self, file: LoadFile, *, domain: bytes) -> RegistryEntry:
        """Add a package (GPCS 9.3.5); the runtime must accept its content."""
        check_aid(file.aid, "package")
        self.require_new(file.aid)
        self.require_loadable(file)
        self.require_code_memory(self.domain(domain), len(file.bundle))
        entry = RegistryEntry(
            file.aid,
            Kind.PACKAGE,
            LifeCycle.LOADED,
            Privilege.NONE,
            domain=domain,
            version=file.version,
        )
        self._registry.add(entry)
        self._registry.add_package(file.aid, file.bundle, file.modules, file.imports)
        self._runtime.load(file)
        return entry

    def require_loadable(self, file: LoadFile) -> None:
        """Return if a load file's modules and imports are such as the card takes."""
        self._require_modules(file)
        self._require_imports(file)

    def _require_modules(self, file: LoadFile) -> None:
        for module in file.modules:
            check_aid(module, "module")
        if len(set(file.modules)) != len(file.modules):
            raise CardRefusal(Sw.WRONG_DATA, "a package's modules are all different")

    def _require_imports(self, file: LoadFile) -> None:
        """Return if all that a package imports is on the card (Java Card VM 3.1, 4.5 and 6.7)."""
        for one in file.imports:
            there = self._registry.find(one.aid)
            name = f"{one.aid.hex().upper()} {dotted(one.version)}"
            if there is None or there.kind is not Kind.PACKAGE:
                raise CardRefusal(
                    Sw.CONDITIONS_NOT_SATISFIED, f"the package imports {name}: load that first"
                )
            if self._registry.modules(one.aid) or not self._registry.content(one.aid):
                raise CardRefusal(Sw.WRONG_DATA, f"the package imports {name}, which is no library")
            if not one.is_met_by(there.version):
                raise CardRefusal(
                    Sw.CONDITIONS_NOT_SATISFIED,
                    f"the package imports {name}, and {dotted(there.version)} is on the card",
                )

    def install(
        self,
        aid: bytes,
        *,
        package: bytes,
        module: bytes,
        domain: bytes,
        privileges: Privilege,
        parameters: bytes = b"",
        selectable: bool,
        code_quota: int | None = None,
        volatile_quota: int | None = None,
        data_quota: int | None = None,
        implicit: bytes = b"",
    ) -> RegistryEntry:
        """Make an instance of a module (GPCS 9.3.6): an application or a security domain."""
        self.domain(domain)
        self.require_new(aid)
        if module not in self._registry.modules(package):
            raise CardRefusal(
                Sw.REFERENCE_NOT_FOUND,
                f"no module {module.hex().upper()} in a package {package.hex().upper()}",
            )
        is_domain = package == self._profile.domain_package
        if is_domain != bool(privileges & Privilege.SECURITY_DOMAIN):
            raise CardRefusal(
                Sw.WRONG_DATA, "the security domain privilege goes with the security domain package"
            )
        entry = RegistryEntry(
            aid,
            Kind.DOMAIN if is_domain else Kind.APPLICATION,
            LifeCycle.SELECTABLE if selectable else LifeCycle.INSTALLED,
            privileges,
            domain=domain,
            package=package,
            module=module,
            implicit=implicit,
            code_quota=code_quota,
            volatile_quota=volatile_quota,
            data_quota=data_quota,
        )
        self._registry.add(entry)
        self.change(entry)
        if not is_domain:
            self._runtime.install(instance_of(entry), parameters)
        return entry

    def personalised(self, domain: RegistryEntry) -> RegistryEntry:
        """Take a supplementary domain that got keys of its own to PERSONALIZED (GPCS 5.3.2.3)."""
        if domain.kind is not Kind.DOMAIN or domain.life_cycle != LifeCycle.SELECTABLE:
            return domain
        if self._profile.strict:
            return domain  # by SET STATUS alone
        entry = replace(domain, life_cycle=int(DomainState.PERSONALIZED))
        self._registry.update(entry)
        return entry

    def doomed(self, aid: bytes, *, related: bool) -> list[RegistryEntry]:
        """Return what goes with an entry, what was made from it too if `related` (GPCS 9.5)."""
        entry = self._registry.find(aid)
        if entry is None:
            raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"nothing to delete: {aid.hex().upper()}")
        if entry.kind is Kind.ISSUER_DOMAIN or aid == self._profile.domain_package:
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the card's own parts cannot be deleted")
        others = self._registry.entries()
        gone = self._related(entry, others) if related else [entry]
        for package in [item for item in gone if item.kind is Kind.PACKAGE]:
            left = [other for other in others if other.package == package.aid]
            if any(other not in gone for other in left):
                raise CardRefusal(
                    Sw.CONDITIONS_NOT_SATISFIED,
                    f"{len(left)} instances of the package are left (GPCS 9.5.2)",
                )
        names = {item.aid for item in gone}
        for item in gone:
            for importer in self._registry.importers(item.aid).keys() - names:
                raise CardRefusal(
                    Sw.CONDITIONS_NOT_SATISFIED,
                    f"{importer.hex().upper()} imports the package (GPCS 9.5.2)",
                )
            for other in others:
                if item.is_domain and other.domain == item.aid and other.aid not in names:
                    raise CardRefusal(
                        Sw.CONDITIONS_NOT_SATISFIED,
                        f"{other.aid.hex().upper()} belongs to the security domain (GPCS 9.5.1)",
                    )
        return gone

    def delete(self, gone: Iterable[RegistryEntry]) -> None:
        """Delete what `doomed` has found, in its order."""
        for item in gone:
            self._remove(item)

    def _related(self, entry: RegistryEntry, others: list[RegistryEntry]) -> list[RegistryEntry]:
        """Return what goes with an entry: instances before packages, a domain at the end."""
        if entry.kind is Kind.PACKAGE:
            return [*(other for other in others if other.package == entry.aid), entry]
        if not entry.is_domain:
            return [entry]
        below = [other for other in reversed(self._below(entry)) if other.aid != entry.aid]
        packages = [other for other in below if other.kind is Kind.PACKAGE]
        packages.sort(key=lambda package: not self._registry.imports(package.aid))
        return [*(other for other in below if other.kind is not Kind.PACKAGE), *packages, entry]

    def _remove(self, entry: RegistryEntry) -> None:
        if entry.kind is Kind.APPLICATION:
            self._runtime.uninstall(instance_of(entry))
        elif entry.kind is Kind.PACKAGE:
            self._runtime.unload(entry.aid)
        self._registry.remove(entry.aid)

    def require_new(self, aid: bytes) -> None:
        """Return if no entry or module has this AID; raise `CardRefusal` otherwise."""
        if self._registry.find(aid) is not None or aid in self._profile.aliases:
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, f"{aid.hex().upper()} is on the card")
