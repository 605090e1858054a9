# SPDX-License-Identifier: Apache-2.0
"""Writes TOML as people would, and reads the JSON that importers are given."""

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from tariffs.errors import MalformedTariff

DAY_MINUTES: Final = 24 * 60


def read_json(text: str) -> Any:
    """Return the value of a JSON text; numbers with a point are `Decimal`, exactly as written."""
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise MalformedTariff(f"not JSON: {error}") from None


def quoted(text: str) -> str:
    """Return a TOML string."""
    return json.dumps(text, ensure_ascii=False)


def decimal_text(value: Decimal | int | str, shift: int = 0, places: int = 6) -> str:
    """Return a quoted decimal of `value` x 10^`shift`; refuse more decimals than `places`."""
    number = Decimal(value).scaleb(shift)
    if not number.is_finite() or number != round(number, places):
        raise MalformedTariff(f"{value} has more than {places} decimals, or is no number")
    return quoted(f"{number.normalize():f}")


def slug(*parts: object) -> str:
    """Return a name for a tariff made of words and numbers."""
    return "-".join(re.findall(r"[a-z0-9]+", " ".join(map(str, parts)).lower()))


def heading(
    name: str,
    currency: str,
    zone: str,
    first: str | None,
    until: str | None,
    *,
    comments: Iterable[str] = (),
    more: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the first lines of a source; without dates its versions say when it is valid."""
    lines = [f"# {comment}" for comment in comments]
    lines += [
        "format = 1",
        f"name = {quoted(name)}",
        "revision = 1",
        f"currency = {quoted(currency)}",
        f"zone = {quoted(zone)}",
    ]
    if first and until:
        lines += [f"valid_from = {first}", f"valid_until = {until}"]
    lines.append('rounding = { rule = "half-up", decimals = 2 }')
    return lines + [f"{key} = {value}" for key, value in (more or {}).items()]


def minute_ranges(begin: str, until: str) -> list[str]:
    """Return "22:00", "07:00" as the ranges of one day, over midnight as two; equal: all day."""
    begin, until = begin.replace(" ", ""), until.replace(" ", "")
    until = "24:00" if until == "00:00" else until
    if (begin, until) == ("24:00", "24:00"):
        begin = "00:00"
    if begin < until:
        return [f"{begin}-{until}"]
    return [f"00:00-{until}", f"{begin}-24:00"]
