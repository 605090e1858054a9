# SPDX-License-Identifier: Apache-2.0
"""The loop that dials: when, how long to wait, what to do after a failure.

    session ended      after the seconds that the server has said
    breakdown          inside the session after the policy's waits, resumed; then after a longer one
    TLS refused        no retry; the next session at the next poll

    called                        at once, where the hub can be woken (`hub.dialling.wake_calls`)

How long that is, `hub.dialling.pace` says. A connection is kept where the next session is near. A
wrong authentication is answered late, later each time (`hub.callers`).
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from hub.callers import Callers
from hub.dialling.errors import BrokenDown, DiallingError, SecurityFailed
from hub.dialling.events import DialEvent, Fact, Kind
from hub.dialling.https import HttpsConnection, Traffic
from hub.dialling.pace import KEEP_SECONDS, POLICY, DialPace
from hub.dialling.recipient import Recipient, how_to_ask
from hub.dialling.sessions import CommandSessions, Connects
from hub.dialling.steps import Exchange, Session, Told, Wait, session_steps
from hub.dialling.wake_calls import WakeCalls
from hub.errors import HubError
from protocols.remote_admin.agent import AdminAgent, RetryPolicy, SessionEnd
from protocols.remote_admin.errors import ProtocolViolated, ServerRefused
from protocols.remote_admin.http import AgentPost, Headers, ServerReply

FORBIDDEN: Final = 403
SLICE_SECONDS: Final = 1.0
"""How often whoever waits looks whether it is to stop."""


class Stop(Protocol):
    """Says when to stop, as `threading.Event` does."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds at most, or until it is time to stop; return whether it is."""
        ...


