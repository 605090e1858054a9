# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility settle`: what suppliers' customers used, at the grid's prices, to the penny."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import rich_click as click
from rich.console import Console
from rich.progress import Progress

from cli.common import (
    Exit,
    fail,
    json_option,
    month_option,
    one_line_errors,
    print_json,
    utility_option,
)
from cli.index import load_index
from protocols.metrology import Period
from utility_server.errors import CannotVerify, ChannelBroken, HubRefused, VerificationFailed
from utility_server.head_end import Address, HeadEnd
from utility_server.office import Utility
from utility_server.settlement import Member, Settlement, Unsettled
from utility_server.settlement import settle as settle_all

__all__ = ["settle"]

FILE: Final = click.Path(path_type=Path, dir_okay=False)
COLUMNS: Final = ["meter", "supplier", "hub"]
MOST_NAME: Final = 60
WORST: Final = (Exit.UNVERIFIABLE, Exit.FORBIDDEN, Exit.REFUTED)


@click.command()
@utility_option
@month_option
@click.option("--index", "index_file", type=FILE, required=True, help="The price index.")
@click.option(
    "--customers", type=FILE, required=True,
    help="A CSV file: meter (hex), supplier, hub (HOST:PORT).",
)  # fmt: skip
@json_option
def settle(
    folder: Path, month: Period | None, index_file: Path, customers: Path, as_json: bool
) -> None:
    """Settle a month: ask each customer's hub, verify, and share the sum out to the suppliers.

    Exit code 3 if an answer is wrong, 5 if a consent is lacking, 4 if an answer is not to be had;
    what could be settled is printed all the same, as provisional.
    """
    if month is None:
        raise click.UsageError("say which --month")
    with one_line_errors(), Utility.open(folder) as office:
        found, signature = load_index(index_file)
        if signature != "not signed":
            load_index(index_file, office.folder / "public.pem")
        members, head_end = _members(customers), HeadEnd(office.randomness)
        with _bar(len(members)) as progress:
            done = settle_all(office, found, month, members, head_end, progress)
    facts = _facts(done, month)
    facts["bytes_sent"], facts["bytes_received"] = head_end.traffic.sent, head_end.traffic.received
    if as_json:
        print_json("meterlet.utility.settle/1", facts)
    else:
        _show(facts)
    if done.unsettled:
        first = done.unsettled[0]
        fail(
            f"{len(done.unsettled)} customers are not settled; {first.member.meter.hex()}:"
            f" {first.error}",
            max(map(_code, done.unsettled), key=WORST.index),
        )


def _code(one: Unsettled) -> Exit:
    if isinstance(one.error, VerificationFailed | ChannelBroken):
        return Exit.REFUTED
    if isinstance(one.error, HubRefused) and one.error.status_word in (0x6985, 0x6983):
        return Exit.FORBIDDEN
    return Exit.UNVERIFIABLE


def _members(path: Path) -> list[Member]:
    with path.open(newline="", encoding="utf-8") as file:
        try:
            rows = list(csv.reader(file, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise CannotVerify(f"{path}: not CSV: {error}") from None
    if not rows or rows[0] != COLUMNS:
        raise CannotVerify(f"{path}:1: the header is {','.join(COLUMNS)}")
    members = []
    for number, row in enumerate(rows[1:], 2):
        try:
            meter, supplier, hub = row
            if not 1 <= len(supplier) <= MOST_NAME or not supplier.isprintable():
                raise ValueError
            members.append(Member(bytes.fromhex(meter), supplier, Address.parse(hub)))
        except ValueError:
            raise CannotVerify(f"{path}:{number}: not meter, supplier, hub") from None
    return members


def _facts(done: Settlement, month: Period) -> dict[str, Any]:
    shares = done.shares if done.settled else {}
    exact = done.exact
    return {
        "from": str(month.first),
        "until": str(month.last),
        "series": done.index.series,
        "revision": done.index.version,
        "currency": done.index.currency,
        "suppliers": {
            name: {
                "share": _money(shares[name]),
                "exact": str(exact[name]),
                "customers": sum(one.member.supplier == name for one in done.settled),
            }
            for name in exact
        },
        "total": _money(sum(shares.values())),
        "total_exact": str(sum(exact.values())),
        "exact_decimals": 9,
        "settled": len(done.settled),
        "missing_slots": sum(len(one.period.missing) for one in done.settled),
        "unsettled": [
            {"meter": one.member.meter.hex(), "why": str(one.error)} for one in done.unsettled
        ],
        "provisional": bool(done.unsettled) or any(one.period.missing for one in done.settled),
    }


def _money(pennies: int) -> str:
    sign = "-" if pennies < 0 else ""
    return f"{sign}{abs(pennies) // 100}.{abs(pennies) % 100:02}"


def _show(facts: dict[str, Any]) -> None:
    for name, share in facts["suppliers"].items():
        click.echo(f"{name}: {share['share']} {facts['currency']}, {share['customers']} customers")
    click.echo(
        f"verified: {facts['settled']} customers, {facts['total']} {facts['currency']} at"
        f" {facts['series']} revision {facts['revision']} from {facts['from']} to {facts['until']}"
    )
    if facts["provisional"]:
        click.echo(
            f"provisional: {len(facts['unsettled'])} customers are left out,"
            f" {facts['missing_slots']} slots are missing"
        )


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("settling", total=total)
        yield lambda done: bars.update(task, completed=done)
