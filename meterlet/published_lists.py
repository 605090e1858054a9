# SPDX-License-Identifier: Apache-2.0
"""How the commands of hub and utility show a list of what everybody is shown."""

from collections.abc import Mapping
from typing import Any

import rich_click as click

from hub.text import printable, utc_text
from protocols.published import PublishedList


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


def count(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}{'s' * (number != 1)}"


def print_list(facts: Mapping[str, Any]) -> None:
    """Print a list for people."""
    for entry in facts["entries"]:
        click.echo(
            f"{entry['number']:4} {entry['time']} {entry['kind']}: {printable(entry['name'])},"
            f" for {count(entry['meters'], 'meter')}, {entry['digest'][:16]}"
        )
    click.echo(f"the list's code is {facts['code']}; it is the same for everybody")
