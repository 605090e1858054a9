# SPDX-License-Identifier: Apache-2.0
"""What the card asks of whoever runs its applets.

The card knows packages as opaque bytes and instances by AID. Everything it calls here happens
inside the transaction of one APDU: a runtime that raises takes back all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hub.card.entries import Privilege
from hub.card.status import CardRefusal
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.packages.load_file import LoadFile
from protocols.secure_channel.session import SecurityLevel


class AppletRefused(CardRefusal):
    """An applet, or the runtime for it, answers with a status word and nothing is kept."""


@dataclass(frozen=True, slots=True)
class RegisteredApplet:
    """An application in the registry."""

    aid: bytes
    package: bytes
    module: bytes
    domain: bytes
    """The security domain it belongs to."""
    privileges: Privilege
    data_quota: int | None = None
    """Bytes of persistent memory it may fill; None is no limit of its own."""


@dataclass(frozen=True, slots=True)
class AppletContext:
    """Who is asking, and how well protected the question came."""

    instance: RegisteredApplet
    level: SecurityLevel
    """What the session protects; NONE without one, and in one that protects nothing."""
    authenticated: bytes | None
    """The security domain whose keys opened the session; None without a session."""
    channel: int
    connection: int
    holder_verified: bool = False
    """Whether the resident has shown the card's PIN over this connection since the last reset."""

    @property
    def is_protected(self) -> bool:
        """Whether the applet's own domain speaks, secretly and unaltered in both directions."""
        own = self.authenticated == self.instance.domain
        return own and self.level == SecurityLevel.FULL


class AppletRuntime(Protocol):
    """Loads packages and runs the applets in them.

    Raise `AppletRefused` to answer with a status word and keep nothing. A status word that is
    returned instead keeps what the applet has written: that is how a counter of wrong attempts
    survives its own refusal.
    """

    def load(self, file: LoadFile) -> None:
        """Check what a package carries; raise `AppletRefused` unless it can be run."""

    def check_upgrade(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> None:
        """Return if what `instances` store may be another version's; else raise `AppletRefused`.

        They are instances of the package or, where it is a library, of those that import it. The
        package's content is still the old one.
        """

    def asks_for_more(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> bool:
        """Tell whether a version that was checked asks for more than the one in place."""

    def carry_consents(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> None:
        """Let the resident's consents go over to a version that asks for no more."""

    def upgrade(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> None:
        """Let `instances` start afresh: a version that was checked comes into its place."""

    def tell_of_version(self, package: bytes, version: bytes, event: str) -> None:
        """Put on record what has become of a version, for the resident to read."""

    def unload(self, package: bytes) -> None:
        """Forget a package; no instance of it is left."""

    def install(self, instance: RegisteredApplet, parameters: bytes) -> None:
        """Make an instance; `parameters` is what INSTALL's tag C9 carried."""

    def uninstall(self, instance: RegisteredApplet) -> None:
        """Give the instance its last word, then remove its data; raise to forbid it."""

    def select(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        """Tell an applet that it is selected and return what it says of itself."""

    def deselect(self, context: AppletContext) -> None:
        """Tell an applet that it is no longer selected; its CLEAR_ON_DESELECT data go."""

    def process(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        """Run one plain command; it and the answer may be longer than one APDU."""

    def protects_itself(self, instance: RegisteredApplet) -> bool:
        """Tell whether an applet answers without a channel, what it says being protected anyway."""

    def personalise(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        """Hand an applet a STORE DATA that its domain received for it."""

    def words(self, instance: RegisteredApplet) -> str:
        """Return why an applet refused its last command, in its own words, if it gave any."""

    def reset(self, connection: int) -> None:
        """The card was reset or removed: transient data of that connection are gone."""
