# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub dial`, `dial-key`, `dial-certificate`: the hub dials a recipient's server."""

import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

import rich_click as click

from hub.device import Device
from hub.dialling.dialled_hub import DialledHub
from hub.dialling.events import DialEvent, Kind
from hub.dialling.identity import ask_for_certificate, install_certificate
from hub.dialling.pace import POLL_SECONDS
from hub.dialling.recipient import find_recipient
from hub.text import utc_text
from meterlet.commands.beside_service import require_undialled
from meterlet.commands.broker import BrokerOption
from meterlet.commands.common import (
    PRESENT_FILE,
    Exit,
    Shown,
    fail,
    hub_option,
    json_option,
    json_or_text,
    open_machine,
    output_option,
    print_json,
)
from meterlet.commands.hub_meters import meter_of
from meterlet.commands.serving import complain
from protocols.remote_admin.wake import BrokerAddress

LARGEST_BUNDLE: Final = 1 << 16

recipient_option = click.option(
    "--recipient",
    "name",
    default="supplier",
    show_default=True,
    help="A name for the recipient: each has a key and a certificate of its own.",
)
of_option = click.option("--of", "of", metavar="NAME", help="Dial for this further meter.")


@click.command("dial-key")
@hub_option
@recipient_option
@of_option
@output_option("A new file for the request, which the recipient certifies.")
@click.option(
    "--new-key",
    is_flag=True,
    help="Not for the key that was asked for before, as where its certificate was withdrawn.",
)
@json_or_text("meterlet.hub.dial-key/1")
def dial_key(folder: Path, name: str, of: str | None, output: Path, new_key: bool) -> Shown:
    """Make a key to dial a recipient with, and the request for its certificate.

    The recipient issues the certificate with `meterlet utility certify-hub`. Asked again before it
    has come, the request is for the same key. The key in use stays until then.
    """
    try:
        file = output.open("xb")
    except FileExistsError:
        fail(f"{output}: exists already")
    # Only now: where the request has no place, the key that was asked for before stays.
    with file:
        try:
            with Device.open(folder) as home:
                device = meter_of(home, of)
                meter, draw = device.main.channel.meter, device.randomness
                file.write(ask_for_certificate(folder, name, device.main, draw, is_new=new_key))
        except BaseException:
            output.unlink()
            raise
    facts = {"meter": meter.hex(), "recipient": name, "request": str(output)}
    return facts, f"wrote the request for the certificate of meter {meter.hex()} to {output}"


@click.command("dial-certificate")
@hub_option
@recipient_option
@of_option
@click.argument("certificate", type=PRESENT_FILE, help="The file that the recipient has issued.")
@json_or_text("meterlet.hub.dial-certificate/1")
def dial_certificate(folder: Path, name: str, of: str | None, certificate: Path) -> Shown:
    """Install the CERTIFICATE that a recipient has issued for the hub's key."""
    with Device.open(folder) as home:
        device = meter_of(home, of)
        with certificate.open("rb") as file:
            bundle = file.read(LARGEST_BUNDLE + 1)
        meter = device.main.channel.meter
        ends = install_certificate(folder, name, bundle, meter, device.now())
    facts = {"meter": meter.hex(), "recipient": name, "ends": utc_text(ends)}
    return facts, f"installed the certificate for {name}; it counts until {utc_text(ends)}"


@click.command("dial")
@hub_option
@recipient_option
@of_option
@click.argument("url", help="The recipient's server, as https://HOST:PORT.")
@click.option("--once", is_flag=True, help="Hold one session, and end.")
@click.option(
    "--poll", type=click.IntRange(1, 7 * 86_400), default=int(POLL_SECONDS), show_default=True,
    help="Seconds between two sessions, where the server does not say.",
)  # fmt: skip
@click.option(
    "--wake", "broker", type=BrokerOption(), metavar="mqtts://HOST:PORT",
    help="The recipient's broker, which wakes the hub between two sessions.",
)  # fmt: skip
@json_option
def dial(
    folder: Path,
    name: str,
    of: str | None,
    url: str,
    once: bool,
    poll: int,
    broker: BrokerAddress | None,
    as_json: bool,
) -> None:
    """Dial a recipient's server, and answer what it asks, until interrupted.

    No port is opened: the server's questions come in the answers to the hub's requests. The same
    applets answer, and the same consents count, as with `meterlet hub serve`. With --json each
    event is an object on a line of its own.
    """
    if once and broker is not None:
        raise click.UsageError("--once is over before anybody could wake the hub: no --wake")
    require_undialled(folder, name)
    log, stop = _Log(as_json, once), Event()
    hub = DialledHub(
        lambda: Device.open(folder),
        open_machine,
        find_recipient(folder, name, url),
        lambda home: meter_of(home, of),
        log.tell,
        float(poll),
        broker,
    )

    def end(_number: int, _frame: object) -> None:
        stop.set()
        hub.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if not once:
        hub.run(stop)
        return
    session = hub.once(stop)
    if session.why and not stop.is_set():
        fail(session.why, Exit.REFUTED if log.is_security else Exit.FAILURE)


@dataclass(slots=True)
class _Log:
    as_json: bool
    is_once: bool
    """The command ends with the error of the one session; it is not told before."""
    is_security: bool = False
    """Whether the last failure was one of TLS's security."""

    def tell(self, event: DialEvent) -> None:
        """Print a line about what has happened."""
        self.is_security = bool(event.facts.get("is_security", False))
        if self.as_json:
            facts = {"event": event.kind.value, "recipient": event.recipient, **event.facts}
            print_json("meterlet.hub.dial/1", facts, is_line=True)
        elif event.kind is Kind.FAILED and self.is_once:
            return
        elif event.kind in (Kind.FAILED, Kind.WAKE_DOWN, Kind.WAKE_ODD):
            complain(f"{event.recipient}: {event.facts['why']}")
        else:
            facts_text = ", ".join(f"{key} {value}" for key, value in event.facts.items())
            click.echo(f"{event.recipient}: {event.kind.value} {facts_text}".rstrip())
        with suppress(BrokenPipeError):
            sys.stdout.flush()
