# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub keys`: which keys a hub has, and new ones in their place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from hub.card.profile import DEFAULT
from hub.device import Device
from hub.installer import Installer
from hub.text import utc_text
from hub.vault.resealing import Progress
from hub.vault.secret_file import write_secret
from meterlet.commands.common import (
    FILE,
    PRESENT_FILE,
    Shown,
    aid_argument,
    fail,
    hub_option,
    json_or_text,
    open_machine,
)
from meterlet.commands.hub_meters import meter_of, of_option
from meterlet.commands.reader import card_of

ROTATE = "meterlet.hub.keys.rotate/1"


@click.group()
def keys() -> None:
    """The hub's keys: of the vault, each meter's certifier and the applets' channels."""


@keys.command("list")
@hub_option
@json_or_text("meterlet.hub.keys.list/1")
def list_keys(folder: Path) -> Shown:
    """Show which keys are in force, and which certifier keys have ended; no secrets."""
    with Device.open(folder) as device:
        installer = Installer(device, device.card(open_machine()))
        channels = [
            {"applet": aid.hex().upper(), "version": version}
            for aid, version in installer.channel_versions().items()
        ]
        certifiers = _certifiers(device)
        further = {name: _certifiers(one) for name, one in device.meters.items()}
        facts = {
            "vault": device.vault_fingerprint,
            "certifier": certifiers,
            **({"certifiers_of_meters": further} if further else {}),
            "channels": channels,
        }
    lines = [f"vault      {facts['vault']}"]
    for name, keys in {"": certifiers, **further}.items():
        for one in keys:
            since = "the first key" if one["from"] is None else f"from {one['from']}"
            until = "in force" if one["until"] is None else f"ended before {one['until']}"
            of = f" (meter {name})" if name else ""
            lines.append(f"certifier  {one['public_key']}  {since}, {until}{of}")
    lines += [f"channel    {one['applet']}  version {one['version']:02X}" for one in channels]
    return facts, lines


def _certifiers(meter: Device) -> list[dict[str, Any]]:
    """Return the keys of a meter's certifier, and from when until when each signed."""
    certifier = meter.main.certifier.keys
    ends = [one.first_day.isoformat() for one in certifier.announcements]
    public = [certifier.public_key.public_bytes_raw()]
    public += [one.new for one in certifier.announcements]
    return [
        {"public_key": key.hex(), "from": begin, "until": end}
        for key, begin, end in zip(public, [None, *ends], [*ends, None], strict=True)
    ]


@keys.command()
@hub_option
@click.argument(
    "certificate",
    type=PRESENT_FILE,
    help="The meter's certificate, as `meterlet authority certify` writes it.",
)
@of_option
@json_or_text("meterlet.hub.keys.certificate/1")
def certificate(folder: Path, certificate: Path, of: str | None) -> Shown:
    """Keep the authority's CERTIFICATE of this hub's meter; days after its end are set aside."""
    with Device.open(folder) as home:
        device = meter_of(home, of)
        signing = device.main.certifier.keys.signing_public_key
        meter = device.description.meter
        device.meter_trust.take_certificate(certificate.read_bytes(), meter, signing)
        end = device.certified_no_further()
    until = None if end is None else utc_text(end)
    text = "days are certified " + ("without an end" if until is None else f"until {until}")
    return {"meter": meter.hex(), "until": until}, text


@keys.command()
@hub_option
@click.argument(
    "revocations",
    type=PRESENT_FILE,
    help="The authority's list, as `meterlet authority revoke` writes it.",
)
@json_or_text("meterlet.hub.keys.revoke/1")
def revoke(folder: Path, revocations: Path) -> Shown:
    """Go by an authority's list of REVOCATIONS: no sum with these meters, about the time after."""
    with Device.open(folder) as device, device.database.transaction():  # one process at a time
        listed = device.meter_trust.take_revocations(revocations.read_bytes())
    facts = {"number": listed.number, "entries": len(listed.entries)}
    return facts, f"list {listed.number}, {len(listed.entries)} revocations"


