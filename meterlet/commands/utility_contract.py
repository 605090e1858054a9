# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility contract`: moving in and out, and which days of a contract are billed."""

from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import rich_click as click

from applets.billing.statement import LEAST_DAYS
from meterlet.commands.common import DAY, Hex, Shown, json_or_text, utility_option
from protocols.metrology import Period, date_at, find_zone
from utility_server.retail.contracts import Contract, Cycle, Progress
from utility_server.retail.utility import Utility

FIRST_OF_ALL: Final = "2000-01-01"

meter_argument = click.argument(
    "meter", type=Hex(), help="The meter's server identification in hex."
)


@click.group()
def contract() -> None:
    """Contracts: from which local day to which a meter is a customer's."""


@contract.command("open")
@utility_option
@meter_argument
@click.option("--from", "first", type=DAY, required=True, help="The first local day.")
@json_or_text("meterlet.utility.contract/1")
def open_contract(folder: Path, meter: bytes, first: datetime) -> Shown:
    """Open a contract for METER: who moves in is asked about no day before."""
    with Utility.open(folder) as utility:
        return _shown(utility.contracts.open(meter, first.date()))


@contract.command("close")
@utility_option
@meter_argument
@click.option("--until", "last", type=DAY, required=True, help="The last local day.")
@json_or_text("meterlet.utility.contract/1")
def close_contract(folder: Path, meter: bytes, last: datetime) -> Shown:
    """Close the contract of METER: who moves out is asked about no day after.

    The days up to the last one may still be billed. Said again, it sets another last day.
    """
    with Utility.open(folder) as utility:
        return _shown(utility.contracts.close(meter, last.date()))


@contract.command("drop")
@utility_option
@meter_argument
@click.argument(
    "account",
    type=Hex(),
    help="The contract's account in hex; `meterlet utility contract list` shows it.",
)
@json_or_text("meterlet.utility.contract/1")
def drop_contract(folder: Path, meter: bytes, account: bytes) -> Shown:
    """Forget the contract ACCOUNT of METER, which was opened by mistake and has no bill."""
    with Utility.open(folder) as utility:
        dropped = utility.contracts.drop(meter, account)
    return _facts(dropped), f"meter {meter.hex()}: forgot the contract {dropped}"


@contract.command("list")
@utility_option
@json_or_text("meterlet.utility.contracts/1")
def list_contracts(folder: Path) -> Shown:
    """List the contracts of all enrolled meters."""
    with Utility.open(folder) as utility:
        found = [
            one for meter in utility.customers.meters() for one in utility.contracts.of_meter(meter)
        ]
    lines = [f"{one.meter.hex()}  {one.account.hex()}  {one}" for one in found]
    return {"contracts": [_facts(one) for one in found]}, lines or "no meter is enrolled"


@contract.command("show")
@utility_option
@meter_argument
@click.option(
    "--cycle", type=click.Choice([cycle.value for cycle in Cycle]), default=Cycle.MONTH.value,
    show_default=True, help="How often it is billed.",
)  # fmt: skip
@click.option(
    "--begins", type=DAY, default=FIRST_OF_ALL, show_default=True,
    help="A day on which a cycle begins, as 2025-04-10 for the 10th.",
)  # fmt: skip
@click.option(
    "--least-days", type=click.IntRange(1, 366), default=LEAST_DAYS, show_default=True,
    help="Of how many days hubs tell at least: fewer go with the days before or after.",
)  # fmt: skip
@json_or_text("meterlet.utility.contract.progress/1")
def show_contract(
    folder: Path, meter: bytes, cycle: str, begins: datetime, least_days: int
) -> Shown:
    """Show which days of METER are billed and which are not, and what is to be billed next."""
    with Utility.open(folder) as utility:
        today = date_at(utility.now(), find_zone(utility.customers.zone(meter)))
        found = [
            utility.contracts.progress(one, today) for one in utility.contracts.of_meter(meter)
        ]
    facts, lines = [], list[str]()
    for progress in found:
        due = progress.due(Cycle(cycle), begins.date(), least_days)
        facts.append(_progress_facts(progress, due))
        lines += _progress_lines(progress, due)
    return {"meter": meter.hex(), "contracts": facts}, lines


def _facts(one: Contract) -> dict[str, Any]:
    return {
        "meter": one.meter.hex(),
        "account": one.account.hex(),
        "from": _text(one.first),
        "until": _text(one.last),
        "on_record": not one.is_implicit,
    }


def _shown(one: Contract) -> Shown:
    return _facts(one), f"meter {one.meter.hex()}: contract {one.account.hex()} {one}"


def _text(day: date | None) -> str | None:
    return None if day is None else str(day)


def _days(period: Period) -> dict[str, str]:
    return {"from": str(period.first), "until": str(period.last)}


def _progress_facts(progress: Progress, due: Period | None) -> dict[str, Any]:
    next_one = None if due is None else {**_days(due), "is_over": progress.is_over(due)}
    return {
        **_facts(progress.contract),
        "billed": [_days(period) for period in progress.billed],
        "void": [_days(period) for period in progress.void],
        "unbilled": [_days(period) for period in progress.unbilled],
        "next": next_one,
        **({} if progress.unsettled is None else {"unsettled": _days(progress.unsettled)}),
    }


def _progress_lines(progress: Progress, due: Period | None) -> list[str]:
    lines = [f"contract {progress.contract.account.hex()} {progress.contract}"]
    stretches = (
        ("billed", progress.billed, ""),
        ("void", progress.void, ", whose bill went on from one that was replaced: ask again"),
        ("not billed", progress.unbilled, ""),
    )
    for what, periods, more in stretches:
        lines += [f"  {what:10}  {period.first} to {period.last}{more}" for period in periods]
    if due is not None:
        when = "is due" if progress.is_over(due) else f"is due after {due.last}"
        lines.append(f"  next        {due.first} to {due.last}, which {when}")
    elif progress.unsettled is not None:
        again = progress.unsettled
        lines.append(
            f"  not settled {again.first} to {again.last}, billed before the contract was closed:"
            " ask for its bill again, which is the last one"
        )
    elif progress.billed:
        lines.append("  every day is billed")
    else:
        lines.append("  nothing is billed yet")
    return lines
