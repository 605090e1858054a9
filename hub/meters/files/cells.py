# SPDX-License-Identifier: Apache-2.0
"""Decimals and units of the cells of a file.

A number has one decimal mark, which is a point or a comma for the whole file, and may have groups
of three digits. More than twelve decimals are what a program's floating-point numbers leave behind:
such a number is rounded to nine, which is less than a meter counts.
"""

import re
from collections.abc import Iterable
from enum import Enum
from fractions import Fraction
from typing import Final

POINT, COMMA = ".", ","
_PLAIN: Final = re.compile(r"\d{1,12}(?:\.\d{1,40})?(?:[eE]-\d{1,2})?", re.ASCII)
_GROUPED: Final = {
    POINT: re.compile(r"\d{1,3}(?:([,' \u00a0\u202f])\d{3})(?:\1\d{3})*(?:\.\d+)?", re.ASCII),
    COMMA: re.compile(r"\d{1,3}(?:([.' \u00a0\u202f])\d{3})(?:\1\d{3})*(?:,\d+)?", re.ASCII),
}
_GROUP_MARKS: Final = {POINT: str.maketrans("", "", ",' \u00a0\u202f"),
                       COMMA: str.maketrans("", "", ".' \u00a0\u202f")}  # fmt: skip
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
EXACT_DECIMALS: Final = 12
KEPT_DECIMALS: Final = 9


class EnergyUnit(Enum):
    """What a cell counts."""

    KWH = "kWh"
    WH = "Wh"
    KW = "kW"
    W = "W"
    M3 = "m3"
    L = "l"

    def watt_hours(self, value: Fraction, seconds: int) -> Fraction:
        """Return the energy of one interval of that many seconds; of a volume, the litres."""
        match self:
            case EnergyUnit.KWH:
                return value * 1000
            case EnergyUnit.WH:
                return value
            case EnergyUnit.KW:
                return value * 1000 * Fraction(seconds, 3600)
            case EnergyUnit.W:
                return value * Fraction(seconds, 3600)
            case EnergyUnit.M3:
                return value * 1000
            case EnergyUnit.L:
                return value

    @property
    def is_volume(self) -> bool:
        """Whether it counts volume, not energy."""
        return self in (EnergyUnit.M3, EnergyUnit.L)

    @property
    def is_power(self) -> bool:
        """Whether it counts power, not energy."""
        return self in (EnergyUnit.KW, EnergyUnit.W)


def unit_named(name: str) -> EnergyUnit | None:
    """Return the unit at the end of a column's name, as in `Usage (kWh)`; None if there is none."""
    match = re.search(r"(?:^|[\s(\[_])(kwh|wh|kw|w|m3|m³)[)\]]?$", name.strip(), re.IGNORECASE)
    if match is None:
        return None
    return {u.value.lower(): u for u in EnergyUnit}[match[1].lower().replace("³", "3")]


def parse_decimal(text: str, mark: str) -> tuple[Fraction, bool]:
    """Return a number of at least 0, and whether it was rounded; raise `ValueError` for others."""
    plain = text
    if _GROUPED[mark].fullmatch(text):
        plain = text.translate(_GROUP_MARKS[mark])
    if mark == COMMA:
        if POINT in plain:
            raise ValueError(text)
        plain = plain.replace(COMMA, POINT)
    if not _PLAIN.fullmatch(plain):
        raise ValueError(text)
    value = Fraction(plain)
    if len(plain.partition(POINT)[2]) <= EXACT_DECIMALS and "e" not in plain.lower():
        return value, False
    if (value * 10**EXACT_DECIMALS).denominator == 1:
        return value, False
    return Fraction(round(value * 10**KEPT_DECIMALS), 10**KEPT_DECIMALS), True


def about_sign(cell: str) -> str:
    """Return what to do about a cell that is negative, as part of a sentence; else nothing."""
    if not re.match(r"[-\N{MINUS SIGN}]\s*[\d.,]", cell.strip()):
        return ""
    return "; what is fed in has a column of its own: --feed-in-column"


def decimal_mark(cells: Iterable[str], separator: str) -> str | None:
    """Return the decimal mark that cells have; None where both would be possible."""
    marked = [cell for cell in cells if POINT in cell or COMMA in cell]
    for cell in marked:
        if POINT in cell and COMMA in cell:
            return max(POINT, COMMA, key=cell.rindex)
    commas, points = ([c for c in marked if mark in c] for mark in (COMMA, POINT))
    if commas and points:
        return None
    if commas:
        return None if all(map(_THOUSANDS.fullmatch, commas)) else COMMA
    if points and separator == ";" and all(map(_THOUSANDS.fullmatch, points)):
        return None
    return POINT
