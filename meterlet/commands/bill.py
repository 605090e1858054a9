# SPDX-License-Identifier: Apache-2.0
"""`meterlet bill`: check a bill offline, with neither hub nor server."""

from pathlib import Path
from typing import Any, Final

import rich_click as click

from hub.text import missing_in_words, utc_text
from meterlet.commands.common import FILE, LAST_BILL, Exit, fail, json_option, show
from meterlet.commands.corrected import corrected_facts, corrected_in_words
from meterlet.exchanged_meters import exchange_facts, exchange_lines
from meterlet.verified_bundles import (
    AnyResult,
    BundleMemory,
    VerifiedBillBundle,
    VerifiedProfileBundle,
    VerifiedSettlementBundle,
    check_bundle,
    correction_of,
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
    last = {"last": True} if memory.is_last else {}
    return {
        "account": memory.account,
        "bill": memory.bill,
        "state_before": memory.before,
        "state": memory.after,
        "carried": list(memory.carried),
        **paid,
        **last,
    }


def _memory_lines(memory: BundleMemory) -> list[str]:
    before = f"bill {memory.bill - 1}" if memory.bill > 1 else "no bill before it"
    return [
        f"bill {memory.bill} of account {memory.account}: goes on from {before},"
        f" state {memory.before}",
        *([LAST_BILL] if memory.is_last else []),
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
                "corrected_days": corrected_facts(found.corrected),
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


def _difference(
    found: AnyResult,
    replaces: Path,
    supplier: Path | None,
    certifier: str | None,
    facts: dict[str, Any],
) -> str:
    """Put into `facts` what corrections made of the bill that is replaced; return it in words."""
    old = check_bundle(read_bundle(replaces), supplier, certifier)
    if not (isinstance(old, VerifiedBillBundle) and isinstance(found, VerifiedBillBundle)):
        raise click.UsageError("--replaces: a bill replaces a bill")
    correction = correction_of(old, found)
    facts["difference"] = None if correction is None else f"{correction.difference:f}"
    facts["corrected_since"] = [] if correction is None else corrected_facts(correction.days)
    if correction is None:
        return "no slot was corrected since the bill that it replaces"
    return (
        f"corrected: {correction.difference:+f} {found.currency} to the bill that it replaces, for"
        f" {corrected_in_words(correction.days)}"
    )


@bill.command()
@click.argument(
    "bundles",
    metavar="BUNDLE...",
    type=FILE,
    nargs=-1,
    required=True,
    help="Bundles of invoices with their proofs.",
)
@click.option("--supplier", type=FILE, help="The supplier's public key (PEM) that you trust.")
@click.option("--certifier", help="The certifier's public key that you trust, in hex.")
@click.option("--replaces", type=FILE, help="The bundle of the bill that this one corrects.")
@json_option
def verify(
    bundles: tuple[Path, ...],
    supplier: Path | None,
    certifier: str | None,
    replaces: Path | None,
    as_json: bool,
) -> None:
    """Verify a BUNDLE: is this the right bill for the certified days and the signed tariff?

    Bundles of settlements (the right value at the signed index?) and profiles are verified, too;
    --supplier is then who signed index or profiles. Several BUNDLEs are bills of a tariff with
    memory, in order: each has to go on from what the one before it has left.

    The verdict: it matches (exit code 0); it differs (3), by how much where that is known, and at
    which check; or that cannot be told (4), and why. Without --supplier and
    --certifier the keys are those that the bundle names.

    Where readings came late or were replaced, it says of how many slots. With --replaces it says
    what that made of the earlier bill, too.
    """
    if replaces is not None and len(bundles) > 1:
        raise click.UsageError("--replaces goes with one bundle")
    found, told, lines = list[AnyResult](), list[dict[str, Any]](), list[str]()
    for bundle in bundles:
        facts, said = _verified(bundle, supplier, certifier, found, as_json=as_json)
        told.append(facts)
        lines += said
    if replaces is not None:
        try:
            lines.append(_difference(found[0], replaces, supplier, certifier, told[0]))
        except (VerificationFailed, CannotVerify) as error:
            _tell(error, as_json=as_json)
            raise
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
    if isinstance(result, VerifiedBillBundle) and result.corrected:
        lines.append(f"its readings have {corrected_in_words(result.corrected)}")
    if facts["missing_slots"]:
        lines.append(f"{missing_in_words(facts['missing_slots'])} and not billed")
    if isinstance(result, VerifiedBillBundle):
        lines += exchange_lines(result.exchanges)
        if result.memory is not None:
            lines += _memory_lines(result.memory)
    found.append(result)
    return facts, lines
