# SPDX-License-Identifier: Apache-2.0
"""The firewall between applets: one reaches another only through what that one shares with it.

As on a Java Card (Runtime Environment 3.1, 6.2.7): the client names a server by AID, the server is
told the client's AID and grants an interface or not, and no applet that is on the way of a call is
entered again. Whatever is not granted is refused with one and the same status word, so that a
client cannot find out what is installed.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from hub.card.applet_runtime import AppletRefused, RegisteredApplet
from hub.card.content import instance_of
from hub.card.entries import Kind
from hub.card.registry import Registry
from hub.card.status import Sw

MAX_DEPTH: Final = 4


class SharingRuntime(Protocol):
    """What the firewall asks of whoever runs the applets."""

    def grants(self, server: RegisteredApplet, client: bytes, interface: int) -> bool:
        """Ask a server whether it shares an interface with the client of that AID."""

    def serve(
        self, server: RegisteredApplet, client: bytes, interface: int, request: bytes
    ) -> bytes:
        """Let a server answer a request that it has granted."""


@dataclass(slots=True)
class Firewall:
    """Lets applets call each other where the one that is called agrees."""

    registry: Registry
    runtime: SharingRuntime
    _under_way: list[bytes] = field(default_factory=list, init=False)

    def call(self, client: bytes, server: bytes, interface: int, request: bytes) -> bytes:
        """Return the server's answer; raise `AppletRefused` unless it grants the interface.

        Runs inside the client's APDU: what either writes is kept or taken back together.
        """
        callers = self._under_way or [client]
        entry = self.registry.find(server)
        known = entry is not None and entry.kind is Kind.APPLICATION and entry.is_selectable
        entered = server in callers or server == client or len(callers) >= MAX_DEPTH
        if entry is None or not known or entered:
            raise _refused()
        instance = instance_of(entry)
        self._under_way = [*callers, server]
        try:
            if not self.runtime.grants(instance, client, interface):
                raise _refused()
            return self.runtime.serve(instance, client, interface, request)
        finally:
            self._under_way = callers if len(callers) > 1 else []


def _refused() -> AppletRefused:
    return AppletRefused(
        Sw.SECURITY_NOT_SATISFIED, "no applet of that name shares this interface with the client"
    )
