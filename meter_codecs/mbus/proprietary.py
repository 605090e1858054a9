# SPDX-License-Identifier: Apache-2.0
"""What some makers send in a language of their own, by name: what it says is not published.

Sources: the descriptions of wmbusmeters, and telegrams that it publishes. A name is shown to people
and decides nothing, but for the meters whose own content pretends to be records.
"""

from __future__ import annotations

from typing import Final

from meter_codecs.mbus.address import Address, decode_link_address, manufacturer_code
from meter_codecs.mbus.link import SND_IR, SND_NR

OWN_CI: Final = range(0xA0, 0xB8)
"""The CI bytes of content that is a manufacturer's own."""
RESERVED_MODES: Final = range(16, 32)
"""The security modes that no standard describes: a manufacturer's own, or no mode at all."""

_DIEHL: Final = frozenset({"DME", "EWT", "HYD", "SAP", "SPL"})
_SENDS: Final = frozenset({SND_NR, SND_IR})
_TURNED_CI: Final = frozenset({0x71, *range(0xA0, 0xA8), *range(0xB1, 0xB4)})
_SHORT: Final = 0x7A
_WATER: Final = 0x07
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


def own_address(control: int, link: Address, ci: int, mode: int) -> Address:
    """Return whose telegram a radio frame is, where its maker orders the address another way.

    Telegrams in Diehl's own language have version and medium first and the number behind them;
    Sappel's of them are of water meters, with a longer number in place of version and medium.
    """
    is_own = ci in _TURNED_CI or (ci == _SHORT and mode in RESERVED_MODES)
    if not is_own or control not in _SENDS or link.manufacturer not in _DIEHL:
        return link
    if link.manufacturer == "SAP":
        return Address(link.manufacturer_code, link.number, 0, _WATER)
    wire = link.encode_link()
    return decode_link_address(wire[:2] + wire[4:] + wire[2:4])


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
