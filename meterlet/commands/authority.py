# SPDX-License-Identifier: Apache-2.0
"""`meterlet authority`: who vouches for the meters that may be members of a sum."""

from pathlib import Path

import rich_click as click

from meterlet.commands.common import (
    FOLDER,
    Hex,
    Shown,
    default_folder,
    fail,
    folder_option,
    json_or_text,
    output_option,
)
from meterlet.commands.tariff_files import write_new
from utility_server.errors import EnrolmentRefused
from utility_server.grid.authority import Authority

authority_option = folder_option("authority", "The authority's folder.")


@click.group()
def authority() -> None:
    """The metering authority: it vouches for meters and sees no reading and no sum."""


@authority.command()
@click.argument("folder", type=FOLDER, default=lambda: default_folder("authority"))
@json_or_text("meterlet.authority.init/1")
def init(folder: Path) -> Shown:
    """Make an authority with a new key in FOLDER."""
    public = Authority.create(folder).public_key.public_bytes_raw().hex()
    facts = {"authority": str(folder), "public_key": public}
    return facts, f"made an authority in {folder}; its public key is {folder / 'public.pem'}"


@authority.command()
@authority_option
@click.option("--region", required=True, help="Where the meter is.")
@click.option("--meter", type=Hex(), required=True, help="The meter's id.")
@click.option("--certifier", type=Hex(), required=True, help="Its certifier's key (`hub status`).")
@output_option("A new file for the certificate.")
@json_or_text("meterlet.authority.certify/1")
def certify(folder: Path, region: str, meter: bytes, certifier: bytes, output: Path) -> Shown:
    """Vouch that a certifier measures a meter of a region."""
    try:
        certificate = Authority.open(folder).certify(region, meter, certifier)
    except EnrolmentRefused as refused:
        fail(str(refused))
    write_new(output, certificate.encode(), 0o644)
    facts = {"region": region, "meter": meter.hex(), "certificate": str(output)}
    return facts, f"wrote the certificate of meter {meter.hex()} to {output}"
