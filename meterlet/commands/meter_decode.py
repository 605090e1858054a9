# SPDX-License-Identifier: Apache-2.0
"""`meterlet meter decode` and `check`: a capture of any meter."""

from collections import Counter
from typing import IO, Any, Final

import rich_click as click

from meterlet.commands.common import Exit, fail, json_option, print_json, show
from meterlet.meter_keys import secrets_options
from meterlet.meter_views.capture import KINDS, TITLES, MeterSecrets, UnknownMeter, decoded
from meterlet.meter_views.events import NO_KEY, Event
from meterlet.meter_views.tables import fault_text, telegram_lines
from sml_codec.hextext import as_bytes

DECODE: Final = "meterlet.meter.decode/1"
NOTHING: Final = "nothing in it is whole; `meterlet meter check` says what is wrong"

capture_argument = click.argument(
    "file",
    type=click.File("rb"),
    metavar="FILE",
    help="A capture, as bytes or as hex text; or `-` for standard input.",
)
kind_option = click.option(
    "--kind", type=click.Choice(KINDS), help="What it is; by default the bytes show it."
)


@click.command()
@capture_argument
@kind_option
@secrets_options
@json_option
def decode(file: IO[bytes], kind: str | None, secrets: MeterSecrets, as_json: bool) -> None:
    """Print what a meter says in a capture.

    It finds out what kind of meter it is, and says by what. With `--json` it prints one object;
    docs/meters.md explains its members. The exit code is 1 where nothing is whole.
    """
    try:
        found = read_capture(file, kind, secrets)
    except UnknownMeter as reason:
        if as_json:
            blank = {"kind": None, "why": str(reason), "frames": 0, "frames_bad": 0}
            print_json(DECODE, blank | {"telegrams": []})
        fail(f"{_name(file)}: {reason}")
    if as_json:
        print_json(DECODE, found)
    else:
        for line in _table(found):
            click.echo(line)
    if not found["telegrams"]:
        fail(f"{_name(file)}: {NOTHING}")


@click.command()
@capture_argument
@kind_option
@secrets_options
@json_option
def check(file: IO[bytes], kind: str | None, secrets: MeterSecrets, as_json: bool) -> None:
    """Say what is damaged in a capture, and which telegrams cannot be read, and why.

    A line for each: where it is, what is wrong, the reason. The exit code is 0 where all is whole
    and read, 4 where only keys are missing, and else 1.
    """
    try:
        found = read_capture(file, kind, secrets)
    except UnknownMeter as reason:
        fail(f"{_name(file)}: {reason}")
    troubles = troubles_of(found)
    unread = sum("error" in telegram for telegram in found["telegrams"])
    kinds = Counter(one["fault"] for one in troubles)
    facts = {
        "kind": found["kind"],
        "why": found["why"],
        "frames": found["frames"],
        "telegrams": len(found["telegrams"]),
        "unread": unread,
        "faults": troubles,
    }
    lines = [f"byte {one['offset']}: {fault_text(one)}" for one in troubles]
    counts = ", ".join(f"{number} {fault}" for fault, number in sorted(kinds.items()))
    lines.append(
        f"{TITLES[found['kind']]}: frames whole: {found['frames']},"
        f" telegrams read: {len(found['telegrams']) - unread}" + (f"; {counts}" if counts else "")
    )
    show("meterlet.meter.check/1", facts, lines, as_json=as_json)
    if not found["telegrams"]:
        raise SystemExit(int(Exit.FAILURE))
    if set(kinds) == {NO_KEY}:
        raise SystemExit(int(Exit.UNVERIFIABLE))
    raise SystemExit(int(Exit.FAILURE if troubles else Exit.FINE))


def troubles_of(found: Event) -> list[Event]:
    """Return the damage and the unread telegrams of a capture, in their order."""
    troubles: list[Event] = list(found.get("damage", ()))
    troubles += [
        {"offset": one["offset"], "fault": one.get("fault", "malformed"), "reason": one["error"]}
        for one in found["telegrams"]
        if "error" in one
    ]
    return sorted(troubles, key=lambda one: int(one["offset"]))


def read_capture(file: IO[bytes], kind: str | None, secrets: MeterSecrets) -> Event:
    """Return what a file holds; raise `UnknownMeter`."""
    return decoded(as_bytes(file.read()), kind=kind, secrets=secrets)


def _table(found: dict[str, Any]) -> list[str]:
    lines = [f"{TITLES[found['kind']]}: {found['why']}"]
    for telegram in found["telegrams"]:
        lines += telegram_lines(telegram)
    lines += [f"byte {one['offset']}  {fault_text(one)}" for one in found.get("damage", ())]
    return lines


def _name(file: IO[bytes]) -> str:
    return str(getattr(file, "name", "-"))
