# SPDX-License-Identifier: Apache-2.0
"""The log's head, as recipients see it and sign it.

Over its own channel a recipient asks for the head (`protocols.log_head`, SHOW) and hands back its
signature on it (KEEP). The hub keeps the newest signature of each applet's recipient: it shows that
this recipient has seen the log up to there. Whoever holds the recipient's public key checks it; the
hub itself has that key nowhere that it could trust more than the recipient.
"""

from dataclasses import dataclass
from typing import Final

from hub.disclosure.log import DisclosureLog
from hub.vault.database import Component
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.log_head import (
    CLA,
    INS,
    LENGTH_SIZE,
    P1_KEEP,
    P1_SHOW,
    Countersigned,
    LogHead,
    LogHeadError,
    ShownHead,
)

COUNTERSIGNED_COMPONENT: Final = Component(
    "countersigned",
    (
        """
        CREATE TABLE countersigned_head (
            applet BLOB PRIMARY KEY,
            recipient TEXT NOT NULL,
            time INTEGER NOT NULL,
            signed BLOB NOT NULL
        ) STRICT;
        """,
    ),
)
SW_SUCCESS: Final = 0x9000
SW_WRONG_DATA: Final = 0x6A80
SW_WRONG_P1_P2: Final = 0x6A86
CHANNEL_BITS: Final = 0x03


@dataclass(frozen=True, slots=True)
class KeptSignature:
    """The newest head that a recipient has signed."""

    applet: bytes
    recipient: str
    time: int
    countersigned: Countersigned


@dataclass(frozen=True, slots=True)
class HeadDesk:
    """Answers recipients' questions about the log's head, in the place of their applets."""

    log: DisclosureLog

    @staticmethod
    def is_meant(command: CommandApdu) -> bool:
        """Tell whether a command is for the platform and not for the applet."""
        return command.cla & ~CHANNEL_BITS == CLA and command.ins == INS

    def answer(
        self, applet: bytes, recipient: str, command: CommandApdu, time: int
    ) -> ResponseApdu:
        """Answer SHOW or KEEP."""
        if command.p2:
            return ResponseApdu(b"", SW_WRONG_P1_P2)
        try:
            match command.p1:
                case p1 if p1 == P1_SHOW:
                    return ResponseApdu(self._show(command.data).encode(), SW_SUCCESS)
                case p1 if p1 == P1_KEEP:
                    self._keep(applet, recipient, Countersigned.decode(command.data), time)
                    return ResponseApdu(b"", SW_SUCCESS)
        except LogHeadError:
            return ResponseApdu(b"", SW_WRONG_DATA)
        return ResponseApdu(b"", SW_WRONG_P1_P2)

    def kept(self) -> list[KeptSignature]:
        """Return the newest signature of each applet's recipient."""
        rows = self.log.database.connection.execute(
            "SELECT applet, recipient, time, signed FROM countersigned_head ORDER BY applet"
        )
        return [
            KeptSignature(applet, recipient, time, Countersigned.decode(signed))
            for applet, recipient, time, signed in rows
        ]

    def _show(self, data: bytes) -> ShownHead:
        head = self.log.head()
        if not data:  # whoever has kept nothing has nothing to compare
            return ShownHead(head, ())
        if len(data) != LENGTH_SIZE:
            raise LogHeadError("not a length")
        after = int.from_bytes(data, "big")
        leaves = self.log.leaves(after) if after < head.length else []
        return ShownHead(head, tuple(leaves))

    def _keep(self, applet: bytes, recipient: str, signed: Countersigned, time: int) -> None:
        head: LogHead = signed.head
        if head.length > self.log.length() or self.log.head_at(head.length) != head:
            raise LogHeadError("a head that this log never had")
        if any(
            each.applet == applet and each.countersigned.head.length > head.length
            for each in self.kept()
        ):
            return
        with self.log.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO countersigned_head VALUES (?, ?, ?, ?)",
                (applet, recipient, time, signed.encode()),
            )
