# SPDX-License-Identifier: Apache-2.0
"""The master of a wired bus, without I/O (EN 13757-2, -3 and -7).

    master                                     slave
    10 40 ..        reset (SND_NKE)      --->
                                         <---  e5
    68 .. 53 fd 52  select by number     --->
                                         <---  e5, of who matches
    10 7b ..        send values, 1st     --->
                                         <---  68 .. 08 .. 72    values; 1f at the end: more follow
    10 5b ..        send values, 2nd     --->       (the FCB changes: the next, not the same again)
                                         <---  68 .. 08 .. 72

An operation is a generator: it yields a `Request` to be sent and takes what came back until the
line was silent. `run` does that with a function of the caller; an event loop does the same:

    master = Master()
    telegrams = run(master.read(5), exchange)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

from meter_codecs.mbus.address import ANYONE, Address
from meter_codecs.mbus.errors import (
    Collision,
    EncodingError,
    MbusError,
    NoAnswer,
    RequestRefused,
    SessionError,
)
from meter_codecs.mbus.frames import (
    BROADCAST,
    FCB,
    FCV,
    REQ_UD2,
    RSP_UD,
    SELECTED,
    SND_NKE,
    SND_UD,
    Ack,
    Damage,
    Frame,
    LongFrame,
    ShortFrame,
)
from meter_codecs.mbus.keys import NO_KEYS, KeyRing
from meter_codecs.mbus.records import Body
from meter_codecs.mbus.stream import decode_stream
from meter_codecs.mbus.telegram import Telegram, read_wired

SELECT: Final = 0x52
SPEEDS: Final = {300: 0xB8, 600: 0xB9, 1200: 0xBA, 2400: 0xBB, 4800: 0xBC, 9600: 0xBD,
                 19200: 0xBE, 38400: 0xBF}  # fmt: skip
"""The CI byte that asks a slave for a speed in baud."""
MOST_TELEGRAMS: Final = 64
"""The most telegrams that are read from one slave in a row."""
MOST_SLAVES: Final = 250
LAST_PRIMARY: Final = 250
"""Above it are addresses that mean whoever was selected, or all."""
_WILDCARD: Final = "f"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes to be sent; what comes until the line is silent is to be handed back."""

    wire: bytes
    speed: int | None = None
    """The speed in baud from here on, before these bytes; None: as it is."""
    longest_answer: int = 261
    """How many bytes may come: how long to wait at most is for the caller to reckon."""


Operation: TypeAlias = Generator[Request, bytes, Answer]


def run(operation: Operation[Answer], exchange: Callable[[Request], bytes]) -> Answer:
    """Do an operation; `exchange` sends a request and returns what came back."""
    try:
        request = next(operation)
        while True:
            request = operation.send(exchange(request))
    except StopIteration as end:
        answer: Answer = end.value
        return answer


