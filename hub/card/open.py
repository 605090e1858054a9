# SPDX-License-Identifier: Apache-2.0
"""The card: how it is made, the connections that talk to it, and what the hub itself may look at.

A `Card` holds no conversation; `connect` begins one. APDUs of all connections take turns, and
each is one transaction. What management commands do to the registry is in `content`; the hub's
own installer uses these commands, too.
"""

from collections.abc import Callable, Sequence
from typing import Self

from hub.card.applet_runtime import AppletRuntime
from hub.card.commands.issued_keys import issue_keys
from hub.card.commands.pin import give_all_tries
from hub.card.connection import CardConnection
from hub.card.entries import ISSUER_PRIVILEGES, Kind, LifeCycle, Privilege, RegistryEntry
from hub.card.keys.keystore import clear_all_failures
from hub.card.line import Line
from hub.card.profile import DEFAULT, CardProfile
from hub.card.registry import Registry
from hub.card.state import CardParts
from hub.vault.database import Database
from protocols.secure_channel.keys import StaticKeys


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

    def connect(self, line: Line = Line.READER) -> CardConnection:
        """Begin a conversation: the card is inserted, the default application selected.

        `line` is what it comes in over; on a port nothing is selected.
        """
        return CardConnection(self, line)

    @staticmethod
    def unblock(database: Database) -> tuple[int, bool]:
        """Give key sets and PIN all their attempts again, for the resident who holds the hub.

        Returns how many key sets had lost attempts, and whether the PIN had. A card that is in
        use, in whatever process, goes by it at once.
        """
        with database.transaction():
            return clear_all_failures(database), give_all_tries(Registry(database))

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
