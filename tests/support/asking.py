# SPDX-License-Identifier: Apache-2.0
"""A home with statement applets that ask the platform for just what their commands say."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Final

from hub.card.open import Card
from hub.device import Device
from hub.installer import Installer, build_package
from hub.machine.machine import AppletMachine
from protocols.amounts import Amount, NumberAmount, encode_amounts
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import Period
from protocols.secure_channel.host import CardClient
from tests.support.sharing import APRIL, VENDOR, new_home

MARCH: Final = Period.month(2025, 3).bounds("Europe/Berlin")
AIDS: Final = {name: b"\xf0\x4d\x54\x4c\x03" + name.encode() for name in ("one", "two", "three")}
ASK, REPEAT, VARY, COUNT = range(1, 5)
"""Instructions: ask once; ask the same so many times; with another weight each time; count."""
MANIFEST: Final = """
    aid = "{aid}"
    name = "{name}"
    version = "0.1.0"
    vendor = "A vendor"
    recipient = "{name}"
    purpose = "asking"
    confinement = "statement"
    expires = 2035-12-31

    [code]
    runtime = "python"
    package = "{name}"
    {statements}
    [limits]
    fuel = 20_000_000_000
    store_bytes = 1_000_000
    commands_per_minute = 60_000
    fuel_per_minute = 300_000_000_000
    """
STATEMENT: Final = """
    [[statements]]
    kind = "{kind}"
    registers = ["1-0:1.8.0*255"]
    minimum_days = {days}
    at_most = {answers}
    within_days = 31
    """
APPLET: Final = """
    import struct

    from applets.sdk import Applet, Command, Refused, Response

    class Asker(Applet):
        counted = 0

        def process(self, command: Command) -> Response:
            data, times = command.data[18:], int.from_bytes(command.data[16:18], "big")
            if command.ins == 4:
                self.counted += 1
                return Response(self.counted.to_bytes(4, "big"))
            if command.ins == 1:
                opened = self.ask(command.data, data)
                return Response(repr(opened.values).encode() + b" " + opened.proof)
            refused = 0
            for number in range(times):
                try:
                    weight = struct.pack("<q", number + 1) if command.ins == 3 else data[-8:]
                    self.ask(command.data, data[:-8] + weight)
                except Refused:
                    refused += 1
            return Response(refused.to_bytes(8, "big"))

        def ask(self, head: bytes, amounts: bytes):
            begin, end = (int.from_bytes(head[at : at + 8], "big") for at in (0, 8))
            return self.platform.statements.open_amounts(
                "1-0:1.8.0*255", begin, end, amounts, bytes(48)
            )
    """


@dataclass(slots=True)
class AskedHome:
    """A home, a channel to each of its applets, and what they are asked."""

    device: Device
    card: Card
    folder: Path
    enrolments: dict[str, Enrolment] = field(default_factory=dict)
    _channels: dict[str, CardClient] = field(default_factory=dict)

    def install(
        self, name: str, *kinds: str, applet: str = APPLET, days: int = 28, answers: int = 6
    ) -> None:
        """Install an applet that may ask for these kinds of statements."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        statements = "".join(
            STATEMENT.format(kind=kind, days=days, answers=answers) for kind in kinds
        )
        manifest = MANIFEST.format(aid=AIDS[name].hex().upper(), name=name, statements=statements)
        (folder / "__init__.py").write_text("")
        (folder / "manifest.toml").write_text(dedent(manifest))
        (folder / "applet.py").write_text(dedent(applet))
        installer = Installer(self.device, self.card)
        package = installer.read(build_package(folder, VENDOR, [self.folder]))
        self.enrolments[name] = installer.install(package, b"")

    def send(self, name: str, ins: int, data: bytes = b"") -> ResponseApdu:
        """Return what an applet answers over its channel."""
        if name not in self._channels:
            client = CardClient(self.card.connect().transmit)
            client.select(self.enrolments[name].applet)
            client.open_scp03(self.enrolments[name].keys, bytes(8))
            self._channels[name] = client
        return self._channels[name].send(CommandApdu(0x80, ins, 0, 0, data, le=65_536))

    def ask(
        self,
        name: str,
        amounts: Sequence[Amount | NumberAmount],
        ins: int = ASK,
        times: int = 1,
        period: tuple[int, int] = MARCH,
    ) -> ResponseApdu:
        """Ask for amounts over a period."""
        head = b"".join(time.to_bytes(8, "big") for time in period) + times.to_bytes(2, "big")
        return self.send(name, ins, head + encode_amounts(amounts))


@contextmanager
def asked_home(
    folder: Path, machine: AppletMachine, now: Callable[[], int] = lambda: APRIL
) -> Iterator[AskedHome]:
    """Yield a home with a certified month and no applet yet."""
    with new_home(folder, machine, now) as home:
        yield AskedHome(home.device, home.card, folder)
