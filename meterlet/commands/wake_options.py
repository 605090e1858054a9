# SPDX-License-Identifier: Apache-2.0
"""What the doors for hubs share, of utility and concentrator: the broker that wakes hubs."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import rich_click as click

from meterlet.commands.broker import BrokerOption
from meterlet.commands.common import FOLDER, PRESENT_FOLDER, Shown
from protocols.remote_admin.wake import PORT, BrokerAddress
from utility_server.gateway.broker_files import BrokerFiles
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.waking import Waker, broker_context
from utility_server.gateway.withdrawn_keys import WithdrawnKeys


def _files_in(
    _context: click.Context, _option: click.Parameter, folder: Path | None
) -> BrokerFiles | None:
    if folder is None:
        return None
    files = BrokerFiles(folder.resolve())
    if not files.is_there:
        raise click.BadParameter(f"{folder}: no broker's folder; `broker-files` makes one")
    return files


wake_option = click.option(
    "--wake", "broker", type=BrokerOption(), metavar="mqtts://HOST:PORT",
    help="A broker of MQTT, over which hubs are woken when something waits for them.",
)  # fmt: skip
files_option = click.option(
    "--broker-files", "broker_files", type=PRESENT_FOLDER, callback=_files_in,
    help="The broker's folder, as `broker-files` has written it: its list of withdrawn certificates"
    " is kept, and a broker on this machine is told of it.",
)  # fmt: skip
target_option = click.option(
    "--to", "target", type=FOLDER, required=True, help="A folder for the files, new or of before."
)
names_option = click.option(
    "--name", "names", multiple=True, default=("localhost", "127.0.0.1"), show_default=True,
    help="A name or address under which hubs reach the broker. Repeatable.",
)  # fmt: skip
broker_port_option = click.option(
    "--port", type=click.IntRange(1, 65535), default=PORT, show_default=True,
    help="The port that the broker listens on.",
)  # fmt: skip


def waker_at(
    broker: BrokerAddress | None,
    authority: CertificateAuthority,
    look: Callable[[], Iterable[bytes]],
    tell: Callable[[str], object],
) -> Waker | None:
    """Return what wakes hubs at a broker, those that `look` tells of; None without a broker.

    Raises `ModuleNotFoundError` where the library is missing that speaks to it.
    """
    if broker is None:
        return None
    import aiomqtt  # noqa: F401 - what is missing is said at once, and not when hubs are woken

    context = partial(broker_context, *authority.waker_files(), authority.certificate_file)
    return Waker(broker, context, look, tell)


def keeper_of(
    files: BrokerFiles | None,
    broker: BrokerAddress | None,
    authority: CertificateAuthority,
    tell: Callable[[str], object],
) -> WithdrawnKeys | None:
    """Return what shuts withdrawn keys out of a broker; None without its folder."""
    if files is None or broker is None:
        return None
    return WithdrawnKeys(files, broker, authority, tell)


def write_broker_files(
    authority: CertificateAuthority, target: Path, names: tuple[str, ...], port: int
) -> Shown:
    """Write or renew a broker's files, tell the broker if it runs here; return what is shown."""
    files = BrokerFiles(target.resolve())
    is_new = not files.is_there
    files.write(authority, names, str(port))
    is_told = files.reload()
    missing = files.missing_settings()
    facts: dict[str, Any] = {
        "folder": os.fspath(files.folder), "port": port, "names": list(names), "new": is_new,
        "told": is_told, "missing": missing,
    }  # fmt: skip
    if is_new:
        return facts, (
            f"wrote the files of a broker to {files.folder}: `mosquitto -c {files.settings}`"
        )
    said = "its broker was told" if is_told else "no broker runs with them here that could be told"
    lines = [
        f"certificate and withdrawn keys in {files.folder} are as they must be; settings and rules"
        f" stay; {said}"
    ]
    lines += [
        f"{files.settings} has no `{line}`, and withdrawn keys are not shut out without it"
        for line in missing
    ]
    return facts, lines
