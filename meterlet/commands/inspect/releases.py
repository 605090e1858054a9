# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect releases`: what left the house."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hub.device import Device
from hub.inspection.api.json_releases import disclosed_json, message_json
from hub.inspection.views.releases import decode_message, outgoing_message, releases_view
from hub.text import counted, printable
from meterlet.commands.common import hub_option, json_option, print_json
from meterlet.own_words import reason_in_own_words


def shown_to(released: Sequence[dict[str, Any]]) -> list[str]:
    """Return who else, as far as is known, was shown what the answers were worked out with."""
    lines = [
        f"Everybody is shown what was worked with at {release['time']}, since"
        f" {release['published']['time']}, for {_count(release['published']['meters'], 'meter')}"
        " by its signer's word."
        for release in released
        if release["published"] is not None
    ]
    alone = len(released) - len(lines)
    if alone:
        lines.append(
            f"The prices behind {_count(alone, 'answer')} are on no public list that this hub was"
            " given."
        )
    return lines


def _count(number: int, noun: str) -> str:
    return f"{_word(number)} {noun}{'s' * (number != 1)}"


def _word(number: int) -> str:
    return {1: "one", 2: "two", 3: "three"}.get(number, f"{number:,}")


def plain(text: str) -> str:
    """Return a stranger's words without markup and control characters."""
    return escape(printable(text))


def show_released(console: Console, facts: dict[str, Any]) -> None:
    """Print what left the house, and what it tells."""
    table = Table(title="What left the house")
    for name in ("when", "to", "for", "what", "bytes"):
        table.add_column(name, justify="right" if name == "bytes" else "left")
    for release in facts["released"]:
        table.add_row(
            release["time"],
            plain(release["recipient"]),
            plain(release["purpose"]),
            f"{counted(release['bits'], 'bit')}, {release['first_day']} to {release['last_day']}"
            + "".join(f", register {plain(name)}" for name in release["registers"] if name)
            + (f", goes on from {release['goes_on_from']}" if release["goes_on_from"] else ""),
            f"{release['bytes']:,}",
        )
    console.print(table)
    for line in shown_to(facts["released"]):
        console.print(line)
    for known in facts["known"].values():
        console.print(plain(known["in_words"]["en"]))
    for output in facts["outputs"]:
        console.print(
            f"{plain(output['recipient'])} got {plain(output['output'])}"
            f"{'' if output['is_set'] else ', which was not set'},"
            f" {counted(output['bits'], 'bit')}, at {output['time']}"
        )
    for export in facts["exports"]:
        console.print(
            f"{plain(export['recipient'])} got {counted(export['readings'], 'reading')} of"
            f" {export['resolution_minutes']} min at {export['time']}"
        )
    for part in facts["aggregates"]:
        what = "one sum" if part["values"] == 1 else f"{part['values']:,} sums"
        if part["index"] is not None:
            what = f"one number, the value at the prices of {plain(part['index'])},"
        console.print(
            f"{plain(part['recipient'])} got {what} over {part['households']} households at"
            f" {part['time']}, and nothing about this one alone"
        )
    for told in facts["unattributed"]:
        what = "how much was" if told["opened"] else f"that at most {told['limit_wh']:,} Wh were"
        console.print(
            f"{plain(told['recipient'])} learned at {told['time']} {what} counted from"
            f" {told['from']} to {told['until']} while nobody read the meter"
        )
    for copy in facts["copies"]:
        console.print(
            f"you took out a copy at {copy['time']}: {copy['form']}, {copy['size']:,} bytes"
        )
    for refusal in facts["refused"]:
        who, why = plain(refusal["recipient"]), plain(reason_in_own_words(refusal["why"]))
        console.print(f"refused {who} at {refusal['time']}: {why}")
    console.print(
        f"{facts['bytes_left_house']:,} bytes left the house in all,"
        f" {facts['raw_readings_left_house']} readings among them"
    )


@click.command()
@hub_option
@click.option("--recipient", help="Only what this recipient got.")
@click.option("--bytes", "with_bytes", is_flag=True, help="Show every message, decoded and raw.")
@json_option
def releases(folder: Path, recipient: str | None, with_bytes: bool, as_json: bool) -> None:
    """List what left the house, and what each recipient learned, alone and together."""
    with Device.open(folder) as device:
        view = releases_view(device, recipient)
        facts = disclosed_json(view, device.zone).as_json()
        if with_bytes:
            contents = [outgoing_message(device, one.sequence) for one in view.messages]
            facts["messages"] = [
                message_json(message, content, decode_message(content)).as_json()
                for message, content in contents
            ]
    if as_json:
        print_json("meterlet.inspect.releases/1", facts)
        return
    show_released(Console(), facts)
    for message in facts.get("messages", ()):
        recipient = printable(message["recipient"])
        click.echo(f"\n{message['time']} to {recipient}: {message['size']:,} bytes")
        for field in message["fields"]:
            click.echo(printable(f"  {field['name']:24} {field['value']}"))
        click.echo(f"  {message['bytes']}")
