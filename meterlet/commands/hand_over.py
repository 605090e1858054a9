# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub exchange-meter` and `hand-over`: another meter, another resident, another home."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import rich_click as click

from hub.custody import HandOver, move, plan_hand_over, plan_move
from hub.custody import hand_over as hand_hub_over
from hub.device import Device, DeviceError
from hub.quarantining import take_new_meter
from hub.service.lock import held
from hub.text import counted, utc_text
from meterlet.commands.beside_service import require_no_service
from meterlet.commands.common import DAY, Hex, Shown, hub_option, json_or_text
from meterlet.commands.hub_meters import meter_of, of_option
from meterlet.commands.own_commands import with_said_folders
from sml_codec import Obis

SCHEMA: Final = "meterlet.hub.hand-over/1"
WORDS: Final = {
    "readings": "readings",
    "set_aside": "telegrams that are set aside",
    "certified_days": "certified days, each register's",
    "log_entries": "entries of the log",
    "consents": "consents",
    "applets": "applets, with their channels' keys",
    "kept_by_applets": "things that applets keep, such as invoices and tariffs",
    "answers": "answers that were kept",
}


@click.command("exchange-meter")
@hub_option
@click.option("--at", required=True, type=click.DateTime(), help="When the new one began (UTC).")
@click.option("--meter", required=True, type=Hex(), help="The new meter's id, in hex.")
@click.option(
    "--register",
    "registers",
    multiple=True,
    required=True,
    metavar="[OBIS=]END:START",
    help="What the old meter showed last and the new one first, in Wh or litres; for each.",
)
@of_option
@json_or_text("meterlet.hub.exchange-meter/1")
def exchange_meter(
    folder: Path, at: datetime, meter: bytes, registers: tuple[str, ...], of: str | None
) -> Shown:
    """Record that another meter counts from now on; its readings then follow.

    The same meter is an exchange, too, where its registers begin anew: say its own id again.
    Say it before readings after it are certified. The certifier signs it with the day, and bills
    go on across it. What was set aside of the new meter since then is stored. --at is UTC, as
    2025-03-03T10:07:00. Which meter of the hub it is is told by the registers, or by --of.
    """
    with Device.open(folder) as home:
        device = meter_of(home, of) if of is not None else _meter_exchanged(home, registers)
        shown = dict(_exchanged(device, text) for text in registers)
        with device.database.transaction():
            device.exchange_meter(int(at.replace(tzinfo=UTC).timestamp()), meter, shown)
            taken = take_new_meter(device)
            device.certify()
    facts: dict[str, Any] = {
        "meter": meter.hex(),
        "at": utc_text(int(at.replace(tzinfo=UTC).timestamp())),
        **({"readings": taken} if taken else {}),
    }
    were, are = ("was", "is") if taken == 1 else ("were", "are")
    aside = f"; {counted(taken, 'reading')} of it that {were} set aside {are} stored"
    said = aside if taken else ""
    return facts, f"meter {facts['meter']} counts from {facts['at']} on{said}"


def _meter_exchanged(home: Device, registers: tuple[str, ...]) -> Device:
    """Return the meter that has the registers that are named; the hub's own where none is."""
    for text in registers:
        code, given, _ = text.rpartition("=")
        if given:
            with suppress(ValueError, DeviceError):  # which is told when all are read
                return home.meter_of(Obis.parse(code).code)
    return home


def _exchanged(device: Device, text: str) -> tuple[bytes, tuple[int, int]]:
    """Return which register `[OBIS=]END:START` is about, and both numbers."""
    code, given, numbers = text.rpartition("=")
    end, _, start = numbers.partition(":")
    try:
        register = Obis.parse(code).code if given else device.description.register
        if not (end.isascii() and end.isdigit() and start.isascii() and start.isdigit()):
            raise ValueError(f"{text}: not [OBIS=]END:START in whole watt-hours or litres")
        return register, (int(end), int(start))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@click.command("hand-over")
@hub_option
@click.option(
    "--first-day", "first", type=DAY, help="The first day of the new custody, to be sure."
)
@click.option("--meter", type=Hex(), help="Another home: the id of the meter there, in hex.")
@click.option(
    "--register",
    "registers",
    metavar="OBIS",
    multiple=True,
    help="With --meter: a register that the hub is for there; by default as before. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--abandon-rounds", is_flag=True, help="Even if sums over households are under way."
)  # fmt: skip
@json_or_text(SCHEMA)
def hand_over(
    folder: Path,
    first: datetime | None,
    meter: bytes | None,
    registers: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    abandon_rounds: bool,
) -> Shown:
    """Hand the hub over: to whoever moves in, or, with --meter, to a home with another meter.

    Readings, certified days, consents, applets and what they keep, the log's entries and the
    accounts of the pages go for good. Take copies first: `meterlet inspect export readings`.

    With the same meter, the chain of certified days goes on: the first day that is not certified
    yet is the first of the new custody. At another meter the hub begins anew, with new keys. If it
    is cut off, the hub is as before or as after.
    """
    if meter is not None and first is not None:
        raise click.UsageError("--first-day is for the same meter; at another one all begins anew")
    if registers and meter is None:
        raise click.UsageError("--register is for another meter: say --meter as well")
    try:
        codes = tuple(Obis.parse(register).code for register in registers)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    day = None if first is None else first.date()
    require_no_service(folder, "hand the hub over")
    with Device.open(folder) as device:
        if meter is not None:
            plan = plan_move(device, meter, codes)
        else:
            with device.database.transaction():
                device.certify()
            plan = plan_hand_over(device, day)
    if dry_run:
        return {**_facts(plan), "done": False}, ["this would go for good:", *_lines(plan)]
    if not yes:
        for line in ("This goes for good:", *_lines(plan)):
            click.echo(line, err=True)
        click.echo(
            with_said_folders("Copies of readings: `meterlet inspect export readings`."), err=True
        )
        click.confirm("Hand the hub over?", abort=True, err=True)
    with held(folder):  # no service begins meanwhile
        done = _done(folder, meter, codes, plan, abandon_rounds=abandon_rounds)
    return {**_facts(done), "done": True}, _said(done)


def _done(
    folder: Path,
    meter: bytes | None,
    codes: tuple[bytes, ...],
    plan: HandOver,
    *,
    abandon_rounds: bool,
) -> HandOver:
    if meter is not None:
        return move(folder, meter, codes, abandon_rounds=abandon_rounds)
    return hand_hub_over(folder, plan.first_day, abandon_rounds=abandon_rounds)


def _facts(plan: HandOver) -> dict[str, Any]:
    return {
        "meter": plan.meter.hex(),
        "first_day": None if plan.first_day is None else plan.first_day.isoformat(),
        "custody": plan.custody.hex() or None,
        "goes": dict(plan.goes),
        "readings_kept": plan.stays,
    }


def _lines(plan: HandOver) -> list[str]:
    lines = [f"  {number:9,} {WORDS[name]}" for name, number in plan.goes.items()]
    lines.append("            accounts, sessions and tokens of the pages, and who has connected")
    if plan.first_day is not None:
        first = f"the custody begins with {plan.first_day}"
        lines.append(f"{first}; {plan.stays:,} of its readings stay")
    return lines


def _said(done: HandOver) -> list[str]:
    if done.first_day is None:
        first = f"the hub is for meter {done.meter.hex()} now, with new keys"
    else:
        first = f"a new custody of meter {done.meter.hex()} begins with {done.first_day}"
    return [first, "no applet is installed and nobody has a consent"]
