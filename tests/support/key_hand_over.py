# SPDX-License-Identifier: Apache-2.0
"""A card whose operator hands a domain over to its owner (GPC Amendment A, scenario 3)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from hub.card.commands.key_hand_over import AUTHORITY
from hub.card.open import Card
from protocols.iso7816.tlv import Tlv
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.key_hand_over import KeyOwner, KeyRequest
from protocols.secure_channel.keys import StaticKeys
from tests.support.card import DOMAIN, open_card
from tests.support.card_host import Manager

EPHEMERAL = ec.derive_private_key(0x1234_5678_9ABC, ec.SECP256R1())
STORE = "80E28900"
"""The last block, of DGIs, that has an answer."""


@dataclass
class Field:
    """A card with a controlling authority, and a domain that has no keys yet."""

    card: Card
    authority: ec.EllipticCurvePublicKey
    operator: Manager
    """Whoever manages the card, in a session of the new domain with the issuer's keys."""

    def names(self) -> list[bytes]:
        """Return what the authority's domain says of itself, as the owner reads it."""
        transmit = self.card.connect().transmit
        CardClient(transmit).select(AUTHORITY)
        return [transmit(bytes.fromhex(f"00CA00{tag}00"))[:-2] for tag in ("42", "45")]

    def agree(self, request: KeyRequest) -> StaticKeys:
        """Hand the domain over, and return its owner's keys; the operator's session ends."""
        owner = KeyOwner(request, EPHEMERAL)
        return owner.receive(self.operator.ok(STORE, owner.groups()), self.authority, self.names())


def with_authority(card: Card, curve: str = "00", version: str = "74") -> ec.EllipticCurvePublicKey:
    """Install a controlling authority's domain with a key, and return that."""
    issuer = Manager(card)
    assert issuer.install_domain(AUTHORITY) == "9000"
    manager = Manager(card, AUTHORITY)
    made = manager.ok("80F10001", bytes.fromhex(f"{version}F001{curve}"))
    kind = {"00": ec.SECP256R1(), "01": ec.SECP384R1(), "03": ec.BrainpoolP256R1()}[curve]
    key = ec.EllipticCurvePublicKey.from_encoded_point(kind, Tlv.decode_map(made)[0xB0])
    assert manager.sw("80E29000", Tlv(0x7F21, b"a certificate").encode()) == "9000"
    return key


@contextmanager
def card_in_the_field(folder: Path) -> Iterator[Field]:
    """Open a card with an authority, and a domain whose keys nobody has given it."""
    card = open_card(folder)
    authority = with_authority(card)
    assert Manager(card).install_domain(DOMAIN) == "9000"
    yield Field(card, authority, Manager(card, DOMAIN))
    card.database.close()
