# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility`: enrol customers, sign tariffs, ask for bills and verify them."""

from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import rich_click as click
from sqlalchemy import URL

from applets.billing.messages import AID
from applets.profiling.messages import Method, ProfilingRequest
from hub.text import missing_in_words, utc_text
from meterlet.commands.aggregate import aggregate
from meterlet.commands.amount import Amount, amount_text, require_decimals
from meterlet.commands.common import (
    AID_IN_HEX,
    DAY,
    FOLDER,
    LAST_BILL,
    Exit,
    Hex,
    Shown,
    default_folder,
    fail,
    json_option,
    json_or_text,
    one_line_errors,
    period_options,
    print_json,
    unpublished_option,
    utility_option,
)
from meterlet.commands.corrected import corrected_facts, corrected_in_words
from meterlet.commands.lazy import LazyGroup
from meterlet.commands.profile import load_profiles
from meterlet.commands.settle import settle
from meterlet.commands.tariff_files import write_new
from meterlet.commands.utility_chain import chain
from meterlet.commands.utility_check_ledger import check_ledger
from meterlet.commands.utility_contract import contract
from meterlet.commands.utility_database import backup, database_option, move
from meterlet.commands.utility_deliver import deliver, status, withdraw
from meterlet.commands.utility_gateway import (
    certify_hub,
    gateway,
    hub_certificates,
    withdraw_certificate,
)
from meterlet.commands.utility_publish import publish, utility_published
from meterlet.commands.utility_rollout import rollout
from meterlet.commands.utility_stack import stack
from meterlet.commands.utility_wake import broker_files
from meterlet.commands.utility_worker import retry, worker
from meterlet.commands.zones import days_apart, say_notes
from meterlet.exchanged_meters import exchange_facts, exchange_lines
from meterlet.key_files import public_key, public_pem
from meterlet.priced_readings import read_tariff
from protocols.metrology import Period
from utility_server.errors import EnrolmentRefused, HeadEndError, UnknownCustomer
from utility_server.folders import alone_in
from utility_server.head_end import Address
from utility_server.retail.audit import verified_entries
from utility_server.retail.billing import BilledPeriod
from utility_server.retail.carried_states import EnteredChains, facts_of, words_of
from utility_server.retail.limits import ask_unattributed
from utility_server.retail.profiling import profile_customer
from utility_server.retail.utility import Utility
from utility_server.revocations import take_revocations

FILE = click.Path(path_type=Path, dir_okay=False)
METHODS = [method.value for method in Method]


SERVICE = {
    "api-key": "meterlet.commands.utility_access:api_key",
    "audit": "meterlet.commands.utility_access:audit",
    "client-certificate": "meterlet.commands.utility_client_certificate:client_certificate",
    "operator": "meterlet.commands.utility_access:operator",
    "serve": "meterlet.commands.utility_serve:serve",
}
"""Imported when they are used: nothing else pays for the service's libraries."""


