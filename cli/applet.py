# SPDX-License-Identifier: Apache-2.0
"""`meterlet applet`: build applet packages, install and remove them on a hub."""

from pathlib import Path

import rich_click as click

from cli.common import (
    Exit,
    fail,
    hub_option,
    json_option,
    one_line_errors,
    open_machine,
    print_json,
    private_key,
    public_key,
)
from hub.card import Kind
from hub.device import Device, consent_terms, key_id
from hub.disclosure import Terms
from hub.machine import build_bundle
from hub.vault import write_secret

__all__ = ["applet"]

FILE = click.Path(path_type=Path, dir_okay=False)
ROOT = Path(__file__).resolve().parent.parent


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def applet() -> None:
    """The programs in the hub, each with one recipient and one purpose."""


@applet.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--key", type=FILE, required=True, help="The vendor's private key (PEM, Ed25519).")
@click.option("--output", "-o", type=FILE, required=True, help="Where the package goes.")
@json_option
def build(folder: Path, key: Path, output: Path, as_json: bool) -> None:
    """Pack and sign the applet in FOLDER."""
    with one_line_errors():
        signer = private_key(key)
        content = build_bundle(folder, signer, key_id(signer.public_key()), [ROOT])
        output.write_bytes(content)
    if as_json:
        print_json("meterlet.applet.build/1", {"package": str(output), "bytes": len(content)})
    else:
        click.echo(f"packed {folder} as {output}, {len(content)} bytes")


@applet.command()
@hub_option
@click.argument("package", type=FILE)
@click.option(
    "--recipient", type=FILE, required=True, help="The recipient's public key (PEM, Ed25519)."
)
@click.option("--enrolment", type=FILE, required=True, help="Where the recipient's file goes.")
@click.option("--yes", is_flag=True, help="Consent without being asked.")
@json_option
def install(
    folder: Path, package: Path, recipient: Path, enrolment: Path, yes: bool, as_json: bool
) -> None:
    """Install a PACKAGE with a channel of its own to its recipient.

    Shows what the applet may tell whom and asks the resident to consent. The enrolment file holds
    the channel's keys: hand it to the recipient and destroy it.
    """
    with one_line_errors(), Device.open(folder) as device:
        content = package.read_bytes()
        manifest = device.read_bundle(content).manifest
        terms = consent_terms(manifest)
        if enrolment.exists():
            fail(f"{enrolment}: exists already")
        if not yes:
            for line in map(_in_words, terms):
                click.echo(line, err=True)
            if not click.confirm("Do you consent?", err=True):
                fail("not installed: no consent was given", Exit.FORBIDDEN)
        parameters = public_key(recipient).public_bytes_raw()
        made = device.install(device.card(open_machine()), content, parameters)
        write_secret(enrolment, made.encode())
    aid = made.applet.hex().upper()
    if as_json:
        print_json("meterlet.applet.install/1", {"aid": aid, "enrolment": str(enrolment)})
    else:
        click.echo(f"installed {manifest.name} ({aid}); its recipient needs {enrolment}")


def _in_words(terms: Terms) -> str:
    return (
        f"{terms.recipient} may learn, for {terms.purpose}: one number of at most {terms.bits} bits"
        f" about a period of {terms.least_days} days or more, {terms.answers} times a period,"
        f" nothing finer than {terms.least_hours} hours of use, until {terms.until}"
    )


@applet.command("list")
@hub_option
@json_option
def list_applets(folder: Path, as_json: bool) -> None:
    """List what is installed."""
    with one_line_errors(), Device.open(folder) as device:
        entries = [
            {
                "aid": entry.aid.hex().upper(),
                "kind": entry.kind.name.lower(),
                "state": f"{entry.life_cycle:02X}",
                "domain": entry.domain.hex().upper(),
            }
            for entry in device.card(open_machine()).entries()
        ]
    if as_json:
        print_json("meterlet.applet.list/1", {"entries": entries})
        return
    for entry in entries:
        click.echo(f"{entry['aid']:34} {entry['kind']:16} {entry['state']}")


@applet.command()
@hub_option
@click.argument("aid")
def delete(folder: Path, aid: str) -> None:
    """Remove the applet AID, its package, its domain and all it kept."""
    try:
        wanted = bytes.fromhex(aid)
    except ValueError:
        raise click.UsageError(f"{aid!r} is not an AID in hex") from None
    with one_line_errors(), Device.open(folder) as device:
        card = device.card(open_machine())
        entry = card.find(wanted)
        if entry is None or entry.kind is not Kind.APPLICATION:
            fail(f"there is no applet {aid}")
        device.remove(card, wanted)
    click.echo(f"removed {aid}")
