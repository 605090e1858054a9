# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub dial`, `dial-key`, `dial-certificate`: the hub dials a recipient's server."""

import json
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

import rich_click as click

from hub.card.open import Card
from hub.device import Device
from hub.dialling.dialler import POLL_SECONDS, SLICE_SECONDS, Dialler, Wire
from hub.dialling.events import DialEvent, Kind
from hub.dialling.identity import ask_for_certificate, install_certificate, renew_if_due
from hub.dialling.recipient import find_recipient
from hub.link import TICK_SECONDS
from hub.text import utc_text
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
)
from meterlet.commands.hub_meters import meter_of
from meterlet.commands.serving import complain

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
@json_or_text("meterlet.hub.dial-key/1")
def dial_key(folder: Path, name: str, of: str | None, output: Path) -> Shown:
    """Make a key to dial a recipient with, and the request for its certificate.

    The recipient issues the certificate with `meterlet utility certify-hub`. Asked again before it
    has come, the request is for the same key. The key in use stays until then.
    """
    with Device.open(folder) as home:
        device = meter_of(home, of)
        request = ask_for_certificate(folder, name, device.main, device.randomness)
        meter = device.main.channel.meter
    try:
        with output.open("xb") as file:
            file.write(request)
    except FileExistsError:
        fail(f"{output}: exists already")
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
@json_option
def dial(
    folder: Path, name: str, of: str | None, url: str, once: bool, poll: int, as_json: bool
) -> None:
    """Dial a recipient's server, and answer what it asks, until interrupted.

    No port is opened: the server's questions come in the answers to the hub's requests. The same
    applets answer, and the same consents count, as with `meterlet hub serve`. With --json each
    event is an object on a line of its own.
    """
    machine, log = open_machine(), _Log(as_json)
    recipient = find_recipient(folder, name, url)
    recipient.context()  # what cannot be used is said at once
    stop = Event()
    while not stop.is_set():
        with Device.open(folder) as home:
            card, until = home.card(machine), _Until(stop)
            meter = meter_of(home, of).main.channel.meter
            dialler = Dialler(
                card,
                recipient,
                meter,
                log.tell,
                home.disclosure.record_connection,
                _Renewing(home, name, meter).renew,
                poll_seconds=float(poll),
            )
            _end_at_signals(stop, dialler)
            if once:
                try:
                    end, _ = dialler.session(stop)
                finally:
                    dialler.hang_up()
                if end.why and not stop.is_set():
                    fail(end.why, Exit.REFUTED if log.is_security else Exit.FAILURE)
                return
            dialler.run(until, _Idle(home, card, until).between_sessions)


@dataclass(frozen=True, slots=True)
class _Renewing:
    """Renews the hub's certificate over its own connection."""

    home: Device
    name: str
    meter: bytes

    def renew(self, wire: Wire) -> bool:
        ends = renew_if_due(
            self.home.folder, self.name, self.meter, wire.request,
            now=self.home.now(), randomness=self.home.randomness,
        )  # fmt: skip
        return ends is not None


@dataclass(slots=True)
class _Idle:
    """What is done between sessions: due outputs of applets, and a look whether keys are new."""

    home: Device
    card: Card
    until: "_Until"
    ticked: float = field(default_factory=time.monotonic)

    def between_sessions(self) -> None:
        self.until.is_replaced = not self.home.has_current_keys()
        if time.monotonic() - self.ticked >= TICK_SECONDS:
            self.ticked = time.monotonic()
            self.home.tick(self.card)


@dataclass(slots=True)
class _Until:
    """Says to stop when the user does, or when a key of the hub was replaced."""

    stop: Event
    is_replaced: bool = False

    def is_set(self) -> bool:
        return self.is_replaced or self.stop.is_set()

    def wait(self, timeout: float) -> bool:
        self.stop.wait(min(timeout, SLICE_SECONDS))
        return self.is_set()


def _end_at_signals(stop: Event, dialler: Dialler) -> None:
    def end(_number: int, _frame: object) -> None:
        stop.set()
        dialler.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


@dataclass(slots=True)
class _Log:
    as_json: bool
    is_security: bool = False
    """Whether the last failure was one of TLS's security."""

    def tell(self, event: DialEvent) -> None:
        """Print a line about what has happened."""
        self.is_security = bool(event.facts.get("is_security", False))
        if self.as_json:
            facts = {"event": event.kind.value, "recipient": event.recipient, **event.facts}
            click.echo(json.dumps({"schema": "meterlet.hub.dial/1", **facts}))
        elif event.kind is Kind.FAILED:
            complain(f"{event.recipient}: {event.facts['why']}")
        else:
            facts_text = ", ".join(f"{key} {value}" for key, value in event.facts.items())
            click.echo(f"{event.recipient}: {event.kind.value} {facts_text}".rstrip())
        with suppress(BrokenPipeError):
            sys.stdout.flush()
