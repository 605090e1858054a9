# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility publish` and `published`: what customers are asked under, for everybody."""

from pathlib import Path
from typing import Final

import rich_click as click

from applets.profiling.messages import Method, ProfilingRequest
from meterlet.commands.common import (
    FILE,
    PRESENT_FILE,
    json_option,
    one_line_errors,
    period_options,
    show,
    utility_option,
)
from meterlet.commands.index import load_index
from meterlet.commands.profile import load_profiles
from meterlet.commands.tariff_files import write_new
from meterlet.priced_readings import read_tariff
from meterlet.published_lists import list_facts, print_list
from protocols.metrology import Period
from utility_server.retail.published import AskedUnder
from utility_server.retail.utility import Utility

METHODS: Final = [method.value for method in Method]

meters_option = click.option(
    "--meters", type=click.IntRange(0, (1 << 32) - 1),
    help="How many meters may be asked under it; all that are enrolled unless given.",
)  # fmt: skip


@click.group()
def publish() -> None:
    """Put what customers are asked under on the list that everybody may have."""


@publish.command("tariff")
@utility_option
@click.argument("tariff", type=PRESENT_FILE, help="A tariff: its source or its document.")
@meters_option
@json_option
def publish_tariff(folder: Path, tariff: Path, meters: int | None, as_json: bool) -> None:
    """Publish a TARIFF, signed or in its source."""
    with one_line_errors():
        _publish(folder, read_tariff(tariff).tariff, meters, as_json=as_json)


@publish.command("index")
@utility_option
@click.argument(
    "index", type=PRESENT_FILE, help="A price index that `meterlet index import` has made."
)
@period_options()
@click.option(
    "--zone", default="Europe/Berlin", show_default=True, help="Whose days: the customers' zone."
)
@meters_option
@json_option
def publish_index(
    folder: Path, index: Path, period: Period, zone: str, meters: int | None, as_json: bool
) -> None:
    """Publish the part of a price INDEX that settling a period needs."""
    with one_line_errors():
        found, _ = load_index(index)
        _publish(folder, found.between(*period.bounds(zone)), meters, as_json=as_json)


@publish.command("profiles")
@utility_option
@click.argument(
    "profiles", type=PRESENT_FILE, help="Load profiles: a file that `meterlet profile` has made."
)
@click.option(
    "--method", type=click.Choice(METHODS), default=Method.MATCH.value, show_default=True,
    help="What hubs are asked to tell.",
)  # fmt: skip
@click.option("--one-in", type=click.IntRange(2, 10_000), help="sample: one reading in so many.")
@meters_option
@json_option
def publish_profiles(
    folder: Path,
    profiles: Path,
    method: str,
    one_in: int | None,
    meters: int | None,
    as_json: bool,
) -> None:
    """Publish a set of PROFILES with the method."""
    if (method == Method.SAMPLE) != (one_in is not None):
        raise click.UsageError("--one-in says how much is sampled, and nothing else")
    request = ProfilingRequest(Method(method), load_profiles(profiles), one_in or 1)
    with one_line_errors():
        _publish(folder, request, meters, as_json=as_json)


def _publish(folder: Path, document: AskedUnder, meters: int | None, *, as_json: bool) -> None:
    with Utility.open(folder) as utility:
        number = utility.publications.publish(document, meters)
        known = utility.publications.list()
    facts = {"number": number, "digest": document.digest.hex(), "code": known.code}
    text = f"published as entry {number}; the list's code is {known.code}, the same for everybody"
    show("meterlet.utility.publish/1", facts, text, as_json=as_json)


@click.command("published")
@utility_option
@click.option("--output", "-o", type=FILE, help="A new file for the signed list.")
@json_option
def utility_published(folder: Path, output: Path | None, as_json: bool) -> None:
    """Show what was published, and the code that people compare."""
    with one_line_errors(), Utility.open(folder) as utility:
        known, document = utility.publications.list(), utility.publications.document()
        if output is not None:
            write_new(output, document, 0o644)
    facts = list_facts(known)
    show("meterlet.utility.published/1", facts, lambda: print_list(facts), as_json=as_json)
