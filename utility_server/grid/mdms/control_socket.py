# SPDX-License-Identifier: Apache-2.0
"""The MDMS's process: runs rounds when an operator on the same computer asks it to.

It listens on a socket in its own folder, which only its owner can enter; the files' permissions
say who may ask. Framing and messages are those between MDMS and concentrator:

    aggregate region register first last zone resolution bits exponent proved
        -> said line ... | outcome JSON
    settle region register first last zone resolution bits exponent proved index again
        -> the same, of a round that is weighed with a price index (`tariffs`)
"""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from protocols.aggregation import MalformedMessage, PackingRefused, Terms, Weighting
from protocols.metrology import GridError, Period
from tariffs import PriceIndex, TariffError
from utility_server.errors import (
    CannotVerify,
    StoreError,
    UtilityError,
    VerificationFailed,
)
from utility_server.grid.concentrator.errors import ConcentratorRefused, LineError
from utility_server.grid.mdms.group_value import Worth
from utility_server.grid.mdms.rounds import Absence, Outcome, RoundRunner
from utility_server.grid.mdms.workspace import Mdms
from utility_server.grid.rpc import Item, Line, Message, encode, receive
from utility_server.head_end import Address
from utility_server.retail.group_settlement import weighting_of

SOCKET: Final = "mdms.sock"
LONGEST_PATH: Final = 100
LINE_SECONDS: Final = 600
ASKING_SECONDS: Final = 10
"""How long who knocks may take to say what it wants, and to take each line of the answer."""
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
    are_ranges_proved: bool = False
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
            int(self.are_ranges_proved),
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
                (0 | 1) as proved,
            ):
                try:
                    period = Period(date.fromisoformat(first), date.fromisoformat(last))
                except (ValueError, GridError) as error:
                    raise LineError(str(error)) from None
                return cls(
                    region, register, period, zone, resolution, bits, exponent, bool(proved),
                    index, bool(again),
                )  # fmt: skip
            case _:
                raise LineError("no request that an MDMS knows")

    def terms(self, office: Mdms) -> Terms:
        """Return the round's terms; raise `CannotVerify` where there are none like that."""
        key = office.paillier.public_key
        try:
            return Terms(
                self.region,
                self.register,
                self.period,
                self.zone,
                self.resolution_minutes,
                self.value_bits,
                16,
                self.exponent_bits or key.bits // 2,
                key,
                self.are_ranges_proved,
                self._weighting(),
            )
        except (MalformedMessage, PackingRefused, GridError, TariffError) as error:
            raise CannotVerify(f"no such round: {error}") from None

    def _weighting(self) -> Weighting | None:
        if not self.index:
            return None
        index = PriceIndex.decode(self.index)
        return weighting_of(index, self.period, self.zone, self.resolution_minutes)


@dataclass(frozen=True, slots=True)
class Door:
    """Where operators of the same computer knock."""

    folder: Path
    concentrator: Address
    trustee: Address | None = None

    def serve(self, ready: Callable[[Path], None]) -> None:
        """Answer one operator after the other until interrupted or terminated."""
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
                while True:
                    peer, _ = server.accept()
                    with peer, suppress(OSError, LineError):
                        self._attend(peer)
            finally:
                path.unlink(missing_ok=True)

    def _attend(self, peer: socket.socket) -> None:
        peer.settimeout(ASKING_SECONDS)
        request = Request.of(receive(peer))

        def say(line: str) -> None:
            # An operator who has left does not stop the round.
            with suppress(OSError):
                peer.sendall(encode("said", line))

        try:
            facts = self._run(request, say)
            answer = [encode("outcome", json.dumps(facts)), encode("done")]
        except UtilityError as error:
            answer = [encode("error", _kind(error), str(error))]
        peer.sendall(b"".join(answer))

    def _run(self, request: Request, say: Callable[[str], None]) -> dict[str, Any]:
        # Opened for each round, since the keys may have been rotated.
        with ExitStack() as stack:
            office = stack.enter_context(Mdms.open(self.folder))
            terms = request.terms(office)
            line = stack.enter_context(Line.open(self.concentrator, LINE_SECONDS))
            trustee = None
            if self.trustee is not None:
                trustee = stack.enter_context(Line.open(self.trustee, LINE_SECONDS))
            outcome = RoundRunner(office, line, say, trustee, request.is_again).run(terms)
        return outcome_facts(outcome)


def ask(folder: Path, request: Request) -> Iterator[str | dict[str, Any]]:
    """Yield what the MDMS of a folder says while it runs a round, and then the outcome's facts.

    Raises what it raised: `VerificationFailed`, `CannotVerify`, `StoreError`, or `LineError`
    where no MDMS serves in that folder.
    """
    name, items = request.message()
    if not (folder / SOCKET).exists():
        raise LineError(f"{folder / SOCKET}: not there; `meterlet mdms serve` must be running")
    with Line.open_local(folder / SOCKET) as line, _translated():
        for answer, parts in line.ask(name, *items):
            match answer, parts:
                case "said", (str(said),):
                    yield said
                case "outcome", (str(facts),):
                    yield json.loads(facts)


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


def outcome_facts(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as the JSON outputs show it."""
    facts: dict[str, Any] = {
        "verified": outcome.aggregate is not None or outcome.worth is not None,
        "roster": outcome.roster,
        "homes": len(outcome.meters),
        "meters": [meter.hex() for meter in outcome.meters],
        "sums_wh": None,
        "absent": list(map(_absence, outcome.absent)),
        "refused": list(map(_absence, outcome.refused)),
        "culprits": [
            {"who": one.meter.hex() or "concentrator", "reason": one.reason}
            for one in outcome.culprits
        ],
        "void": outcome.void or None,
        "silent": [meter.hex() for meter in outcome.silent],
        "bytes_sent": outcome.sent,
        "bytes_received": outcome.received,
        "timings": {name: round(took, 4) for name, took in outcome.timings.items()},
    }
    if outcome.aggregate is not None:
        place = outcome.aggregate.place
        facts |= {
            "region": place.region,
            "resolution_minutes": place.resolution_minutes,
            "starts": list(outcome.aggregate.bounds[:-1]),
            "sums_wh": list(outcome.aggregate.sums_wh),
            "missing_home_slots": outcome.aggregate.missing,
            "round": outcome.aggregate.round.hex(),
        }
    if outcome.worth is not None:
        facts |= _worth_facts(outcome.worth, is_known=outcome.is_known)
    return facts


def _worth_facts(worth: Worth, *, is_known: bool) -> dict[str, Any]:
    return {
        "region": worth.place.region,
        "begin": worth.place.begin,
        "end": worth.place.end,
        "series": worth.series,
        "revision": worth.revision,
        "currency": worth.currency,
        "index": worth.place.index.hex(),
        "worth": str(worth.value),
        "homes": worth.homes,
        "missing_home_slots": worth.missing,
        "left_out": [meter.hex() for meter in worth.left_out],
        "round": worth.round.hex(),
        "known_before": is_known,
    }


def _absence(one: Absence) -> dict[str, Item]:
    return {"meter": one.meter.hex(), "step": one.step, "why": one.why}
