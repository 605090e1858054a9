# SPDX-License-Identifier: Apache-2.0
"""A DLMS server with a profile and a clock, its clients, and a line on which both meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from dlms_codec.apdus.acse import Mechanism
from dlms_codec.authentication import Credentials
from dlms_codec.client_settings import ClientSettings
from dlms_codec.data import Data
from dlms_codec.datetimes import DateTime
from dlms_codec.dialogue import ClientDialogue
from dlms_codec.link import Link, Steps
from dlms_codec.numbers import UInt8, UInt16, UInt32
from dlms_codec.obis import Obis
from dlms_codec.objects import (
    CosemObject,
    Member,
    ObjectTable,
    Row,
    clock,
    data,
    extended_register,
    profile,
    register,
    sap_assignment,
)
from dlms_codec.responder import AccessOfClient, ClientSession, LogicalDevice
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.security import CounterGuard, Keys
from dlms_codec.selecting import CLOCK, CaptureObject, Entries, Range
from dlms_codec.server_link import ServerLink
from dlms_codec.wrong_passwords import WrongPasswords

T = TypeVar("T")
METER_TITLE = b"MLT\0\0\0\0\x01"
CLIENT_TITLE = b"HES\0\0\0\0\x01"
KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
KEYS_256 = Keys(bytes(range(32)), bytes(range(0xC0, 0xE0)))
SECRET = b"a secret of 20 bytes"
PUBLIC, SECURE = 16, 1
ENERGY = CaptureObject(3, Obis.parse("1-0:1.8.0"), 2)
COLUMNS = (CLOCK, CaptureObject(1, Obis.parse("0-0:96.10.2"), 2), ENERGY)
PROFILE = Obis.parse("1-0:99.1.0")
START = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))
ROWS = 500
SIGNING = {
    1: (ec.derive_private_key(4711, ec.SECP256R1()), ec.derive_private_key(815, ec.SECP256R1())),
    2: (ec.derive_private_key(4711, ec.SECP384R1()), ec.derive_private_key(815, ec.SECP384R1())),
}


def row(number: int) -> Row:
    moment = DateTime.of(START + number * timedelta(minutes=15))
    return (bytes(moment), UInt8(0), UInt32(1000 + 7 * number))


@dataclass
class World:
    """What a server has, and what was written to it."""

    written: list[Data] = field(default_factory=list)
    set_to: list[DateTime] = field(default_factory=list)
    invoked: list[object] = field(default_factory=list)
    seconds: float = 0.0

    def table(self) -> ObjectTable:
        def rows(_: Range | Entries) -> Iterable[Row]:
            return map(row, range(ROWS))

        def echo(parameters: object) -> Data:
            self.invoked.append(parameters)
            return parameters if isinstance(parameters, bytes) else None

        note = CosemObject(
            1, Obis.parse("0-0:96.1.1"), {2: Member(lambda _: b"note", self.written.append)},
            {1: echo},
        )  # fmt: skip
        return ObjectTable([
            data("0-0:42.0.0", lambda: b"MLT0000000000001"),
            data("0-0:43.1.0", lambda: UInt32(77)),
            register("1-0:1.8.0", lambda: UInt32(4408736), scaler=0, unit=30),
            extended_register(
                "1-0:1.6.0", lambda: UInt16(4711), lambda: DateTime.of(START), scaler=0, unit=27
            ),
            clock(lambda: DateTime.of(START), self.set_to.append),
            profile(str(PROFILE), COLUMNS, rows, seconds=900, in_use=lambda: ROWS),
            sap_assignment({1: b"MLT0000000000001"}),
            note,
        ])  # fmt: skip

    def device(self, access: AccessOfClient | None = None, *, longest: int = 1024) -> LogicalDevice:
        clients = {PUBLIC: AccessOfClient(self.table())}
        if access is not None:
            clients[SECURE] = access
        made = iter(range(1, 1000))
        return LogicalDevice(
            METER_TITLE,
            clients,
            lambda size: bytes([next(made) % 256]) * size,
            WrongPasswords(lambda: self.seconds),
            longest,
        )


def pair(
    world: World,
    mechanism: Mechanism,
    *,
    suite: int = 0,
    policy: int = 0x30,
    dedicated: bool = False,
    general: bool = False,
) -> tuple[AccessOfClient, ClientSettings]:
    """Return what a server and a client need for a mechanism."""
    keys = KEYS_256 if suite == 2 else KEYS
    secret = None if mechanism in (Mechanism.GMAC, Mechanism.ECDSA, Mechanism.LOWEST) else SECRET
    mine = theirs = None
    if mechanism is Mechanism.ECDSA:
        mine, theirs = SIGNING[suite]
    server = Credentials(mechanism, secret, mine, theirs.public_key() if theirs else None)
    client = Credentials(mechanism, secret, theirs, mine.public_key() if mine else None)
    access = AccessOfClient(world.table(), server, keys, suite, policy, counter=SendCounter())
    settings = ClientSettings(
        client, keys, CLIENT_TITLE, suite, policy, dedicated=dedicated, general=general
    )
    return access, settings


def dialogue_of(
    settings: ClientSettings,
    counter: SendCounter | None = None,
    received: CounterGuard | None = None,
) -> ClientDialogue:
    made = iter(range(100, 1000))
    return ClientDialogue(
        settings,
        lambda size: bytes([next(made) % 256]) * size,
        counter or SendCounter(),
        received or CounterGuard(),
    )


def run(
    steps: Steps[T], session: ClientSession, between: Callable[[bytes], bytes] | None = None
) -> T:
    """Run the steps of a client against a session; `between` may change the answers."""
    try:
        out = next(steps)
        while True:
            answer = session.answer(out)
            out = steps.send(between(answer) if between else answer)
    except StopIteration as end:
        result: T = end.value
        return result


def run_on_links(steps: Steps[T], link: Link, server: ServerLink, piece: int = 4096) -> T:
    """Run the steps of a client over a link, cut into pieces."""

    def exchange(wire: Steps[bytes]) -> bytes:
        waiting = b""
        try:
            out = next(wire)
            while True:
                for answer in server.receive(out):
                    waiting += answer
                assert waiting, "both ends wait"
                came, waiting = waiting[:piece], waiting[piece:]
                out = wire.send(came)
        except StopIteration as end:
            assert not waiting
            found: bytes = end.value
            return found

    try:
        apdu = next(steps)
        while True:
            apdu = steps.send(exchange(link.exchange(apdu)))
    except StopIteration as end:
        result: T = end.value
        return result
