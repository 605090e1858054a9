# SPDX-License-Identifier: Apache-2.0
"""Days of one zone under a tariff of another: they begin at other moments, and that is said."""

from datetime import datetime
from typing import Final

import rich_click as click

from protocols.canonical.day_zone import wall_zone, zone_named
from protocols.metrology import Period

DAY_SECONDS: Final = 86_400


def days_apart(period: Period, zone: str, tariff_zone: str) -> list[str]:
    """Return what is to be said where a period's days in `zone` are not those of the tariff."""
    begin, end = period.bounds(zone)
    if (begin, end) == period.bounds(tariff_zone):
        return []
    return [
        f"{period.first} to {period.last} are days of {zone}, the tariff's days are of"
        f" {tariff_zone}: there the bill is from {_local(begin, tariff_zone)} to"
        f" {_local(end, tariff_zone)}"
    ]


def days_of_another_clock(
    begin: int, end: int, tariff_zone: str, *, is_assumed: bool = True
) -> list[str]:
    """Return what is to be said of readings of whole days where the tariff's days are others.

    `is_assumed`: the file's times have no offset, and nobody has said on which clock they are.
    """
    days = zone_named(tariff_zone)
    locally = [datetime.fromtimestamp(moment, days) for moment in (begin, end)]
    if (end - begin) % DAY_SECONDS and locally[0].time() != locally[1].time():
        return []  # no whole days on any clock
    if not any(one.hour or one.minute for one in locally):
        return []
    of_utc = "" if begin % DAY_SECONDS else " of UTC"
    say = f"If the file's times are local, say --zone {wall_zone(tariff_zone)}; else say"
    return [
        f"the readings are of whole days{of_utc}, the tariff's days are of {tariff_zone}: there"
        f" the bill is from {_local(begin, tariff_zone)} to {_local(end, tariff_zone)}."
        f" {say if is_assumed else 'Say'} the days with --from and --until"
    ]


def say_notes(notes: list[str]) -> None:
    """Print what a user should look at again to stderr."""
    for note in notes:
        click.echo(f"meterlet: {note}", err=True)


def _local(moment: int, zone: str) -> str:
    return f"{datetime.fromtimestamp(moment, wall_zone(zone)):%Y-%m-%d %H:%M}"
