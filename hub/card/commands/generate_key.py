# SPDX-License-Identifier: Apache-2.0
"""GENERATE KEY: an EC key pair is made on the card and its secret never leaves (as YubiKeys do).

    F1   P1  the version that is replaced, 00 to add     P2  the key's identifier
    data     version | F0 length curve                   answer  B0 length point

Where the profile is that of a card with an authority of its own, a key of SCP11 comes with its
certificates: they say that this card has made it.
"""

from hub.card.commands.get_data import require_authenticated
from hub.card.commands.issued_keys import attest
from hub.card.commands.put_key import new_key, public_point, store_keys
from hub.card.entries import Kind
from hub.card.keys.keystore import KeyType
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.apdu import ResponseApdu
from protocols.iso7816.tlv import Tlv


def generate_key(card: CardParts, call: CardCall) -> ResponseApdu:
    """Make an EC key on the card and answer with its public point."""
    require_authenticated(call)
    data = call.command.data
    with refusing_malformed("GENERATE KEY"):
        fields = Tlv.decode_map(data[1:])
    if not data or fields.keys() != {KeyType.EC_PARAMETERS}:
        raise CardRefusal(Sw.WRONG_DATA, "GENERATE KEY carries a version and a curve (F0)")
    reference = fields[KeyType.EC_PARAMETERS]
    key = new_key(card, data[0], call.command.p2 & 0x7F, reference)
    store_keys(card, call, [key], call.command.p1)
    if call.domain.kind is Kind.ISSUER_DOMAIN:
        attest(card, key)
    return ResponseApdu(Tlv(KeyType.EC_PUBLIC, public_point(key)).encode(), Sw.SUCCESS)
