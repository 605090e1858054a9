# SPDX-License-Identifier: Apache-2.0
"""A hub that dials a recipient until it is told to stop: its folder opened, its card behind a line.

When a key of the hub is replaced, it goes on with the new one. With a broker, it is woken between
two polls (`hub.dialling.wake_line`). Between two sessions outputs of
applets that are due are released, and after one the hub's certificate is renewed when it is time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread
from typing import Final

from hub.callers import Callers
from hub.card.open import Card
from hub.device import Device
from hub.dialling.dialler import SLICE_SECONDS, Dialler, Wire
from hub.dialling.events import DialEvent, Fact, Kind
from hub.dialling.identity import renew_if_due
from hub.dialling.pace import DialPace
from hub.dialling.recipient import Recipient
from hub.dialling.wake_calls import WakeCalls
from hub.dialling.wake_line import WakeLine, require_client
from hub.machine.machine import AppletMachine
from protocols.remote_admin.agent import SessionEnd
from protocols.remote_admin.wake import BrokerAddress

TICK_SECONDS: Final = 30.0
GOODBYE_SECONDS: Final = 2.0
"""How long the connection to a broker may take to end; nothing hangs on it."""


@dataclass(slots=True)
class DialledHub:
    """Dials one recipient; `run` or `once` in one thread, `interrupt` from any."""

    open_device: Callable[[], Device]
    open_machine: Callable[[], AppletMachine]
    recipient: Recipient
    meter_of: Callable[[Device], Device]
    """Which meter of the hub the recipient's certificate is for."""
    tell: Callable[[DialEvent], None]
    poll_seconds: float
    broker: BrokerAddress | None = None
    """Where the hub is woken; None: it polls alone."""
    _callers: Callers = field(default_factory=Callers, repr=False)
    _calls: WakeCalls = field(default_factory=WakeCalls, repr=False)
    _dialler: Dialler | None = field(default=None, repr=False)

    def run(self, stop: Event) -> None:
        """Dial until `stop` is set; raises as `Device.open`, and `RecipientError`.

        Raises `ModuleNotFoundError` where there is a broker and no library that speaks to it.
        """
        self.recipient.context()  # what cannot be used is said at once
        if self.broker is not None:
            require_client()
        while not stop.is_set():
            with self.open_device() as home:
                card, until = home.card(self.open_machine()), _Until(stop)
                dialler = self._made(home, card)
                with self._woken(dialler):
                    dialler.run(until, _Idle(home, card, until).between_sessions)

    def once(self, stop: Event) -> SessionEnd:
        """Hold one session; return how it ended. Raises as `run`."""
        self.recipient.context()
        with self.open_device() as home:
            dialler = self._made(home, home.card(self.open_machine()))
            try:
                return dialler.session(stop)[0]
            finally:
                dialler.hang_up()

    def interrupt(self) -> None:
        """Break off what the dialling thread waits for at the server."""
        if self._dialler is not None:
            self._dialler.interrupt()

    @contextmanager
    def _woken(self, dialler: Dialler) -> Iterator[None]:
        """Hear wake-ups, where there is a broker."""
        if self.broker is None:
            yield
            return
        dialler.calls = self._calls  # no new key forgives who has called too often
        tell = partial(_tell_of, self.tell, self.recipient)
        line = WakeLine(
            self.broker, self.recipient.broker_context, dialler.meter, self._calls, tell
        )
        over = Event()
        # What waits for a broker must not keep the hub from ending.
        thread = Thread(target=line.run, args=(over,), name="wake-ups", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(GOODBYE_SECONDS)

    def _made(self, home: Device, card: Card) -> Dialler:
        meter = self.meter_of(home).main.channel.meter
        self._dialler = Dialler(
            card,
            self.recipient,
            meter,
            self.tell,
            home.disclosure.record_connection,
            _Renewing(home, self.recipient.name, meter).renew,
            pace=DialPace(self.poll_seconds),
            callers=self._callers,  # no new key forgives who was wrong
        )
        return self._dialler


def _tell_of(
    tell: Callable[[DialEvent], None], recipient: Recipient, kind: Kind, facts: dict[str, Fact]
) -> None:
    tell(DialEvent(kind, recipient.name or str(recipient.address), facts))


@dataclass(frozen=True, slots=True)
class _Renewing:
    """Renews the hub's certificate over its own connection."""

    home: Device
    name: str
    meter: bytes

    def renew(self, wire: Wire) -> bool:
        ends = renew_if_due(
            self.home.folder, self.name, self.meter, wire.request,
            now=self.home.now(), randomness=self.home.randomness,
        )  # fmt: skip
        return ends is not None


@dataclass(slots=True)
class _Idle:
    """What is done between sessions: due outputs of applets, and a look whether keys are new."""

    home: Device
    card: Card
    until: "_Until"
    ticked: float = field(default_factory=time.monotonic)

    def between_sessions(self) -> None:
        self.until.is_replaced = not self.home.has_current_keys()
        if time.monotonic() - self.ticked >= TICK_SECONDS:
            self.ticked = time.monotonic()
            self.home.tick(self.card)


@dataclass(slots=True)
class _Until:
    """Says to stop when the user does, or when a key of the hub was replaced."""

    stop: Event
    is_replaced: bool = False

    def is_set(self) -> bool:
        return self.is_replaced or self.stop.is_set()

    def wait(self, timeout: float) -> bool:
        self.stop.wait(min(timeout, SLICE_SECONDS))
        return self.is_set()
