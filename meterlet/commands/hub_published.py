# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub published`: the lists of what everybody is shown, as the hub was handed them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from hub.device import Device
from hub.disclosure.published import TakenList
from hub.inspection.views.published import published_view, take_published
from hub.text import utc_text
from meterlet.commands.common import (
    PRESENT_FILE,
    fail,
    hub_option,
    json_option,
    json_or_text,
    one_line_errors,
    show,
)
from meterlet.commands.own_commands import with_said_folders
from meterlet.key_files import public_key
from meterlet.published_lists import count, list_facts, print_list
from protocols.published import MOST_LIST_BYTES


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
            none = "this hub was handed no public list; `meterlet hub published take` takes one"
            click.echo(with_said_folders(none))
        for one in facts["lists"]:
            click.echo(f"signed by {one['signer'][:16]}, taken {one['taken']}")
            if at is None:
                print_list(one)
            elif at <= len(one["entries"]):
                click.echo(f"at entry {at} its code was {one['entries'][at - 1]['code']}")
            else:
                click.echo(f"it has {len(one['entries'])} entries, and no entry {at}")

    show("meterlet.hub.published/1", facts, text, as_json=as_json)


@hub_published.command("take")
@hub_option
@click.argument("file", type=PRESENT_FILE, help="The public list, as the utility has published it.")
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
        f"a list of {count(number, 'document')}; its code is {one.documents.code}:"
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
