# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub reader`, `unblock`, `snapshot`, `restore`: the card for testers and their tools.

Without `--hub` the reader serves a card for tests, one for each profile, that is kept beside the
hub. Its keys are the well-known 404142..4F, as on every card that is sold for tests: whoever loads
real applets serves the real hub, whose keys are its own.
"""

import fcntl
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import rich_click as click

from hub.card.applet_runtime import AppletRefused
from hub.card.connection import Exchange
from hub.card.open import Card
from hub.card.profile import PROFILES, CardProfile
from hub.card.reader import PORT, ReaderError, VirtualReader
from hub.card.status import Sw
from hub.card.trace import describe
from hub.components import COMPONENTS
from hub.device import Description, Device
from hub.machine.bundle import Bundle
from hub.machine.errors import MachineError
from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from hub.machine.meter import WorkMeter
from hub.meters.emulated import emulated_meter_id
from hub.restoring import restore as restore_snapshot
from hub.vault.database import APPLICATION_ID, PATIENCE_SECONDS, DatabaseError, SchemaTooNew
from hub.vault.secret_file import write_secret
from meterlet.commands.common import (
    FILE,
    FOLDER,
    PRESENT_FILE,
    Shown,
    default_folder,
    fail,
    hub_option,
    json_option,
    json_or_text,
    open_machine,
    print_json,
)
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from protocols.platform.services import Platform

TEST_KEY: Final = bytes(range(0x40, 0x50))
RETRY_SECONDS: Final = 0.2


@click.command()
@click.option("--host", default="localhost", show_default=True, help="Where vpcd listens.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=PORT,
    show_default=True,
    help="Port that vpcd listens on.",
)
@click.option(
    "--profile",
    type=click.Choice(sorted(PROFILES)),
    default="default",
    show_default=True,
    help="How the card presents itself.",
)
@click.option("--fresh", is_flag=True, help="Begin with a new test card; the old one is deleted.")
@click.option("--trace", is_flag=True, help="Print each command, answer and reason to stderr.")
@click.option(
    "--vendor",
    "vendors",
    multiple=True,
    type=PRESENT_FILE,
    help="Public key (PEM) of a vendor whose applets the test card takes.",
)
@click.option(
    "--hub", "folder", type=FOLDER, envvar="METERLET_HUB_READER",
    help="Serve this hub's own card instead of a test card.",
)  # fmt: skip
@json_option
def reader(
    host: str,
    port: int,
    profile: str,
    fresh: bool,
    trace: bool,
    vendors: tuple[Path, ...],
    folder: Path | None,
    as_json: bool,
) -> None:
    """Put the card into a virtual reader, so that PC/SC clients can manage it."""
    if folder is not None and (fresh or vendors):
        raise click.UsageError("--fresh and --vendor are for test cards, not for a hub")
    with inserted(lock_of(folder, profile)):
        device = Device.open(folder) if folder else open_test_card(profile, fresh, vendors)
        if as_json:
            facts = {"host": host, "port": port, "profile": profile}
            print_json("meterlet.hub.reader/1", {**facts, "folder": str(device.folder)})
            sys.stdout.flush()
        _run(device, profile, host, port, print_exchange if trace else None)


def _run(
    device: Device,
    profile: str,
    host: str,
    port: int,
    observer: Callable[[Exchange], None] | None,
) -> None:
    with device:
        card = card_of(device, PROFILES[profile])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            _serve(card, host, port, observer)
        except KeyboardInterrupt:
            click.echo("the card is out of the reader", err=True)


def lock_of(folder: Path | None, profile: str) -> Path:
    """Return the file that says whether a hub's card, or a profile's test card, is in a reader.

    That of a test card is beside its folder, which `--fresh` deletes.
    """
    if folder is not None:
        return folder / "reader.lock"
    return default_folder("reader") / f"{profile}.lock"


@contextmanager
def inserted(lock: Path) -> Iterator[None]:
    """Keep a card in this reader alone; raise `ReaderError` where it is in another one."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it goes with the process
        except BlockingIOError:
            raise ReaderError(
                f"this card is in another reader (process {file.read(10).strip() or 'unknown'}):"
                " take it out there first, or choose another --profile or --hub"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _serve(card: Card, host: str, port: int, observer: Callable[[Exchange], None] | None) -> None:
    """Serve until interrupted; a reader that was there once may go and come back."""
    inside = VirtualReader(card, host, port, observer=observer)
    while True:
        click.echo(f"{card.profile.name}: in the reader at {host}:{port}; Ctrl-C ends it", err=True)
        inside.run()
        click.echo("the reader has gone; waiting for it", err=True)
        while True:
            time.sleep(RETRY_SECONDS)
            try:
                inside = VirtualReader(card, host, port, observer=observer)
            except ReaderError:
                continue
            break


def print_exchange(exchange: Exchange) -> None:
    """Print one APDU in words to stderr."""
    print(describe(exchange), file=sys.stderr, flush=True)  # noqa: T201 - faster than click


def open_test_card(profile: str, fresh: bool, vendors: tuple[Path, ...]) -> Device:
    """Open the test card of a profile, made anew if it is not there or `fresh`."""
    folder = default_folder("reader") / profile
    if fresh and folder.exists():
        shutil.rmtree(folder)
    if folder.exists():
        device = Device.open(folder)
    else:
        description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "UTC", 15)
        device = Device.create(folder, description)
        (folder / "keys" / "issuer.key").unlink()
        write_secret(folder / "keys" / "issuer.key", 3 * TEST_KEY)
    for number, vendor in enumerate(vendors):
        (folder / "vendors" / f"{number}-{vendor.stem}.pem").write_bytes(vendor.read_bytes())
    return device


