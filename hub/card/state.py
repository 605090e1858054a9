# SPDX-License-Identifier: Apache-2.0
"""The card: its state on the disk, its runtime, and the connections that talk to it.

A `Card` holds no conversation; `connect` begins one. APDUs of all connections take turns, and
each is one transaction. What management commands do to the registry is in `content`, also for
the hub's own installer.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Final, Self

from hub.card.applet_runtime import AppletRuntime
from hub.card.commands.attestation import issue_attested_key
from hub.card.commands.tokens_receipts import Receipts
from hub.card.connection import CardConnection
from hub.card.content import ContentManager
from hub.card.entries import ISSUER_PRIVILEGES, Kind, LifeCycle, Privilege, RegistryEntry, check_aid
from hub.card.keys.certificates import Certificates
from hub.card.keys.keystore import KeySet, KeyStore
from hub.card.profile import DEFAULT, CardProfile
from hub.card.registry import Registry
from hub.card.status import Refusal, Sw
from hub.vault.database import Database
from protocols.secure_channel.keys import StaticKeys

__all__ = ["Card"]

_FIRST_KEYS: Final = "first keys"


class Card:
    """A GlobalPlatform card in the hub's database."""

    def __init__(
        self,
        database: Database,
        *,
        storage_key: bytes,
        random: Callable[[int], bytes],
        runtime: AppletRuntime,
        profile: CardProfile = DEFAULT,
    ) -> None:
        """Open the card that `create` has made; `storage_key` has 32 bytes."""
        self.database, self.random, self.runtime = database, random, runtime
        self.profile = profile
        self.registry = Registry(database)
        self.keys = KeyStore(database, storage_key, random)
        self.content = ContentManager(self.registry, self.keys, runtime, profile)
        self.certificates = Certificates(self.registry)
        self.receipts: Receipts = Receipts(self)
        self._turn = threading.RLock()
        self._numbers = count(1)

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
            secret = card.keys.seal_secret(_FIRST_KEYS, (keys.enc, keys.mac, keys.dek))
            card.registry.set_property(_FIRST_KEYS, secret)
            card.restore_keys()
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
        return CardConnection(self, next(self._numbers))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let one APDU be worked on at a time."""
        with self._turn:
            yield

    def diversification(self, domain: bytes) -> bytes:
        """Return the ten bytes that a domain's keys were diversified with (tag CF)."""
        return self.registry.find_object(domain, 0xCF) or self.profile.diversification

    def restore_keys(self) -> None:
        """Give the issuer's domain, which has no keys left, its first ones again."""
        issuer = self.registry.issuer().aid
        for tag, _ in self.registry.objects(issuer):
            self.registry.set_object(issuer, tag, b"")
        sealed = self.registry.find_property(_FIRST_KEYS)
        assert sealed is not None  # `create` has put it there
        enc, mac, dek = self.keys.open_secret(_FIRST_KEYS, sealed)
        self.keys.put_static(issuer, self.profile.key_version, StaticKeys(enc, mac, dek))
        if self.profile.attested:
            issue_attested_key(self, issuer)

    def require_unblocked(self, key_set: KeySet) -> None:
        """Return if the key set has attempts left; raise `Refusal` otherwise.

        Where the profile says so, what is blocked is removed, for good; a card that has no keys
        left then begins anew with those it was issued with.
        """
        if key_set.failures < self.profile.attempts:
            return
        if self.profile.restores_keys:
            with self.database.transaction():
                self.keys.remove_set(key_set)
                self.certificates.forget(key_set.domain, key_set.base, key_set.version)
                if not self.keys.describe(key_set.domain):
                    self.restore_keys()
        raise Refusal(
            Sw.BLOCKED, f"key {key_set.version:02X}/{key_set.base:02X}: too many wrong attempts"
        )

    # For the hub itself; over the wire the same happens through INSTALL, LOAD and DELETE

    def entries(self) -> Sequence[RegistryEntry]:
        """Return the registry, oldest entry first."""
        with self._turn:
            return tuple(self.registry.entries())

    def find(self, aid: bytes) -> RegistryEntry | None:
        """Return the entry with this AID, or None."""
        with self._turn:
            return self.registry.find(aid)

    def bundle(self, package: bytes) -> bytes | None:
        """Return what a package carries for the runtime, or None where there is no such one."""
        with self._turn:
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
        with self._turn, self.database.transaction():
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
        with self._turn, self.database.transaction():
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
        with self._turn, self.database.transaction():
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
        with self._turn, self.database.transaction():
            self.content.delete(aid, related=related)
