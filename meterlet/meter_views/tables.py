# SPDX-License-Identifier: Apache-2.0
"""What a meter says, as a table for people: a line a value, scaled, with what it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from meterlet.meter_views.events import Event

LONGEST: Final = 96
"""Letters of a value that is no number."""
_MEANINGS: Final = {
    (1, 1, 8): "energy drawn",
    (1, 2, 8): "energy fed in",
    (1, 3, 8): "reactive energy drawn",
    (1, 4, 8): "reactive energy fed in",
    (1, 1, 7): "power drawn",
    (1, 2, 7): "power fed in",
    (1, 16, 7): "power, drawn less fed in",
    (1, 3, 7): "reactive power drawn",
    (1, 4, 7): "reactive power fed in",
    (1, 31, 7): "current, phase 1",
    (1, 51, 7): "current, phase 2",
    (1, 71, 7): "current, phase 3",
    (1, 32, 7): "voltage, phase 1",
    (1, 52, 7): "voltage, phase 2",
    (1, 72, 7): "voltage, phase 3",
    (1, 13, 7): "power factor",
    (1, 14, 7): "frequency",
    (7, 3, 0): "volume of gas",
    (8, 1, 0): "volume of cold water",
    (9, 1, 0): "volume of hot water",
    (6, 1, 0): "heat",
    (0, 1, 0): "clock",
    (0, 96, 1): "identification",
    (0, 42, 0): "name of the meter",
    (0, 24, 2): "meter behind the port",
}
_FACETS: Final = ("of", "tariff", "storage", "subunit", "sensor", "channel", "period", "age")
_FAULTS: Final = {
    "no-key": "the key is missing",
    "wrong-key": "the key is wrong",
    "wrong-authentication-key": "the encryption key is right, the tag is wrong",
    "unsupported-mode": "the key does not matter, the mode is not read",
    "checksum": "damaged on its way",
    "cut": "cut off",
    "incomplete": "a part is missing",
    "noise": "noise",
    "malformed": "does not add up",
    "unknown-format": "needs a full telegram first",
    "unread-content": "whole, and in a language that is not read",
}
_OCTETS: Final = re.compile(r"(?:[0-9a-fA-F]{2}){3,64}", re.ASCII)
_OWN_SHOWN: Final = 64
_SEALED: Final = {True: ", tag right", False: ", TAG WRONG", None: ""}


def fault_text(event: Event) -> str:
    """Return what is wrong in plain words, with the reason."""
    reason = event.get("reason") or event.get("error") or "it cannot be read"
    said = _FAULTS.get(event.get("fault", ""), "not read")
    _, _, last = said.rpartition(", ")
    return f"{said}: {reason.removeprefix(f'{last}: ')}"


def telegram_lines(view: Event) -> Iterator[str]:
    """Yield the lines of a telegram: who, when, and a line a value."""
    said = [f"byte {view['offset']}", view["protocol"]]
    said += [f"meter {view['meter']}"] if view["meter"] else []
    said += [view["medium"]] if view.get("medium") else []
    said += [view["time"]] if view["time"] else []
    if view["encrypted"]:
        said.append(f"enciphered{_SEALED[view['authenticated']]}")
    yield "  ".join(said)
    if "apdu" in view:
        yield f"  {_dialogue_text(view['apdu'], with_error=not view.get('error'))}"
    if view.get("error"):
        yield f"  {fault_text(view)}"
    values = view["values"] or []
    texts = [(_name(value), number_text(value), _remark(value)) for value in values]
    wide = max((len(name) for name, _, _ in texts), default=0)
    long = max((len(text) for _, text, _ in texts if len(text) <= 24), default=0)
    for name, text, remark in texts:
        yield f"  {name:{wide}}  {text:>{long}}  {remark}".rstrip()
    own = view.get("manufacturer_data", "")
    if own:
        rest = "" if len(own) <= _OWN_SHOWN else f"... ({len(own) // 2} bytes)"
        yield f"  the maker's own, not read: {own[:_OWN_SHOWN]}{rest}"
    elif not (texts or view.get("error") or "apdu" in view):
        yield "  no values"


def number_text(value: Mapping[str, Any]) -> str:
    """Return a value as people read it, scaled, with its unit."""
    number, scaler, unit = value["value"], value.get("scaler"), value.get("unit")
    if isinstance(number, bool) or not isinstance(number, int | float):
        text = number if isinstance(number, str) else json.dumps(number)
        text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
        text = "".join(letter if letter.isprintable() else "�" for letter in text)
    elif isinstance(number, float):
        text = f"{number * 10.0 ** (scaler or 0):g}"
    else:
        text = f"{Decimal(number).scaleb(scaler or 0):f}"
    return f"{text} {unit}" if unit else text


def _name(value: Mapping[str, Any]) -> str:
    name = value.get("obis") or value.get("name")
    if name is None:
        return f"value {value['index']}" if value.get("index") is not None else "value"
    return str(name).removesuffix("*255")


def _remark(value: Mapping[str, Any]) -> str:
    said = [meaning_of(value["obis"])] if value.get("obis") else []
    said += [f"{facet} {value[facet]}" for facet in _FACETS if value.get(facet)]
    said += [_letters(value["value"])]
    if value.get("function") not in (None, "instantaneous"):
        said.append(value["function"])
    said += [value["time"]] if value.get("time") else []
    return ", ".join(part for part in said if part)


def _letters(value: object) -> str:
    """Return the letters that octets in hex stand for, where they all are some."""
    if not isinstance(value, str) or not _OCTETS.fullmatch(value):
        return ""
    data = bytes.fromhex(value).rstrip(b"\0 ")
    text = data.decode("latin-1")
    return f'"{text}"' if len(data) > 2 and data.isascii() and text.isprintable() else ""


def meaning_of(obis: str) -> str:
    """Return what an OBIS code stands for, where it is one of the common."""
    codes = obis.removesuffix("*255").replace(":", ".").replace("-", ".").split(".")
    try:
        numbers = [int(code) for code in codes]
    except ValueError:
        return ""
    if len(numbers) == 3:
        numbers = [1, 0, *numbers]
    if len(numbers) != 5:
        return ""
    medium, _, c, d, e = numbers
    meaning = _MEANINGS.get((medium, c, d))
    if meaning and d == 8 and e:
        return f"{meaning}, tariff {e}"
    return meaning or ""


def _dialogue_text(apdu: Mapping[str, Any], *, with_error: bool) -> str:
    """Return a message in one line; its error is apart where the message could not be read."""
    hidden = {"apdu"} if with_error else {"apdu", "error"}
    rest = [
        f"{name} {member if isinstance(member, str | int) else json.dumps(member)}"
        for name, member in apdu.items()
        if name not in hidden and member is not None
    ]
    text = "  ".join([str(apdu["apdu"]), *rest])
    return text if len(text) <= 2 * LONGEST else f"{text[: 2 * LONGEST - 1]}…"