class Master:
    """One master and what it knows of its slaves.

    `attempts` is how often a request is sent before its slave counts as silent.
    """

    def __init__(self, *, attempts: int = 3, keys: KeyRing = NO_KEYS) -> None:
        if attempts < 1:
            raise EncodingError("a request is sent once at least")
        self._attempts = attempts
        self._keys = keys
        self._next_fcb: dict[int, int] = {}

    def reset(self, address: int) -> Operation[None]:
        """Begin anew with a slave: its next values are the first."""
        yield from self._acknowledged(ShortFrame(SND_NKE, address))
        self._next_fcb[address] = FCB

    def read(self, address: int) -> Operation[tuple[Telegram, ...]]:
        """Return all telegrams of a slave, from the first to the one that no other follows.

        Raises `NoAnswer`, `Collision` or `RequestRefused`; and `SessionError` if there is no end.
        """
        telegrams: list[Telegram] = []
        while len(telegrams) < MOST_TELEGRAMS:
            telegram = yield from self._next_telegram(address)
            if isinstance(telegram.error, RequestRefused):
                raise telegram.error
            telegrams.append(telegram)
            if not (isinstance(telegram.content, Body) and telegram.content.more_follows):
                return tuple(telegrams)
        raise SessionError(f"more than {MOST_TELEGRAMS} telegrams of slave {address}")

    def select(self, selection: Address) -> Operation[None]:
        """Select the slave of a secondary address; wildcards may select one of many."""
        frame = LongFrame(SND_UD, SELECTED, SELECT, selection.encode_header())
        yield from self._acknowledged(frame)
        self._next_fcb[SELECTED] = FCB

    def read_selected(self, selection: Address) -> Operation[tuple[Telegram, ...]]:
        """Select a slave and return all its telegrams."""
        yield from self.select(selection)
        telegrams = yield from self.read(SELECTED)
        for one in telegrams:
            if one.meter is not None and not selection.matches(one.meter):
                raise SessionError(f"meter {one.meter} answers for {selection.number}")
        return telegrams

    def send(self, address: int, ci: int, data: bytes = b"") -> Operation[None]:
        """Send data to a slave, which acknowledges them."""
        control = SND_UD & ~FCB | self._fcb(address)
        yield from self._acknowledged(LongFrame(control, address, ci, data))
        self._toggle(address)

    def set_speed(self, address: int, baud: int, *, current: int) -> Operation[None]:
        """Have a slave change its speed from the current one; the line changes with it.

        If the slave does not answer at the new speed, the line goes back to the current one, and
        `NoAnswer` is raised. A slave that was selected has to be selected again.
        """
        ci = SPEEDS.get(baud)
        if ci is None:
            raise EncodingError(f"{baud} baud is none of {', '.join(map(str, SPEEDS))}")
        yield from self.send(address, ci)
        reset = ShortFrame(SND_NKE, address)
        try:
            yield from self._acknowledged(reset, speed=baud)
        except SessionError:
            yield Request(reset.encode(), current)
            raise NoAnswer(f"no answer at {baud} baud; back at {current}") from None
        self._next_fcb[address] = FCB

    def find_primary(self, addresses: Iterable[int] = range(1, 251)) -> Operation[tuple[int, ...]]:
        """Return the primary addresses at which a slave answers; colliding ones too."""
        found = []
        for address in addresses:
            try:
                yield from self.reset(address)
            except NoAnswer:
                continue
            except Collision:
                pass  # there are two of them: found all the same
            found.append(address)
        return tuple(found)

    def search(self, selection: Address = ANYONE) -> Operation[tuple[Address, ...]]:
        """Return the secondary addresses of all slaves that a selection means.

        Where several answer, the next digit is tried from 0 to 9. Raises `Collision` if slaves
        have the same number.
        """
        found: list[Address] = []
        waiting = [selection]
        while waiting:
            probe = waiting.pop()
            try:
                telegram = yield from self._only(probe)
            except NoAnswer:
                continue
            except Collision:
                if _WILDCARD not in probe.number:
                    raise
                at = probe.number.index(_WILDCARD)
                numbers = (
                    f"{probe.number[:at]}{d}{probe.number[at + 1 :]}" for d in range(9, -1, -1)
                )
                waiting += [replace(probe, number=number) for number in numbers]
                continue
            if telegram.meter is not None:
                found.append(telegram.meter)
            if len(found) > MOST_SLAVES:
                raise SessionError(f"more than {MOST_SLAVES} slaves")
        return tuple(found)

    def _only(self, selection: Address) -> Operation[Telegram]:
        """Return the first telegram of the one slave that a selection means.

        Slaves that acknowledge at the same moment look like one: their values tell.
        """
        yield from self.select(selection)
        try:
            return (yield from self._next_telegram(SELECTED))
        except NoAnswer:
            raise Collision("a slave was selected and sent no values") from None

    def _fcb(self, address: int) -> int:
        return self._next_fcb.get(address, FCB)

    def _toggle(self, address: int) -> None:
        self._next_fcb[address] = self._fcb(address) ^ FCB

    def _next_telegram(self, address: int) -> Operation[Telegram]:
        """Return the next telegram; asked again, a slave repeats itself, as the FCB is the same."""
        control = REQ_UD2 & ~FCB | FCV | self._fcb(address)
        frame = yield from self._exchange(ShortFrame(control, address), LongFrame)
        self._toggle(address)
        assert isinstance(frame, LongFrame)
        return read_wired(frame, keys=self._keys)

    def _acknowledged(self, frame: Frame, *, speed: int | None = None) -> Operation[None]:
        if not isinstance(frame, Ack) and frame.address == BROADCAST:
            yield Request(frame.encode(), speed)  # all hear it, nobody answers
            return
        yield from self._exchange(frame, Ack, speed=speed)

    def _exchange(
        self, frame: Frame, expected: type[Frame], *, speed: int | None = None
    ) -> Operation[Frame]:
        """Return the answer of the expected type; ask again if there is none."""
        wire = frame.encode()
        failure: MbusError = NoAnswer("no answer")
        for _ in range(self._attempts):
            came = yield Request(wire, speed)
            speed = None
            answer = came.removeprefix(wire)  # converters may echo what they send
            events = decode_stream(answer)
            frames = [event.frame for event in events if not isinstance(event, Damage)]
            if len(frames) == len(events) == 1 and _answers(frames[0], expected):
                if _is_from(frames[0], frame):
                    return frames[0]
                failure = SessionError("another slave answers")
            elif answer:
                failure = Collision(f"{len(answer)} bytes came that are no answer")
        raise failure


def _is_from(answer: Frame, request: Frame) -> bool:
    """Whether an answer is of the slave that was asked: each says its own primary address."""
    if isinstance(answer, Ack) or isinstance(request, Ack):
        return True
    return request.address > LAST_PRIMARY or answer.address == request.address


def _answers(frame: Frame, expected: type[Frame]) -> bool:
    if isinstance(frame, LongFrame) and frame.control & 0x4F != RSP_UD:
        return False
    return isinstance(frame, expected)
