# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility status`, `deliver`, `withdraw`: bills that are asked for and not delivered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rich_click as click

from hub.text import utc_text
from meterlet.commands.common import (
    Exit,
    Hex,
    Shown,
    fail,
    json_option,
    json_or_text,
    one_line_errors,
    period_options,
    print_json,
    show,
    utility_option,
)
from meterlet.commands.ending import ending
from meterlet.commands.utility_worker import EventPrinter, reached
from protocols.metrology import Period
from utility_server.errors import UtilityError
from utility_server.head_end import Address, HeadEnd
from utility_server.pipeline.deliverer import HUBS_AT_ONCE, Deliverer
from utility_server.pipeline.outages import Fewer
from utility_server.retail.failures import Failure
from utility_server.retail.questions import KeptQuestion, State
from utility_server.retail.utility import Utility

_NEXT = {
    State.ASKED: "ask for the bill again: it is the same question",
    State.ANSWERED: "`meterlet utility deliver` enters its bill",
    State.ENTERED: "`meterlet utility deliver` delivers the invoice",
}
_NEXT_OF_DIALLED = {
    State.ASKED: "it is asked when its hub dials `meterlet utility gateway`",
    State.ANSWERED: _NEXT[State.ANSWERED],
    State.ENTERED: "the invoice is delivered when its hub dials `meterlet utility gateway`",
}


@click.command("status")
@utility_option
@click.option("--meter", type=Hex(), help="Of this customer's meter alone.")
@json_or_text("meterlet.utility.status/1")
def status(folder: Path, meter: bytes | None) -> Shown:
    """List the bills that were asked for and are not delivered, and what is to be done.

    With what a hub has refused, or why it was not reached, whichever process has asked it.
    """
    with one_line_errors(), Utility.open(folder) as utility:
        waiting = _all_facts(utility, utility.questions.waiting(meter))
    lines = [
        f"{one['meter']} {one['first_day']} to {one['last_day']}: {one['state']} since"
        f" {one['since']}{_named(one['invoice'])}; {_why_of(one)}{_next_of(one)}"
        for one in waiting
    ]
    return {
        "waiting": waiting
    }, lines or "nothing waits: every bill that was asked for is delivered"


@click.command("deliver")
@utility_option
@click.option("--meter", type=Hex(), help="To this customer's meter alone.")
@click.option(
    "--hub",
    "address",
    metavar="HOST:PORT",
    help="Where the hub is; by default where it was asked last. Goes with --meter.",
)
@click.option(
    "--watch", is_flag=True,
    help="Go on until it is stopped: deliver invoices as they are entered, by whatever process.",
)  # fmt: skip
@click.option(
    "--hubs-at-once", type=click.IntRange(1, 64), default=HUBS_AT_ONCE, show_default=True,
    help="With --watch: to so many hubs at a time.",
)  # fmt: skip
@json_option
def deliver(
    folder: Path,
    meter: bytes | None,
    address: str | None,
    watch: bool,
    hubs_at_once: int,
    as_json: bool,
) -> None:
    """Enter the bills that were answered, and deliver the invoices that wait.

    After a crash, or where hubs were not reached. What is delivered already is left alone. If any
    fails, the rest goes on; the exit code is then that of the first failure.

    With --watch it keeps running beside gateways and workers, and several may. It delivers the
    invoices of hubs that are asked at an address, and tries those that are not reached again, after
    pauses that double. Answers are a worker's to enter, and hubs that dial out a gateway's.
    """
    if address is not None and meter is None:
        raise click.UsageError("--hub goes with --meter")
    if watch:
        if meter is not None:
            raise click.UsageError("--watch is for all customers: it goes without --meter")
        _watch(folder, hubs_at_once, as_json=as_json)
        return
    with one_line_errors(), Utility.open(folder) as utility:
        where = None if address is None else Address.parse(address)
        run = _Delivery(utility, utility.head_end(), where)
        for state in (State.ANSWERED, State.ENTERED):
            for kept in utility.questions.waiting(meter):
                if kept.state is state:
                    run.go_on_with(kept)
        asked = _all_facts(utility, utility.questions.waiting(meter))
    facts = {"delivered": run.delivered, "failed": run.failed, "waiting": asked}
    if as_json:
        print_json("meterlet.utility.deliver/1", facts)
    else:
        show(
            "meterlet.utility.deliver/1", facts, run.lines or ["nothing to deliver"], as_json=False
        )
    if run.failed:
        fail(f"{len(run.failed)} could not go on: {run.failed[0]['why']}", run.code)


