# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub readings quarantine`: what was set aside at the door, and what becomes of it."""

from collections import Counter
from pathlib import Path

import rich_click as click

from hub.device import Device
from hub.meters.quarantine import SetAside
from hub.quarantining import accept as accept_telegrams
from hub.quarantining import drop as drop_telegrams
from hub.text import counted, utc_text
from meterlet.commands.common import Shown, hub_option, json_or_text
from meterlet.commands.door import odd_facts
from meterlet.own_words import reason_in_own_words
from protocols.metrology import medium_of
from sml_codec import Obis


@click.group()
def readings() -> None:
    """What became of what the meter has sent."""


@readings.group()
def quarantine() -> None:
    """Telegrams that were set aside, and why; nothing of them is lost until you drop it."""


@quarantine.command("list")
@hub_option
@json_or_text("meterlet.hub.readings.quarantine.list/1")
def list_telegrams(folder: Path) -> Shown:
    """Show the telegrams that are set aside, each with its number and the reason."""
    with Device.open(folder) as device:
        waiting, beyond = device.quarantine.all(), device.quarantine.beyond()
    facts = {
        "set_aside": [{"number": one.number, **odd_facts(one.telegram)} for one in waiting],
        "beyond": beyond,
    }
    lines = [_line(one) for one in waiting]
    if beyond:
        lines.append(f"{beyond:,} more came when there was no more room; they are not kept")
    kinds = Counter(one.telegram.kind for one in waiting)
    total = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    lines.append(f"{len(waiting)} set aside" + (f": {total}" if total else ""))
    return facts, lines


def _line(one: SetAside) -> str:
    telegram = one.telegram
    moment = telegram.arrival if telegram.time is None else telegram.time
    shown = ", ".join(
        f"{Obis(code)} {steps:,} {medium_of(code).step}"
        for code, steps in telegram.registers.items()
    )
    return f"{one.number:5} {utc_text(moment)}  {shown}: {reason_in_own_words(telegram.reason)}"


def _chosen(device: Device, numbers: tuple[int, ...], every: bool) -> list[int]:
    if bool(numbers) == every:
        raise click.UsageError("say which: their numbers, or --all")
    if not every:
        return list(numbers)
    return [one.number for one in device.quarantine.all()]


_numbers = click.argument(
    "numbers",
    type=click.IntRange(1),
    nargs=-1,
    metavar="[NUMBER]...",
    help="Numbers that `list` shows.",
)
_all = click.option("--all", "every", is_flag=True, help="All that are set aside.")


@quarantine.command()
@hub_option
@_numbers
@_all
@json_or_text("meterlet.hub.readings.quarantine.accept/1")
def accept(folder: Path, numbers: tuple[int, ...], every: bool) -> Shown:
    """Make readings of telegrams NUMBER, at your word; all of them or none.

    What is later than the last reading is stored, whatever the fuse says. What is earlier is a
    correction of a day that is certified already.
    """
    with Device.open(folder) as device:
        done = accept_telegrams(device, _chosen(device, numbers, every))
    facts = {"stored": done.stored, "corrected": done.corrected, "days_certified": done.days}
    text = (
        f"{done.stored} stored, {done.corrected} corrected, {counted(done.days, 'day')} certified"
    )
    return facts, text


@quarantine.command()
@hub_option
@_numbers
@_all
@json_or_text("meterlet.hub.readings.quarantine.drop/1")
def drop(folder: Path, numbers: tuple[int, ...], every: bool) -> Shown:
    """Forget telegrams NUMBER for good."""
    with Device.open(folder) as device:
        number = drop_telegrams(device, _chosen(device, numbers, every))
    return {"dropped": number}, f"{number} dropped"
