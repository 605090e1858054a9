# SPDX-License-Identifier: Apache-2.0
"""A device small enough to see through, and bundles made of a few lines."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.machine.bundle import Bundle
from hub.machine.ed25519 import Ed25519Signatures
from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from protocols.amounts import Total, decode_amounts, decode_numbers, fits
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import (
    BoundedEnergy,
    CarriedNumbers,
    Grid,
    OpenedAmounts,
    OpenedNumbers,
    Platform,
    Slots,
    Use,
    names_of,
)

VENDOR = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VENDOR_KEYS = {b"vendor": VENDOR.public_key()}
REGISTER = "1-0:1.8.0*255"
BEGIN = 1_711_926_000  # 2024-04-01 in Berlin
DAY = 86_400

MANIFEST = """
aid = "F0534D4881"
name = "sample"
version = "1.0.0"
vendor = "Testers"
recipient = "supplier"
purpose = "testing"
confinement = "statement"
expires = 2099-12-31

[code]
runtime = "python"
package = "sample"

[[statements]]
kind = "linear"
registers = ["1-0:1.8.0*255"]
minimum_days = 7
at_most = 4
within_days = 31

[limits]
{limits}
"""

RAW_MANIFEST = """
aid = "F0534D4882"
name = "sample"
version = "1.0.0"
vendor = "Testers"
recipient = "resident"
purpose = "testing"
confinement = "raw"
resolution_minutes = 15
expires = 2099-12-31

[code]
runtime = "python"
package = "sample"

[[outputs]]
name = "hours"
size = 4
every_hours = 24

[limits]
{limits}
"""

AMOUNTS = (
    "def amounts(*weights): import struct;"
    " runs = [(slot, 1, weight) for slot, weight in enumerate(weights) if weight];"
    " numbers = (1, 0, len(runs), *(number for run in runs for number in run));"
    " return struct.pack(f'<{len(numbers)}q', *numbers)"
)
"""A sum with a weight for each slot, as `protocols.amounts` has it."""
HEAD = f"""
from applets.sdk import *
{AMOUNTS}
class Sample(Applet):
"""


def bundle(body: str, *, limits: str = "", manifest: str = MANIFEST, head: str = HEAD) -> Bundle:
    """Return an applet whose class body, or whole module if `head` is empty, is `body`."""
    indent = "    " if head else ""
    lines = "\n".join(indent + line for line in body.strip().splitlines())
    files = {"sample/__init__.py": b"", "sample/applet.py": (head + lines).encode()}
    return Bundle(manifest.format(limits=limits), files)


class Household:
    """96 slots a day in which slot t uses t % 7 Wh; no slot of 2024-05 is known."""

    def __init__(self) -> None:
        self.released: list[tuple[int, int, bytes]] = []

    def grid(self) -> Grid:
        return Grid("Europe/Berlin", 15)

    def slots(self, register: str, begin: int, end: int) -> Slots:
        if register != REGISTER:
            raise Refused(Refusal.NOT_FOUND)
        starts = tuple(range(begin, end, 900))
        return Slots(starts, bytes(len(starts)))

    def read(self, register: str, begin: int, end: int) -> Use:
        slots = self.slots(register, begin, end)
        return Use(slots.starts, tuple(start // 900 % 7 for start in slots.starts), slots.states)

    def open_amounts(
        self, register: str, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedAmounts:
        use = self.read(register, begin, end)
        described = decode_amounts(amounts)
        if any(form.end > len(use.watt_hours) for one in described for form in one.forms):
            raise Refused(Refusal.MALFORMED)
        values = tuple(amount.value_of(use.watt_hours) for amount in described)
        self.released.append((begin, end, context))
        days = tuple(b"day" * 2_000 for _ in range((end - begin) // DAY))
        return OpenedAmounts(values, b"p" * 96, days)

    def carry_numbers(self, *_: object) -> CarriedNumbers:
        raise NotImplementedError

    def open_numbers(
        self, registers: bytes, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedNumbers:
        uses = [self.read(name, begin, end).watt_hours for name in names_of(registers)]
        described = decode_numbers(amounts)
        if not fits(described, [len(use) for use in uses]):
            raise Refused(Refusal.MALFORMED)
        values = tuple(
            one.value_of(uses) if isinstance(one, Total) else one.value_of(uses[0])
            for one in described
        )
        self.released.append((begin, end, context))
        days = tuple(b"day" * 2_000 for _ in uses for _ in range((end - begin) // DAY))
        return OpenedNumbers(values, b"p" * 96, days)

    def bound_unattributed(
        self, register: str, begin: int, end: int, limit_wh: int, context: bytes
    ) -> BoundedEnergy:
        self.released.append((begin, end, context))
        return BoundedEnergy((), b"p" * 96, tuple(b"day" for _ in range((end - begin) // DAY)))


class MemoryStore:
    """A store without a transaction."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.kept.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        if sum(map(len, self.kept.values())) + len(value) > 65_536:
            raise Refused(Refusal.TOO_MUCH)
        self.kept[key] = value

    def delete(self, key: bytes) -> None:
        self.kept.pop(key, None)

    def keys(self) -> list[bytes]:
        return sorted(self.kept)


class FixedClock:
    def __init__(self, time: int = BEGIN) -> None:
        self.time = time

    def now(self) -> int:
        return self.time


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines.append(text)


class HeldOutputs:
    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def set(self, name: str, value: bytes) -> None:
        self.held[name] = value


@dataclass(slots=True)
class Device:
    """What stands behind one applet."""

    household: Household = field(default_factory=Household)
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: FixedClock = field(default_factory=FixedClock)
    log: Lines = field(default_factory=Lines)
    outputs: HeldOutputs = field(default_factory=HeldOutputs)

    @property
    def platform(self) -> Platform:
        return Platform(
            self.household,
            self.household,
            self.store,
            self.clock,
            Ed25519Signatures(),
            self.log,
            self.household,
            self.outputs,
        )


def start(machine: AppletMachine, body: str, **options: str) -> tuple[AppletInstance, Device]:
    """Return an applet of a few lines, and the device behind it."""
    device = Device()
    return machine.instance(bundle(body, **options), device.platform), device


def command(ins: int = 0, data: Iterable[int] = b"") -> bytes:
    """Return a command APDU in its short or extended form."""
    content = bytes(data)
    size = len(content)
    length = bytes((size,)) if size < 256 else b"\0" + size.to_bytes(2, "big")
    return bytes((0x80, ins, 0, 0)) + (length + content if content else b"")
