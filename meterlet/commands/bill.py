# SPDX-License-Identifier: Apache-2.0
"""`meterlet bill`: check a bill offline, with neither hub nor server."""

from pathlib import Path
from typing import Any, Final

import rich_click as click

from meterlet.commands.common import (
    Exit,
    fail,
    json_option,
    one_line_errors,
    print_json,
    public_key,
    utc_text,
)
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.retail.profiling import ProfilingBundle, verify_profile
from utility_server.retail.settlement import SettlementBundle, verify_settlement
from utility_server.retail.verification import BillBundle, verify_bill

__all__ = ["bill"]

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bill() -> None:
    """Check a bill offline."""


KINDS: Final = (SettlementBundle, ProfilingBundle, BillBundle)


def _read(bundle: Path) -> BillBundle:
    data, problem = bundle.read_bytes(), ""
    for kind in KINDS:
        try:
            return kind.decode(data)
        except CannotVerify as error:
            problem = str(error)
    raise CannotVerify(f"{bundle}: {problem}")


def _check(evidence: BillBundle) -> tuple[dict[str, Any], str]:
    """Return what a right bundle says, and the same in a sentence; raise as `verify_bill`."""
    match evidence:
        case SettlementBundle():
            return _settlement(evidence)
        case ProfilingBundle():
            return _profile(evidence)
        case _:
            return _bill(evidence)


def _about(meter: bytes, begin: int, end: int) -> dict[str, Any]:
    return {
        "verdict": "matches",
        "meter": meter.hex(),
        "from": utc_text(begin),
        "until": utc_text(end),
    }


def _bill(evidence: BillBundle) -> tuple[dict[str, Any], str]:
    question, tariff, verified = verify_bill(evidence)
    facts = {
        **_about(question.meter, question.begin, question.end),
        "tariff": tariff.name,
        "currency": verified.bill.currency,
        "total": verified.bill.total,
        "total_exact": str(verified.bill.total_exact),
        "exact_decimals": verified.bill.exact_decimals,
        "missing_slots": len(verified.missing),
    }
    return facts, f"{facts['total']} {facts['currency']} under {tariff.name}"


def _settlement(evidence: SettlementBundle) -> tuple[dict[str, Any], str]:
    question, index, settled = verify_settlement(evidence)
    about = question.about
    facts = {
        **_about(about.meter, about.begin, about.end),
        "series": index.series,
        "revision": index.version,
        "currency": index.currency,
        "total_exact": str(settled.value),
        "exact_decimals": 9,
        "missing_slots": len(settled.missing),
    }
    return facts, f"{settled.value}e-9 {index.currency} at {index.series} revision {index.version}"


def _profile(evidence: ProfilingBundle) -> tuple[dict[str, Any], str]:
    question, request, profiled = verify_profile(evidence)
    about = question.about
    facts = {
        **_about(about.meter, about.begin, about.end),
        "profiles": request.profiles.name,
        "method": request.method.value,
        "best": profiled.best,
        "missing_slots": profiled.missing,
    }
    return facts, f"{profiled.best} of {request.profiles.name}, by {request.method.value}"


def _tell(error: VerificationFailed | CannotVerify, *, as_json: bool) -> None:
    """Print the verdict on a bill that does not match, or of which that cannot be told."""
    facts: dict[str, str | None] = {"verdict": "cannot tell", "why": str(error)}
    if isinstance(error, VerificationFailed):
        by = None if error.difference is None else str(error.difference)
        facts = {"verdict": "differs", "where": error.check, "by": by, "why": error.reason}
    if as_json:
        print_json("meterlet.bill.verify/1", facts)
        return
    amount = f" by {facts['by']}" if facts.get("by") else ""
    where = f" at the check of the {facts['where']}" if "where" in facts else ""
    click.echo(f"{facts['verdict']}{amount}{where}")


@bill.command()
@click.argument("bundle", type=FILE)
@click.option("--supplier", type=FILE, help="The supplier's public key (PEM) that you trust.")
@click.option("--certifier", help="The certifier's public key that you trust, in hex.")
@json_option
def verify(bundle: Path, supplier: Path | None, certifier: str | None, as_json: bool) -> None:
    """Verify a BUNDLE: is this the right bill for the certified days and the signed tariff?

    Bundles of settlements (the right value at the signed index?) and profiles are verified, too;
    --supplier is then who signed index or profiles.

    The verdict: it matches (exit code 0); it differs (3), by how much where that is known, and at
    which check; or that cannot be told (4), and why. Without --supplier and
    --certifier the keys are those that the bundle names.
    """
    with one_line_errors():
        evidence = _read(bundle)
        if supplier is not None and public_key(supplier).public_bytes_raw() != evidence.supplier:
            fail(f"{bundle}: signed for another supplier than {supplier} says", Exit.REFUTED)
        if certifier is not None and certifier.lower() != evidence.certifier.hex():
            fail(f"{bundle}: of another certifier", Exit.REFUTED)
        try:
            facts, sentence = _check(evidence)
        except (VerificationFailed, CannotVerify) as error:
            _tell(error, as_json=as_json)
            raise
    facts |= {"certifier": evidence.certifier.hex(), "supplier": evidence.supplier.hex()}
    if as_json:
        print_json("meterlet.bill.verify/1", facts)
        return
    click.echo(f"matches: {sentence} for {facts['from']} to {facts['until']}")
    if facts["missing_slots"]:
        click.echo(f"{facts['missing_slots']} slots are missing and not billed")
