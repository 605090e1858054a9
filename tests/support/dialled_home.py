# SPDX-License-Identifier: Apache-2.0
"""A home that dials its supplier's gateway, in one process: the card, the agent, the application.

The wire between them loses what a plan says: a POST before the gateway has it, or a reply after.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from hub.card.line import Line
from hub.card.open import Card
from hub.dialling.dialler import Dialler
from hub.dialling.errors import BrokenDown
from hub.dialling.events import DialEvent
from hub.dialling.https import Traffic
from hub.dialling.pace import DialPace
from hub.dialling.recipient import Recipient, ServerAddress
from hub.dialling.sessions import CardEnd
from hub.machine.machine import AppletMachine
from protocols.hub_certificates import make_signing_request
from protocols.remote_admin.agent import RetryPolicy
from protocols.remote_admin.http import AgentPost, Headers, ServerReply
from tests.support.answered_home import KNOWN, TARIFF
from tests.support.year_home import YearHome, make_year_home, opened
from utility_server.gateway.application import Gateway
from utility_server.gateway.certificates import CertificateAuthority, HubCertificate
from utility_server.gateway.errands import BillErrands, Errands
from utility_server.gateway.limits import Peer

NOWHERE: Final = Path("/nonexistent")
RETRYING: Final = RetryPolicy(connections=3, sessions=12)


@dataclass(slots=True)
class InProcessWire:
    """Carries POSTs into an application, as one hub with one certificate."""

    gateway: Gateway
    peer: Peer
    fate: Callable[[int], str] = lambda _number: ""
    """What becomes of the n-th POST: "request" or "reply" is lost, "twice" it comes; else it
    arrives."""
    posts: list[AgentPost] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)
    is_open: bool = False

    def exchange(self, post: AgentPost) -> ServerReply:
        number = len(self.posts)
        self.posts.append(post)
        self.is_open = True
        fate = self.fate(number)
        if fate == "request":
            self.is_open = False
            raise BrokenDown("the request was lost", has_posted=True)
        if fate == "unconnected":
            self.is_open = False
            raise BrokenDown("no connection was made", has_posted=False)
        reply = asked(self.gateway, self.peer, post)
        if fate == "twice":
            assert asked(self.gateway, self.peer, post) == reply or post.status is None
        if fate == "reply":
            self.is_open = False
            raise BrokenDown("the reply was lost", has_posted=True)
        return reply

    def request(
        self, uri: str, headers: Headers, body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        return request(self.gateway, self.peer, uri, list(headers), body)

    def close(self) -> None:
        self.is_open = False

    def interrupt(self) -> None:
        self.is_open = False


def request(
    gateway: Gateway,
    peer: Peer,
    path: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes = b"",
    method: str = "POST",
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Send any request into the application; return status, header fields and body."""
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    where, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "path": where, "query_string": query.encode(),
        "headers": headers, "state": {"peer": peer},
    }  # fmt: skip
    asyncio.run(gateway(scope, receive, send))
    start, end = told
    return start["status"], start["headers"], end.get("body", b"")


def asked(gateway: Gateway, peer: Peer, post: AgentPost) -> ServerReply:
    status, headers, body = request(gateway, peer, post.uri, post.headers(), post.body)
    return ServerReply.read(status, headers, body)


@dataclass(slots=True)
class CountingCard:
    """The card, and how many conversations with it were begun."""

    card: Card
    begun: int = 0

    def connect(self, line: Line) -> CardEnd:
        self.begun += 1
        return self.card.connect(line)


@dataclass(slots=True)
class DialledHome:
    """A home with its supplier's gateway."""

    home: YearHome
    gateway: Gateway
    authority: CertificateAuthority
    certificate: HubCertificate
    errands: BillErrands
    clock: "Clock"
    card: CountingCard
    events: list[DialEvent] = field(default_factory=list)

    @property
    def peer(self) -> Peer:
        return Peer(self.certificate.certificate)

    def wire(self, fate: Callable[[int], str] = lambda _number: "") -> InProcessWire:
        return InProcessWire(self.gateway, self.peer, fate)

    def dialler(self, wire: InProcessWire) -> Dialler:
        recipient = Recipient(ServerAddress("gateway", 443), NOWHERE, NOWHERE, NOWHERE)
        return Dialler(
            self.card,
            recipient,
            self.home.meter,
            self.events.append,
            self.home.device.disclosure.record_connection,
            policy=RETRYING,
            monotonic=self.clock.tick,
            pace=DialPace(uniform=lambda: 0.5),
            connect=lambda _recipient: wire,
        )

    def dial(self, fate: Callable[[int], str] = lambda _number: "") -> InProcessWire:
        """Hold one session; return the wire, with what was posted."""
        wire = self.wire(fate)
        self.dialler(wire).session()
        return wire

    def ask(self, month: Any) -> Any:
        """Keep a question for a month's bill, until the hub dials."""
        utility = self.home.utility
        return utility.question(self.home.meter, month, utility.sign(TARIFF))


@dataclass(slots=True)
class Clock:
    """Goes on whenever it is looked at, so that no wait takes time."""

    now: float = 0.0

    def tick(self) -> float:
        self.now += 1.5
        return self.now


def make_dialling_home(folder: Path, machine: AppletMachine) -> Any:
    """Make hub and utility in a folder, to be copied; return the enrolment."""
    return make_year_home(folder, machine, KNOWN)


@contextmanager
def dialled(
    template: Path,
    folder: Path,
    machine: AppletMachine,
    enrolment: Any,
    errands: Callable[[BillErrands], Errands] = lambda bills: bills,
) -> Iterator[DialledHome]:
    """Open a copy of a home, with a gateway and a certificate."""
    shutil.copytree(template, folder)
    clock = Clock()
    with (
        opened(folder, machine, enrolment) as home,
        ThreadPoolExecutor(2) as workers,
    ):
        utility = home.utility
        authority = CertificateAuthority(
            utility.folder, utility.engine, utility.customers, utility.now, os.urandom
        )
        key = generate_private_key(SECP256R1())
        certificate = authority.renew(make_signing_request(home.meter, key), home.meter)
        bills = BillErrands(utility, monotonic=lambda: clock.now)
        gateway = Gateway(errands(bills), authority, os.urandom, workers, monotonic=clock.tick)
        card = CountingCard(home.card)
        yield DialledHome(home, gateway, authority, certificate, bills, clock, card)