class Wire(Protocol):
    """What carries POSTs to one server, over one connection at a time (`hub.dialling.https`)."""

    @property
    def traffic(self) -> Traffic:
        """Bytes so far."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether a connection is kept."""
        ...

    def exchange(self, post: AgentPost) -> ServerReply:
        """POST and return the reply; connect first where nothing is connected."""
        ...

    def request(
        self, uri: str, headers: Headers, body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """POST anything and return status, header fields and body."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...

    def interrupt(self) -> None:
        """Break off what another thread is waiting for."""
        ...


def _nobody(_event: DialEvent) -> None:
    """Nobody is told."""


@dataclass(slots=True)
class Dialler:
    """Dials one recipient's server for one hub; `run` it in a thread that may use the card."""

    card: Connects
    recipient: Recipient
    meter: bytes
    """The meter in the hub's certificate; it is in the URL and in X-Admin-From, too."""
    tell: Callable[[DialEvent], None] = _nobody
    record: Callable[[str, int, int], object] | None = None
    """Told of each session in which a recipient has authenticated: host, bytes in, bytes out."""
    renew: Callable[[Wire], bool] | None = None
    """Called after each session that went well, to renew the certificate over it (`identity`);
    returns whether it has, so that the next connection is made with the new one."""
    policy: RetryPolicy = POLICY
    pace: DialPace = field(default_factory=DialPace)
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    connect: Callable[[Recipient], Wire] | None = field(default=None, repr=False)
    callers: Callers = field(default_factory=Callers, repr=False)
    calls: WakeCalls | None = field(default=None, repr=False)
    """Ends the wait for the next session; never one within a session."""
    _wire: Wire | None = field(default=None, repr=False)

    def run(self, stop: Stop, idle: Callable[[], object] | None = None) -> None:
        """Dial until `stop` is set; `idle` is called about once a second between sessions."""
        try:
            while not stop.is_set():
                # Whoever calls from here on may have more to ask than this session is asked.
                if self.calls is not None and self.calls.take():
                    self._tell(Kind.WOKEN, {})
                seconds = self.session(stop)[1]
                if seconds > KEEP_SECONDS:
                    self.hang_up()
                self._wait(seconds, stop, idle, self.calls)
        finally:
            self.hang_up()

    def session(self, stop: Stop | None = None) -> tuple[SessionEnd, float]:
        """Hold one session; return how it ended, and after how many seconds the next is due.

        A session that failed is no error: its end says why. Raises `RecipientError` where the
        certificate cannot be used.
        """
        wire = self._wire or (self.connect or self._connection)(self.recipient)
        self._wire = wire
        received, sent = wire.traffic.received, wire.traffic.sent
        agent = AdminAgent(self.meter.hex(), f"/gp/{self.meter.hex()}?step=0", self.policy)
        card = CommandSessions(self.card)
        count = _Count()
        is_security = False
        try:
            end = self._carry(session_steps(agent, card, self._delay_of_wrong), wire, stop, count)
        except SecurityFailed as error:
            end, is_security = SessionEnd(why=str(error)), True
        except (HubError, sqlite3.Error) as error:
            end = SessionEnd(why=f"the hub: {error}")
        received, sent = wire.traffic.received - received, wire.traffic.sent - sent
        if card.has_authenticated:
            self.callers.authenticated(self.recipient.address.host)
            if self.record is not None:
                self.record(self.recipient.address.host, received, sent)
        seconds = self.pace.after(end, is_security=is_security)
        facts: dict[str, Fact] = {"next_seconds": round(seconds, 1)}
        if end.why:
            wire.close()
            self._tell(Kind.FAILED, {"why": end.why, "is_security": is_security, **facts})
        else:
            count_facts = {"posts": count.posts, "scripts": count.scripts}
            self._tell(Kind.ENDED, {**count_facts, "received": received, "sent": sent, **facts})
            self._renew(wire)
        return end, seconds

    def _renew(self, wire: Wire) -> None:
        try:
            if self.renew is None or not self.renew(wire):
                return
        except (HubError, ProtocolViolated) as error:
            self._tell(Kind.NOT_RENEWED, {"why": str(error)})
            return
        wire.close()
        self._wire = None
        self._tell(Kind.RENEWED, {})

    def hang_up(self) -> None:
        """Close the connection, if one is kept."""
        if self._wire is not None:
            self._wire.close()

    def interrupt(self) -> None:
        """Break off what the dialling thread waits for at the server; for another thread."""
        wire = self._wire
        if wire is not None:
            wire.interrupt()
        if self.calls is not None:
            self.calls.poke()

    def _carry(
        self, session: Session, wire: Wire, stop: Stop | None, count: "_Count"
    ) -> SessionEnd:
        try:
            step = next(session)
            while True:
                match step:
                    case Told():
                        count.scripts += step.kind is Kind.SCRIPT
                        self._tell(step.kind, step.facts)
                        step = session.send(None)
                    case Wait():
                        self._wait(step.seconds, stop, None)
                        if stop is not None and stop.is_set():
                            return SessionEnd(why="stopped")
                        step = session.send(None)
                    case Exchange():
                        count.posts += 1
                        if step.is_new_connection:
                            wire.close()
                        was_open = wire.is_open
                        try:
                            reply = wire.exchange(step.post)
                        except (BrokenDown, SecurityFailed, ProtocolViolated) as error:
                            step = session.throw(self._saying_what_to_do(error))
                            continue
                        if not was_open and wire.is_open:
                            self._tell(Kind.CONNECTED, {})
                        step = session.send(reply)
        except StopIteration as end:
            result: SessionEnd = end.value
            return result
        finally:
            session.close()

    def _saying_what_to_do(
        self, error: DiallingError | ProtocolViolated
    ) -> DiallingError | ProtocolViolated:
        """Return an error with the way out, where the hub's owner has one."""
        name = self.recipient.name
        if isinstance(error, ServerRefused) and error.status == FORBIDDEN and name:
            return ProtocolViolated(f"{error}; {how_to_ask(name)}")
        return error

    def _wait(
        self,
        seconds: float,
        stop: Stop | None,
        idle: Callable[[], object] | None,
        calls: WakeCalls | None = None,
    ) -> None:
        until = self.monotonic() + seconds
        stop = stop or threading.Event()
        while (left := until - self.monotonic()) > 0 and not stop.is_set():
            if idle is not None:
                idle()
            if calls is None:
                stop.wait(min(left, SLICE_SECONDS))
            elif calls.wait(min(left, SLICE_SECONDS)):
                return

    def _delay_of_wrong(self) -> float:
        return self.callers.went_wrong(self.recipient.address.host, int(self.monotonic()))

    def _connection(self, recipient: Recipient) -> Wire:
        silence = self.policy.inactivity_seconds or 3600.0
        return HttpsConnection(recipient.address, recipient.context(), self.monotonic, silence)

    def _tell(self, kind: Kind, facts: Mapping[str, Fact]) -> None:
        name = self.recipient.name or str(self.recipient.address)
        self.tell(DialEvent(kind, name, facts))


@dataclass(slots=True)
class _Count:
    posts: int = 0
    scripts: int = 0