@click.group(
    cls=LazyGroup,
    targets=SERVICE,
    extra="api",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def utility() -> None:
    """The utility: it asks for bills and sums, verifies them and keeps the ledger."""


utility.add_command(aggregate)


utility.add_command(settle)


utility.add_command(rollout)


for command in (
    backup, broker_files, certify_hub, chain, check_ledger, contract, deliver, gateway,
    hub_certificates, move, publish, retry, stack, status, utility_published, withdraw,
    withdraw_certificate, worker,
):  # fmt: skip
    utility.add_command(command)


@utility.command()
@click.argument(
    "folder",
    type=FOLDER,
    default=lambda: default_folder("utility"),
    help="Where the utility is to live: a new or empty folder.",
)
@database_option("Keep the tables in this empty PostgreSQL database, not in a file:")
@json_option
def init(folder: Path, database: URL | None, as_json: bool) -> None:
    """Make a utility with new keys in FOLDER, which must be new or empty."""
    with one_line_errors(), Utility.create(folder, database=database) as utility:
        public = utility.keys.public.public_bytes_raw().hex()
    if as_json:
        print_json("meterlet.utility.init/1", {"utility": str(folder), "public_key": public})
    else:
        click.echo(f"made a utility in {folder}; its public key is {folder / 'public.pem'}")


@utility.command()
@utility_option
@click.argument(
    "enrolment", type=FILE, help="The file that `meterlet applet install` has written for you."
)
@click.option(
    "--replace-keys", is_flag=True, help="The file's channel keys replace the applet's known ones."
)
@click.option("--from", "first", type=DAY, help="Open a contract from this local day on, too.")
@json_option
def enrol(
    folder: Path, enrolment: Path, replace_keys: bool, first: datetime | None, as_json: bool
) -> None:
    """Add the customer of an ENROLMENT file, which the hub's installer has written.

    Without --from the customer may be asked about all days, until a contract is opened.
    """
    with one_line_errors(), Utility.open(folder) as utility:
        try:
            content = enrolment.read_bytes()
            customer = utility.customers.enrol(content, replace_keys=replace_keys)
        except EnrolmentRefused as refused:
            fail(f"{enrolment}: {refused}")
        if first is not None:
            opened = utility.contracts.open(customer.meter, first.date())
    if as_json:
        facts = {"meter": customer.meter.hex(), "applet": customer.applet.hex()}
        if first is not None:
            facts["account"] = opened.account.hex()
        print_json("meterlet.utility.enrol/1", facts)
    else:
        click.echo(f"enrolled meter {customer.meter.hex()}; destroy {enrolment} now")


@utility.command("rotate-channel")
@utility_option
@click.option("--meter", type=Hex(), required=True, help="The customer's meter.")
@click.option(
    "--applet", type=AID_IN_HEX, default=AID.hex(), help="The applet; by default the bill's."
)
@click.option(
    "--hub", "address", default="127.0.0.1:7816", show_default=True, help="HOST:PORT of the hub."
)
@json_or_text("meterlet.utility.rotate-channel/1")
def rotate_channel(folder: Path, meter: bytes, applet: bytes, address: str) -> Shown:
    """Give the channel to a customer's applet new keys, over the channel itself.

    If the answer is lost, say the same again: it finds out which keys the hub has.
    """
    with one_line_errors(), Utility.open(folder) as utility:
        current, proposed = utility.customers.propose(meter, applet)
        utility.head_end().replace_keys(Address.parse(address), current, proposed)
        utility.customers.settle(proposed)
    facts = {
        "meter": meter.hex(),
        "applet": applet.hex().upper(),
        "version": proposed.key_version,
    }
    return facts, f"the channel to meter {meter.hex()} has new keys"


@utility.command()
@utility_option
@click.argument("tariff", type=FILE, help="A tariff: its source or its document.")
@click.option("--output", "-o", type=FILE, required=True, help="A new file for the document.")
@json_option
def sign(folder: Path, tariff: Path, output: Path, as_json: bool) -> None:
    """Sign a TARIFF, so that customers' hubs accept it."""
    with one_line_errors(), Utility.open(folder) as utility:
        loaded = read_tariff(tariff)
        write_new(output, utility.sign(loaded.tariff), 0o644)
    if as_json:
        facts = {"signed": str(output), "tariff_digest": loaded.tariff.digest.hex()}
        print_json("meterlet.utility.sign/1", facts)
    else:
        click.echo(f"signed {tariff} as {output}")


@utility.command()
@utility_option
@click.argument(
    "revocations", type=FILE, help="The authority's list, as `meterlet authority revoke` writes it."
)
@click.option("--authority", type=FILE, help="Public key (PEM) of the authority, the first time.")
@json_or_text("meterlet.utility.revoke/1")
def revoke(folder: Path, revocations: Path, authority: Path | None) -> Shown:
    """Go by a metering authority's list of REVOCATIONS: later days of these meters are refused."""
    with one_line_errors(), Utility.open(folder) as utility:
        trusted = utility.authorities
        if authority is not None:
            key = public_key(authority)
            trusted = (*trusted, key.public_bytes_raw())
        (folder / "authorities").mkdir(mode=0o700, exist_ok=True)
        try:
            listed = take_revocations(folder, trusted, revocations.read_bytes())
        except EnrolmentRefused as refused:
            fail(f"{revocations}: {refused}")
        if authority is not None:
            name = key.public_bytes_raw().hex()[:16]
            (folder / "authorities" / f"{name}.pem").write_bytes(public_pem(key))
    facts = {"number": listed.number, "entries": len(listed.entries)}
    return facts, f"list {listed.number}, {len(listed.entries)} revocations"


@utility.command()
@utility_option
@click.option(
    "--unattributed-wh-per-day",
    type=click.IntRange(0),
    help="How much energy in no slot a bill may have unopened, in Wh for each day; 0: no limit.",
)
@click.option(
    "--estimated-permille",
    type=click.IntRange(0, 1000),
    help="How many in 1,000 slots of a bill may be estimated; 1000: no limit.",
)
@json_or_text("meterlet.utility.limits/1")
def limits(
    folder: Path, unattributed_wh_per_day: int | None, estimated_permille: int | None
) -> Shown:
    """State how much of a bill's period may be unknown; without options, show it."""
    with one_line_errors(), Utility.open(folder) as utility, alone_in(folder):
        stated = utility.limits
        if unattributed_wh_per_day is not None:
            stated = replace(stated, unattributed_wh_per_day=unattributed_wh_per_day or None)
        if estimated_permille is not None:
            share = None if estimated_permille == 1000 else estimated_permille
            stated = replace(stated, estimated_permille=share)
        if stated != utility.limits:
            stated.write(folder)
    energy, share = stated.unattributed_wh_per_day, stated.estimated_permille
    return asdict(stated), [
        "energy in no slot: " + ("no limit" if energy is None else f"{energy:,} Wh a day"),
        "estimated slots:   " + ("no limit" if share is None else f"{share} in 1,000"),
    ]


@utility.group()
def request() -> None:
    """Ask a customer's hub for a bill or a profile."""


@request.command("bill")
@utility_option
@period_options()
@click.option("--meter", type=Hex(), required=True, help="The customer's meter.")
@click.option("--tariff", type=FILE, required=True, help="The tariff, signed or in its source.")
@click.option(
    "--hub", "address", default="127.0.0.1:7816", show_default=True, help="HOST:PORT of the hub."
)
@click.option(
    "--dialled", is_flag=True,
    help="Keep the question for when the hub dials (`meterlet utility gateway`), and end.",
)  # fmt: skip
@click.option(
    "--paid", type=Amount(),
    help="Paid in advance since the bill before, where the tariff has a credit. By default nothing,"
    " or what was paid with the bill that this one replaces; 0 takes that back.",
)  # fmt: skip
@click.option("--bundle", type=FILE, help="A new file for what others need to verify it offline.")
@unpublished_option
@json_option
def request_bill(
    folder: Path,
    period: Period,
    meter: bytes,
    tariff: Path,
    address: str,
    dialled: bool,
    paid: int | None,
    bundle: Path | None,
    unpublished: bool,
    as_json: bool,
) -> None:
    """Ask for a period's bill, verify it, enter it in the ledger and deliver the invoice.

    A bill with missing slots is provisional: it is entered and delivered as such, and the exit code
    is 4.
    """
    if dialled and bundle is not None:
        raise click.UsageError("--bundle goes with an answer, which comes when the hub dials")
    if bundle is not None and bundle.exists():  # a question counts at the hub: ask none in vain
        fail(f"{bundle}: exists already")
    with one_line_errors(), Utility.open(folder) as utility:
        utility.is_publishing = not unpublished
        signed = _signed(utility, tariff)
        prices = read_tariff(tariff).tariff
        notes = days_apart(period, utility.customers.zone(meter), prices.zone)
        say_notes([] if as_json else notes)
        if paid is not None:
            require_decimals(paid, prices.rounding)
        question = utility.question(meter, period, signed, paid)
        if dialled:
            _say_kept(meter, period, as_json=as_json)
            return
        where, head_end = Address.parse(address), utility.head_end()
        ask_unattributed(utility, meter, period, head_end, where)
        billed = utility.verify(question, utility.answer_of(question, head_end, where))
        if bundle is not None:
            write_new(bundle, billed.bundle.encode(), 0o644)
        try:
            utility.deliver(billed, head_end, where)
        except HeadEndError as error:
            number = billed.invoice.number
            raise HeadEndError(
                f"invoice {number} is in the ledger, and waits for `meterlet utility deliver`:"
                f" {error}"
            ) from None
    facts = {**bill_facts(billed), "notes": notes}
    facts["bytes_sent"], facts["bytes_received"] = head_end.traffic.sent, head_end.traffic.received
    if as_json:
        print_json("meterlet.utility.bill/1", facts)
    else:
        _print_billed(billed, facts, period, paid)
    if facts["missing_slots"]:
        fail(
            f"provisional: {missing_in_words(len(facts['missing_slots']))} and not billed, until"
            " the hub has their readings (`meterlet hub correct`) and the bill is asked for again",
            Exit.UNVERIFIABLE,
        )


def _say_kept(meter: bytes, period: Period, *, as_json: bool) -> None:
    days = {"first_day": str(period.first), "last_day": str(period.last)}
    if as_json:
        print_json("meterlet.utility.asked/1", {"meter": meter.hex(), **days, "state": "asked"})
    else:
        click.echo(
            f"the question for {period.first} to {period.last} waits until the hub of meter"
            f" {meter.hex()} dials; `meterlet utility status` says how far it has come"
        )


def _print_billed(
    billed: BilledPeriod, facts: dict[str, Any], period: Period, paid: int | None
) -> None:
    """Say what came of a bill; `paid` is what was said to be paid in advance."""
    click.echo(
        f"verified: {facts['total']} {facts['currency']} for {period.first} to {period.last},"
        f" invoice {facts['invoice']}"
        + (f", which replaces invoice {facts['replaces']}" if facts["replaces"] else "")
    )
    if billed.verified.paid:
        kept = f", as in invoice {facts['replaces']}" if paid is None else ""
        click.echo(f"paid in advance: {amount_text(billed.verified.paid)}{kept}")
    if billed.correction is not None:
        click.echo(
            f"corrected: {billed.correction.difference:+f} {facts['currency']}, for"
            f" {corrected_in_words(billed.invoice.corrected)}"
        )
    for line in exchange_lines(billed.verified.exchanges):
        click.echo(line)
    if billed.verified.state is not None:
        for line in words_of(billed.verified.state):
            click.echo(line)
    if billed.verified.is_last:
        click.echo(LAST_BILL)
    if billed.void:
        later = ", ".join(
            f"bill {number} of {days.first} to {days.last}" for number, days in billed.void.items()
        )
        click.echo(f"void: {later}; ask for the same periods again, in order")


@request.command("profile")
@utility_option
@period_options()
@click.option("--meter", type=Hex(), required=True, help="The customer's meter.")
@click.option("--profiles", type=FILE, required=True, help="The set of profiles.")
@click.option(
    "--method", type=click.Choice(METHODS), default=Method.MATCH.value, show_default=True,
    help="What the hub tells: the best match alone, a score for each, or a sample.",
)  # fmt: skip
@click.option("--one-in", type=click.IntRange(2, 10_000), help="sample: one reading in so many.")
@click.option(
    "--hub", "address", default="127.0.0.1:7816", show_default=True, help="HOST:PORT of the hub."
)
@unpublished_option
@json_option
def request_profile(
    folder: Path,
    period: Period,
    meter: bytes,
    profiles: Path,
    method: str,
    one_in: int | None,
    address: str,
    unpublished: bool,
    as_json: bool,
) -> None:
    """Ask which profile a customer's use is most like, verify it and enter it in the ledger."""
    if (method == Method.SAMPLE) != (one_in is not None):
        raise click.UsageError("--one-in says how much is sampled, and nothing else")
    asked = ProfilingRequest(Method(method), load_profiles(profiles), one_in or 1)
    with one_line_errors(), Utility.open(folder) as utility:
        utility.is_publishing = not unpublished
        where, head_end = Address.parse(address), utility.head_end()
        found = profile_customer(utility, asked, period, meter, head_end, where)
    facts = {
        "entry": found.entry.sequence,
        "meter": found.entry.meter.hex(),
        "profiles": asked.profiles.name,
        "method": method,
        "best": found.period.best,
        "scores": dict(found.period.scores),
        "readings": found.period.readings,
        "slots": found.period.slots,
        "missing_slots": found.period.missing,
        "bytes_sent": head_end.traffic.sent,
        "bytes_received": head_end.traffic.received,
        "verified": True,
    }
    if as_json:
        print_json("meterlet.utility.profile/1", facts)
    else:
        click.echo(f"verified: {facts['best']}, by {method}, entry {facts['entry']}")


def bill_facts(billed: BilledPeriod) -> dict[str, Any]:
    """Return a verified bill as the JSON outputs show it."""
    bill = billed.verified
    memory: dict[str, Any] = {}
    if bill.state is not None:
        paid = {"paid": amount_text(bill.paid)} if bill.paid else {}
        last = {"last": True} if bill.is_last else {}
        void = [
            {"bill": number, "from": str(days.first), "until": str(days.last)}
            for number, days in billed.void.items()
        ]
        memory = {"memory": {**facts_of(bill.state), **paid, **last, "void": void}}
    return {
        "invoice": billed.invoice.number,
        "replaces": billed.invoice.replaces or None,
        "meter": billed.invoice.meter.hex(),
        "from": utc_text(bill.begin),
        "until": utc_text(bill.end),
        "tariff": bill.tariff_name,
        "tariff_digest": bill.tariff_digest.hex(),
        "currency": bill.currency,
        "total": f"{bill.total:f}",
        "difference": None if billed.correction is None else f"{billed.correction.difference:f}",
        "corrected_days": corrected_facts(billed.invoice.corrected),
        "days": billed.verified.days,
        "slots": billed.verified.slots,
        "missing_slots": [utc_text(start) for start in billed.verified.missing],
        "provisional": bool(billed.verified.missing),
        "estimated_slots": billed.verified.estimated,
        "substituted_slots": billed.verified.substituted,
        **exchange_facts(bill.exchanges),
        **memory,
        "verified": True,
    }


def _signed(utility: Utility, tariff: Path) -> bytes:
    """Return the document in a file; a source is signed now, another's document is refused."""
    loaded = read_tariff(tariff)
    if loaded.key_id is None:
        return utility.sign(loaded.tariff)
    read_tariff(tariff, public_key(utility.folder / "public.pem"))
    return tariff.read_bytes()


@utility.command("accept-log")
@utility_option
@click.option("--meter", type=Hex(), required=True, help="The customer's meter.")
@json_option
def accept_log(folder: Path, meter: bytes, as_json: bool) -> None:
    """Accept that a hub's disclosure log does not go on from where it was.

    A hub that was put back to an older state is asked nothing: it has forgotten what it told. Use
    this once the resident says why, as after a broken disk.
    """
    with one_line_errors(), Utility.open(folder) as utility:
        if meter not in utility.customers.meters():
            raise UnknownCustomer(f"meter {meter.hex()} is not enrolled")
        kept = utility.hub_logs.forget(meter)
    entries = None if kept is None else kept.length
    if as_json:
        print_json("meterlet.utility.accept-log/1", {"meter": meter.hex(), "forgotten": entries})
    elif entries is None:
        click.echo(f"nothing was kept of the log of meter {meter.hex()}")
    else:
        click.echo(f"meter {meter.hex()}: forgot {entries} entries; its next log is believed")


@utility.command()
@utility_option
@json_option
def ledger(folder: Path, as_json: bool) -> None:
    """Check the ledger's chain, verify every bill in it again, and list it."""
    with one_line_errors(), Utility.open(folder) as utility:
        lines, chains = [], EnteredChains()
        for entry in verified_entries(utility, utility.ledger.entries()):
            chains.add(entry)
            line: dict[str, Any] = {
                "number": entry.sequence,
                "time": utc_text(entry.time),
                "kind": entry.kind,
                "meter": entry.meter.hex(),
            }
            for name, value in entry.content.items():
                line[name] = value.hex() if isinstance(value, bytes) else value
            lines.append(line)
        chains.require(utility.carried_states)
        billed = {bytes.fromhex(line["meter"]) for line in lines if line["kind"] == "bill"}
        for number, standing in utility.standings(billed).items():
            if number <= len(lines):  # those after it came meanwhile
                lines[number - 1]["replaced_by"] = standing.replaced_by or None
                lines[number - 1]["void"] = standing.is_void
    if as_json:
        print_json("meterlet.utility.ledger/1", {"verified": True, "entries": lines})
        return
    for line in lines:
        what = _in_words(line)
        click.echo(f"{line['number']:5} {line['time']} {line['meter']} {line['kind']}: {what}")
    click.echo(f"{len(lines)} entries; the chain and every entry verify")


def _in_words(line: dict[str, Any]) -> str:
    match line["kind"]:
        case "bill":
            parts = [f"{line['total']} {line['currency']}"]
            if "bill" in line:
                parts.append(f"bill {line['bill']} of account {line['account'][:8]}")
            if "last" in line:
                parts.append("its last one")
            if "difference" in line:
                difference = f"{Decimal(line['difference']):+f}"
                days = f"by corrected days: {line['corrected']}"
                parts.append(f"{difference} to invoice {line['replaces']} {days}")
            if line["replaced_by"]:
                parts.append(f"not to be paid: replaced by invoice {line['replaced_by']}")
            elif line["void"]:
                parts.append("not to be paid: to be asked for again")
            return ", ".join(parts)
        case "settlement":
            return f"{line['value']}e-9 {line['currency']} for {line['supplier']}"
        case "unattributed" if "opened_wh" in line:
            return f"{line['opened_wh']:,} Wh in no slot, opened"
        case "unattributed":
            return f"at most {line['limit_wh']:,} Wh in no slot"
        case "profile":
            return f"{line['best']}, by {line['method']}"
        case _:
            return str(line["why"])
