# SPDX-License-Identifier: Apache-2.0
"""`meterlet mdms init|rotate|budget`: the store and its keys."""

from pathlib import Path
from typing import Any

import rich_click as click

from meterlet.commands.common import (
    FOLDER,
    default_folder,
    json_option,
    one_line_errors,
    print_json,
    public_key,
)
from meterlet.commands.mdms.options import (
    FILE,
    PRESENT_FILE,
    Rho,
    mdms_option,
    output_option,
    region_option,
)
from meterlet.commands.tariff_files import write_new
from utility_server.grid.mdms.notices import PrivacyNotice
from utility_server.grid.mdms.publishing import DELTA, NANO, Budget, Publisher
from utility_server.grid.mdms.workspace import PAILLIER_BITS, Mdms


@click.command()
@click.argument("folder", type=FOLDER, default=lambda: default_folder("mdms"))
@click.option(
    "--authority",
    "authorities",
    type=PRESENT_FILE,
    multiple=True,
    help="Public key (PEM) of an authority whose meters may be aggregated.",
)
@click.option(
    "--paillier",
    "bits",
    type=click.Choice([str(bits) for bits in PAILLIER_BITS]),
    default=str(PAILLIER_BITS[0]),
    show_default=True,
    help="Bits of the Paillier key.",
)
@click.option(
    "--trustee-share",
    type=FILE,
    help="Split the key; a new file for the other share, which goes to a trustee.",
)
@json_option
def init(
    folder: Path,
    authorities: tuple[Path, ...],
    bits: str,
    trustee_share: Path | None,
    as_json: bool,
) -> None:
    """Make an MDMS with new keys in FOLDER, which must be new or empty."""
    with one_line_errors():
        trusted = [public_key(path) for path in authorities]
    with (
        one_line_errors(),
        Mdms.create(
            folder, trusted, paillier_bits=int(bits), trustee_share=trustee_share
        ) as workspace,
    ):
        public = workspace.signing.public_key().public_bytes_raw().hex()
    if as_json:
        print_json("meterlet.mdms.init/1", {"mdms": str(folder), "public_key": public})
    else:
        click.echo(f"made an MDMS in {folder}; its public key is {folder / 'public.pem'}")


@click.command()
@mdms_option
@json_option
def rotate(folder: Path, as_json: bool) -> None:
    """Seal all that is stored under new keys, and destroy the old ones."""
    with one_line_errors(), Mdms.open(folder) as workspace:
        done = workspace.store.rotate()
    facts = {
        "wrapping_key": done.wrapping.hex(),
        "data_key": done.data_key,
        "rows_sealed": done.rows,
        "wrapping_keys_destroyed": done.retired,
    }
    if as_json:
        print_json("meterlet.mdms.rotate/1", facts)
    else:
        click.echo(f"{done.rows} rows sealed under data key {done.data_key}; old keys destroyed")


@click.command()
@mdms_option
@region_option
@click.option("--rho", "nano_rho", type=Rho(), help="Grant so much in all; else it is only shown.")
@json_option
def budget(folder: Path, region: str, nano_rho: int | None, as_json: bool) -> None:
    """Show or set what may be published of a region: the privacy budget of each of its homes."""
    with one_line_errors(), Mdms.open(folder) as workspace:
        publisher = Publisher(workspace.store)
        granted = (
            publisher.budget(region) if nano_rho is None else publisher.grant(region, nano_rho)
        )
    facts = budget_facts(granted)
    if as_json:
        print_json("meterlet.mdms.budget/1", {"region": region, "budget": facts})
    else:
        click.echo(f"{region}: {budget_line(granted)}")


@click.command()
@mdms_option
@region_option
@output_option("A new file for the notice.")
@json_option
def notice(folder: Path, region: str, output: Path, as_json: bool) -> None:
    """Tell residents, signed, what has been published of their region and what it may cost."""
    with one_line_errors(), Mdms.open(folder) as workspace:
        publisher = Publisher(workspace.store)
        granted, releases = publisher.budget(region), publisher.releases(region)
        statement = PrivacyNotice.of(granted, workspace.now(), releases)
        signed = statement.signed(workspace.signing.private_bytes_raw())
        write_new(output, signed.encode(), 0o644)
    if as_json:
        facts = {"notice": str(output), "region": region, "budget": budget_facts(statement.budget)}
        print_json("meterlet.mdms.notice/1", facts)
    else:
        click.echo(f"{region}: {budget_line(statement.budget)}; signed as {output}")


def budget_facts(granted: Budget) -> dict[str, Any]:
    """Return a budget as the JSON outputs show it; ρ as decimals, exactly."""
    return {
        "rho": _decimal(granted.nano_rho),
        "rho_spent": _decimal(granted.spent),
        "rho_left": _decimal(granted.left),
        "epsilon_spent": granted.epsilon,
        "delta": DELTA,
    }


def budget_line(granted: Budget) -> str:
    """Return a budget as a line of text."""
    return (
        f"privacy budget ρ = {_decimal(granted.nano_rho)}, {_decimal(granted.spent)} spent"
        f" (ε = {granted.epsilon:g} at δ = {DELTA:g}), {_decimal(granted.left)} left"
    )


def _decimal(nano: int) -> str:
    return f"{nano // NANO}.{nano % NANO:09d}".rstrip("0").rstrip(".")
