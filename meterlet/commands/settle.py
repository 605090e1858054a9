# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility settle`: what suppliers' customers used, at the grid's prices, to the penny."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import rich_click as click
from rich.console import Console
from rich.progress import Progress

from hub.text import missing_in_words, utc_text
from meterlet.commands.common import (
    Exit,
    fail,
    folder_option,
    json_option,
    one_line_errors,
    period_options,
    print_json,
    unpublished_option,
    utility_option,
)
from meterlet.commands.fan_out_options import fan_out, fan_out_options
from meterlet.commands.tariff_files import write_new
from protocols.metrology import SLOT_MINUTES, Period
from tariffs import PriceIndex, TariffError
from utility_server.errors import CannotVerify
from utility_server.grid.concentrator.service import MOST_ROUNDS
from utility_server.grid.private_settlement import (
    PrivateSettlement,
    PrivateSettlementRequest,
    settle_privately,
)
from utility_server.head_end import Address
from utility_server.retail.group_settlement import Group, worth_of
from utility_server.retail.settlement import (
    HUBS_AT_ONCE,
    NANO_PER_PENNY,
    Member,
    Settlement,
    Unsettled,
    own_index,
)
from utility_server.retail.settlement import settle as settle_all
from utility_server.retail.shares import round_shares
from utility_server.retail.utility import Utility

FILE: Final = click.Path(path_type=Path, dir_okay=False)
COLUMNS: Final = ["meter", "supplier", "hub"]
MOST_NAME: Final = 60
VALUE_BITS: Final = 20
WORST: Final = (Exit.UNVERIFIABLE, Exit.FORBIDDEN, Exit.REFUTED)


@click.command()
@utility_option
@period_options(required=False)
@click.option("--index", "index_file", type=FILE, required=True, help="The price index.")
@click.option(
    "--customers", type=FILE,
    help="A CSV file: meter (hex), supplier, hub (HOST:PORT). Every one is asked.",
)  # fmt: skip
@click.option(
    "--sums", "groups", multiple=True, metavar="SUPPLIER=FILE",
    help="What a supplier's customers used together: the JSON of `utility aggregate`.",
)  # fmt: skip
@click.option(
    "--private", "regions", multiple=True, metavar="SUPPLIER=REGION",
    help="A supplier and the region of its customers: one number of them all is opened.",
)  # fmt: skip
@folder_option("mdms", "With --private: the folder of the MDMS that runs the rounds.", "mdms")
@click.option(
    "--zone", default="Europe/Berlin", show_default=True, help="With --private: whose days."
)
@click.option(
    "--resolution", type=click.Choice([str(minutes) for minutes in SLOT_MINUTES]),
    help="With --private: minutes that have one price; the index's step unless given.",
)  # fmt: skip
@click.option(
    "--bits", type=click.IntRange(8, 32), default=VALUE_BITS, show_default=True,
    help="With --private: no customer's use in a slot may reach 2^BITS Wh.",
)  # fmt: skip
@click.option(
    "--again", is_flag=True,
    help="With --private: ask the hubs although the number is known; they count it.",
)  # fmt: skip
@click.option(
    "--regions-at-once", type=click.IntRange(1, MOST_ROUNDS), default=1, show_default=True,
    help="With --private: so many regions at a time, if the MDMS serves with --rounds-at-once.",
)  # fmt: skip
@unpublished_option
@click.option(
    "--hubs-at-once", type=click.IntRange(1, 64), default=HUBS_AT_ONCE, show_default=True,
    help="With --customers: so many hubs are asked at a time.",
)  # fmt: skip
@fan_out_options("--customers' answers are verified")
@click.option(
    "--bundles", type=click.Path(path_type=Path, file_okay=False),
    help="A new folder for what others need to verify each customer's part offline.",
)  # fmt: skip
@json_option
def settle(
    folder: Path,
    period: Period | None,
    index_file: Path,
    customers: Path | None,
    groups: tuple[str, ...],
    regions: tuple[str, ...],
    mdms: Path,
    zone: str,
    resolution: str | None,
    bits: int,
    again: bool,
    regions_at_once: int,
    unpublished: bool,
    hubs_at_once: int,
    processes: int,
    is_on_ray: bool,
    bundles: Path | None,
    as_json: bool,
) -> None:
    """Settle a period at a price index: verify the parts and share out the total, to the penny.

    With --customers each customer's hub proves its own part. With --private all customers of a
    supplier give one number, and nobody learns a single customer's part. With --sums each
    supplier's load curve is known already. Exit code 3: an answer is wrong. 4: an answer is
    missing. 5 (--customers): a consent is missing. The shares are then printed as provisional.
    """
    if sum((customers is not None, bool(regions), bool(groups))) != 1 or bool(groups) != (
        period is None
    ):
        raise click.UsageError("say --customers or --private with a period, or --sums")
    if customers is None and bundles is not None:
        raise click.UsageError("--bundles goes with --customers")
    with one_line_errors(), Utility.open(folder.absolute()) as utility:
        utility.is_publishing = not unpublished
        found = _index(utility, index_file)
        if period is None:
            _print(_group_facts(found, groups), as_json=as_json)
            return
        if customers is None:
            minutes = None if resolution is None else int(resolution)
            request = PrivateSettlementRequest(
                _regions(regions), period, zone, minutes, bits, again
            )
            private = settle_privately(
                mdms, found, request, lambda line: click.echo(line, err=True), regions_at_once
            )
            _print(_private_facts(found, request, private), as_json=as_json)
            private.require_whole()
            return
        members, head_end = _members(customers), utility.head_end()
        if bundles is not None:
            bundles.mkdir()  # questions count at the hubs: ask none in vain
        try:
            with _bar(len(members)) as progress:
                done = settle_all(
                    utility, found, period, members, head_end, progress,
                    how=fan_out(processes, is_on_ray=is_on_ray), hubs_at_once=hubs_at_once,
                )  # fmt: skip
        except BaseException:  # cut off, too
            if bundles is not None:
                bundles.rmdir()
            raise
    _hand_out(done, bundles)
    facts = _facts(done, period)
    facts["bytes_sent"], facts["bytes_received"] = head_end.traffic.sent, head_end.traffic.received
    _print(facts, as_json=as_json)
    _complain(done)


