# SPDX-License-Identifier: Apache-2.0
"""Changes to the card, each in a process of its own that ends with the change.

Applets run when they are installed or removed, and their machine takes some 50 MB. The process that
serves the pages never runs one; and a change that is cancelled ends at once, its transaction
undone.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hub.device import Device
from hub.errors import HubError
from hub.inspection.web.jobs import Tick
from hub.installer import InstallationError, Installer
from hub.offers import accept_offer, find_offer, refuse_offer
from hub.vault.secret_file import write_secret

if TYPE_CHECKING:
    from hub.machine.machine import AppletMachine


ENROLMENTS: Final = "enrolments"
LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done; it goes to the other process as it is."""

    folder: Path
    open_machine: "Callable[[], AppletMachine]"
    """A function that the other process can find by its name."""
    what: str
    """`install`, `lock`, `unlock`, `remove`, or of a version that waits `accept` or `refuse`."""
    aid: bytes
    content: bytes = field(default=b"", repr=False)
    """The package to install; or the digest of the version that was shown."""
    recipient: bytes = b""
    """The public key of whom the new applet answers."""


def carry_out(change: Change, tick: Tick) -> None:
    """Make a change; raise `InstallationError` with what was refused.

    `tick` is called some times a second; what it raises ends the change, and nothing stays of it.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(change, theirs), daemon=True)
    process.start()
    theirs.close()
    done, total = 0, 0
    try:
        while True:
            if ours.poll(LOOK_SECONDS):
                match ours.recv():
                    case int(done), int(total):
                        pass
                    case str(refused):
                        raise InstallationError(refused)
                    case _:
                        return
            tick(done, total)
    except EOFError:
        raise InstallationError("the change's process ended before it was done") from None
    finally:
        process.terminate()
        process.join()
        process.close()
        ours.close()


def enrolment_path(folder: Path, aid: bytes) -> Path:
    """Return where an applet's enrolment lies until it is handed over."""
    return folder / ENROLMENTS / f"{aid.hex()}.enrolment"


def _work(change: Change, connection: Connection) -> None:
    """Do it, in the other process."""
    refused: str | None = None
    try:
        machine = change.open_machine()
        with Device.open(change.folder) as device:
            _apply(Installer(device, device.card(machine)), change, connection)
    except (HubError, sqlite3.Error) as error:
        refused = str(error)
    connection.send(refused)


def _apply(installer: Installer, change: Change, connection: Connection) -> None:
    match change.what:
        case "install":
            _install(installer, change, connection)
        case "lock":
            installer.lock(change.aid)
        case "unlock":
            installer.unlock(change.aid)
        case "accept" | "refuse":
            offer = find_offer(installer.device, change.aid)
            # The card compares: what was shown is what is decided about.
            shown = replace(offer, digest=change.content)
            (accept_offer if change.what == "accept" else refuse_offer)(installer, shown)
        case _:
            installer.remove(change.aid)
            enrolment_path(change.folder, change.aid).unlink(missing_ok=True)


def _install(installer: Installer, change: Change, connection: Connection) -> None:
    path = enrolment_path(change.folder, change.aid)
    if installer.card.find(change.aid) is None:
        path.unlink(missing_ok=True)  # of an installation that was cut off
    package = installer.read(change.content, change.aid)
    # An applet whose recipient never gets its keys must not stay.
    with installer.device.database.transaction():
        made = installer.install(
            package, change.recipient, lambda done, total: connection.send((done, total))
        )
        write_secret(path, made.encode())
