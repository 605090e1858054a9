# SPDX-License-Identifier: Apache-2.0
"""`meterlet fleet`: many emulated homes, whose hubs dial a utility and are billed."""

import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import rich_click as click

from hub.dialling.wake_line import require_client
from meterlet.commands.broker import BrokerOption
from meterlet.commands.common import (
    FILE,
    FOLDER,
    Exit,
    json_option,
    open_machine,
    period_options,
    print_json,
)
from meterlet.commands.demo import DEFAULT_MONTH, DEFAULT_TARIFF, DEFAULT_ZONE
from meterlet.fleet.faults import FaultRates
from meterlet.fleet.folder import FleetFolder, FleetSettings
from meterlet.fleet.homes import MOST_HOMES
from meterlet.fleet.listening import MOST_IN_A_PROCESS
from meterlet.fleet.run import TELL_SECONDS, FleetResult, FleetRun
from meterlet.fleet.street import AT_ONCE
from meterlet.priced_readings import read_tariff
from protocols.metrology import SLOT_MINUTES, Period
from protocols.remote_admin.wake import BrokerAddress
from utility_server.retail.utility import Utility

_NOT_THERE: Final = "hub-6a83"
"""The hub has not the days that it was asked for."""
SHARE: Final = click.FloatRange(0.0, 1.0)


