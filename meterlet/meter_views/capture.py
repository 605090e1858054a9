# SPDX-License-Identifier: Apache-2.0
"""The capture of any meter, or its line: the kind from the bytes, then what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from meterlet.meter_views.events import Capture, Event, gathered

if TYPE_CHECKING:
    from hub.meters.recognition import MeterKind, Recognised

KINDS: Final = (
    "sml",
    "dlms-hdlc",
    "dlms-mbus",
    "dlms-wrapper",
    "dlms-apdu",
    "p1",
    "mbus",
    "wireless-mbus",
    "current-cost",
    "mqtt",
)
"""The kinds of meters, as `hub.meters.recognition.MeterKind` has them."""
TITLES: Final = {
    "sml": "SML",
    "dlms-hdlc": "DLMS over HDLC",
    "dlms-mbus": "DLMS over M-Bus",
    "dlms-wrapper": "DLMS over TCP (IEC 62056-47)",
    "dlms-apdu": "DLMS, one message without a frame",
    "p1": "P1 or D0 (IEC 62056-21)",
    "mbus": "M-Bus",
    "wireless-mbus": "wireless M-Bus",
    "current-cost": "Current Cost",
    "mqtt": "MQTT",
}
SAID: Final = "you said so"
UNKNOWN: Final = "no meter is recognised; `--kind` says what it is, if you know"


class UnknownMeter(Exception):
    """Bytes show no kind of meter."""


@dataclass(frozen=True, slots=True)
class MeterSecrets:
    """What enciphered telegrams need."""

    key: bytes | None = field(default=None, repr=False)
    auth_key: bytes | None = field(default=None, repr=False)
    system_title: bytes | None = None
    """The sender's, for messages of DLMS that do not say it."""


NO_SECRETS: Final = MeterSecrets()


def recognised(data: bytes, secrets: MeterSecrets = NO_SECRETS) -> Recognised:
    """Return what bytes are, and what shows it; raise `UnknownMeter`."""
    from hub.meters.recognition import recognise_meter

    found = recognise_meter(data, secrets.key)
    if found is None:
        raise UnknownMeter(UNKNOWN if data else "there are no bytes in it")
    return found


def said(kind: str) -> Recognised:
    """Return a kind that somebody said."""
    from hub.meters.recognition import MeterKind, Recognised

    return Recognised(MeterKind(kind), SAID)


def open_capture(kind: MeterKind, data: bytes, secrets: MeterSecrets = NO_SECRETS) -> Capture:
    """Return what reads a kind; `data` is its beginning, which shows a line of seven bits."""
    return _OPENERS[kind.value](kind, data, secrets)


def decoded(data: bytes, *, kind: str | None = None, secrets: MeterSecrets = NO_SECRETS) -> Event:
    """Return what a whole capture says, as the JSON of `meterlet meter decode`.

    Raises `UnknownMeter`.
    """
    found = recognised(data, secrets) if kind is None else said(kind)
    if found.kind.value == "wireless-mbus" and _is_one_frame(data):
        capture = _one_frame(secrets)
    else:
        capture = open_capture(found.kind, data, secrets)
    events = capture.feed(data) + capture.close()
    return {"kind": found.kind.value, "why": found.why} | gathered(capture, events)


def _is_one_frame(data: bytes) -> bool:
    """Tell whether a capture is just one radio frame, or would be if its checksums held."""
    from hub.meters.recognition import is_wireless

    return is_wireless(data)


def _sml(kind: MeterKind, data: bytes, secrets: MeterSecrets) -> Capture:
    from meterlet.meter_views.sml import SmlCapture

    return SmlCapture(is_bare=_is_bare_sml(data))


def _is_bare_sml(data: bytes) -> bool:
    from hub.meters.recognition import SML_START

    return SML_START not in data and data.lstrip(b"\0")[:1] == b"\x76"


def _dlms(kind: MeterKind, data: bytes, secrets: MeterSecrets) -> Capture:
    from dlms_codec import Keys, Transport
    from meterlet.meter_views.dlms import DlmsCapture

    transports: dict[str, Transport] = {
        "dlms-hdlc": Transport.HDLC,
        "dlms-mbus": Transport.MBUS,
        "dlms-wrapper": Transport.WRAPPER,
    }
    keys = Keys(encryption=secrets.key, authentication=secrets.auth_key)
    return DlmsCapture(transports.get(kind.value), keys, secrets.system_title)


def _p1(kind: MeterKind, data: bytes, secrets: MeterSecrets) -> Capture:
    from hub.meters.recognition import is_seven_bits
    from meterlet.meter_views.p1 import P1Capture

    return P1Capture(secrets.key, secrets.auth_key, seven_bits=is_seven_bits(data))


def _mbus(kind: MeterKind, data: bytes, secrets: MeterSecrets) -> Capture:
    from meter_codecs.mbus import KeyRing, MeterKey
    from meterlet.meter_views.mbus import RadioCapture, WiredCapture

    ring = KeyRing(default=None if secrets.key is None else MeterKey(secrets.key))
    return WiredCapture(ring) if kind.value == "mbus" else RadioCapture(ring)


def _one_frame(secrets: MeterSecrets) -> Capture:
    from meter_codecs.mbus import KeyRing, MeterKey
    from meterlet.meter_views.mbus import WirelessCapture

    return WirelessCapture(KeyRing(default=None if secrets.key is None else MeterKey(secrets.key)))


def _mqtt(kind: MeterKind, data: bytes, secrets: MeterSecrets) -> Capture:
    from meterlet.meter_views.mqtt import MqttCapture

    return MqttCapture()


def _current_cost(kind: MeterKind, data: bytes, secrets: MeterSecrets) -> Capture:
    from meterlet.meter_views.currentcost import CurrentCostCapture

    return CurrentCostCapture()


_OPENERS: Final[dict[str, Callable[[Any, bytes, MeterSecrets], Capture]]] = {
    "sml": _sml,
    "dlms-hdlc": _dlms,
    "dlms-mbus": _dlms,
    "dlms-wrapper": _dlms,
    "dlms-apdu": _dlms,
    "p1": _p1,
    "mbus": _mbus,
    "wireless-mbus": _mbus,
    "current-cost": _current_cost,
    "mqtt": _mqtt,
}
