# SPDX-License-Identifier: Apache-2.0
"""What the address of a source means.

serial:///dev/ttyUSB0?baud=2400&frame=8E1       a line that is heard
mbus:///dev/ttyUSB0?address=1,2&every=15min     a bus whose meters are asked
mbus+tcp://HOST:PORT                            the same behind a bridge
d0:///dev/ttyUSB0?mode=C&every=15min            a readout that is asked for
mqtt://HOST:PORT/topic                          a broker
tcp://, http://, https://                       as `sml_codec.sources` has them
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from hub.meters.readers.mqtt import LONGEST_TOPIC, TOPICS
from hub.meters.recognition import MeterKind
from hub.meters.replay import ReplayError, parse_interval
from hub.meters.sources.asking import USUAL_INTERVAL, Asking
from hub.meters.sources.broker import PORT, TLS_PORT, Broker, read_broker
from hub.meters.sources.bus import BY_TCP, Patience, read_bus, targets_of
from hub.meters.sources.lines import USUAL, line_of, speed_of
from hub.meters.sources.listening import read_line
from hub.meters.sources.ports import serial_opener, tcp_opener
from hub.meters.sources.readout import FRAME, PUSH_BAUD, read_optical
from meter_codecs.mbus import NO_KEYS, KeyRing
from meter_codecs.p1.dialogue import FIRST_SPEED, MODE_C
from meter_codecs.p1.errors import SessionError
from sml_codec.sources import Retry, open_source, reconnecting

KINDS: Final[Mapping[str, MeterKind]] = {
    "mbus": MeterKind.MBUS,
    "mbus+tcp": MeterKind.MBUS,
    "d0": MeterKind.P1,
    "mqtt": MeterKind.MQTT,
    "mqtts": MeterKind.MQTT,
}
"""What is spoken at sources whose address says so."""
SHORTEST: Final = 1
LONGEST: Final = 31 * 86_400
"""Seconds between two rounds of questions."""
_TOPIC: Final = re.compile(r"[^\x00-\x1f\x7f]+")

OpenedSource = Callable[[], AsyncIterator[bytes]]
"""Opens a source; called again whenever it breaks."""


def _nobody(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What goes with an address."""

    login: str | None = field(default=None, repr=False)
    """`user:password`, for HTTP and MQTT."""
    retry: Retry | None = None
    """How a source is opened again; None: it ends when it ends, or after one round of questions."""
    kind: MeterKind | None = None
    """What is spoken there, where the user says it."""
    keys: KeyRing = field(default=NO_KEYS, repr=False)
    """For a bus whose meters send enciphered telegrams in a row."""
    heard: Callable[[str], None] = _nobody
    """Hears of meters that do not answer, and of what is dropped."""
    patience: Patience | None = None
    """How long a bus is waited for; None: as its kind needs it."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)
    """Waits until the next round of questions."""
    meters: Callable[[], Collection[bytes]] = tuple
    """The hub's meters by now: on a broker, strangers do not crowd them out."""


def kind_at(address: str) -> MeterKind | None:
    """Return what is spoken at an address that says so; None for all others."""
    return KINDS.get(urlsplit(address).scheme)


def open_meter_source(address: str, options: SourceOptions) -> AsyncIterator[bytes]:
    """Return the source at an address; raise ValueError for one that is none."""
    parts = urlsplit(address)
    if parts.scheme in ("tcp", "http", "https"):
        return open_source(address, login=options.login, retry=options.retry)
    if "@" in parts.netloc:
        raise ValueError("an address may not carry a password: give the login apart")
    query = _query(address, parts)
    match parts.scheme:
        case "serial":
            opened = _line(parts, query, options)
        case "mbus" | "mbus+tcp":
            opened = _bus(parts, query, options)
        case "d0":
            opened = _readout(parts, query, options)
        case "mqtt" | "mqtts":
            opened = _broker(parts, query, options)
        case _:
            raise ValueError(f"{address}: no source has the scheme {parts.scheme}")
    if query:
        raise ValueError(f"{address}: such a source has no {', '.join(sorted(query))}")
    return opened() if options.retry is None else reconnecting(opened, options.retry)


