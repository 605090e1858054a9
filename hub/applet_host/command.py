# SPDX-License-Identifier: Apache-2.0
"""The command of the moment: which applets are at work on it, and what has come of it so far.

A command runs applets on a stack: the one that was asked, the one that it calls, and so on. What is
taken back on the way, of a server that broke or of a transaction that was aborted, must hold no
release, or somebody would have learned without a record. So a statement is opened by the applet
at the bottom alone, in answer to a command, and by none while a transaction is open. When the
command itself fails, all that took part forget; what was opened stays on record.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from hub.card.transactions import AppletTransaction
from hub.disclosure import ReleaseRefused
from hub.machine.errors import AppletFault
from hub.machine.instance import AppletInstance
from hub.vault.database import Database
from protocols.platform.errors import Refusal, Refused

REFUSALS: Final = {
    "consent": Refusal.NO_CONSENT,
    "custody": Refusal.NO_CONSENT,
    "period": Refusal.NO_CONSENT,
    "memory": Refusal.NO_CONSENT,
    "published": Refusal.NO_CONSENT,
    "fineness": Refusal.NO_CONSENT,
    "window": Refusal.NO_CONSENT,
    "group": Refusal.NO_CONSENT,
    "price": Refusal.NO_CONSENT,
    "count": Refusal.TOO_OFTEN,
    "how often": Refusal.TOO_OFTEN,
    "bits": Refusal.TOO_OFTEN,
    "limit": Refusal.NO_CONSENT,
    "limits": Refusal.NO_CONSENT,
    "round": Refusal.NO_CONSENT,
    "size": Refusal.TOO_MUCH,
}
"""What an applet is told of the rules that the guard refuses by."""
MOST_REFUSED: Final = 16
"""Refusals that a command's record keeps."""


class CommandFailed(Exception):
    """Undoes what a command that ended in an error has written."""


@dataclass(frozen=True, slots=True, eq=False)
class CommandRecord:
    """What one command has led to: it is made when the command begins, and only ever added to.

    A call from applet to applet belongs to the command that led to it, and to its record.
    """

    took_part: list[AppletInstance] = field(default_factory=list)
    """The applets that were put to work, in order."""
    permitted: list[Callable[[], object]] = field(default_factory=list)
    """What put each permitted step on record. To be called again where the command is taken back:
    what an applet has been told stays on record, whatever it does."""
    refused: list[tuple[Mapping[str, Any], ReleaseRefused]] = field(default_factory=list)
    """What the guard, or a rule of rounds, has refused, with what the log says of it; the first
    `MOST_REFUSED` of them."""
    faults: list[tuple[bytes, AppletFault]] = field(default_factory=list)
    """Which applets broke, and how."""

    def forget(self, mark: int = 0) -> None:
        """Let the applets lose their memory, but for the first `mark` that took part."""
        for applet in self.took_part[mark:]:
            applet.discard()


@dataclass(slots=True)
class _StackFrame:
    record: CommandRecord
    transaction: AppletTransaction
    mark: int
    """How many had taken part when its transaction began."""
    may_release: bool


@dataclass(frozen=True, slots=True)
class CommandStack:
    """The applets that are at work on the command of the moment."""

    database: Database
    _frames: list[_StackFrame] = field(default_factory=list, init=False)

    @contextmanager
    def entered(
        self, record: CommandRecord, applet: AppletInstance, *, may_release: bool = False
    ) -> Iterator[None]:
        """Put an applet on the stack; what it leaves uncommitted is taken back."""
        record.took_part.append(applet)
        transaction = AppletTransaction(self.database)
        frame = _StackFrame(record, transaction, len(record.took_part), may_release)
        self._frames.append(frame)
        try:
            yield
        finally:
            try:
                if frame.transaction.is_open:
                    self.abort()
            finally:
                self._frames.pop()

    @property
    def record(self) -> CommandRecord:
        """The record of the command that is being worked on."""
        return self._frames[0].record

    @property
    def is_at_work(self) -> bool:
        """Whether a command is being worked on, so that there is something to take back."""
        return bool(self._frames)

    @property
    def is_open(self) -> bool:
        """Whether the applet that is at work has a transaction open."""
        return self.is_at_work and self._frames[-1].transaction.is_open

    def require_record(self) -> None:
        """Refuse (MALFORMED) where what is told now could be taken back, and its record with it."""
        # Only of the applet that was asked itself, outside a transaction of its own.
        if len(self._frames) != 1 or not self._frames[0].may_release or self.is_open:
            raise Refused(Refusal.MALFORMED)

    def refuse(self, facts: Mapping[str, Any], refused: ReleaseRefused) -> Refused:
        """Note what the guard has refused, which is on record, and return the applet's error."""
        self.note(facts, refused)
        return Refused(REFUSALS[refused.rule])

    def note(self, facts: Mapping[str, Any], refused: ReleaseRefused) -> None:
        """Note that something was refused, which is on record."""
        if not self.is_at_work:
            return  # an applet that works by itself is asked nothing again
        if len(self.record.refused) < MOST_REFUSED:  # an applet may ask without end
            self.record.refused.append((facts, refused))

    def begin(self) -> None:
        """Begin a transaction of the applet that is at work."""
        self._frames[-1].mark = len(self.record.took_part)
        self._frames[-1].transaction.begin()

    def commit(self) -> None:
        """End it and keep what was written."""
        self._frames[-1].transaction.commit()

    def abort(self) -> None:
        """End it and take back what was written; servers forget that they were asked."""
        self._frames[-1].transaction.abort()
        self.record.forget(self._frames[-1].mark)
