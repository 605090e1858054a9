# SPDX-License-Identifier: Apache-2.0
"""The MDMS's process: runs rounds when an operator on the same computer asks it to.

It listens on a socket in its own folder, which only its owner can enter; the files' permissions
say who may ask. Framing and messages are those between MDMS and concentrator:

    aggregate region register first last zone resolution bits exponent proved
        -> said line ... | outcome JSON
    settle region register first last zone resolution bits exponent proved index again
        -> the same, of a round that is weighed with a price index (`tariffs`)

Several rounds may run at a time, of different regions: hubs of one are waited for while those of
another answer, and sums are opened in other processes (`mdms.opening`).
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from protocols.aggregation.errors import MalformedMessage, PackingRefused
from protocols.aggregation.round import CHEAP_PROVED_BITS, RoundTerms
from protocols.aggregation.weighting import Weighting
from protocols.canonical.foreign_text import read_json
from protocols.metrology import GridError, Period
from tariffs import PriceIndex, TariffError
from utility_server.errors import (
    CannotVerify,
    StoreError,
    UtilityError,
    VerificationFailed,
)
from utility_server.grid.concentrator.errors import ConcentratorRefused, LineError
from utility_server.grid.mdms.group_value import GroupValue
from utility_server.grid.mdms.opening import Opener
from utility_server.grid.mdms.rounds import Absence, RoundOutcome, RoundRunner
from utility_server.grid.mdms.workspace import Mdms
from utility_server.grid.pinned_line import LineKeys
from utility_server.grid.rpc import Connection, Item, Message, encode, receive
from utility_server.head_end import Address
from utility_server.retail.group_settlement import weighting_of

SOCKET: Final = "mdms.sock"
LONGEST_PATH: Final = 100
LINE_SECONDS: Final = 600
ASKING_SECONDS: Final = 10
"""How long who knocks may take in all to say what it wants, and to take each line of the answer."""
STOP_SECONDS: Final = 30.0
"""How long rounds that run at the same time have to end when the server is stopped."""
_WHERE_CHEAP: Final = 2
"""In a request's place of 0 or 1: ranges are proved where that is cheap."""
_KINDS: Final = {
    "verification": VerificationFailed,
    "unverifiable": CannotVerify,
    "store": StoreError,
}


@dataclass(frozen=True, slots=True)
class Request:
    """Which sum an operator wants."""

    region: str
    register: bytes
    period: Period
    zone: str
    resolution_minutes: int
    value_bits: int
    exponent_bits: int = 0
    """Of the randomness of encryption; 0 for half the key's length."""
    are_ranges_proved: bool | None = None
    """Whether homes prove that their values fit their bits; None: where that is cheap."""
    index: bytes = b""
    """The document of the price index that uses are weighed with; empty for a load curve."""
    is_again: bool = False
    """Whether a round is run although the number at that index is known."""

    def message(self) -> Message:
        """Return the request as it goes over the line."""
        days = self.period.first.isoformat(), self.period.last.isoformat()
        weighed = (self.index, int(self.is_again)) if self.index else ()
        return "settle" if self.index else "aggregate", (
            self.region,
            self.register,
            *days,
            self.zone,
            self.resolution_minutes,
            self.value_bits,
            self.exponent_bits,
            _WHERE_CHEAP if self.are_ranges_proved is None else int(self.are_ranges_proved),
            *weighed,
        )

    @classmethod
    def of(cls, message: Message) -> "Request":
        """Return the request in a message; raise `LineError` if it is another one."""
        index, again = b"", 0
        match message:
            case "settle", (*rest, bytes(index), (0 | 1) as again) if index:
                message = "aggregate", tuple(rest)
        match message:
            case "aggregate", (
                str(region),
                bytes(register),
                str(first),
                str(last),
                str(zone),
                int(resolution),
                int(bits),
                int(exponent),
                (0 | 1 | 2) as proved,
            ):
                try:
                    period = Period(date.fromisoformat(first), date.fromisoformat(last))
                except (ValueError, GridError) as error:
                    raise LineError(str(error)) from None
                are_proved = None if proved == _WHERE_CHEAP else bool(proved)
                return cls(
                    region, register, period, zone, resolution, bits, exponent, are_proved,
                    index, bool(again),
                )  # fmt: skip
            case _:
                raise LineError("no request that an MDMS knows")

    def terms(self, workspace: Mdms) -> RoundTerms:
        """Return the round's terms; raise `CannotVerify` where there are none like that."""
        key = workspace.paillier.public_key
        try:
            terms = RoundTerms(
                self.region,
                self.register,
                self.period,
                self.zone,
                self.resolution_minutes,
                self.value_bits,
                16,
                self.exponent_bits or key.bits // 2,
                key,
                bool(self.are_ranges_proved),
                self._weighting(),
            )
        except (MalformedMessage, PackingRefused, GridError, TariffError) as error:
            raise CannotVerify(f"no such round: {error}") from None
        if self.are_ranges_proved is None and terms.range_bits <= CHEAP_PROVED_BITS:
            return replace(terms, are_ranges_proved=True)
        return terms

    def _weighting(self) -> Weighting | None:
        if not self.index:
            return None
        index = PriceIndex.decode(self.index)
        return weighting_of(index, self.period, self.zone, self.resolution_minutes)


