# SPDX-License-Identifier: Apache-2.0
"""Applets that call each other, and their own transactions, within one command."""

from dataclasses import dataclass

from hub.applet_host.command import CommandStack
from hub.card.applet_runtime import AppletRefused
from hub.card.sharing import Firewall
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import MAX_PEER_MESSAGE, Transactions


class PeerBroke(AppletRefused):
    """A server broke; what it wrote is taken back, its client hears of a refusal."""


@dataclass(frozen=True, slots=True)
class AppletTransactions(Transactions):
    """`protocols.platform.services.Transactions` of whichever applet is at work."""

    stack: CommandStack

    def begin(self) -> None:
        """Begin; refused if one is open."""
        if not self.stack.is_at_work:
            raise Refused(Refusal.MALFORMED)
        self._require(is_open=False)
        self.stack.begin()

    def commit(self) -> None:
        """Keep what was written since `begin`."""
        self._require(is_open=True)
        self.stack.commit()

    def abort(self) -> None:
        """Take back what was written since `begin`."""
        self._require(is_open=True)
        self.stack.abort()

    def _require(self, *, is_open: bool) -> None:
        if self.stack.is_open is not is_open:
            raise Refused(Refusal.MALFORMED)


@dataclass(frozen=True, slots=True)
class AppletPeers:
    """`protocols.platform.services.Peers` of one applet."""

    client: bytes
    stack: CommandStack
    firewall: Firewall

    def call(self, peer: bytes, service: int, request: bytes) -> bytes:
        """Return the server's answer; `Refused` NOT_GRANTED, and nothing is kept, otherwise."""
        if not self.stack.is_at_work:
            raise Refused(Refusal.NOT_GRANTED)
        record = self.stack.record
        mark = len(record.took_part)
        try:
            with self.stack.database.transaction():
                answer = self.firewall.call(self.client, peer, service, request)
                if len(answer) > MAX_PEER_MESSAGE:
                    raise PeerBroke(0x6A84, "the answer is too long")
                return answer
        except PeerBroke:
            record.forget(mark)
        except AppletRefused:
            pass
        raise Refused(Refusal.NOT_GRANTED)
