# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub meters`: the further meters of a hub, of gas, water, heat, appliances."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import rich_click as click

from hub.description import Description
from hub.device import Device
from hub.meters.fuse import LARGEST_FLOW
from hub.meters.kinds import MeterKeys
from hub.text import printed_id, utc_text
from meterlet.commands.common import Hex, Shown, hub_option, json_or_text
from meterlet.meter_keys import read_meter_key
from meterlet.secret_files import SECRET_FILE
from meterlet.usual_registers import USUAL
from protocols.metrology import SLOT_MINUTES, GridError
from sml_codec import Obis

GAS_DAY: Final = "@06:00"


@click.group("meters")
def meters_group() -> None:
    """The further meters of a hub."""


@meters_group.command()
@hub_option
@click.argument("name", help="What the meter is called, as gas.")
@click.option(
    "--medium", type=click.Choice(list(USUAL)), required=True, help="What the meter measures."
)
@click.option("--meter", type=Hex(), help="Its identification as bytes, for meters that speak SML.")
@click.option("--meter-text", help='The same in letters, as "LGB 22150101"; by default NAME.')
@click.option("--register", "registers", multiple=True, help="OBIS codes; by default the medium's.")
@click.option(
    "--zone", help="Whose days are certified; by default the hub's, of gas from 06:00 on."
)
@click.option(
    "--slot",
    type=click.Choice([str(one) for one in SLOT_MINUTES]),
    help="Minutes of a slot; by default 60, for electricity 15.",
)
@click.option(
    "--largest-flow",
    type=click.IntRange(1, LARGEST_FLOW),
    help="Litres or watt-hours that flow in an hour at most; by default what big homes have.",
)
@json_or_text("meterlet.hub.meters.add/1")
def add(
    folder: Path, name: str, medium: str, meter: bytes | None, meter_text: str | None,
    registers: tuple[str, ...], zone: str | None, slot: str | None, largest_flow: int | None,
) -> Shown:  # fmt: skip
    """Give the hub a further meter, called NAME from now on (as gas, water, heat-pump)."""
    if meter is not None and meter_text is not None:
        raise click.UsageError("say --meter or --meter-text, not both")
    code, minutes = USUAL[medium]
    with Device.open(folder) as device:
        usual = device.description.zone + (GAS_DAY if medium == "gas" else "")
        try:
            identity = meter or (meter_text or name).encode()
            codes = tuple(Obis.parse(one).code for one in registers or (code,))
            description = Description(
                identity, codes, zone or usual, int(slot or minutes), largest_flow=largest_flow
            )
        except (ValueError, GridError) as error:
            raise click.UsageError(str(error)) from None
        device.add_meter(name, description)
    facts = {"hub": str(folder), "name": name, **description_facts(description)}
    return facts, (
        f"{folder} is for {name}, too: {medium} meter {printed_id(identity)},"
        f" {', '.join(map(str, map(Obis, codes)))}, days of {description.zone}; up to"
        f" {description.limit} is believed"
    )


@meters_group.command("list")
@hub_option
@json_or_text("meterlet.hub.meters.list/1")
def list_(folder: Path) -> Shown:
    """Show all meters of the hub, and up to when each was read."""
    with Device.open(folder) as device:
        found, lines, with_keys = [], [], device.meter_keys.names()
        for one in device.every_meter:
            last, span = one.last_readout(), one.main.journal.span()
            unit = one.description.medium.shown_unit
            read = None if last is None else utc_text(last.time)
            found.append(
                {
                    "name": one.name,
                    **description_facts(one.description),
                    "last_reading": read,
                    "certified_days": 0 if span is None else span[2],
                    "has_key": one.name in with_keys,
                }
            )
            shown = "never read"
            if last is not None:
                steps = last.readings[one.main.channel.register].register_wh
                shown = f"{steps / 1000:,.3f} {unit} on {read}"
            lines.append(
                f"{one.name or '(the hub)':12} {one.description.medium!s:12}"
                f" {printed_id(one.mounted_meter):20} {shown}"
                + (", key kept" if one.name in with_keys else "")
            )
    return {"meters": found}, "\n".join(lines)


@meters_group.command("key")
@hub_option
@click.option("--of", metavar="NAME", help="Of this further meter; by default the hub's own.")
@click.option(
    "--auth-key",
    type=SECRET_FILE,
    help="File with the meter's authentication key in hex, for its owner alone.",
)
@click.option("--forget", is_flag=True, help="Forget the keys of the meter.")
@click.argument(
    "file",
    type=SECRET_FILE,
    required=False,
    help="File with the meter's encryption key in hex, for its owner alone.",
)
@json_or_text("meterlet.hub.meters.key/1")
def key_(
    folder: Path, of: str | None, auth_key: Path | None, forget: bool, file: Path | None
) -> Shown:
    """Keep a meter's keys in the hub's vault, sealed; `ingest` uses them, nothing shows them.

    New keys take the place of those that are there. Destroy the files then.
    """
    if forget == (file is not None) or (forget and auth_key is not None):
        raise click.UsageError("say a file with a key, or --forget")
    with Device.open(folder) as device:
        name = "" if of is None else further_meter(device, of).name
        if file is None:
            known = device.meter_keys.forget(name)
        else:
            authentication = None if auth_key is None else read_meter_key(auth_key)
            device.meter_keys.put(name, MeterKeys(read_meter_key(file), authentication))
            known = True
    called = name or "the hub's own meter"
    facts = {"hub": str(folder), "name": name, "has_key": known and not forget}
    if forget:
        return facts, f"the keys of {called} are gone" if known else f"{called} had no keys"
    return facts, f"the keys of {called} are kept in {folder}, sealed; now destroy the files"


def description_facts(description: Description) -> dict[str, Any]:
    """Return which meter a description is of."""
    return {
        "medium": str(description.medium),
        "meter": description.meter.hex(),
        "printed": printed_id(description.meter),
        "registers": [str(Obis(code)) for code in description.registers],
        "zone": description.zone,
        "slot_minutes": description.slot_minutes,
        "unit": description.medium.shown_unit,
    }


of_option = click.option(
    "--of", metavar="NAME", help="Instead of the hub's own meter: this further one, as gas."
)


def meter_of(device: Device, name: str | None) -> Device:
    """Return the meter that a command is about: a further one, or the hub's own."""
    return device if name is None else further_meter(device, name)


def further_meter(device: Device, name: str) -> Device:
    """Return a further meter of a hub by its name; raise `UsageError` where there is none."""
    if name not in device.meters:
        known = ", ".join(device.meters) or "none; `meterlet hub meters add` adds one"
        raise click.UsageError(f"--of: the hub has no meter {name}; it has {known}")
    return device.meters[name]


def key_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command be told a meter's keys, from files: it gets `keys`, a `MeterKeys`."""

    @wraps(command)
    def run(*arguments: Any, key: Path | None, auth_key: Path | None, **options: Any) -> None:
        if auth_key is not None and key is None:
            raise click.UsageError("--auth-key goes with --key")
        keys = MeterKeys(
            None if key is None else read_meter_key(key),
            None if auth_key is None else read_meter_key(auth_key),
        )
        command(*arguments, keys=keys, **options)

    wrapped: Callable[..., None] = run
    for name, what in (("--auth-key", "authentication key"), ("--key", "encryption key")):
        wrapped = click.option(
            name,
            type=SECRET_FILE,
            help=f"File with the meter's {what} in hex, for its owner alone.",
        )(wrapped)
    return wrapped
