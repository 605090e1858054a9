# SPDX-License-Identifier: Apache-2.0
"""`meterlet bill`: check a bill offline, with neither hub nor server."""

from pathlib import Path

import rich_click as click

from cli.common import (
    Exit,
    fail,
    json_option,
    one_line_errors,
    print_json,
    public_key,
    utc_text,
)
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.verification import BillBundle, verify_bill

__all__ = ["bill"]

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bill() -> None:
    """Check a bill offline."""


def _read(bundle: Path) -> BillBundle:
    try:
        return BillBundle.decode(bundle.read_bytes())
    except CannotVerify as error:
        raise CannotVerify(f"{bundle}: {error}") from None


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
            question, tariff, verified = verify_bill(evidence)
        except (VerificationFailed, CannotVerify) as error:
            _tell(error, as_json=as_json)
            raise
    facts = {
        "verdict": "matches",
        "meter": question.meter.hex(),
        "from": utc_text(question.begin),
        "until": utc_text(question.end),
        "tariff": tariff.name,
        "currency": verified.bill.currency,
        "total": verified.bill.total,
        "total_exact": str(verified.bill.total_exact),
        "exact_decimals": verified.bill.exact_decimals,
        "missing_slots": len(verified.missing),
        "certifier": evidence.certifier.hex(),
        "supplier": evidence.supplier.hex(),
    }
    if as_json:
        print_json("meterlet.bill.verify/1", facts)
        return
    click.echo(
        f"matches: {facts['total']} {facts['currency']} under {tariff.name}"
        f" for {facts['from']} to {facts['until']}"
    )
    if verified.missing:
        click.echo(f"{len(verified.missing)} slots are missing and not billed")
