# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility aggregate`: ask the MDMS for a region's sum."""

from pathlib import Path
from typing import Any

import rich_click as click

from hub.text import utc_text
from meterlet.commands.common import Exit, fail, json_option, period_options, show
from meterlet.commands.mdms.options import mdms_option
from protocols.aggregation.paillier import SHORT_EXPONENT
from protocols.aggregation.round import RESOLUTIONS
from protocols.metrology import Period
from sml_codec import Obis
from utility_server.grid.mdms.control_socket import Request, ask

VALUE_BITS = 20
SHOWN = 5


@click.command()
@mdms_option
@click.option("--region", required=True, help="Whose homes are to be added up.")
@period_options()
@click.option("--zone", default="Europe/Berlin", show_default=True, help="Whose days.")
@click.option(
    "--resolution",
    type=click.Choice([str(minutes) for minutes in RESOLUTIONS]),
    default="15",
    show_default=True,
    help="Minutes of a slot; 1440 for days.",
)
@click.option("--register", default="1-0:1.8.0*255", show_default=True, help="Its OBIS code.")
@click.option(
    "--bits",
    type=click.IntRange(8, 32),
    default=VALUE_BITS,
    show_default=True,
    help="No home's use in a slot may reach 2^BITS Wh.",
)
@click.option("--short-exponent", is_flag=True, help="Encrypt faster, on one more assumption.")
@click.option(
    "--prove-ranges/--no-prove-ranges",
    default=None,
    help="Let homes prove that bound; by default where it takes a home about a second or less.",
)
@json_option
def aggregate(
    folder: Path,
    region: str,
    period: Period,
    zone: str,
    resolution: str,
    register: str,
    bits: int,
    short_exponent: bool,
    prove_ranges: bool | None,
    as_json: bool,
) -> None:
    """Announce a round for a region and a period, run it, verify the sum, store and print it.

    Needs `meterlet mdms serve` for the same MDMS. Exit code 3 if somebody has spoiled the sum;
    then the culprit is named.
    """
    try:
        code = Obis.parse(register).code
    except ValueError as error:
        raise click.UsageError(f"--register: {error}") from None
    request = Request(
        region,
        code,
        period,
        zone,
        int(resolution),
        bits,
        SHORT_EXPONENT if short_exponent else 0,
        prove_ranges,
    )
    facts: dict[str, Any] = {}
    for line in ask(folder, request):
        if isinstance(line, str):
            click.echo(line, err=True)
        else:
            facts = line
    show("meterlet.utility.aggregate/1", facts, lambda: _print_sum(region, facts), as_json=as_json)
    if facts["void"]:
        fail(f"region {region}: {facts['void']}")
    if not facts["verified"] or facts["culprits"]:
        named = "; ".join(f"{culprit['who']}: {culprit['reason']}" for culprit in facts["culprits"])
        fail(f"region {region}: {named or 'the sum does not open'}", Exit.REFUTED)


def _print_sum(region: str, facts: dict[str, Any]) -> None:
    absent = len(facts["absent"]) + len(facts["refused"])
    if facts["verified"]:
        sums = facts["sums_wh"]
        click.echo(
            f"{region}: {sum(sums)} Wh of {facts['homes']} homes in {len(sums)} slots from"
            f" {utc_text(facts['starts'][0])}; verified and stored"
        )
        for home in facts["incomplete"][:SHOWN]:
            click.echo(f"    {home['meter']}: no reading in {home['missing_slots']} slots of it")
    if absent:
        click.echo(f"  {absent} homes are not in it:")
    for absence in (facts["absent"] + facts["refused"])[:SHOWN]:
        click.echo(f"    {absence['meter']}: {absence['step']}: {absence['why']}")
    if absent > SHOWN:
        click.echo(f"    and {absent - SHOWN} more")
