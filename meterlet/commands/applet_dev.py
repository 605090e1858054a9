# SPDX-License-Identifier: Apache-2.0
"""`meterlet applet new|key|run`: write an applet, and see it work before any hub has it."""

import keyword
import os
import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any, Final

import rich_click as click
from click.core import ParameterSource
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.machine.bundle import Bundle, build_bundle
from hub.machine.library import Library, build_library
from hub.machine.linking import link
from hub.machine.manifest import Confinement
from hub.meters.files.opened import FileReport
from hub.vault.secret_file import write_secret
from meterlet.commands.common import (
    DAY,
    FILE,
    PRESENT_FILE,
    PRESENT_FOLDER,
    Exit,
    Shown,
    fail,
    json_option,
    json_or_text,
    open_machine,
    print_json,
)
from meterlet.commands.file_options import FileChoice, file_options, say_gaps, say_report
from meterlet.commands.intake import columns_of
from meterlet.commands.own_commands import advise
from meterlet.demo.sample_hub import SLOT_MINUTES, SampleHome, SampleHub, Step, sample_meter
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
    "tests/conftest.py": "conftest.py",
    "tests/test_{package}.py": "test_applet.py",
}
RAW_FILES: Final = {
    "manifest.toml": "raw_manifest.toml",
    "__init__.py": "init.py",
    "applet.py": "raw_applet.py",
    "tests/conftest.py": "conftest.py",
    "tests/test_{package}.py": "raw_test_applet.py",
}
ZONE: Final = "Europe/Berlin"
MONTH_HOURS: Final = 31 * 24
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
    help="How many days the household has.",
)
@click.option(
    "--readings", type=PRESENT_FILE, help="A file of readings, in the place of the sample's."
)
@file_options("--readings: ")
@click.option(
    "--library",
    "libraries",
    multiple=True,
    type=PRESENT_FOLDER,
    help="The folder of a library that the applet imports.",
)
@json_option
def run(
    folder: Path,
    send: tuple[str, ...],
    parameters: str,
    first: Any,
    days: int,
    readings: Path | None,
    choice: FileChoice,
    libraries: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Run the applet in FOLDER against a household, with prints, tracebacks and fuel.

    The household is made up, or that of a file of `--readings`, which is read as `hub ingest` does.
    Its clock is that of `--zone`, by default Europe/Berlin.

    A statement applet is installed, selected and sent the commands of FOLDER/run.apdu; in them,
    {begin} and {end} stand for the sample period and {nonce} for sixteen bytes. Consents are those
    that its manifest asks for. A raw applet goes through two releases of each output.
    """
    vendor = Ed25519PrivateKey.generate()
    with TemporaryDirectory(prefix="meterlet-") as scratch:
        bundle = _bundle(folder, libraries, vendor)
        raw = bundle.manifest.confinement is Confinement.RAW
        if send and raw:
            raise click.UsageError("a raw applet is sent no commands; the hub answers for it")
        commands = list(send) or list(_script(folder / SCRIPT))
        if readings is None:
            begin: date = first.date()
            period = Period(begin, begin + timedelta(days=days - 1))
            home = SampleHome(period, choice.zone or ZONE)
        else:
            home = _home_of(readings, choice, bundle)
        with SampleHub.open(Path(scratch), open_machine(), bundle, home) as hub:
            steps = list(_steps(hub, commands, _bytes(parameters, {})))
    broken = any(step.fault is not None for step in steps)
    if as_json:
        print_json("meterlet.applet.run/1", {"steps": [step.facts() for step in steps]})
    else:
        period = home.period
        click.echo(f"household: {home.name}, {home.zone}, {period.first} to {period.last}")
        for step in steps:
            _show(step, bundle)
    if broken:
        raise SystemExit(int(Exit.FAILURE))
    if any(step.refused for step in steps):
        raise SystemExit(int(Exit.FORBIDDEN))


def _bundle(folder: Path, libraries: Sequence[Path], vendor: Ed25519PrivateKey) -> Bundle:
    """Return the applet in `folder`, signed and linked with the libraries that it imports."""
    keys, built = {b"run": vendor.public_key()}, {}
    for path in libraries:
        content = build_library(path, vendor, b"run", [path.resolve().parent, SOURCES])
        built[Library.decode(content, keys).manifest.aid] = content
    content = build_bundle(folder, vendor, b"run", [folder.resolve().parent, SOURCES])
    return link(Bundle.decode(content, keys), b"run", keys, built.get)


def _home_of(path: Path, choice: FileChoice, bundle: Bundle) -> SampleHome:
    """Return the home whose readings a file has; tell what was recognised and what is missing."""
    context = click.get_current_context(silent=False)
    assert context is not None
    for name in ("first", "days"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} is of the sample household, not of --readings")
    zone, report = choice.zone or ZONE, FileReport()
    meter = sample_meter(bundle.manifest, zone, SLOT_MINUTES)
    replay = choice.replay(path, columns_of(meter, choice), zone)
    readouts = list(replay.readouts(report=report))
    say_report(str(path), report)
    say_gaps(str(path), report)
    try:
        home = SampleHome.of(readouts, zone)
    except ValueError as error:
        fail(f"{path}: {error}")
    for day in home.left_out:
        advise(f"{path}: {day} is left out: the file has not all of it, by the clock of {zone}")
    return home


def _steps(hub: SampleHub, commands: list[str], parameters: bytes) -> Iterator[Step]:
    yield hub.install(parameters)
    if hub.bundle.manifest.confinement is Confinement.RAW:
        outputs = hub.bundle.manifest.outputs
        longest = max(
            (MONTH_HOURS * one.is_monthly + one.every_hours for one in outputs), default=24
        )
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
        value = f"= {release.value.hex()}" if release.is_set else "not set"
        click.echo(f"< {release.output.name} {value} (released)")
    if step.response:
        click.echo(f"< {f'{shown} ({len(data)} bytes) ' if data else ''}{step.status}")
    for reason in step.refused:
        click.echo(f"  ! refused by the guard: {reason}")
    for line in (step.fault or "").splitlines():
        click.echo(f"  ! {line}")
    fuel = bundle.manifest.limits.fuel
    click.echo(
        f"  fuel {step.fuel:,} of {fuel:,} ({100 * step.fuel / fuel:.1f} %),"
        f" {step.host_calls} calls to the platform"
    )
