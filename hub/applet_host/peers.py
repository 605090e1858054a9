# SPDX-License-Identifier: Apache-2.0
"""Applets that call each other, and their own transactions, within one command.

A command runs applets on a stack: the one that was asked, the one that it calls, and so on. What is
taken back on the way, of a server that broke or of a transaction that was aborted, must hold no
release, or somebody would have learned without a record. So a statement is opened by the applet
at the bottom alone, in answer to a command, and by none while a transaction is open. When the
command itself fails, all that took part forget; what was opened stays on record.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from hub.card import AppletRefused
from hub.card.sharing import Firewall
from hub.card.transactions import AppletTransaction
from hub.machine import AppletInstance, Opened, OpenedAmounts, Refusal, Refused
from hub.machine.platform import Statements
from hub.vault import Database

__all__ = ["AppletPeers", "AppletTransactions", "CommandStack", "PeerBroke", "RecordedStatements"]

MAX_ANSWER: Final = 1 << 16


class PeerBroke(AppletRefused):
    """A server broke; what it wrote is taken back, its client hears of a refusal."""


@dataclass(slots=True)
class _Frame:
    transaction: AppletTransaction
    mark: int
    """How many had taken part when its transaction began."""
    may_release: bool


@dataclass(slots=True)
class CommandStack:
    """Which applets are at work on the command of the moment, and which have been."""

    database: Database
    _frames: list[_Frame] = field(default_factory=list, init=False)
    _took_part: list[AppletInstance] = field(default_factory=list, init=False)

    @contextmanager
    def entered(self, applet: AppletInstance, *, may_release: bool = False) -> Iterator[None]:
        """Put an applet on the stack; what it leaves uncommitted is taken back."""
        if not self._frames:
            self._took_part.clear()
        self._took_part.append(applet)
        frame = _Frame(AppletTransaction(self.database), self.mark(), may_release)
        self._frames.append(frame)
        try:
            yield
        finally:
            if frame.transaction.is_open:
                self.abort()
            self._frames.pop()

    @property
    def is_at_work(self) -> bool:
        """Whether a command is being worked on, so that there is something to take back."""
        return bool(self._frames)

    @property
    def is_open(self) -> bool:
        """Whether the applet that is at work has a transaction open."""
        return self.is_at_work and self._frames[-1].transaction.is_open

    @property
    def may_release(self) -> bool:
        """Whether what is told now stays on record, even if the whole command is taken back."""
        return len(self._frames) == 1 and self._frames[0].may_release and not self.is_open

    def begin(self) -> None:
        """Begin a transaction of the applet that is at work."""
        self._frames[-1].mark = self.mark()
        self._frames[-1].transaction.begin()

    def commit(self) -> None:
        """End it and keep what was written."""
        self._frames[-1].transaction.commit()

    def abort(self) -> None:
        """End it and take back what was written; servers forget that they were asked."""
        self._frames[-1].transaction.abort()
        self.forget(self._frames[-1].mark)

    def mark(self) -> int:
        """Return the place that `forget` goes back to."""
        return len(self._took_part)

    def forget(self, mark: int = 0) -> None:
        """Let the applets that have taken part since `mark` lose their memory."""
        for applet in self._took_part[mark:]:
            applet.discard()
        del self._took_part[mark:]


@dataclass(frozen=True, slots=True)
class AppletTransactions:
    """`hub.machine.platform.Transactions` of whichever applet is at work."""

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
    """`hub.machine.platform.Peers` of one applet."""

    client: bytes
    stack: CommandStack
    firewall: Firewall

    def call(self, aid: bytes, service: int, request: bytes) -> bytes:
        """Return the server's answer; `Refused` NOT_GRANTED, and nothing is kept, otherwise."""
        if not self.stack.is_at_work:
            raise Refused(Refusal.NOT_GRANTED)
        mark = self.stack.mark()
        try:
            with self.stack.database.transaction():
                answer = self.firewall.call(self.client, aid, service, request)
                if len(answer) > MAX_ANSWER:
                    raise PeerBroke(0x6A84, "the answer is too long")
                return answer
        except PeerBroke:
            self.stack.forget(mark)
        except AppletRefused:
            pass
        raise Refused(Refusal.NOT_GRANTED)


@dataclass(frozen=True, slots=True)
class RecordedStatements:
    """Statements that are on record as long as anybody remembers them."""

    statements: Statements
    stack: CommandStack

    def open_linear(
        self, register: str, begin: int, end: int, weights: tuple[int, ...], context: bytes
    ) -> Opened:
        """Open a statement, unless it could be taken back; that is refused (MALFORMED)."""
        self._require_record()
        return self.statements.open_linear(register, begin, end, weights, context)

    def open_amounts(
        self, register: str, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedAmounts:
        """Open amounts, unless they could be taken back; that is refused (MALFORMED)."""
        self._require_record()
        return self.statements.open_amounts(register, begin, end, amounts, context)

    def _require_record(self) -> None:
        if not self.stack.may_release:
            raise Refused(Refusal.MALFORMED)
