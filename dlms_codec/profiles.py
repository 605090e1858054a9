# SPDX-License-Identifier: Apache-2.0
"""What some meters do not send, because a document of their makers says it: codes, scalers, units.

A profile is used only where the whole push has the shape that its document describes, and each
value that it adds something to says so (`Meaning.profile`). Other meters get nothing added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dlms_codec.data import Data, Structure, VisibleString
from dlms_codec.numbers import UInt16, UInt32
from dlms_codec.obis import Obis
from dlms_codec.options import Quirk
from dlms_codec.push import Meaning, PushValue

WATT, VAR, WATT_HOUR, VAR_HOUR, AMPERE, VOLT = 27, 29, 30, 32, 33, 35


@dataclass(frozen=True, slots=True)
class Profile:
    """A named way to lay out a push, and who describes it.

    `complete` returns the values with what the description adds, or None if the push has another
    shape. It may look at the codes, types and lengths of all values, at the content of octets or
    text that the body begins with (but not if these are 12), and at the values of the codes that it
    `reads`: readers remember shapes.
    """

    name: str
    source: str
    complete: Callable[[Data, Sequence[PushValue], Quirk], tuple[PushValue, ...] | None]
    reads: frozenset[Obis] = frozenset()


def _row(code: str, scaler: int | None = None, unit: int | None = None) -> Meaning:
    return Meaning(Obis.parse(code), scaler, unit, profile="kaifa-norway")


_NAMES: Final = (_row("1-1:0.2.129"), _row("0-0:96.1.0"), _row("0-0:96.1.7"))
_POWERS: Final = (
    _row("1-0:1.7.0", 0, WATT), _row("1-0:2.7.0", 0, WATT),
    _row("1-0:3.7.0", 0, VAR), _row("1-0:4.7.0", 0, VAR),
)  # fmt: skip
_ONE_PHASE: Final = (_row("1-0:31.7.0", -3, AMPERE), _row("1-0:32.7.0", -1, VOLT))
_THREE_PHASES: Final = (
    *(_row(f"1-0:{group}.7.0", -3, AMPERE) for group in (31, 51, 71)),
    *(_row(f"1-0:{group}.7.0", -1, VOLT) for group in (32, 52, 72)),
)
_CLOCK: Final = _row("0-0:1.0.0")
_HOUR: Final = (
    _CLOCK,
    _row("1-0:1.8.0", 0, WATT_HOUR), _row("1-0:2.8.0", 0, WATT_HOUR),
    _row("1-0:3.8.0", 0, VAR_HOUR), _row("1-0:4.8.0", 0, VAR_HOUR),
)  # fmt: skip
_KAIFA: Final = {
    len(rows): tuple(replace(row, index=place) for place, row in enumerate(rows))
    for rows in (
        _POWERS[:1],
        _NAMES + _POWERS + _ONE_PHASE,
        _NAMES + _POWERS + _THREE_PHASES,
        _NAMES + _POWERS + _ONE_PHASE + _HOUR,
        _NAMES + _POWERS + _THREE_PHASES + _HOUR,
    )
}


def _kaifa(body: Data, values: Sequence[PushValue], quirks: Quirk) -> tuple[PushValue, ...] | None:
    """Kaifa's lists by position: one value, or the version KFM_... and what follows it."""
    rows = _KAIFA.get(len(values))
    if rows is None or not isinstance(body, Structure) or len(body) != len(rows):
        return None
    if len(rows) == 1 and Quirk.TAGGED_TIME not in quirks:
        return None  # a single number may be anyone's; this date-time is Kaifa's
    for place, (row, entry) in enumerate(zip(rows, values, strict=True)):
        value = entry.value
        if row.unit is not None:
            right = isinstance(value, UInt32)
        elif row.obis == _CLOCK.obis:
            right = type(value) is bytes and len(value) == 12
        else:
            right = type(value) is bytes and (place > 0 or value.startswith(b"KFM_"))
        if not right or entry.meaning.obis is not None:
            return None
    return tuple(PushValue(row, entry.value) for row, entry in zip(rows, values, strict=True))


_KAMSTRUP_TYPE: Final = Obis.parse("1-1:96.1.1")
_NORWEGIAN: Final = re.compile(rb"68[46]\d{4}BN\d*|0+").fullmatch
"""Types of Norwegian meters; the examples of the document have zeros in their place."""
_KAMSTRUP_NAMES: Final = ("1-1:0.0.5*255", "1-1:96.1.1*255")
_KAMSTRUP: Final = {
    "1-1:1.7.0*255": (0, WATT), "1-1:2.7.0*255": (0, WATT),
    "1-1:3.7.0*255": (0, VAR), "1-1:4.7.0*255": (0, VAR),
    "1-1:31.7.0*255": (-2, AMPERE), "1-1:51.7.0*255": (-2, AMPERE),
    "1-1:71.7.0*255": (-2, AMPERE),
    "1-1:32.7.0*255": (0, VOLT), "1-1:52.7.0*255": (0, VOLT), "1-1:72.7.0*255": (0, VOLT),
}  # fmt: skip
_KAMSTRUP_HOUR: Final = {
    "0-1:1.0.0*255": (None, None),
    "1-1:1.8.0*255": (1, WATT_HOUR), "1-1:2.8.0*255": (1, WATT_HOUR),
    "1-1:3.8.0*255": (1, VAR_HOUR), "1-1:4.8.0*255": (1, VAR_HOUR),
}  # fmt: skip
_OPTIONAL: Final = frozenset(f"1-1:{group}.7.0*255" for group in (51, 71, 52, 72))
"""What a meter of one phase lacks."""


def _kamstrup(
    body: Data, values: Sequence[PushValue], _quirks: Quirk
) -> tuple[PushValue, ...] | None:
    """Kamstrup's Norwegian lists: exactly their codes, in their order, of a Norwegian type.

    Swedish meters (type 684...AN) send the same codes with energies in Wh, and those behind current
    transformers (685...) currents in mA: what is written on them decides.
    """
    version = body[0] if isinstance(body, Structure) and body else None
    if not isinstance(version, VisibleString) or version != b"Kamstrup_V0001":
        return None
    types = [entry.value for entry in values if entry.meaning.obis == _KAMSTRUP_TYPE]
    if not all(isinstance(kind, bytes) and _NORWEGIAN(kind) for kind in types):
        return None
    codes = [str(entry.meaning.obis) for entry in values]
    seconds = [*_KAMSTRUP_NAMES, *_KAMSTRUP]
    for full in (seconds, [*seconds, *_KAMSTRUP_HOUR]):
        if codes in (full, [code for code in full if code not in _OPTIONAL]):
            break
    else:
        return None
    completed = []
    for code, entry in zip(codes, values, strict=True):
        scaler, unit = (_KAMSTRUP | _KAMSTRUP_HOUR).get(code, (None, None))
        meaning = entry.meaning
        if unit is not None and isinstance(entry.value, UInt32 | UInt16) and meaning.scaler is None:
            meaning = replace(meaning, scaler=scaler, unit=unit, profile="kamstrup-norway")
        completed.append(PushValue(meaning, entry.value))
    return tuple(completed)


PROFILES: Final = (
    Profile("kaifa-norway", "Kaifa, KFM_001 list for the Norwegian and Swedish HAN port", _kaifa),
    Profile(
        "kamstrup-norway",
        "Kamstrup, HAN-NVE interface description, lists 1 and 2",
        _kamstrup,
        frozenset({_KAMSTRUP_TYPE}),
    ),
)
"""The profiles that are known here."""