@click.command()
@click.option(
    "--homes", type=click.IntRange(1, MOST_HOMES - 1), required=True, help="How many there are."
)
@click.option("--folder", type=FOLDER, required=True, help="Where they are, or will be.")
@click.option("--utility", type=FOLDER, help="The utility's folder; by default one in --folder.")
@period_options(required=False)
@click.option("--tariff", type=FILE, help="The tariff; by default the demonstration's own.")
@click.option("--seed", default=1, show_default=True, help="Which households.")
@click.option("--zone", default=DEFAULT_ZONE, show_default=True, help="Whose days are certified.")
@click.option(
    "--slot", type=click.Choice([str(one) for one in SLOT_MINUTES]), default="15",
    show_default=True, help="Minutes of a slot.",
)  # fmt: skip
@click.option(
    "--processes", type=click.IntRange(1, 64), default=2, show_default=True,
    help="In how many processes the homes are.",
)  # fmt: skip
@click.option(
    "--at-once", type=click.IntRange(1, 1000), default=AT_ONCE, show_default=True,
    help="Sessions that each of them holds at the same time.",
)  # fmt: skip
@click.option("--drop", type=SHARE, default=0.0, help="The share of connections that are cut.")
@click.option("--delay", type=SHARE, default=0.0, help="The share of requests that come late.")
@click.option("--repeat", type=SHARE, default=0.0, help="The share of requests that come twice.")
@click.option("--gateway", metavar="URL", help="The gateway, where one runs; or it is started.")
@click.option(
    "--wake", "broker", type=BrokerOption(), metavar="mqtts://HOST:PORT",
    help="The utility's broker, over which the hubs are woken.",
)  # fmt: skip
@click.option(
    "--patience", type=click.IntRange(1, 7 * 86_400), default=3600, show_default=True,
    help="Seconds that the hubs may take.",
)  # fmt: skip
@json_option
def fleet(
    homes: int,
    folder: Path,
    utility: Path | None,
    period: Period | None,
    tariff: Path | None,
    seed: int,
    zone: str,
    slot: str,
    processes: int,
    at_once: int,
    drop: float,
    delay: float,
    repeat: float,
    gateway: str | None,
    broker: BrokerAddress | None,
    patience: int,
    as_json: bool,
) -> None:
    """Let many emulated homes dial a utility, and have each billed once.

    Each home has a hub of its own, with its card, keys, readings and certificate, in the folder.
    They are made at the first run, which may be cut off and goes on; later runs use them again.
    Ends with exit code 3 where a home is not billed just once; with 5 or 4 where that is since its
    hub has refused, or has not those days. Says every few seconds what it waits for.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as Ctrl-C does
    prices = read_tariff(tariff or DEFAULT_TARIFF).tariff
    place = folder / "utility" if utility is None else utility
    open_machine()
    if broker is not None:
        require_client()
        if homes > MOST_IN_A_PROCESS * processes:
            raise click.UsageError(
                f"--wake: at most {MOST_IN_A_PROCESS} hubs of a process listen: say --processes"
            )
    has_utility = (place / "public.pem").exists()
    with Utility.open(place) if has_utility else Utility.create(place) as supplier:
        public = supplier.keys.public.public_bytes_raw().hex()
        settings = FleetSettings(seed, zone, int(slot), public)
        run = FleetRun(
            folder=FleetFolder.open(folder, settings),
            utility=supplier,
            homes=homes,
            period=period or DEFAULT_MONTH,
            signed_tariff=supplier.sign(prices),
            processes=processes,
            rates=FaultRates(drop, delay, repeat),
            gateway=gateway,
            broker=broker,
            patience_seconds=patience,
            at_once=at_once,
            say=Progress(),
            tell=lambda what: click.echo(what, err=True),
        )
        result = run.run()
    if as_json:
        print_json("meterlet.fleet/1", result.facts)
    else:
        for line in _lines(result):
            click.echo(line)
    code = exit_code(result)
    if code:
        raise SystemExit(int(code))


def exit_code(result: FleetResult) -> Exit | None:
    """Return with what a fleet ends: None where each home is billed once."""
    if not result.billed.others:
        return None
    if result.billed.is_doubled or not result.dialled.refused:
        return Exit.REFUTED
    is_early = all(one.kind == _NOT_THERE for one in result.dialled.refused)
    return Exit.UNVERIFIABLE if is_early else Exit.FORBIDDEN


@dataclass
class Progress:
    """Says how far a step is: on a terminal at once, in one line; else every few seconds."""

    _said: dict[str, float] = field(default_factory=dict)

    def __call__(self, step: str, done: int, count: int) -> None:
        """Say it, if it is time."""
        end, now = done == count, time.monotonic()
        is_terminal = sys.stderr.isatty()
        if end or is_terminal or now - self._said.setdefault(step, now) >= TELL_SECONDS:
            self._said[step] = now
            at = f"{step}: {done:,} of {count:,}"
            click.echo(at + ("\r" if is_terminal and not end else ""), err=True,
                       nl=end or not is_terminal)  # fmt: skip


def _lines(result: FleetResult) -> list[str]:
    facts = result.facts
    mib = 1 << 20
    lines = [
        f"homes: {facts['homes']:,}, of which {facts['made']:,} were made now",
        f"billed: {facts['billed_once']:,} once, {len(result.billed.others):,} otherwise;"
        f" {facts['asked']:,} were asked for now",
    ]
    if not result.dialled.streets:
        return lines
    lines += [
        f"POSTs: {facts['posts_a_bill']} a bill; at most"
        f" {facts['most_posts_a_bill_undisturbed']} where nothing was cut or came twice;"
        f" {facts['posts']:,} in all",
        f"connections: {facts['connections']:,}, {facts['connections_dropped']:,} cut;"
        f" {facts['posts_delayed']:,} POSTs late, {facts['posts_repeated']:,} twice",
        *(
            [f"woken: {facts['woken']:,} sessions; {facts['listening']:,} hubs at the broker"]
            if facts["listening"] or facts["woken"]
            else []
        ),
        f"bytes: {facts['bytes_sent']:,} from hubs, {facts['bytes_received']:,} to them",
        f"memory: {facts['memory_bytes_a_hub'] / mib:.2f} MiB a hub,"
        f" {facts['memory_bytes'] / mib:.0f} MiB in {facts['processes']} processes, which have"
        f" {facts['memory_bytes_empty'] / mib:.0f} MiB without any",
        f"CPU: {facts['cpu_ms_a_bill']:.0f} ms a bill at the hubs"
        + (
            ""
            if facts["gateway_cpu_ms_a_bill"] is None
            else f", {facts['gateway_cpu_ms_a_bill']:.0f} ms at the gateway with verification"
        ),
    ]
    if result.dialled.refused:
        refused = Counter(one.why for one in result.dialled.refused)
        for why, count in refused.most_common(5):
            lines.append(f"nothing more can come: for {count:,} homes, {why}")
    if result.dialled.waiting:
        lines.append(f"waiting still: {result.dialled.waiting:,} homes")
    return lines + [f"failed {count} times: {why}" for why, count in facts["why"].items()]
