# SPDX-License-Identifier: Apache-2.0
"""`meterlet bill`: check a bill offline, with neither hub nor server."""

from pathlib import Path
from typing import Any, Final

import rich_click as click

from hub.text import utc_text
from meterlet.commands.common import FILE, Exit, fail, json_option, show
from meterlet.commands.corrected import corrected_facts, corrected_in_words
from meterlet.verified_bundles import (
    AnyResult,
    VerifiedBillBundle,
    VerifiedProfileBundle,
    VerifiedSettlementBundle,
    check_bundle,
    correction_of,
    read_bundle,
)
from utility_server.errors import CannotVerify, VerificationFailed

SCHEMA: Final = "meterlet.bill.verify/1"


@click.group()
def bill() -> None:
    """Check a bill offline."""


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
@click.argument("bundle", type=FILE)
@click.option("--supplier", type=FILE, help="The supplier's public key (PEM) that you trust.")
@click.option("--certifier", help="The certifier's public key that you trust, in hex.")
@click.option("--replaces", type=FILE, help="The bundle of the bill that this one corrects.")
@json_option
def verify(
    bundle: Path,
    supplier: Path | None,
    certifier: str | None,
    replaces: Path | None,
    as_json: bool,
) -> None:
    """Verify a BUNDLE: is this the right bill for the certified days and the signed tariff?

    Bundles of settlements (the right value at the signed index?) and profiles are verified, too;
    --supplier is then who signed index or profiles.

    The verdict: it matches (exit code 0); it differs (3), by how much where that is known, and at
    which check; or that cannot be told (4), and why. Without --supplier and
    --certifier the keys are those that the bundle names.

    Where readings came late or were replaced, it says of how many slots. With --replaces it says
    what that made of the earlier bill, too.
    """
    evidence = read_bundle(bundle)
    try:
        found = check_bundle(evidence, supplier, certifier)
        facts, sentence = _facts(found)
        lines = [f"matches: {sentence} for {facts['from']} to {facts['until']}"]
        if isinstance(found, VerifiedBillBundle) and found.corrected:
            lines.append(f"its readings have {corrected_in_words(found.corrected)}")
        if replaces is not None:
            lines.append(_difference(found, replaces, supplier, certifier, facts))
    except (VerificationFailed, CannotVerify) as error:
        match error:
            case VerificationFailed(check="supplier"):
                fail(f"{bundle}: {error.reason} than {supplier} says", Exit.REFUTED)
            case VerificationFailed(check="certifier"):
                fail(f"{bundle}: {error.reason}", Exit.REFUTED)
        _tell(error, as_json=as_json)
        raise
    if facts["missing_slots"]:
        lines.append(f"{facts['missing_slots']} slots are missing and not billed")
    show(SCHEMA, facts, lines, as_json=as_json)
