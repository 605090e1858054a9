# SPDX-License-Identifier: Apache-2.0
"""`meterlet authority`: who vouches for the meters that may be members of a sum."""

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import rich_click as click

from meterlet.commands.common import (
    DAY,
    FOLDER,
    Hex,
    Shown,
    days_options,
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
@click.argument(
    "folder",
    type=FOLDER,
    default=lambda: default_folder("authority"),
    help="Where the authority is to live: a new or empty folder.",
)
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
@days_options("UTC")
@output_option("A new file for the certificate.")
@json_or_text("meterlet.authority.certify/1")
def certify(
    folder: Path,
    region: str,
    meter: bytes,
    certifier: bytes,
    first: date | None,
    last: date | None,
    output: Path,
) -> Shown:
    """Vouch that a certifier measures a meter of a region, for days of UTC or for good.

    With --until alone it is from the beginning of time.
    """
    if first is not None and last is None:
        raise click.UsageError("--from goes with --until")
    term = None
    if last is not None:
        term = (0 if first is None else _moment(first), _moment(last + timedelta(days=1)))
    try:
        certificate = Authority.open(folder).certify(region, meter, certifier, term)
    except EnrolmentRefused as refused:
        fail(str(refused))
    write_new(output, certificate.encode(), 0o644)
    facts = {"region": region, "meter": meter.hex(), "certificate": str(output)}
    return facts, f"wrote the certificate of meter {meter.hex()} to {output}"


@authority.command()
@authority_option
@click.option("--certifier", type=Hex(), required=True, help="Its key (`hub keys list`).")
@click.option("--from", "since", type=DAY, required=True, help="From this day on (UTC).")
@output_option("A new file for the list, for hubs, utilities and the MDMS.")
@json_or_text("meterlet.authority.revoke/1")
def revoke(folder: Path, certifier: bytes, since: datetime, output: Path) -> Shown:
    """Put a certifier on the list of those that count no more.

    What it certified of the time before stays valid.
    """
    try:
        begin, now = _moment(since.date()), int(time.time())
        listed = Authority.open(folder).revoke(folder, certifier, begin, now)
    except EnrolmentRefused as refused:
        fail(str(refused))
    write_new(output, listed.encode(), 0o644)
    facts = {"number": listed.number, "entries": len(listed.entries), "list": str(output)}
    return facts, f"wrote list {listed.number} with {len(listed.entries)} revocations to {output}"


def _moment(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
