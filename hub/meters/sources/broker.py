# SPDX-License-Identifier: Apache-2.0
"""A broker of MQTT, on which plugs and sub-meters publish what they count.

    mqtt://192.0.2.7                                all topics that `hub.meters.readers.mqtt` reads
    mqtt://192.0.2.7:1883/tele/heat-pump/SENSOR     one of them
    mqtts://broker.example?ca=/etc/ca.pem           over TLS, by a certificate of one's own

What a broker has kept (retained) is of another time and is passed over. A topic may send so many
messages a minute, a payload may have so many bytes; what is beyond is dropped, and told once. So
many topics of strangers are heard beside each other; those of the hub's meters always are.

Needs the optional dependency `aiomqtt`.
"""

import logging
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from hub.meters.readers.mqtt import LARGEST_PAYLOAD, LONGEST_TOPIC, TOPICS, framed, meter_of
from hub.text import printable
from hub.token_bucket import TokenBucket

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiomqtt import Client

BURST: Final = 60
PER_MINUTE: Final = 60
"""Messages of one topic: a device publishes every second at most."""
MOST_TOPICS: Final = 1_000
"""Of strangers; and of the hub's meters, whose topics strangers cannot crowd out."""
MOST_WAITING: Final = 1_000
"""Messages that wait to be read; further ones are dropped."""
CONNECT_SECONDS: Final = 10.0
KEEP_ALIVE: Final = 30
LARGEST_PACKET: Final = LARGEST_PAYLOAD + LONGEST_TOPIC + 64
PORT, TLS_PORT = 1883, 8883
_QUIET: Final = logging.getLogger("meterlet.mqtt")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and what is read of it."""

    host: str
    port: int = PORT
    topics: tuple[str, ...] = TOPICS
    login: str | None = field(default=None, repr=False)
    """`user:password`."""
    is_secure: bool = False
    certificates: Path | None = None
    """Whom the broker's certificate is from; None: whomever the system trusts."""
    is_old: bool = False
    """Whether the broker speaks MQTT 3.1.1 alone: it then cannot be told the largest packet."""


def _nobody(_: str) -> None:
    pass


def _known_to_nobody(_: str) -> bool:
    return False


@dataclass(slots=True)
class Pace:
    """How much each topic may send."""

    clock: Callable[[], float] = monotonic
    is_known: Callable[[str], bool] = _known_to_nobody
    """Whether a topic is of a meter of the hub."""
    _buckets: dict[str, TokenBucket] = field(default_factory=dict)
    """Of strangers' topics."""
    _known: dict[str, TokenBucket] = field(default_factory=dict)
    _looked: int | None = None
    """When topics were last looked through, to forget some."""

    def allows(self, topic: str) -> bool:
        """Tell whether one more message of a topic is read."""
        now = int(self.clock())
        bucket = self._known.get(topic) or self._buckets.get(topic)
        if bucket is None:
            if len(self._known) < MOST_TOPICS and self.is_known(topic):
                buckets = self._known
            elif len(self._buckets) < MOST_TOPICS or self._forget(now):
                buckets = self._buckets
            else:
                return False
            bucket = buckets[topic] = TokenBucket(BURST, PER_MINUTE)
        bucket.fill(now)
        if bucket.is_empty:
            return False
        bucket.take(1)
        return True

    def _forget(self, now: int) -> bool:
        """Forget strangers that have been silent for so long that they may send all they may.

        All are looked at for it, so once a second.
        """
        if now == self._looked:
            return False
        self._looked = now
        for one in self._buckets.values():
            one.fill(now)
        self._buckets = {t: one for t, one in self._buckets.items() if not one.is_full}
        return len(self._buckets) < MOST_TOPICS


async def read_broker(
    broker: Broker,
    heard: Callable[[str], None] = _nobody,
    meters: Callable[[], Collection[bytes]] = tuple,
) -> AsyncIterator[bytes]:
    """Yield messages, framed as `MqttReader` takes them, until the broker is gone.

    The first piece is empty: the broker is there, and what breaks from then on is opened again.
    `meters` are those of the hub by now: no stranger's topics crowd theirs out.

    Raises OSError where it cannot be reached, does not let one in, or goes away.
    """
    from aiomqtt import MqttError

    def is_known(topic: str) -> bool:
        return topic in broker.topics or meter_of(topic) in meters()

    pace = Pace(is_known=is_known)
    told: set[str] = set()
    try:
        async with _client(broker) as client:
            await client.subscribe([(topic, 0) for topic in broker.topics])
            yield b""
            async for message in client.messages:
                topic, payload = str(message.topic), message.payload
                if message.retain or len(topic) > LONGEST_TOPIC or not isinstance(payload, bytes):
                    continue
                if len(payload) > LARGEST_PAYLOAD:
                    reason = f"more than {LARGEST_PAYLOAD:,} bytes"
                elif not pace.allows(topic):
                    reason = "too many messages"
                else:
                    yield framed(topic, payload)
                    continue
                if topic not in told and len(told) < MOST_TOPICS:
                    told.add(topic)
                    heard(f"{printed_topic(topic)}: {reason}; what is beyond is dropped")
    except MqttError as error:
        raise OSError(f"MQTT: {error}") from None


def _client(broker: Broker) -> "Client":
    from aiomqtt import Client, ProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = None
    if not broker.is_old:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = LARGEST_PACKET
    user, _, password = (broker.login or "").partition(":")
    return Client(
        broker.host,
        broker.port,
        username=user or None,
        password=password or None,
        logger=_QUIET,
        protocol=ProtocolVersion.V311 if broker.is_old else ProtocolVersion.V5,
        timeout=CONNECT_SECONDS,
        keepalive=KEEP_ALIVE,
        max_queued_incoming_messages=MOST_WAITING,
        properties=properties,
        tls_context=_tls(broker) if broker.is_secure else None,
    )


def _tls(broker: Broker) -> "SSLContext":
    import ssl

    return ssl.create_default_context(cafile=broker.certificates)


def printed_topic(topic: str) -> str:
    """Return the beginning of a topic without what a terminal would obey."""
    return printable(topic[:60], "?")
