# SPDX-License-Identifier: Apache-2.0
"""One MQTT connection on which the hub hears that it is to dial at once.

Over TLS 1.3, with the hub's certificate for the recipient and by the authorities that the recipient
has named, as the dialling itself. MQTT 5, or 3.1.1 where the broker's address says so. The hub
subscribes to the topic of its own meter and publishes nothing.

    a wake-up of this meter           the hub dials, as often as `hub.dialling.wake_calls` allows
    anything else, and what was kept  ignored; told once a connection
    a packet of more than 1 kB        the connection ends before it is read
    too many messages                 the connection ends

Without the broker the hub polls as ever. It is connected to again after a wait that doubles, up to
ten minutes, with jitter; every wait for it has a limit.

Needs the optional dependency `paho-mqtt`.
"""

import logging
import random
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from hub.dialling.errors import DiallingError
from hub.dialling.events import Fact, Kind
from hub.dialling.wake_calls import WakeCalls
from hub.token_bucket import TokenBucket
from protocols.remote_admin.errors import MalformedParameters
from protocols.remote_admin.wake import BrokerAddress, require_wake, wake_topic

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

CONNECT_SECONDS: Final = 10.0
"""For TCP, for TLS, and from then until the broker has taken the subscription: each."""
KEEP_ALIVE: Final = 240
"""Below what home routers forget a silent connection after. A broker that does not answer for so
long after it was asked is left."""
LARGEST_PACKET: Final = 1024
MOST_MESSAGES: Final = 60
"""At once, and a minute from then on."""
FIRST_BACKOFF: Final = 5.0
LONGEST_BACKOFF: Final = 600.0
STEADY_SECONDS: Final = 60.0
"""Whoever was there for so long is waited for as at first."""
SLICE_SECONDS: Final = 1.0
_QUIET: Final = logging.getLogger("meterlet.wake")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

Tell = Callable[[Kind, dict[str, Fact]], None]


class _BoundedSocket(ssl.SSLSocket):
    """Reads no packet that is longer than any that is due.

    The client library asks for the whole rest of a packet at once, as long as the packet says it
    is: a hostile broker could have it collect 256 MB.
    """

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands; the library leaves a socket open whose handshake has failed."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read; raise `OSError` for a packet that is longer than any that is due."""
        if buflen > LARGEST_PACKET:
            raise OSError("a packet is longer than any that is due")
        return super().recv(buflen, flags)


@dataclass(slots=True)
class WakeLine:
    """Hears the wake-ups of one meter's hub; `run` it in a thread of its own."""

    broker: BrokerAddress
    context: Callable[[], ssl.SSLContext] = field(repr=False)
    """Made for each connection, since the certificate may have been renewed."""
    meter: bytes
    calls: WakeCalls
    tell: Tell
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    uniform: Callable[[], float] = field(default=random.random, repr=False)
    """A number from 0 to 1 for the jitter; nothing secret hangs on it."""
    _is_odd_told: bool = False
    _is_heard: bool = False
    """Whether the broker has taken the subscription."""
    _messages: TokenBucket = field(default_factory=lambda: TokenBucket(MOST_MESSAGES, 60))
    _why: str = ""
    """Why the connection is to end."""

    def run(self, stop: Event) -> None:
        """Keep the connection until `stop` is set; a broker that is away is told once."""
        failures = 0
        while not stop.is_set():
            began = self.monotonic()
            try:
                why = self._hear(stop)
            except Exception as error:  # noqa: BLE001 - whatever a broker sends, we go on
                why = _reason(error)
            if stop.is_set():
                return
            if self._is_heard and self.monotonic() - began >= STEADY_SECONDS:
                failures = 0
            failures += 1
            seconds = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 16))
            seconds *= 0.5 + self.uniform() / 2  # a street of hubs does not come back at once
            if failures == 1 or self._is_heard:
                again: dict[str, Fact] = {"why": f"{self.broker}: {why}"}
                self.tell(Kind.WAKE_DOWN, {**again, "again_seconds": round(seconds, 1)})
            stop.wait(seconds)

    def _hear(self, stop: Event) -> str:
        """Hold one connection; return why it ended."""
        self._is_odd_told = self._is_heard = False
        self._why = ""
        self._messages = TokenBucket(MOST_MESSAGES, 60)
        client = self._client()
        client.connect(self.broker.host, self.broker.port, KEEP_ALIVE, **self._connecting())
        line = client.socket()
        deadline = self.monotonic() + CONNECT_SECONDS
        try:
            while not stop.is_set() and not self._why:
                if client.loop(SLICE_SECONDS):
                    return self._why or "the connection ended"
                if not self._is_heard and self.monotonic() >= deadline:
                    return "it does not answer"
            return self._why
        finally:
            with suppress(OSError, ValueError):
                client.disconnect()
            if line is not None:  # the library leaves it where it could not say goodbye
                line.close()

    def _client(self) -> "Client":
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        version = MQTTProtocolVersion.MQTTv311 if self.broker.is_old else MQTTProtocolVersion.MQTTv5
        client = Client(CallbackAPIVersion.VERSION2, protocol=version, reconnect_on_failure=False)
        client.enable_logger(_QUIET)
        context = self.context()
        context.sslsocket_class = _BoundedSocket
        client.tls_set_context(context)
        client.connect_timeout = CONNECT_SECONDS
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _connecting(self) -> dict[str, Any]:
        """Return what CONNECT says: nothing is kept of an earlier connection."""
        if self.broker.is_old:
            return {}  # of 3.1.1, a client without a name has a clean session
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = LARGEST_PACKET
        return {"clean_start": True, "properties": properties}

    def _on_connect(self, client: "Client", _data: Any, _flags: Any, code: Any, _: Any) -> None:
        if code.is_failure:
            self._why = f"it refuses: {str(code).lower()}"
            return
        topic = wake_topic(self.meter)
        if self.broker.is_old:
            client.subscribe(topic, 0)
            return
        from paho.mqtt.subscribeoptions import SubscribeOptions

        # Nothing that the broker has kept: it is of another time.
        options = SubscribeOptions(qos=0, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        client.subscribe(topic, options=options)

    def _on_subscribe(self, _client: Any, _data: Any, _number: int, codes: Any, _: Any) -> None:
        if any(code.is_failure for code in codes):
            self._why = "it refuses the topic of the meter"
            return
        self._is_heard = True
        self.tell(Kind.WAKE_UP, {"broker": str(self.broker)})

    def _on_message(self, _client: Any, _data: Any, message: "MQTTMessage") -> None:
        self._messages.fill(int(self.monotonic()))
        if self._messages.is_empty:
            self._why = "too many messages"
            return
        self._messages.take(1)
        if message.retain:
            return  # kept by the broker: nobody calls now
        try:
            if message.topic != wake_topic(self.meter):
                raise MalformedParameters("not the topic of the meter")
            require_wake(bytes(message.payload))
        except (MalformedParameters, UnicodeDecodeError) as odd:
            if not self._is_odd_told:  # one line, however many come
                self._is_odd_told = True
                self.tell(Kind.WAKE_ODD, {"why": str(odd), "bytes": len(message.payload)})
            return
        self.calls.call()


def _reason(error: Exception) -> str:
    """Return why there is no connection, without what a peer may have written."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "its certificate is refused"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS refused").lower().replace("_", " ")
    if isinstance(error, OSError):
        return error.strerror or "timed out"
    return str(error) if isinstance(error, DiallingError) else type(error).__name__


def require_client() -> None:
    """Raise `ModuleNotFoundError`, which names the extra, where the client library is missing."""
    import paho.mqtt.client  # noqa: F401
