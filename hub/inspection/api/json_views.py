# SPDX-License-Identifier: Apache-2.0
"""The views as JSON has them: typed models for the command line, the pages and the interface.

A model takes its members from the attributes of a view and converts them: moments from epoch
seconds, buckets and records one by one. `as_json` is what is printed or sent. The OpenAPI document
is made from the same models, each under its class's name without `Json`.

Here is what they have in common; each kind of view has a module: `json_readings`, `json_meters`,
`json_releases`, `json_bills`.
"""

from collections.abc import Sequence
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from msgspec import UNSET, Meta, Struct, UnsetType, convert, field, to_builtins
from msgspec.structs import fields

from hub.inspection.views.meters import MeterSwap
from hub.text import local_day
from protocols.metrology import Medium, Period

Unit = Literal["Wh", "l"]
Moment = Annotated[datetime, Meta(tz=True)]
_fields = cache(fields)  # looked up for every bucket


class JsonView(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"begin": "from", "end": "until"},
):
    """A view as JSON has it."""

    @classmethod
    def of(cls, view: object, **members: object) -> Self:
        """Return the model of a view: some members as given here, the others its attributes.

        Raises `msgspec.ValidationError` where one is not what the model says.
        """
        values = {
            member.encode_name: members[member.name]
            if member.name in members
            else getattr(view, member.name)
            for member in _fields(cls)
            if members.get(member.name, member.default) is not UNSET
        }
        # Not strict: epoch seconds become moments.
        return convert(values, cls, strict=False, from_attributes=True)

    def as_json(self) -> dict[str, Any]:
        """Return the members by name; whole numbers are of any length."""
        members: dict[str, Any] = to_builtins(self)
        return members


class ErrorJson(JsonView, frozen=True):
    """Why there is no answer."""

    error: str


class MoneyJson(JsonView, frozen=True):
    """An amount, exact and to the cent."""

    exact: int
    decimals: int = field(name="exact_decimals")
    to_cents: str = field(name="rounded")
    currency: str


class CorrectedDayJson(JsonView, frozen=True):
    """A day whose readings came late or were replaced."""

    day: date
    slots: int
    """How many of its slots were corrected."""


class ExchangeJson(JsonView, frozen=True):
    """A meter that was exchanged for another."""

    time: Moment
    old_meter: str
    new_meter: str
    end_wh: int
    start_wh: int


def exchanges_json(swaps: Sequence[MeterSwap]) -> list[ExchangeJson] | UnsetType:
    """Return the exchanges; the member is there where there are any."""
    return [
        ExchangeJson.of(swap, old_meter=swap.old_meter.hex(), new_meter=swap.new_meter.hex())
        for swap in swaps
    ] or UNSET


def medium_facts(medium: Medium) -> dict[str, str]:
    """Return what a meter measures, and the unit of its registers' steps."""
    return {"medium": str(medium), "unit": medium.step}


def period_days(period: Period) -> dict[str, date]:
    """Return the first and the last local day of a period."""
    return {"first_day": period.first, "last_day": period.last}


def local_days(begin: int, end: int, zone: ZoneInfo) -> dict[str, str]:
    """Return the first and the last local day of [begin, end)."""
    return {"first_day": local_day(begin, zone), "last_day": local_day(end - 1, zone)}
