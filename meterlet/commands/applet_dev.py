# SPDX-License-Identifier: Apache-2.0
"""`meterlet applet new|key|run`: write an applet, and see it work before any hub has it."""

import keyword
import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any, Final

import rich_click as click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.machine.bundle import Bundle, build_bundle
from hub.machine.manifest import Confinement
from hub.vault.secret_file import write_secret
from meterlet.commands.common import (
    DAY,
    FILE,
    PRESENT_FOLDER,
    Exit,
    Shown,
    fail,
    json_option,
    json_or_text,
    open_machine,
    print_json,
)
from meterlet.demo.sample_hub import SampleHub, Step
from meterlet.key_files import private_pem, public_pem
from meterlet.resources import APPLETS, SOURCES
from protocols.metrology import Period

SKELETON: Final = APPLETS / "sdk" / "skeleton"
SCRIPT: Final = "run.apdu"
PROPRIETARY: Final = 0xF0
"""First byte of an AID that is nobody's in particular (ISO/IEC 7816-5, 5.2: category F)."""

FILES: Final = {
    "manifest.toml": "manifest.toml",
    "__init__.py": "init.py",
    "applet.py": "applet.py",
    "messages.py": "messages.py",
    "statement.py": "statement.py",
    "run.apdu": "run.apdu",
    "tests/test_{package}.py": "test_applet.py",
}
RAW_FILES: Final = {
    "manifest.toml": "raw_manifest.toml",
    "__init__.py": "init.py",
    "applet.py": "raw_applet.py",
    "tests/test_{package}.py": "raw_test_applet.py",
}
SHOWN: Final = 48
"""Bytes of an answer that are shown."""


@click.command()
@click.argument("name", help="The applet's name: small letters, digits and hyphens.")
@click.option("--vendor", default="A vendor", show_default=True, help="Who you are.")
@click.option("--raw", is_flag=True, help="A raw applet: sees readings, has fixed outputs.")
@click.option(
    "--in",
    "parent",
    type=PRESENT_FOLDER,
    default=Path(),
    help="Where its folder goes; by default here.",
)
@json_or_text("meterlet.applet.new/1")
def new(name: str, vendor: str, raw: bool, parent: Path) -> Shown:
    """Write the skeleton of an applet NAME: manifest, applet, messages, check and tests."""
    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", name) or keyword.iskeyword(package):
        raise click.UsageError(f"{name!r}: a name has small letters, digits and hyphens")
    if not vendor.isprintable() or '"' in vendor or "\\" in vendor:
        raise click.UsageError("--vendor: printable, without quotes")
    folder = parent / package
    values = {
        "name": name,
        "package": package,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "title": name.replace("-", " ").capitalize(),
        "vendor": vendor,
        "aid": (bytes([PROPRIETARY]) + os.urandom(7)).hex().upper(),
    }
    if folder.exists():
        fail(f"{folder}: exists already")
    written = []
    for target, source in (RAW_FILES if raw else FILES).items():
        path = folder / target.format(package=package)
        path.parent.mkdir(parents=True, exist_ok=True)
        template = (SKELETON / f"{source}.tmpl").read_text(encoding="utf-8")
        path.write_text(Template(template).substitute(values), encoding="utf-8")
        written.append(str(path))
    facts = {"folder": str(folder), "applet": values["aid"], "files": written}
    return facts, [
        f"wrote {folder}{os.sep}; try it: python -m pytest {folder}",
        f"and in a hub's machine:  meterlet applet run {folder}",
    ]


@click.command()
@click.argument("path", type=FILE, help="Where the private key goes: a new file.")
@json_or_text("meterlet.applet.key/1")
def key(path: Path) -> Shown:
    """Make a key pair: the private key in PATH, the public one beside it with `.pub`.

    A vendor signs applets with it, or a recipient is known by it.
    """
    made = Ed25519PrivateKey.generate()
    beside = path.with_name(f"{path.name}.pub")
    if beside.exists():
        fail(f"{beside}: exists already")
    write_secret(path, private_pem(made))
    beside.write_bytes(public_pem(made.public_key()))
    facts = {"private_key": str(path), "public_key": str(beside)}
    return facts, f"made {path}, which is secret, and {beside}"