def _index(utility: Utility, path: Path) -> PriceIndex:
    try:
        return own_index(path.read_bytes(), utility.keys.public)
    except TariffError as error:
        error.source = error.source or str(path)
        raise


def _regions(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return supplier and region of each SUPPLIER=REGION; raise `click.UsageError`."""
    found: list[tuple[str, str]] = []
    for text in texts:
        name, equals, region = text.partition("=")
        is_known = region in (other for _, other in found)
        if not equals or not region or not 1 <= len(name) <= MOST_NAME or is_known:
            raise click.UsageError(f"--private {text!r}: write SUPPLIER=REGION, each region once")
        found.append((name, region))
    return tuple(sorted(found))


def _hand_out(done: Settlement, bundles: Path | None) -> None:
    if bundles is not None:
        with one_line_errors():
            for one in done.settled:
                name = f"{one.member.meter.hex()}.bundle"
                write_new(bundles / name, one.bundle.encode(), 0o644)


def _complain(done: Settlement) -> None:
    if done.unsettled:
        first = done.unsettled[0]
        fail(
            f"{len(done.unsettled)} customers are not settled; {first.member.meter.hex()}:"
            f" {first.error}",
            max(map(_code, done.unsettled), key=WORST.index),
        )


def _print(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json("meterlet.utility.settle/1", facts)
    else:
        _show(facts)


def _group_facts(index: PriceIndex, said: tuple[str, ...]) -> dict[str, Any]:
    groups = {}
    for text in said:
        name, equals, path = text.partition("=")
        if not equals or not 1 <= len(name) <= MOST_NAME or name in groups:
            raise click.UsageError(f"--sums {text!r}: write SUPPLIER=FILE, each supplier once")
        try:
            groups[name] = Group.decode(Path(path).read_bytes())
        except CannotVerify as error:
            raise CannotVerify(f"{path}: {error}") from None
    exact = {name: worth_of(group, index) for name, group in sorted(groups.items())}
    homes = {name: group.homes for name, group in groups.items()}
    return {
        "from": utc_text(min(group.starts[0] for group in groups.values())),
        "until": utc_text(max(g.starts[-1] + g.slot_seconds for g in groups.values())),
        **_money_facts(index, exact, homes),
        "missing_slots": sum(group.missing for group in groups.values()),
        "unsettled": [],
        "provisional": any(group.missing for group in groups.values()),
    }


def _private_facts(
    index: PriceIndex, request: PrivateSettlementRequest, done: PrivateSettlement
) -> dict[str, Any]:
    return {
        "from": str(request.period.first),
        "until": str(request.period.last),
        **_money_facts(index, done.exact, done.homes),
        "missing_slots": done.missing,
        "unsettled": done.unsettled,
        "provisional": bool(
            done.unsettled or done.missing or len(done.groups) < len(request.regions)
        ),
        "groups": done.groups,
    }


def _money_facts(index: PriceIndex, exact: dict[str, int], homes: dict[str, int]) -> dict[str, Any]:
    shares = round_shares(exact, NANO_PER_PENNY)
    return {
        "series": index.series,
        "revision": index.version,
        "currency": index.currency,
        "suppliers": {
            name: {
                "share": _money(shares[name]),
                "exact": str(exact[name]),
                "customers": homes[name],
            }
            for name in exact
        },
        "total": _money(sum(shares.values())),
        "total_exact": str(sum(exact.values())),
        "exact_decimals": 9,
        "settled": sum(homes.values()),
    }


def _code(one: Unsettled) -> Exit:
    code = Exit(one.error.exit_code)
    return Exit.UNVERIFIABLE if code is Exit.FAILURE else code


def _members(path: Path) -> list[Member]:
    with path.open(newline="", encoding="utf-8-sig") as file:
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


def _facts(done: Settlement, period: Period) -> dict[str, Any]:
    names = [one.member.supplier for one in done.settled]
    return {
        "from": str(period.first),
        "until": str(period.last),
        **_money_facts(done.index, done.exact, {name: names.count(name) for name in names}),
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
            f" {missing_in_words(facts['missing_slots'])}"
        )


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("settling", total=total)
        yield lambda done: bars.update(task, completed=done)
