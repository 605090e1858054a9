# SPDX-License-Identifier: Apache-2.0
"""The base of every applet.

The hub makes one object of the class when it starts the applet, and again after any fault or
restart: attributes are a card's transient memory. What must last goes to `platform.store`.

    install   once, when a card manager installs the applet
    select    when a peer turns to it; then process for each command; then deselect
    uninstall once, before it is deleted
    grants    when another applet asks for a service, then serve; never while it works itself
    update    raw applets instead of process: after each time at which outputs were released

Raise `AppletError` for a status word. Any other exception ends the instance: the peer gets 6400,
the command's changes are undone, and the next command meets a fresh instance.
"""

from abc import ABC, abstractmethod

from applets.sdk.apdu import Command, Response
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import Platform


class Applet(ABC):
    """A program in the hub that answers one recipient's commands."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def install(self, parameters: bytes) -> None:
        """Prepare the store; `parameters` are the installer's, such as the recipient's key."""
        return

    def select(self) -> bytes:
        """Return what a peer that selects the applet is told, if anything."""
        return b""

    @abstractmethod
    def process(self, command: Command) -> Response:
        """Answer a command."""

    def deselect(self) -> None:
        """Forget the peer; called when another applet is selected."""
        return

    def grants(self, client: bytes, service: int) -> bool:
        """Return whether the applet of that AID, which the manifest names, may use a service."""
        return False

    def serve(self, client: bytes, service: int, request: bytes) -> bytes:
        """Answer another applet's request for a service that `grants` has agreed to.

        Statements are not opened meanwhile. Whatever is raised is a refusal to the client, and
        the applet loses its memory.
        """
        raise Refused(Refusal.NOT_GRANTED)

    def update(self) -> None:
        """Read, and set the outputs; of raw applets only, which answer no commands."""
        return

    def uninstall(self) -> None:
        """Say goodbye; the store is emptied by the hub."""
        return
