# SPDX-License-Identifier: Apache-2.0
"""What some makers send in a language of their own, by name: what it says is not published.

Sources: the descriptions of wmbusmeters, and telegrams that it publishes. A name is shown to people
and decides nothing, but for the meters whose own content pretends to be records.
"""

from __future__ import annotations

from typing import Final

from meter_codecs.mbus.address import Address, manufacturer_code

OWN_CI: Final = range(0xA0, 0xB8)
"""The CI bytes of content that is a manufacturer's own."""
RESERVED_MODES: Final = range(16, 32)
"""The security modes that no standard describes: a manufacturer's own, or no mode at all."""

_DIEHL: Final = frozenset({"DME", "HYD", "SAP", "SPL"})
_MAKERS: Final = {
    "TCH": "Techem's own (radio 3 and 4, vario, compact, FHKV data)",
    "APA": "Apator's own",
    "APT": "Apator's own",
    "BMT": "BMeters' own",
    "LSE": "Qundis' own",
    "QDS": "Qundis' own",
} | dict.fromkeys(_DIEHL, "Diehl's own (PRIOS, of IZAR and Sappel)")
_PRETENDERS: Final = {(manufacturer_code("BFW"), 0x02, 0x08): "BFW's own (240 radio)"}
"""Whose content is no records, whatever its CI says."""


def maker_name(meter: Address | None) -> str:
    """Return whose language the own content of a meter is."""
    if meter is None:
        return "a manufacturer's own"
    return _MAKERS.get(meter.manufacturer, f"{meter.manufacturer}'s own")


def pretender(meter: Address | None) -> str | None:
    """Return whose language it is, though its CI says that records follow; None: they do."""
    if meter is None:
        return None
    return _PRETENDERS.get((meter.manufacturer_code, meter.version, meter.device_type))


def mode_name(mode: int, meter: Address | None) -> str:
    """Return what a security mode stands for that no standard describes."""
    if meter is None or mode not in RESERVED_MODES or meter.manufacturer not in _MAKERS:
        return "reserved"
    return "Diehl's own scrambling" if meter.manufacturer in _DIEHL else maker_name(meter)
