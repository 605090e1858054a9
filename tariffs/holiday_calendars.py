# SPDX-License-Identifier: Apache-2.0
"""Named holiday calendars, resolved to dates when a tariff is compiled.

A name is a country's code, or the code of one of its subdivisions: "IT", "DE-BY", "GB-ENG". The
dates come from the package `holidays` (the extra `tariffs`). They are written into the document,
so that a tariff means the same wherever and whenever it is read.
"""

import importlib
import re
from datetime import date
from typing import Final

from tariffs.errors import MalformedTariff

NAME: Final = re.compile(r"([A-Z]{2})(?:-([A-Z0-9]{1,3}))?")


def named_holidays(name: str, first_year: int, last_year: int) -> frozenset[date]:
    """Return the holidays of those years; raise `MalformedTariff` for an unknown calendar."""
    match = NAME.fullmatch(name)
    if match is None:
        raise MalformedTariff(f"unknown holiday calendar {name!r}: write IT, DE-BY or the like")
    try:
        # Optional, and slow to import: only those who name a calendar pay for it.
        library = importlib.import_module("holidays")
    except ModuleNotFoundError as error:
        raise MalformedTariff(
            f"the holiday calendar {name!r} needs the package 'holidays'; or list the dates"
        ) from error
    years = range(first_year, last_year + 1)
    try:
        found = library.country_holidays(match[1], subdiv=match[2], years=years)
    except NotImplementedError:
        raise MalformedTariff(f"unknown holiday calendar {name!r}") from None
    return frozenset(found)
