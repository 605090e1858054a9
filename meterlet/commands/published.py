# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility publish` and `meterlet hub published`: documents that everybody is shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import rich_click as click

from applets.profiling.messages import Method, ProfilingRequest
from hub.device import Device
from hub.disclosure.published import TakenList
from hub.inspection.views.published import published_view, take_published
from hub.text import printable, utc_text
from meterlet.commands.common import (
    FILE,
    PRESENT_FILE,
    fail,
    hub_option,
    json_option,
    json_or_text,
    month_option,
    one_line_errors,
    show,
    utility_option,
)
from meterlet.commands.index import load_index
from meterlet.commands.profile import load_profiles
from meterlet.commands.tariff_files import write_new
from meterlet.key_files import public_key
from meterlet.priced_readings import read_tariff
from protocols.metrology import Period
from protocols.published import MOST_LIST_BYTES, PublishedList
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
@click.argument("tariff", type=PRESENT_FILE)
@meters_option
@json_option
def publish_tariff(folder: Path, tariff: Path, meters: int | None, as_json: bool) -> None:
    """Publish a TARIFF, signed or in its source."""
    with one_line_errors():
        _publish(folder, read_tariff(tariff).tariff, meters, as_json=as_json)


@publish.command("index")
@utility_option
@click.argument("index", type=PRESENT_FILE)
@month_option
@click.option(
    "--zone", default="Europe/Berlin", show_default=True, help="Whose days: the customers' zone."
)
@meters_option
@json_option
def publish_index(
    folder: Path, index: Path, month: Period | None, zone: str, meters: int | None, as_json: bool
) -> None:
    """Publish the part of a price INDEX that settling a month needs."""
    if month is None:
        raise click.UsageError("say which --month: customers are asked under its part of the index")
    with one_line_errors():
        found, _ = load_index(index)
        _publish(folder, found.between(*month.bounds(zone)), meters, as_json=as_json)


@publish.command("profiles")
@utility_option
@click.argument("profiles", type=PRESENT_FILE)
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
    show("meterlet.utility.published/1", facts, lambda: _print(facts), as_json=as_json)


@click.group("published", invoke_without_command=True)
@hub_option
@click.option("--at", type=click.IntRange(1), help="The code that the list had at this entry.")
@json_option
@click.pass_context
def hub_published(context: click.Context, folder: Path, at: int | None, as_json: bool) -> None:
    """Show the public lists that the hub was handed, and the codes that people compare."""
    if context.invoked_subcommand is not None:
        return
    with one_line_errors(), Device.open(folder) as device:
        lists = published_view(device)
    facts = {"lists": [taken_facts(one) for one in lists]}

    def text() -> None:
        if not lists:
            click.echo(
                "this hub was handed no public list; `meterlet hub published take` takes one"
            )
        for one in facts["lists"]:
            click.echo(f"signed by {one['signer'][:16]}, taken {one['taken']}")
            if at is None:
                _print(one)
            elif at <= len(one["entries"]):
                click.echo(f"at entry {at} its code was {one['entries'][at - 1]['code']}")
            else:
                click.echo(f"it has {len(one['entries'])} entries, and no entry {at}")

    show("meterlet.hub.published/1", facts, text, as_json=as_json)


@hub_published.command("take")
@hub_option
@click.argument("file", type=PRESENT_FILE)
@click.option(
    "--key", type=PRESENT_FILE,
    help="The signer's public key (PEM), if no installed applet has it.",
)  # fmt: skip
@json_or_text("meterlet.hub.published.take/1")
def take(folder: Path, file: Path, key: Path | None) -> tuple[Mapping[str, Any], str]:
    """Take the public list in FILE; one that does not go on from the last is refused."""
    if file.stat().st_size > MOST_LIST_BYTES:
        fail(f"{file}: a published list has at most {MOST_LIST_BYTES:,} bytes")
    with one_line_errors():
        signer = None if key is None else public_key(key).public_bytes_raw()
        with Device.open(folder) as device:
            one = take_published(device, file.read_bytes(), signer)
    number = len(one.documents.entries)
    return taken_facts(one), (
        f"a list of {_count(number, 'document')}; its code is {one.documents.code}:"
        " compare it with others', it is the same for everybody"
    )


def taken_facts(one: TakenList) -> dict[str, Any]:
    """Return a list that a hub has taken as the JSON outputs show it."""
    return {
        "signer": one.signer.hex(),
        "taken": utc_text(one.time),
        "applets": sorted(applet.hex().upper() for applet in one.applets),
        **list_facts(one.documents),
    }


def list_facts(known: PublishedList) -> dict[str, Any]:
    """Return a list as the JSON outputs show it."""
    return {
        "code": known.code,
        "entries": [
            {
                "number": number,
                "time": utc_text(entry.time),
                "kind": entry.kind.value,
                "name": entry.name,
                "meters": entry.meters,
                "digest": entry.digest.hex(),
                "code": code,
            }
            for number, (entry, code) in enumerate(
                zip(known.entries, known.codes(), strict=True), 1
            )
        ],
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _print(facts: Mapping[str, Any]) -> None:
    for entry in facts["entries"]:
        click.echo(
            f"{entry['number']:4} {entry['time']} {entry['kind']}: {printable(entry['name'])},"
            f" for {_count(entry['meters'], 'meter')}, {entry['digest'][:16]}"
        )
    click.echo(f"the list's code is {facts['code']}; it is the same for everybody")