@dataclass(frozen=True, slots=True)
class PinnedPeer:
    """A server that the MDMS asks: where it is, and the key that it has to hold."""

    address: Address
    key: bytes
    """An Ed25519 public key."""

    def line(self, workspace: Mdms) -> AbstractContextManager[Connection]:
        """Connect to it as this MDMS; raise `LineError` if it is not there, or somebody else."""
        return Connection.open(self.address, LINE_SECONDS, LineKeys(workspace.signing, self.key))


@dataclass(slots=True)
class _Listener:
    """Who knocked, as long as it listens."""

    peer: socket.socket
    has_left: bool = False

    def say(self, data: bytes) -> None:
        """Send what fits into a few seconds; who does not read, or has left, is told no more."""
        if self.has_left:
            return
        try:
            self.peer.settimeout(ASKING_SECONDS)  # of `sendall`, for all of the data
            self.peer.sendall(data)
        except OSError:
            self.has_left = True  # an operator who has left does not stop the round


@dataclass(frozen=True, slots=True)
class MdmsServer:
    """Where operators of the same computer knock."""

    folder: Path
    concentrator: PinnedPeer
    trustee: PinnedPeer | None = None
    rounds_at_once: int = 1
    opener: Opener | None = None
    """Opens sums elsewhere; None: here."""
    _regions: set[str] = field(default_factory=set)
    """Of which a round runs."""
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def serve(self, ready: Callable[[Path], None]) -> None:
        """Answer operators until interrupted or terminated; then rounds have time to end."""
        path = self.folder / SOCKET
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise StoreError(f"{path}: too long a path for a socket")
        Mdms.open(self.folder).close()  # what is wrong with the folder shows now
        _require_alone(path)
        path.unlink(missing_ok=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with socket.socket(socket.AF_UNIX) as server, suppress(KeyboardInterrupt):
            mask = os.umask(0o177)
            try:
                server.bind(str(path))
            finally:
                os.umask(mask)
            server.listen()
            try:
                ready(path)
                if self.rounds_at_once == 1:
                    while True:
                        self._attend_to(server.accept()[0])
                self._serve_several(server)
            finally:
                path.unlink(missing_ok=True)

    def _serve_several(self, server: socket.socket) -> None:
        places, running = threading.BoundedSemaphore(self.rounds_at_once), set[threading.Thread]()

        def attend(peer: socket.socket) -> None:
            try:
                self._attend_to(peer)
            finally:
                places.release()

        try:
            while True:
                places.acquire()  # who knocks meanwhile waits at the door
                peer, _ = server.accept()
                thread = threading.Thread(target=attend, args=(peer,), name="round", daemon=True)
                running = {one for one in running if one.is_alive()} | {thread}
                thread.start()
        finally:
            # A round that is broken off would stay at the concentrator until its time is over.
            deadline = time.monotonic() + STOP_SECONDS
            for thread in running:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _attend_to(self, peer: socket.socket) -> None:
        with peer, suppress(OSError, LineError):
            self._attend(peer)

    @contextmanager
    def _alone(self, region: str) -> Iterator[None]:
        """Run the block while no other round of the region runs: that would be asked in vain."""
        with self._changed:
            self._changed.wait_for(lambda: region not in self._regions)
            self._regions.add(region)
        try:
            yield
        finally:
            with self._changed:
                self._regions.remove(region)
                self._changed.notify_all()

    def _attend(self, peer: socket.socket) -> None:
        request = Request.of(receive(peer, ASKING_SECONDS))
        listener = _Listener(peer)
        try:
            with self._alone(request.region):
                facts = self._run(request, lambda line: listener.say(encode("said", line)))
            answer = [encode("outcome", json.dumps(facts)), encode("done")]
        except UtilityError as error:
            answer = [encode("error", _kind(error), str(error))]
        listener.say(b"".join(answer))

    def _run(self, request: Request, say: Callable[[str], None]) -> dict[str, Any]:
        # Opened for each round, since the keys may have been rotated.
        with ExitStack() as stack:
            workspace = stack.enter_context(Mdms.open(self.folder))
            terms = request.terms(workspace)
            connection = stack.enter_context(self.concentrator.line(workspace))
            trustee = None
            if self.trustee is not None:
                trustee = stack.enter_context(self.trustee.line(workspace))
            outcome = RoundRunner(
                workspace,
                connection,
                self.concentrator.key,
                say,
                trustee,
                request.is_again,
                self.opener,
            ).run(terms)
        return outcome_json(outcome)


def ask(folder: Path, request: Request) -> Iterator[str | dict[str, Any]]:
    """Yield what the MDMS of a folder says while it runs a round, and then the outcome's facts.

    Raises what it raised: `VerificationFailed`, `CannotVerify`, `StoreError`, or `LineError`
    where no MDMS serves in that folder.
    """
    name, items = request.message()
    if not (folder / SOCKET).exists():
        raise LineError(f"{folder / SOCKET}: not there; `meterlet mdms serve` must be running")
    with Connection.open_local(folder / SOCKET) as connection, _translated():
        for answer, parts in connection.ask(name, *items):
            match answer, parts:
                case "said", (str(line),):
                    yield line
                case "outcome", (str(facts),):
                    yield read_json(facts)


def _require_alone(path: Path) -> None:
    """Raise `StoreError` where another MDMS listens; a socket that one has left behind is none."""
    with socket.socket(socket.AF_UNIX) as peer, suppress(OSError):
        peer.connect(str(path))
        raise StoreError(f"{path}: another MDMS serves there")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ConcentratorRefused as error:
        if error.kind == "verification":
            check, _, reason = error.reason.partition(": ")
            raise VerificationFailed(check, reason) from None
        if error.kind in _KINDS:
            raise _KINDS[error.kind](error.reason) from None
        raise


def _kind(error: UtilityError) -> str:
    return next((kind for kind, cls in _KINDS.items() if isinstance(error, cls)), "refused")


def outcome_json(outcome: RoundOutcome) -> dict[str, Any]:
    """Return an outcome as the JSON outputs show it."""
    facts: dict[str, Any] = {
        "verified": outcome.aggregate is not None or outcome.group_value is not None,
        "roster": outcome.roster,
        "homes": len(outcome.meters),
        "meters": [meter.hex() for meter in outcome.meters],
        "incomplete": [
            {"meter": meter.hex(), "missing_slots": missing}
            for meter, missing in outcome.incomplete.items()
        ],
        "sums_wh": None,
        "absent": list(map(_absence, outcome.absent)),
        "refused": list(map(_absence, outcome.refused)),
        "culprits": [
            {"who": culprit.meter.hex() or "concentrator", "reason": culprit.reason}
            for culprit in outcome.culprits
        ],
        "void": outcome.void or None,
        "silent": [meter.hex() for meter in outcome.silent],
        "bytes_sent": outcome.sent,
        "bytes_received": outcome.received,
        "timings": {name: round(took, 4) for name, took in outcome.timings.items()},
    }
    if outcome.aggregate is not None:
        span = outcome.aggregate.span
        facts |= {
            "region": span.region,
            "resolution_minutes": span.resolution_minutes,
            "starts": list(outcome.aggregate.bounds[:-1]),
            "sums_wh": list(outcome.aggregate.sums_wh),
            "missing_home_slots": outcome.aggregate.missing,
            "round": outcome.aggregate.round.hex(),
        }
    if outcome.group_value is not None:
        facts |= _group_value_json(outcome.group_value, is_known=outcome.is_known)
    return facts


def _group_value_json(value: GroupValue, *, is_known: bool) -> dict[str, Any]:
    return {
        "region": value.span.region,
        "begin": value.span.begin,
        "end": value.span.end,
        "series": value.series,
        "revision": value.revision,
        "currency": value.currency,
        "index": value.span.index.hex(),
        "worth": str(value.value),
        "homes": value.homes,
        "missing_home_slots": value.missing,
        "left_out": [meter.hex() for meter in value.left_out],
        "round": value.round.hex(),
        "known_before": is_known,
    }


def _absence(absence: Absence) -> dict[str, Item]:
    return {"meter": absence.meter.hex(), "step": absence.step, "why": absence.why}
