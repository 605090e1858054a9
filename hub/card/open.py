# SPDX-License-Identifier: Apache-2.0
"""The card: how it is made, the connections that talk to it, and what the hub itself does to it.

A `Card` holds no conversation; `connect` begins one. APDUs of all connections take turns, and
each is one transaction. What management commands do to the registry is in `content`, also for
the hub's own installer.
"""

from collections.abc import Callable, Sequence
from typing import Self

from hub.card.applet_runtime import AppletRuntime
from hub.card.commands.issued_keys import issue_keys
from hub.card.connection import CardConnection
from hub.card.entries import ISSUER_PRIVILEGES, Kind, LifeCycle, Privilege, RegistryEntry, check_aid
from hub.card.profile import DEFAULT, CardProfile
from hub.card.state import CardParts
from hub.vault.database import Database
from protocols.secure_channel.keys import StaticKeys

__all__ = ["Card"]


class Card(CardParts):
    """A GlobalPlatform card in the hub's database; `create` has made it."""

    @classmethod
    def create(
        cls,
        database: Database,
        *,
        storage_key: bytes,
        random: Callable[[int], bytes],
        runtime: AppletRuntime,
        keys: StaticKeys,
        profile: CardProfile = DEFAULT,
    ) -> Self:
        """Make the card whose issuer security domain has `keys`, and open it."""
        card = cls(
            database, storage_key=storage_key, random=random, runtime=runtime, profile=profile
        )
        with database.transaction():
            card._issue()
            card.registry.set_property("serial", random(8))
            issue_keys(card, keys)
        return card

    def _issue(self) -> None:
        aid, profile = self.profile.issuer_aid, self.profile
        issuer = RegistryEntry(
            aid,
            Kind.ISSUER_DOMAIN,
            profile.state,
            ISSUER_PRIVILEGES,
            domain=aid,
            package=profile.domain_package,
            module=profile.domain_module,
        )
        self.registry.add(issuer)
        self.registry.add(
            RegistryEntry(
                profile.domain_package,
                Kind.PACKAGE,
                LifeCycle.LOADED,
                Privilege.NONE,
                domain=aid,
                version=b"\x01\x00",
            )
        )
        self.registry.add_package(profile.domain_package, b"", [profile.domain_module])

    @staticmethod
    def exists(database: Database) -> bool:
        """Whether `create` has made a card in this database."""
        query = "SELECT 1 FROM card_entry WHERE kind = 1"
        return database.connection.execute(query).fetchone() is not None

    def connect(self) -> CardConnection:
        """Begin a conversation: the card is inserted, the default application selected."""
        return CardConnection(self)

    # For the hub itself; over the wire the same happens through INSTALL, LOAD and DELETE

    def entries(self) -> Sequence[RegistryEntry]:
        """Return the registry, oldest entry first."""
        with self.turn():
            return tuple(self.registry.entries())

    def find(self, aid: bytes) -> RegistryEntry | None:
        """Return the entry with this AID, or None."""
        with self.turn():
            return self.registry.find(aid)

    def bundle(self, package: bytes) -> bytes | None:
        """Return what a package carries for the runtime, or None where there is no such one."""
        with self.turn():
            return self.registry.content(package)

    def create_security_domain(
        self,
        aid: bytes,
        keys: StaticKeys | None,
        *,
        key_version: int = 0x01,
        parent: bytes | None = None,
        privileges: Privilege = Privilege.SECURITY_DOMAIN,
    ) -> RegistryEntry:
        """Add a security domain under `parent` (the issuer's); with keys it is personalised."""
        with self.turn(), self.database.transaction():
            entry = self.content.install(
                check_aid(aid),
                package=self.profile.domain_package,
                module=self.profile.domain_module,
                domain=parent or self.registry.issuer().aid,
                privileges=privileges | Privilege.SECURITY_DOMAIN,
                selectable=True,
            )
            if keys is not None:
                self.keys.put_static(aid, key_version, keys)
                entry = self.content.personalised(entry)
            return entry

    def add_package(
        self,
        aid: bytes,
        content: bytes,
        modules: Sequence[bytes],
        *,
        domain: bytes | None = None,
        version: bytes = b"\x01\x00",
    ) -> RegistryEntry:
        """Add a package whose content the runtime accepts."""
        with self.turn(), self.database.transaction():
            return self.content.load(
                aid, content, modules, domain=domain or self.registry.issuer().aid, version=version
            )

    def register_application(
        self,
        aid: bytes,
        *,
        package: bytes,
        module: bytes,
        domain: bytes,
        privileges: Privilege = Privilege.NONE,
        parameters: bytes = b"",
    ) -> RegistryEntry:
        """Install an applet of a loaded package and make it selectable."""
        with self.turn(), self.database.transaction():
            return self.content.install(
                check_aid(aid),
                package=package,
                module=module,
                domain=domain,
                privileges=privileges,
                parameters=parameters,
                selectable=True,
            )

    def delete(self, aid: bytes, *, related: bool = False) -> None:
        """Delete an application, a domain or a package, with what was made from it if asked."""
        with self.turn(), self.database.transaction():
            self.content.delete(aid, related=related)