@click.command()
@click.argument(
    "folder", type=PRESENT_FOLDER, help="Folder of the applet's sources with its manifest."
)
@click.option("--send", multiple=True, help="A command, in hexadecimal, instead of run.apdu.")
@click.option("--parameters", default="", help="What the applet is installed with, in hexadecimal.")
@click.option(
    "--first", type=DAY, default="2026-03-01", show_default=True, help="The household's first day."
)
@click.option(
    "--days",
    type=click.IntRange(2, 92),
    default=31,
    show_default=True,
    help="Days of readings that the hub has.",
)
@click.option(
    "--zone", default="Europe/Berlin", show_default=True, help="Time zone of the hub (IANA name)."
)
@json_option
def run(
    folder: Path,
    send: tuple[str, ...],
    parameters: str,
    first: Any,
    days: int,
    zone: str,
    as_json: bool,
) -> None:
    """Run the applet in FOLDER against a sample household, with prints, tracebacks and fuel.

    A statement applet is installed, selected and sent the commands of FOLDER/run.apdu; in them,
    {begin} and {end} stand for the sample period and {nonce} for sixteen bytes. Consents are those
    that its manifest asks for. A raw applet goes through two releases of each output.
    """
    begin: date = first.date()
    period = Period(begin, begin + timedelta(days=days - 1))
    vendor = Ed25519PrivateKey.generate()
    with TemporaryDirectory(prefix="meterlet-") as scratch:
        content = build_bundle(folder, vendor, b"run", [folder.resolve().parent, SOURCES])
        bundle = Bundle.decode(content, {b"run": vendor.public_key()})
        raw = bundle.manifest.confinement is Confinement.RAW
        if send and raw:
            raise click.UsageError("a raw applet is sent no commands; the hub answers for it")
        commands = list(send) or list(_script(folder / SCRIPT))
        with SampleHub.open(Path(scratch), open_machine(), bundle, period, zone) as hub:
            steps = list(_steps(hub, commands, _bytes(parameters, {})))
    broken = any(step.fault is not None for step in steps)
    if as_json:
        print_json("meterlet.applet.run/1", {"steps": [step.facts() for step in steps]})
    else:
        click.echo(f"household: synthetic, {zone}, {period.first} to {period.last}")
        for step in steps:
            _show(step, bundle)
    if broken:
        raise SystemExit(int(Exit.FAILURE))


def _steps(hub: SampleHub, commands: list[str], parameters: bytes) -> Iterator[Step]:
    yield hub.install(parameters)
    if hub.bundle.manifest.confinement is Confinement.RAW:
        longest = max((output.every_hours for output in hub.bundle.manifest.outputs), default=24)
        yield from (hub.tick(hours) for hours in (0, longest, 2 * longest))
        return
    yield hub.select()
    for command in commands:
        yield hub.send(_bytes(command, hub.values))


def _script(path: Path) -> Iterator[str]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield line


def _bytes(text: str, values: dict[str, str]) -> bytes:
    try:
        return bytes.fromhex(re.sub(r"\{(\w+)\}", lambda found: values[found[1]], text))
    except (KeyError, ValueError):
        known = ", ".join(f"{{{name}}}" for name in values)
        raise click.UsageError(f"{text!r} is not hexadecimal with {known} in it") from None


def _show(step: Step, bundle: Bundle) -> None:
    data = step.response[:-2]
    shown = data[:SHOWN].hex() + ("..." if len(data) > SHOWN else "")
    click.echo(f"\n> {step.asked}")
    for line in step.log:
        click.echo(f"  | {line}")
    for release in step.released:
        click.echo(f"< {release.output.name} = {release.value.hex()} (released)")
    if step.response:
        click.echo(f"< {f'{shown} ({len(data)} bytes) ' if data else ''}{step.status}")
    for line in (step.fault or "").splitlines():
        click.echo(f"  ! {line}")
    fuel = bundle.manifest.limits.fuel
    click.echo(
        f"  fuel {step.fuel:,} of {fuel:,} ({100 * step.fuel / fuel:.1f} %),"
        f" {step.host_calls} calls to the platform"
    )
