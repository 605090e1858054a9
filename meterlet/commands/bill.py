# SPDX-License-Identifier: Apache-2.0
"""`meterlet bill`: check a bill offline, with neither hub nor server."""

from pathlib import Path
from typing import Any, Final

import rich_click as click

from hub.text import utc_text
from meterlet.commands.common import FILE, Exit, fail, json_option, show
from meterlet.exchanged_meters import exchange_facts, exchange_lines
from meterlet.verified_bundles import (
    AnyResult,
    BundleMemory,
    VerifiedBillBundle,
    VerifiedProfileBundle,
    VerifiedSettlementBundle,
    check_bundle,
    read_bundle,
    require_chain,
)
from utility_server.errors import CannotVerify, VerificationFailed

SCHEMA: Final = "meterlet.bill.verify/1"
CHAIN_SCHEMA: Final = "meterlet.bill.chain/1"


@click.group()
def bill() -> None:
    """Check a bill offline."""


def _memory_facts(memory: BundleMemory) -> dict[str, Any]:
    paid = {"paid": f"{memory.paid:f}"} if memory.paid else {}
    return {
        "account": memory.account,
        "bill": memory.bill,
        "state_before": memory.before,
        "state": memory.after,
        "carried": list(memory.carried),
        **paid,
    }


def _memory_lines(memory: BundleMemory) -> list[str]:
    before = f"bill {memory.bill - 1}" if memory.bill > 1 else "no bill before it"
    return [
        f"bill {memory.bill} of account {memory.account}: goes on from {before},"
        f" state {memory.before}",
        f"leaves state {memory.after}",
        *(f"  {name}: committed, not told" for name in memory.carried),
    ]


def _facts(found: AnyResult) -> tuple[dict[str, Any], str]:
    """Return what a right bundle says, and the same in a sentence."""
    match found:
        case VerifiedBillBundle():
            says: dict[str, Any] = {
                "tariff": found.tariff,
                "currency": found.currency,
                "total": f"{found.total:f}",
            }
            if found.exact is not None:
                says["total_exact"] = str(found.exact.total_exact)
                says["exact_decimals"] = found.exact.exact_decimals
            says |= exchange_facts(found.exchanges)
            if found.memory is not None:
                says["memory"] = _memory_facts(found.memory)
            sentence = f"{found.total:f} {found.currency} under {found.tariff}"
        case VerifiedSettlementBundle():
            says = {
                "series": found.series,
                "revision": found.revision,
                "currency": found.currency,
                "total_exact": str(found.value),
                "exact_decimals": 9,
            }
            place = f"{found.series} revision {found.revision}"
            sentence = f"{found.value}e-9 {found.currency} at {place}"
        case VerifiedProfileBundle():
            says = {"profiles": found.profiles, "method": found.method, "best": found.best}
            sentence = f"{found.best} of {found.profiles}, by {found.method}"
    facts = {
        "verdict": "matches",
        "meter": found.meter,
        "from": utc_text(int(found.begin.timestamp())),
        "until": utc_text(int(found.end.timestamp())),
        **says,
        "missing_slots": found.missing_slots,
        "certifier": found.certifier,
        "supplier": found.supplier,
    }
    return facts, sentence


def _tell(error: VerificationFailed | CannotVerify, *, as_json: bool) -> None:
    """Print the verdict on a bill that does not match, or of which that cannot be told."""
    facts: dict[str, str | None] = {"verdict": "cannot tell", "why": str(error)}
    if isinstance(error, VerificationFailed):
        by = None if error.difference is None else str(error.difference)
        facts = {"verdict": "differs", "where": error.check, "by": by, "why": error.reason}
    amount = f" by {facts['by']}" if facts.get("by") else ""
    where = f" at the check of the {facts['where']}" if "where" in facts else ""
    show(SCHEMA, facts, f"{facts['verdict']}{amount}{where}", as_json=as_json)


@bill.command()
@click.argument("bundles", metavar="BUNDLE...", type=FILE, nargs=-1, required=True)
@click.option("--supplier", type=FILE, help="The supplier's public key (PEM) that you trust.")
@click.option("--certifier", help="The certifier's public key that you trust, in hex.")
@json_option
def verify(
    bundles: tuple[Path, ...], supplier: Path | None, certifier: str | None, as_json: bool
) -> None:
    """Verify a BUNDLE: is this the right bill for the certified days and the signed tariff?

    Bundles of settlements (the right value at the signed index?) and profiles are verified, too;
    --supplier is then who signed index or profiles. Several BUNDLEs are bills of a tariff with
    memory, in order: each has to go on from what the one before it has left.

    The verdict: it matches (exit code 0); it differs (3), by how much where that is known, and at
    which check; or that cannot be told (4), and why. Without --supplier and
    --certifier the keys are those that the bundle names.
    """
    found, told, lines = list[AnyResult](), list[dict[str, Any]](), list[str]()
    for bundle in bundles:
        facts, said = _verified(bundle, supplier, certifier, found, as_json=as_json)
        told.append(facts)
        lines += said
    if len(bundles) == 1:
        show(SCHEMA, told[0], lines, as_json=as_json)
        return
    try:
        require_chain(found)
    except VerificationFailed as error:
        _tell(error, as_json=as_json)
        raise
    lines.append(f"{len(bundles)} bills, each going on from the one before")
    show(CHAIN_SCHEMA, {"verdict": "matches", "bills": told}, lines, as_json=as_json)


def _verified(
    bundle: Path,
    supplier: Path | None,
    certifier: str | None,
    found: list[AnyResult],
    *,
    as_json: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Return what a right bundle says, as facts and in lines, and add it to what was found."""
    evidence = read_bundle(bundle)
    try:
        result = check_bundle(evidence, supplier, certifier)
    except (VerificationFailed, CannotVerify) as error:
        match error:
            case VerificationFailed(check="supplier"):
                fail(f"{bundle}: {error.reason} than {supplier} says", Exit.REFUTED)
            case VerificationFailed(check="certifier"):
                fail(f"{bundle}: {error.reason}", Exit.REFUTED)
        _tell(error, as_json=as_json)
        raise
    facts, sentence = _facts(result)
    lines = [f"matches: {sentence} for {facts['from']} to {facts['until']}"]
    if facts["missing_slots"]:
        lines.append(f"{facts['missing_slots']} slots are missing and not billed")
    if isinstance(result, VerifiedBillBundle):
        lines += exchange_lines(result.exchanges)
        if result.memory is not None:
            lines += _memory_lines(result.memory)
    found.append(result)
    return facts, lines
