# SPDX-License-Identifier: Apache-2.0
"""A card with a runtime small enough to be seen through, and a client for it."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.applet_runtime import AppletContext, AppletRefused, RegisteredApplet
from hub.card.entries import Privilege
from hub.card.keys.curves import CURVES, NUMBERS
from hub.card.open import Card
from hub.card.profile import CardProfile
from hub.card.registry import CARD
from hub.vault.database import Database
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.packages.load_file import LoadFile
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.keys import StaticKeys

ISSUER = bytes.fromhex("A000000151000000")
DOMAIN = bytes.fromhex("F0534D480001")
PACKAGE = bytes.fromhex("F0534D4801")
MODULE = bytes.fromhex("F0534D480101")
APPLET = bytes.fromhex("F0534D48010101")
KEYS = StaticKeys.same(bytes(range(0x40, 0x50)))
APPLET_KEYS = StaticKeys(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))


class Echo:
    """Runs applets that answer with what they are told, and remembers every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.contexts: list[AppletContext] = []

    def load(self, file: LoadFile) -> None:
        self.calls.append(("load", file.aid))
        if file.bundle == b"bad":
            raise AppletRefused(0x6A80, "the bundle is bad")

    def check_upgrade(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> None:
        if file.bundle == b"bad":
            raise AppletRefused(0x6A80, "the bundle is bad")

    def asks_for_more(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> bool:
        return file.bundle.startswith(b"wide")

    def carry_consents(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> None:
        self.calls.append(("carry", (file.aid, [instance.aid for instance in instances])))

    def upgrade(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> None:
        self.calls.append(("upgrade", (file.aid, [instance.aid for instance in instances])))

    def tell_of_version(self, package: bytes, version: bytes, event: str) -> None:
        self.calls.append(("version", (package, version, event)))

    def unload(self, package: bytes) -> None:
        self.calls.append(("unload", package))

    def install(self, instance: RegisteredApplet, parameters: bytes) -> None:
        self.calls.append(("install", (instance.aid, parameters)))
        if parameters == b"bad":
            raise AppletRefused(0x6A80, "the parameters are bad")

    def uninstall(self, instance: RegisteredApplet) -> None:
        self.calls.append(("uninstall", instance.aid))

    def select(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        self.calls.append(("select", context.instance.aid))
        return ResponseApdu(b"", 0x9000)

    def deselect(self, context: AppletContext) -> None:
        self.calls.append(("deselect", context.instance.aid))

    def process(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        self.contexts.append(context)
        if command.ins == 0xEE:
            raise AppletRefused(0x6A80, "the applet trapped")
        if command.ins == 0x01:  # an answer as long as P1 P2 says, in kilobytes
            return ResponseApdu(bytes(1024 * (command.p1 << 8 | command.p2)), 0x9000)
        return ResponseApdu(command.data, 0x9000)

    def protects_itself(self, instance: RegisteredApplet) -> bool:
        return False

    def personalise(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        self.calls.append(("personalise", (context.instance.aid, command.data)))
        return ResponseApdu(b"", 0x9000)

    def words(self, instance: RegisteredApplet) -> str:
        return ""

    def reset(self, connection: int) -> None:
        self.calls.append(("reset", connection))


class Dice:
    """Random bytes that are the same in every run."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def __call__(self, size: int) -> bytes:
        return next(self._count).to_bytes(size, "big")


def open_card(
    folder: Path, *, profile: CardProfile | None = None, runtime: Echo | None = None
) -> Card:
    """Open the card in `folder`, made on the first call."""
    profile = profile or CardProfile()
    database = Database(folder / "hub.db", [CARD])
    runtime = runtime or Echo()
    if Card.exists(database):
        return Card(
            database, storage_key=bytes(32), random=Dice(), runtime=runtime, profile=profile
        )
    return Card.create(
        database, storage_key=bytes(32), random=Dice(), runtime=runtime, keys=KEYS, profile=profile
    )


def add_applet(card: Card) -> None:
    """Put the echo applet into a security domain of its own."""
    add_domain(card, DOMAIN)
    with card.turn(), card.database.transaction():
        card.keys.put_static(DOMAIN, 0x01, APPLET_KEYS)
        card.content.personalised(card.content.domain(DOMAIN))
        file = LoadFile(PACKAGE, b"\x01\x00", (MODULE,), b"bundle")
        card.content.load(file, domain=DOMAIN)
    add_instance(card, APPLET)


def add_domain(card: Card, aid: bytes, parent: bytes | None = None) -> None:
    """Add a security domain without keys under `parent`, the issuer's if there is none."""
    with card.turn(), card.database.transaction():
        card.content.install(
            aid,
            package=card.profile.domain_package,
            module=card.profile.domain_module,
            domain=parent or card.registry.issuer().aid,
            privileges=Privilege.SECURITY_DOMAIN,
            selectable=True,
        )


def add_instance(card: Card, aid: bytes) -> None:
    """Install the echo applet once more, as `aid`, and make it selectable."""
    with card.turn(), card.database.transaction():
        card.content.install(
            aid,
            package=PACKAGE,
            module=MODULE,
            domain=DOMAIN,
            privileges=Privilege.NONE,
            selectable=True,
        )


def delete(card: Card, *aids: bytes) -> None:
    """Delete what has these names."""
    with card.turn(), card.database.transaction():
        for aid in aids:
            card.content.delete(card.content.doomed(aid, related=False))


def client(card: Card, **options: int) -> CardClient:
    return CardClient(card.connect().transmit, **options)


def runtime_of(card: Card) -> Echo:
    assert isinstance(card.runtime, Echo)
    return card.runtime


def domain_parameters(reference: int) -> list[tuple[int, bytes]]:
    """Return p, a, b, the generator and the order of a curve, as gpshell spells them out."""
    numbers, curve = NUMBERS[reference], CURVES[reference]()
    size = (curve.key_size + 7) // 8
    p, a, b, n = (
        value.to_bytes(size, "big") for value in (numbers.p, numbers.a, numbers.b, numbers.n)
    )
    one = ec.derive_private_key(1, curve).public_key()
    generator = one.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return [(0xB2, p), (0xB3, a), (0xB4, b), (0xB5, generator), (0xB6, n)]