def _watch(folder: Path, hubs_at_once: int, *, as_json: bool) -> None:
    told = Fewer(EventPrinter("meterlet.utility.deliver.event/1", as_json=as_json))
    with (
        one_line_errors(),
        ending() as watched,
        reached(lambda: Utility.open(folder), told, watched.stopping) as utility,
    ):
        stopping = watched.stopping
        deliverer = Deliverer(utility, hubs_at_once=hubs_at_once, told=told)
        told("ready", {"hubs_at_once": hubs_at_once})
        deliverer.run(stopping)
    told("stopped", dict(deliverer.counts))


@dataclass(slots=True)
class _Delivery:
    utility: Utility
    head_end: HeadEnd
    address: Address | None
    delivered: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    code: Exit = Exit.FINE

    def go_on_with(self, kept: KeptQuestion) -> None:
        """Enter an answer or deliver an invoice; note what came of it."""
        about = kept.question.about
        try:
            if kept.state is State.ANSWERED:
                answer = self.utility.questions.answer(kept.question)
                if answer is not None:  # else another process has entered it meanwhile
                    billed = self.utility.verify(kept.question, answer)
                    self.lines.append(
                        f"verified: {billed.verified.total:f} {billed.verified.currency},"
                        f" invoice {billed.invoice.number} for meter {about.meter.hex()}"
                    )
                return
            if self.address is None and not kept.address:
                self.lines.append(
                    f"invoice {kept.entry} waits until the hub of meter {about.meter.hex()} dials,"
                    " or say --meter and --hub"
                )
                return
            where = self.address or Address.parse(kept.address)
            invoice = self.utility.deliver_invoice(kept.question, self.head_end, where)
        except UtilityError as error:
            self.code = self.code or Exit(error.exit_code)
            self.failed.append({**_facts(self.utility, kept), "why": str(error)})
            return
        self.delivered.append({"invoice": invoice.number, "meter": about.meter.hex()})
        self.lines.append(f"delivered: invoice {invoice.number} to meter {about.meter.hex()}")


@click.command("withdraw")
@utility_option
@period_options()
@click.option("--meter", type=Hex(), required=True, help="The customer's meter.")
@json_or_text("meterlet.utility.withdraw/1")
def withdraw(folder: Path, meter: bytes, period: Period) -> Shown:
    """Withdraw a period's question that has no bill yet: an answer to it counts no more."""
    with one_line_errors(), Utility.open(folder) as utility:
        bounds = period.bounds(utility.customers.zone(meter))
        for kept in utility.questions.waiting(meter):
            about = kept.question.about
            if kept.is_open and (about.begin, about.end) == bounds:
                utility.questions.withdraw(kept.question)
                break
        else:
            fail(f"meter {meter.hex()}: no question waits for a bill of {_days(period)}")
    facts = {
        "meter": meter.hex(),
        "first_day": str(period.first),
        "last_day": str(period.last),
    }
    return facts, f"withdrawn: the question for {_days(period)} to meter {meter.hex()}"


def _all_facts(utility: Utility, waiting: Sequence[KeptQuestion]) -> list[dict[str, Any]]:
    failures = utility.failures.of(kept.question.about.nonce for kept in waiting)
    return [_facts(utility, kept, failures.get(kept.question.about.nonce)) for kept in waiting]


def _facts(utility: Utility, kept: KeptQuestion, failure: Failure | None = None) -> dict[str, Any]:
    about = kept.question.about
    days = Period.filling(about.begin, about.end, utility.customers.zone(about.meter))
    return {
        "meter": about.meter.hex(),
        "first_day": str(days.first),
        "last_day": str(days.last),
        "state": str(kept.state),
        "since": utc_text(kept.changed),
        "hub": kept.address or None,
        "invoice": kept.entry or None,
        "reason": None if failure is None else failure.kind,
        "why": None if failure is None else failure.why,
        "failed": None if failure is None else utc_text(failure.time),
    }


def _next_of(facts: dict[str, Any]) -> str:
    state = State(facts["state"])
    return (_NEXT if facts["hub"] else _NEXT_OF_DIALLED)[state]


def _why_of(facts: dict[str, Any]) -> str:
    return "" if facts["why"] is None else f"{facts['why']} ({facts['failed']}); "


def _named(invoice: int | None) -> str:
    return "" if invoice is None else f", invoice {invoice}"


def _days(period: Period) -> str:
    return f"{period.first} to {period.last}"
