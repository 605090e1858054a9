# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub run`: the hub as one service, from hub.toml."""

import os
import signal
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from meterlet.commands.common import hub_option, json_option, open_machine, show
from meterlet.commands.serving import print_line

if TYPE_CHECKING:
    from hub.service.configuration import ServiceSettings

PAGES_LIBRARIES: Final = ("argon2", "jinja2", "starlette", "uvicorn")
SCHEME_LIBRARIES: Final = {
    "d0": "serial", "mbus": "serial", "mqtt": "aiomqtt", "mqtts": "aiomqtt", "serial": "serial",
}  # fmt: skip
"""What a source's address needs, by its scheme."""


@click.command()
@hub_option
@click.option("--check", is_flag=True, help="Only check hub.toml, and say what there is to do.")
@click.option("--sample", is_flag=True, help="Print tables for hub.toml to begin with.")
@json_option
def run(folder: Path, check: bool, sample: bool, as_json: bool) -> None:
    """Do all that the hub is for, until interrupted: read, certify, answer, show the pages.

    hub.toml says what, in its tables [sources.NAME], [recipients.NAME], [serve], [pages] and
    [health]. It is read again when it changes, and on SIGHUP. A line is printed for each change of
    state, with --json as one JSON object a line.
    """
    # Imported here: no other command of the hub pays for it.
    from hub.service.configuration import ServiceSettings
    from hub.service.log import ServiceLog
    from hub.service.sample import SAMPLE
    from hub.service.service import Service
    from meterlet.commands.inspect.proofs import BillingProofs

    if sample:
        show("meterlet.hub.run.sample/1", {"sample": SAMPLE}, SAMPLE.strip(), as_json=as_json)
        return
    log = ServiceLog(print_line, lambda: int(time.time()), as_json)
    service = Service(folder, log, open_machine, BillingProofs(), version("meterlet"))
    _require_libraries(ServiceSettings.load(folder))
    if check:
        facts = settings_facts(service.check())
        show("meterlet.hub.run.check/1", facts, _lines(folder, facts), as_json=as_json)
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: service.stop())
    signal.signal(signal.SIGHUP, lambda _number, _frame: service.reload())
    if not service.run():
        # What does not end waits for something outside. All that was done is on the disk.
        sys.stdout.flush()
        os._exit(1)


def _require_libraries(settings: "ServiceSettings") -> None:
    """Raise `ModuleNotFoundError` for what a part needs that is not installed.

    In a part of the running service it would be found out when nobody looks.
    """
    schemes = {one.address.partition("://")[0] for one in settings.sources}
    needed = [SCHEME_LIBRARIES[one] for one in sorted(schemes & SCHEME_LIBRARIES.keys())]
    needed += PAGES_LIBRARIES if settings.pages is not None else ()
    needed += ["paho"] if any(one.broker is not None for one in settings.recipients) else []
    for name in needed:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def settings_facts(settings: "ServiceSettings") -> dict[str, Any]:
    """Return what the service would do; no secret is among it."""
    pages = settings.pages
    return {
        "sources": [
            {
                "name": one.name,
                "address": one.shown_address,
                "kind": None if one.kind is None else str(one.kind),
                "of": one.of,
                "login": one.login_file is not None,
            }
            for one in settings.sources
        ],
        "recipients": [
            {
                "name": one.name,
                "address": one.url,
                "of": one.of,
                "wake": None if one.broker is None else str(one.broker),
            }
            for one in settings.recipients
        ],
        "serve": None if settings.serve is None else str(settings.serve),
        "pages": None if pages is None else pages.url(pages.port),
        "health": None if settings.health is None else str(settings.health),
    }


def _lines(folder: Path, facts: dict[str, Any]) -> list[str]:
    lines = [f"{folder / 'hub.toml'}: fine"]
    lines += [f"source {one['name']:10} {one['address']}" for one in facts["sources"]]
    lines += [f"recipient {one['name']:7} {one['address']}" for one in facts["recipients"]]
    rest = ((name, facts[name]) for name in ("serve", "pages", "health"))
    return lines + [f"{name:17} {place}" for name, place in rest if place is not None]
