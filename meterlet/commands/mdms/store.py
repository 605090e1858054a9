# SPDX-License-Identifier: Apache-2.0
"""`meterlet mdms init|rotate|budget`: the store and its keys."""

from pathlib import Path

import rich_click as click
from sqlalchemy import URL

from hub.text import noun_for
from meterlet.commands.budget_text import budget_facts, budget_line
from meterlet.commands.common import (
    FILE,
    FOLDER,
    PRESENT_FILE,
    Shown,
    default_folder,
    json_or_text,
    output_option,
)
from meterlet.commands.mdms.options import Rho, mdms_option, region_option
from meterlet.commands.tariff_files import write_new
from meterlet.commands.utility_database import database_option
from meterlet.key_files import public_key
from meterlet.secret_files import SECRET_FILE
from utility_server.grid.mdms.phe_interchange import private_from_json
from utility_server.grid.mdms.publishing import Publisher
from utility_server.grid.mdms.workspace import PAILLIER_BITS, Mdms
from utility_server.grid.privacy_notice import PrivacyNotice
from utility_server.keys import read_secret


@click.command()
@click.argument(
    "folder",
    type=FOLDER,
    default=lambda: default_folder("mdms"),
    help="Where the MDMS is to live: a new or empty folder.",
)
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
    "--paillier-key",
    type=SECRET_FILE,
    help="Instead of a new key: a private key in python-paillier's JSON, of mode 0600.",
)
@click.option(
    "--trustee-share",
    type=FILE,
    help="Split the key; a new file for the other share, which goes to a trustee.",
)
@database_option("Keep the tables in this empty PostgreSQL database, not in a file:")
@json_or_text("meterlet.mdms.init/1")
def init(
    folder: Path,
    authorities: tuple[Path, ...],
    bits: str,
    paillier_key: Path | None,
    trustee_share: Path | None,
    database: URL | None,
) -> Shown:
    """Make an MDMS with new keys in FOLDER, which must be new or empty."""
    trusted = [public_key(path) for path in authorities]
    paillier = int(bits) if paillier_key is None else private_from_json(read_secret(paillier_key))
    with Mdms.create(
        folder, trusted, paillier=paillier, trustee_share=trustee_share, database=database
    ) as workspace:
        public = workspace.signing.public_key().public_bytes_raw().hex()
    facts = {"mdms": str(folder), "public_key": public}
    return facts, f"made an MDMS in {folder}; its public key is {folder / 'public.pem'}"


@click.command()
@mdms_option
@json_or_text("meterlet.mdms.rotate/1")
def rotate(folder: Path) -> Shown:
    """Seal all that is stored under new keys, and destroy the old ones."""
    with Mdms.open(folder) as workspace:
        done = workspace.store.rotate()
    facts = {
        "wrapping_key": done.wrapping.hex(),
        "data_key": done.data_key,
        "rows_sealed": done.rows,
        "wrapping_keys_destroyed": done.retired,
    }
    rows = f"{done.rows} {noun_for(done.rows, 'row')}"
    return facts, f"{rows} sealed under data key {done.data_key}; old keys destroyed"


@click.command()
@mdms_option
@region_option
@click.option("--rho", "nano_rho", type=Rho(), help="Grant so much in all; else it is only shown.")
@json_or_text("meterlet.mdms.budget/1")
def budget(folder: Path, region: str, nano_rho: int | None) -> Shown:
    """Show or grant a region's privacy budget: how much may be published about it."""
    with Mdms.open(folder) as workspace:
        publisher = Publisher(workspace.store)
        granted = (
            publisher.budget(region) if nano_rho is None else publisher.grant(region, nano_rho)
        )
    facts = budget_facts(granted)
    return {"region": region, "budget": facts}, f"{region}: {budget_line(granted)}"


@click.command()
@mdms_option
@region_option
@output_option("A new file for the notice.")
@json_or_text("meterlet.mdms.notice/1")
def notice(folder: Path, region: str, output: Path) -> Shown:
    """Write a signed notice for residents: what was published about their region."""
    with Mdms.open(folder) as workspace:
        publisher = Publisher(workspace.store)
        granted, releases = publisher.budget(region), publisher.releases(region)
        statement = PrivacyNotice(granted, workspace.now(), releases)
        write_new(output, statement.sign(workspace.signing), 0o644)
    facts = {"notice": str(output), "region": region, "budget": budget_facts(statement.budget)}
    return facts, f"{region}: {budget_line(statement.budget)}; signed as {output}"