@keys.command()
@hub_option
@json_or_text("meterlet.hub.keys.card/1")
def card(folder: Path) -> Shown:
    """Print the keys of the hub's card, as options for GlobalPlatformPro.

    They are the issuer's: whoever has them installs and deletes applets. They are in force until
    PUT KEY replaces them, and this command shows those of the moment.
    """
    with Device.open(folder) as device:
        inside = card_of(device, DEFAULT)
        issuer = inside.registry.issuer().aid
        key_set = inside.keys.find_set(issuer, 0)
        if key_set is None:
            fail("the card's issuer has no keys for SCP03: they were deleted")
        found = inside.keys.static_keys(key_set)
    values = {"enc": found.enc.hex(), "mac": found.mac.hex(), "dek": found.dek.hex()}
    options = [f"--key-{name} {value.upper()}" for name, value in values.items()]
    facts = {"domain": issuer.hex().upper(), "version": key_set.version, **values}
    return facts, f"{' '.join(options)} --key-ver {key_set.version}"


@keys.group()
def rotate() -> None:
    """Put a new key in the place of one. The old one is gone from the hub."""


@rotate.command()
@hub_option
@click.option(
    "--abandon-rounds", is_flag=True, help="Even if sums over households are under way."
)  # fmt: skip
@json_or_text(ROTATE)
def vault(folder: Path, abandon_rounds: bool) -> Shown:
    """Seal readings, days and keys again with a new key.

    If it is cut off, the hub is as before or as after. Snapshots that were made before cannot be
    restored any more.
    """
    with Device.open(folder) as device, _bar() as progress:
        print_name = device.rotate_vault_key(progress, abandon_rounds=abandon_rounds)
    _forget_summaries(folder)
    facts = {"key": "vault", "fingerprint": print_name}
    return facts, f"everything is sealed with the new key {print_name}"


@rotate.command()
@hub_option
@of_option
@json_or_text(ROTATE)
def certifier(folder: Path, of: str | None) -> Shown:
    """Certify the days that are over, and give the certifier a new key for those to come.

    The days carry the announcement, so that recipients need nothing else. For sums over households
    the authority certifies the meter again, with the new key. Each meter of the hub has a
    certifier's key of its own: --of says whose.
    """
    with Device.open(folder) as device:
        announced = meter_of(device, of).rotate_certifier_key()
    facts = {
        "key": "certifier",
        **({"meter": of} if of else {}),
        "from": announced.first_day.isoformat(),
        "old": announced.old.hex(),
        "new": announced.new.hex(),
    }
    text = f"from {announced.first_day} on the key {announced.new.hex()} certifies"
    return facts, text


@rotate.command()
@hub_option
@aid_argument
@click.option("--enrolment", type=FILE, required=True, help="Where the recipient's file goes.")
@json_or_text(ROTATE)
def channel(folder: Path, aid: bytes, enrolment: Path) -> Shown:
    """Give the channel of the applet AID new keys.

    The old keys open nothing more. Hand the enrolment file to the recipient and destroy it.
    """
    if enrolment.exists():
        fail(f"{enrolment}: exists already")
    with Device.open(folder) as device:
        installer = Installer(device, device.card(open_machine()))
        # A channel whose recipient never gets its keys must not stay.
        with device.database.transaction():
            made = installer.rotate_channel(aid)
            write_secret(enrolment, made.encode())
    name = aid.hex().upper()
    facts = {
        "key": "channel",
        "applet": name,
        "version": made.key_version,
        "enrolment": str(enrolment),
    }
    return facts, f"the channel of {name} has new keys; its recipient needs {enrolment}"


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar, on a terminal only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = TextColumn("sealing again"), BarColumn(), MofNCompleteColumn()
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task("sealing again", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _forget_summaries(folder: Path) -> None:
    """Forget what was kept for the resident's views under a key made from the old one."""
    from hub.inspection.store import forget_summaries  # pays for the views only who rotates

    with Device.open(folder) as device:
        forget_summaries(device)
