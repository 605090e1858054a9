# SPDX-License-Identifier: Apache-2.0
"""What the card remembers of one connection and its logical channels, until reset."""

from dataclasses import dataclass, field

from hub.card.applet_runtime import AppletContext
from hub.card.content import instance_of
from hub.card.entries import RegistryEntry
from hub.card.line import Line
from protocols.iso7816.apdu import CommandApdu
from protocols.secure_channel.session import Phase, SecureSession, SecurityLevel


@dataclass(slots=True)
class Authentication:
    """A secure channel that is opening, open or broken, and whose keys it uses."""

    session: SecureSession
    domain: bytes
    """The security domain that holds the keys."""
    version: int
    host_authenticated: bool = True
    """Whether the host has proved who it is; SCP11b proves only the card."""
    may_manage: bool = True
    """Whether it is for the card's management, too, and not for applications alone."""

    @property
    def is_pending(self) -> bool:
        """Whether the host still has to authenticate."""
        return self.session.phase is Phase.CHALLENGED


@dataclass(slots=True)
class LogicalChannel:
    """One logical channel: what is selected on it, and how the host has authenticated."""

    number: int
    selected: bytes | None = None
    line: Line = Line.READER
    """What the conversation comes in over."""
    is_entered: bool = True
    """Whether the applet that is selected has been told so; on a port it is not until it works."""
    authentication: Authentication | None = None
    links: list[CommandApdu] = field(default_factory=list)
    """Links of a command that GlobalPlatform chains by P1 (GPCS 2.3.1, 11.1.5.1)."""
    is_ending: bool = False
    """Whether the secure channel ends with the answer to the command of the moment."""
    process: object = None
    """A process of several commands that the selected domain is in: a load, a listing."""
    target: bytes | None = None
    """The application that the selected domain personalises."""

    level_before: SecurityLevel | None = None
    """What the session's level was before an R-MAC session; None while there is none."""

    host: object = None
    """Certificates of a host that have come (`commands.scp11.HostChain`)."""
    certificate: bytearray = field(default_factory=bytearray)
    """A certificate of a host of which more is to come."""
    parts: list[bytes] = field(default_factory=list)
    """Data of plain links that the security domain joins itself."""

    def forget(self) -> None:
        """End the secure channel and whatever was under way."""
        if self.authentication is not None:
            self.authentication.session.close()
        self.authentication = None
        self.is_ending = False
        self.links.clear()
        self.parts.clear()
        self.process = None
        self.target = None
        self.level_before = None
        self.host = None
        self.certificate.clear()

    @property
    def level(self) -> SecurityLevel:
        """What the open session protects."""
        if self.authentication is None or not self.authentication.session.is_open:
            return SecurityLevel.NONE
        return self.authentication.session.level

    @property
    def authenticated(self) -> bytes | None:
        """The security domain whose keys the host has proved to share; None without a session."""
        authentication = self.authentication
        if authentication is None or not authentication.session.is_open:
            return None
        return authentication.domain if authentication.host_authenticated else None


@dataclass(slots=True, eq=False, weakref_slot=True)
class Conversation:
    """What the card remembers of one connection since it was last reset."""

    number: int
    """Which connection."""
    channels: dict[int, LogicalChannel] = field(default_factory=dict)
    """The open logical channels."""
    line: Line = Line.READER
    holder_verified: bool = False
    """Whether the holder of the card has shown the PIN."""

    def context(self, channel: LogicalChannel, entry: RegistryEntry) -> AppletContext:
        """Return what an applet is told of whoever speaks on `channel`."""
        return AppletContext(
            instance_of(entry),
            channel.level,
            channel.authenticated,
            channel.number,
            self.number,
            self.holder_verified,
        )


@dataclass(frozen=True, slots=True)
class CardCall:
    """One plain command on its way to the security domain that is selected."""

    command: CommandApdu
    channel: LogicalChannel
    domain: RegistryEntry
    conversation: Conversation