class MachineInTheMaking:
    """The applet machine, opened while the card is in the reader already.

    On a fresh computer it takes a quarter of a minute to build, and no client of a card waits that
    long for it to be there. Whoever needs an applet waits.
    """

    def __init__(self) -> None:
        pool = ThreadPoolExecutor(1)
        self._machine = pool.submit(open_machine)
        pool.shutdown(wait=False)

    def instance(
        self, bundle: Bundle, platform: Platform, meter: WorkMeter | None = None
    ) -> AppletInstance:
        """Return what `AppletMachine.instance` does, or raise `AppletRefused`."""
        return self._opened().instance(bundle, platform, meter)

    def compile(self, bundle: Bundle) -> None:
        """Do what `AppletMachine.compile` does, or raise `AppletRefused`."""
        self._opened().compile(bundle)

    def _opened(self) -> AppletMachine:
        try:
            return self._machine.result()
        except MachineError as error:
            raise AppletRefused(Sw.FUNCTION_NOT_SUPPORTED, f"no applet machine: {error}") from error


def card_of(device: Device, profile: CardProfile) -> Card:
    """Return the card of a device, presenting itself as `profile`."""
    return device.card(cast("AppletMachine", MachineInTheMaking()), profile)


profile_option = click.option(
    "--profile", type=click.Choice(sorted(PROFILES)), help="The test card of a profile instead."
)


def _folder(hub: Path, profile: str | None) -> Path:
    return default_folder("reader") / profile if profile else hub


@click.command()
@hub_option
@profile_option
@json_or_text("meterlet.hub.unblock/1")
def unblock(folder: Path, profile: str | None) -> Shown:
    """Give key sets and PIN all their attempts again.

    Wrong attempts at the local reader block them. Over the network nobody can. Use this when the
    card answers 6983 there. The hub may be running.
    """
    with Device.open(_folder(folder, profile)) as device:
        key_sets, pin = Card.unblock(device.database)
    gave = [f"{key_sets} key set{'' if key_sets == 1 else 's'}"] if key_sets else []
    gave += ["the PIN"] if pin else []
    text = " and ".join(gave) + " got all attempts back" if gave else "no attempts were lost"
    return {"key_sets": key_sets, "pin": pin}, text


@click.command()
@hub_option
@profile_option
@click.argument("file", type=FILE, help="A new file.")
@json_or_text("meterlet.hub.snapshot/1")
def snapshot(folder: Path, profile: str | None, file: Path) -> Shown:
    """Copy the hub's database to FILE, at one moment between two transactions.

    The file is as secret as the database; the key files are not in it.
    """
    with Device.open(_folder(folder, profile)) as device:
        if file.exists():
            fail(f"{file}: exists already")
        partial = file.with_name(f".{file.name}.partial")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        try:
            with sqlite3.connect(partial) as copy:
                device.database.connection.backup(copy)
            copy.close()
            os.link(partial, file)  # fails where the file exists
        finally:
            partial.unlink()
    facts = {"file": str(file), "bytes": file.stat().st_size}
    return facts, f"the hub's database is in {file}"


@click.command()
@hub_option
@profile_option
@click.argument("file", type=PRESENT_FILE, help="A snapshot that `meterlet hub snapshot` has made.")
@json_or_text("meterlet.hub.restore/1")
def restore(folder: Path, profile: str | None, file: Path) -> Shown:
    """Bring the card back as it was in FILE, a snapshot of this hub.

    What must only go on is not turned back: the disclosure log, consents, readings and counters.
    """
    hub = _folder(folder, profile)
    _check_snapshot(file)
    with Device.open(hub) as device:
        restore_snapshot(device, file, PATIENCE_SECONDS)
    with Device.open(hub):
        text = f"the card is as it was in {file}; log, readings and counters are as they were"
    return {"file": str(file)}, text


def _check_snapshot(file: Path) -> None:
    """Return if `file` is a sound database of a hub; leave with one line otherwise."""
    try:
        copy = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            (identity,) = copy.execute("PRAGMA application_id").fetchone()
            (sound,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            known = identity == APPLICATION_ID
            rows = copy.execute("SELECT component, version FROM schema_version") if known else ()
            versions: dict[str, int] = dict(rows)
        finally:
            copy.close()
    except sqlite3.DatabaseError as error:
        fail(f"{file}: not a snapshot of a hub: {error}")
    if identity != APPLICATION_ID or sound != "ok":
        raise DatabaseError(f"{file}: not a snapshot of a hub")
    for component in COMPONENTS:  # a newer one would be in the hub's place before it is refused
        if (version := versions.get(component.name, 0)) > len(component.migrations):
            raise SchemaTooNew(file, component, version)