def _query(address: str, parts: SplitResult) -> dict[str, str]:
    """Return the options of an address, each once; those that are known are taken out later."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(
        parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)
    ):
        if name in found:
            raise ValueError(f"{address}: {name} is said twice")
        found[name] = value
    return found


def _taken(query: dict[str, str], *names: str) -> dict[str, str]:
    return {name: query.pop(name) for name in names if name in query}


def _line(parts: SplitResult, query: dict[str, str], options: SourceOptions) -> OpenedSource:
    _no_host(parts)
    usual = USUAL.get(options.kind, USUAL[None])
    line = line_of(parts.path, _taken(query, "baud", "frame"), usual)
    return lambda: read_line(line)


def _asking(query: dict[str, str], options: SourceOptions) -> Asking:
    every = USUAL_INTERVAL
    if text := query.pop("every", ""):
        try:
            every = parse_interval(text)
        except ReplayError as error:
            raise ValueError(str(error)) from None
        if not SHORTEST <= every <= LONGEST:
            raise ValueError(f"every={text}: from 1s to 31 days")
    rounds = None if options.retry is not None else 1
    return Asking(every, rounds, options.heard, options.sleep)


def _bus(parts: SplitResult, query: dict[str, str], options: SourceOptions) -> OpenedSource:
    asking = _asking(query, options)
    targets = targets_of(query.pop("address")) if "address" in query else ()
    if parts.scheme == "mbus+tcp":
        patience = options.patience or BY_TCP
        opener = tcp_opener(*_host(parts))
        return lambda: read_bus(
            opener, asking, targets=targets, patience=patience, keys=options.keys
        )
    _no_host(parts)
    line = line_of(parts.path, _taken(query, "baud", "frame"), USUAL[MeterKind.MBUS])
    patience = options.patience or Patience()
    return lambda: read_bus(
        serial_opener(line),
        asking,
        targets=targets,
        baud=line.baud,
        patience=patience,
        keys=options.keys,
    )


def _readout(parts: SplitResult, query: dict[str, str], options: SourceOptions) -> OpenedSource:
    _no_host(parts)
    mode = query.pop("mode", "C").upper()
    if mode == "D":
        pushed = line_of(parts.path, _taken(query, "baud", "frame"), (PUSH_BAUD, FRAME))
        return lambda: read_line(pushed)
    if mode not in ("A", "B", "C"):
        raise ValueError(f"mode={mode}: it is A, B, C or D")
    asking, address = _asking(query, options), query.pop("address", "")
    fastest = speed_of(query.pop("fastest")) if "fastest" in query else None
    if mode == "A":
        fastest = FIRST_SPEED
    if fastest is not None and fastest not in MODE_C.values():
        raise ValueError(f"fastest={fastest}: one of {', '.join(map(str, MODE_C.values()))}")
    line = line_of(parts.path, _taken(query, "frame"), (FIRST_SPEED, FRAME))
    try:
        read_optical(serial_opener(line), asking, address=address)
    except SessionError as error:
        raise ValueError(str(error)) from None
    return lambda: read_optical(serial_opener(line), asking, address=address, fastest=fastest)


def _broker(parts: SplitResult, query: dict[str, str], options: SourceOptions) -> OpenedSource:
    is_secure = parts.scheme == "mqtts"
    host, port = parts.hostname, parts.port or (TLS_PORT if is_secure else PORT)
    if not host:
        raise ValueError("a broker is written as mqtt://HOST or mqtt://HOST:PORT/topic")
    topic = unquote(parts.path.removeprefix("/"))
    if topic and (len(topic) > LONGEST_TOPIC or not _TOPIC.fullmatch(topic)):
        raise ValueError("a topic has letters alone, 256 at most")
    certificates = query.pop("ca", None)
    if certificates is not None and not is_secure:
        raise ValueError("ca= goes with mqtts://")
    version = query.pop("version", "5")
    if version not in ("5", "3.1.1"):
        raise ValueError(f"version={version}: MQTT 5 or 3.1.1")
    broker = Broker(
        host,
        port,
        (topic,) if topic else TOPICS,
        options.login,
        is_secure,
        None if certificates is None else Path(certificates),
        version == "3.1.1",
    )
    return lambda: read_broker(broker, options.heard, options.meters)


def _host(parts: SplitResult) -> tuple[str, int]:
    if parts.hostname is None or parts.port is None or parts.path not in ("", "/"):
        raise ValueError(f"{parts.geturl()}: a host and a port are due")
    return parts.hostname, parts.port


def _no_host(parts: SplitResult) -> None:
    if parts.netloc:
        raise ValueError(
            f"{parts.geturl()}: a device is written with three slashes, as"
            f" {parts.scheme}:///dev/ttyUSB0"
        )
