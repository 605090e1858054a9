# SPDX-License-Identifier: Apache-2.0
"""What a card consists of: the parts that the handlers of its commands work with.

Whoever builds a card and talks to it uses `hub.card.open`; a handler knows nothing of that.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from weakref import WeakSet

from hub.card.applet_runtime import AppletRuntime
from hub.card.content import ContentManager
from hub.card.hub_keys import HubKeys
from hub.card.keys.certificates import Certificates
from hub.card.keys.challenges import ChallengeCounters
from hub.card.keys.keystore import KeyStore
from hub.card.logical_channel import Conversation
from hub.card.other_versions import OtherVersions
from hub.card.profile import DEFAULT, CardProfile
from hub.card.registry import Registry
from hub.card.upgrades import PackageUpgrades
from hub.vault.database import Database


class CardParts:
    """A card's state on the disk, its keys, its runtime and its profile."""

    def __init__(
        self,
        database: Database,
        *,
        storage_key: bytes,
        random: Callable[[int], bytes],
        runtime: AppletRuntime,
        profile: CardProfile = DEFAULT,
    ) -> None:
        """Open the parts in `database`; `storage_key` has 32 bytes."""
        self.database, self.random, self.runtime = database, random, runtime
        self.profile = profile
        self.registry = Registry(database)
        self.keys = KeyStore(database, storage_key, random)
        self.challenges = ChallengeCounters(self.keys)
        self.content = ContentManager(self.registry, self.keys, runtime, profile)
        self.upgrades = PackageUpgrades(
            self.registry, self.content, runtime, OtherVersions(database)
        )
        self.certificates = Certificates(self.registry)
        self.connection_numbers = count(1)
        self._conversations: WeakSet[Conversation] = WeakSet()
        self._listing = threading.Lock()
        self.hub_keys: HubKeys | None = None
        """Who changes the hub's own keys (`commands.rotate_key`); None for a card by itself."""
        self._turn = threading.RLock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let one APDU be worked on at a time."""
        with self._turn:
            yield

    def begin(self, conversation: Conversation) -> None:
        """Note a conversation for as long as somebody holds it."""
        with self._listing:
            self._conversations.add(conversation)

    def conversations(self) -> list[Conversation]:
        """Return all that are under way, for whoever ends sessions on other connections."""
        with self._listing:
            return list(self._conversations)

    def diversification(self, domain: bytes) -> bytes:
        """Return the ten bytes that a domain's keys were diversified with (tag CF)."""
        return self.registry.find_object(domain, 0xCF) or self.profile.diversification
