# SPDX-License-Identifier: Apache-2.0
"""Commands that come again, byte for byte, and are answered without waking the applet.

    its proof is being made     busy, until it is over
    the guard refused it        the same status word, while nothing it follows from has changed

An applet knows what its store, its peers and the platform told it, and a refused command has left
nothing in its memory. So it would do the same again while no applet that took part has kept
anything, no day was certified, nothing was told or consented to, and the hour is the same. Each
refusal counts on the record, as if it were worked out anew.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from hub.applet_host.command import CommandRecord
from hub.applet_host.jobs import ProofJobs
from hub.disclosure import Disclosure

MOST_KEPT: Final = 512
"""Commands that are kept in mind; the least recent are forgotten first."""
_HOUR: Final = 3_600


@dataclass(frozen=True, slots=True)
class _RefusedCommand:
    state: tuple[int, ...]
    applets: dict[bytes, int]
    """How often each applet that took part had kept something."""
    status_word: int
    record: CommandRecord


@dataclass(slots=True)
class AskedAgain:
    """The commands of one hub that were refused, or whose proofs are under way."""

    disclosure: Disclosure
    jobs: ProofJobs
    _refused: "OrderedDict[bytes, _RefusedCommand]" = field(default_factory=OrderedDict)
    _waiting: "OrderedDict[bytes, bytes]" = field(default_factory=OrderedDict)
    """The question whose job a command waits for."""
    _kept: dict[bytes, int] = field(default_factory=dict)

    @staticmethod
    def name_of(applet: bytes, package: bytes, command: bytes) -> bytes:
        """Return the digest of a command to an applet."""
        return sha256(b"%d %d " % (len(applet), len(package)) + applet + package + command).digest()

    def is_busy(self, name: bytes) -> bool:
        """Tell whether a command's proof is under way."""
        question = self._waiting.get(name)
        if question is None:
            return False
        if not self.jobs.is_under_way(question):
            del self._waiting[name]
            return False
        return True

    def wait_for(self, name: bytes, question: bytes) -> None:
        """Answer a command as busy while the question's job is under way."""
        self._waiting[name] = question
        _bound(self._waiting)

    def refusal(self, name: bytes) -> int | None:
        """Return the status word of a command that was refused and would be again; count it."""
        known = self._refused.get(name)
        if known is None:
            return None
        if known.state != self._state() or known.applets != self._counts(known.applets):
            del self._refused[name]
            return None
        for facts, refused in known.record.refused:
            self.disclosure.refusals.note(facts, refused)
        return known.status_word

    def refused(self, name: bytes, status_word: int, record: CommandRecord) -> None:
        """Keep a command in mind that the guard has refused, and that has led to nothing else."""
        applets = self._counts(one.bundle.manifest.aid for one in record.took_part)
        held = CommandRecord(refused=record.refused)
        self._refused[name] = _RefusedCommand(self._state(), applets, status_word, held)
        _bound(self._refused)

    def forget(self) -> None:
        """Forget all commands: an applet is another one now."""
        self._refused.clear()
        self._waiting.clear()

    def kept(self, record: CommandRecord) -> None:
        """Note that what a command has led to is kept."""
        for one in record.took_part:
            aid = one.bundle.manifest.aid
            self._kept[aid] = self._kept.get(aid, 0) + 1

    def _counts(self, applets: Iterable[bytes]) -> dict[bytes, int]:
        return {aid: self._kept.get(aid, 0) for aid in applets}

    def _state(self) -> tuple[int, ...]:
        (days,) = self.disclosure.database.connection.execute(
            "SELECT coalesce(max(rowid), 0) FROM certified_day"
        ).fetchone()
        return (self.disclosure.now() // _HOUR, days, *self.disclosure.refused_before.state())


def _bound(kept: "OrderedDict[bytes, _RefusedCommand] | OrderedDict[bytes, bytes]") -> None:
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
