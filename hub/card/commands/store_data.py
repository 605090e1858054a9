# SPDX-License-Identifier: Apache-2.0
"""STORE DATA: a security domain, or an application through it, gets its data (GPCS 2.3.1, 11.11).

    P1  80 last block | 60 encrypted under the DEK | 18 structure: 08 DGI, 10 BER-TLV | 01 answers
    P2  number of the block, from 00

Without structure a block is encrypted as it is. DGIs and TLVs are encrypted each by itself: names
and lengths stand in clear, the length being the encrypted value's. What fills the last 16 bytes is
80 00.., or nothing where they are full (Amendment D, 4.1.4).

The groups 00A6 and 7F49 ask for keys (`commands.key_hand_over`), and they alone have an answer.

Blocks of the domain's own data are kept in memory and take effect with the last one, all or
nothing. After INSTALL [for personalization] each block goes to the application at once.
"""

from dataclasses import dataclass, field
from typing import Final

from hub.card.commands.get_data import PRODUCTION_PART, PRODUCTION_PARTS, require_authenticated
from hub.card.commands.key_hand_over import agree_keys
from hub.card.entries import check_aid
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import Cursor, Tlv
from protocols.secure_channel.key_hand_over import REQUEST_GROUP, data_group
from protocols.secure_channel.keys import decrypt_key

LAST, ENCRYPTED, STRUCTURE, DGI, TLV = 0x80, 0x60, 0x18, 0x08, 0x10
MAX_DATA: Final = 1 << 16
"""As much as a security domain takes in one go."""
_BLOCK: Final = 16
_RESERVED: Final = 0x40
_DOMAIN_DGI: Final = 0x0070
COMPUTED: Final = frozenset(
    {0x66, 0x67, 0xE0, 0xC1, 0xC2, 0xD3, 0x9F7F, 0xFF21, 0x2F00, 0xFF33, 0xFF34}
)
"""Objects that the card makes itself and nobody stores."""


@dataclass(slots=True)
class Storing:
    """Blocks of STORE DATA that have come so far."""

    structure: int
    encrypted: bool = False
    blocks: int = 0
    data: bytearray = field(default_factory=bytearray)


def store_data(card: CardParts, call: CardCall) -> ResponseApdu:
    """Take one block for the selected domain, or hand it to the application it personalises."""
    require_authenticated(call)
    command, channel = call.command, call.channel
    if command.p1 & STRUCTURE == STRUCTURE:
        raise CardRefusal(Sw.WRONG_P1_P2, "STORE DATA carries DGIs, TLVs or neither, not both")
    if command.p1 & ENCRYPTED == _RESERVED:
        raise CardRefusal(Sw.WRONG_P1_P2, "40 is no encryption of STORE DATA: 00, 20 or 60 are")
    storing = channel.process
    if not isinstance(storing, Storing):
        storing = Storing(command.p1 & STRUCTURE, command.p1 & ENCRYPTED == ENCRYPTED)
    same = (command.p1 & STRUCTURE, command.p1 & ENCRYPTED == ENCRYPTED)
    if command.p2 != storing.blocks & 0xFF or same != (storing.structure, storing.encrypted):
        channel.process = None
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            f"block {command.p2:02X} came, {storing.blocks & 0xFF:02X} was expected",
        )
    data = command.data
    if storing.encrypted and not storing.structure:
        data = _decrypted(call, data)
    last = bool(command.p1 & LAST)
    if channel.target is not None and channel.target != call.domain.aid:
        if storing.encrypted and storing.structure:
            data = _clear_groups(call, data, storing.structure)
        response = _hand_over(card, call, data)
        storing.blocks += 1
        channel.process = None if last or not response.is_answer else storing
        channel.target = None if last else channel.target
        return response
    if len(storing.data) + len(data) > MAX_DATA:
        channel.process = None
        raise CardRefusal(Sw.NO_MEMORY, f"STORE DATA takes at most {MAX_DATA} bytes in one go")
    storing.data += data
    storing.blocks += 1
    channel.process = None if last else storing
    if last:
        channel.target = None
        whole = bytes(storing.data)
        if storing.encrypted and storing.structure:
            whole = _clear_groups(call, whole, storing.structure)
        return ResponseApdu(_store(card, call, whole, storing.structure), Sw.SUCCESS)
    return ResponseApdu(b"", Sw.SUCCESS)


def _decrypted(call: CardCall, data: bytes) -> bytes:
    if not data:
        return data
    authentication = call.channel.authentication
    assert authentication is not None  # require_authenticated has looked
    if len(data) % _BLOCK:
        raise CardRefusal(Sw.WRONG_DATA, "data encrypted under the DEK are whole blocks")
    plain = decrypt_key(authentication.session.dek, data)
    unpadded = plain.rstrip(b"\0")
    padded = unpadded.endswith(b"\x80") and len(plain) - len(unpadded) < _BLOCK
    return unpadded[:-1] if padded else plain


def _clear_groups(call: CardCall, data: bytes, structure: int) -> bytes:
    """Return DGIs or TLVs with their values decrypted; they must be whole."""
    with refusing_malformed("STORE DATA"):
        if structure == DGI:
            groups = [(name, _decrypted(call, value)) for name, value in _data_groups(data)]
            return b"".join(data_group(name, value) for name, value in groups)
        nodes = [(node.tag, _decrypted(call, node.value)) for node in Tlv.decode_all(data)]
        return b"".join(Tlv(tag, value).encode() for tag, value in nodes)


def _hand_over(card: CardParts, call: CardCall, data: bytes) -> ResponseApdu:
    assert call.channel.target is not None
    entry = card.registry.find(call.channel.target)
    if entry is None or entry.is_locked:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the application is gone or locked")
    command, context = call.command, call.conversation.context(call.channel, entry)
    plain = CommandApdu(command.cla, command.ins, command.p1, command.p2, data, command.le)
    return card.runtime.personalise(context, plain)


def _store(card: CardParts, call: CardCall, data: bytes, structure: int) -> bytes:
    """Keep what came; return the answer, which only a request for keys has."""
    domain = call.domain.aid
    with refusing_malformed("STORE DATA"):
        if structure != DGI:
            _store_nodes(card, domain, list(Tlv.decode_all(data)))
            return b""
        groups = _data_groups(data)
        if any(group == REQUEST_GROUP for group, _ in groups):
            return agree_keys(card, call, groups)
        for group, value in groups:
            if group == _DOMAIN_DGI:
                _store_nodes(card, domain, list(Tlv.decode_all(value)))
            else:
                card.registry.set_object(domain, 0x1000000 | group, value)
    return b""


def _data_groups(data: bytes) -> list[tuple[int, bytes]]:
    cursor = Cursor(data)
    groups = []
    while not cursor.at_end:
        name = int.from_bytes(cursor.take(2), "big")
        length = cursor.byte()
        if length == 0xFF:
            length = int.from_bytes(cursor.take(2), "big")
        groups.append((name, cursor.take(length)))
    return groups


def _store_nodes(card: CardParts, domain: bytes, nodes: list[Tlv]) -> None:
    if nodes and nodes[0].tag == 0xA6:
        card.certificates.store(domain, nodes)
        return
    for node in nodes:
        if node.tag == 0x4F:
            card.content.rename(domain, check_aid(node.value))
            domain = node.value
        elif node.tag in COMPUTED:
            raise CardRefusal(Sw.WRONG_DATA, f"object {node.tag:04X} is the card's own")
        elif node.tag == 0xCF and len(node.value) != 10:
            raise CardRefusal(Sw.WRONG_DATA, "key diversification data have 10 bytes")
        elif node.tag in PRODUCTION_PARTS and len(node.value) != PRODUCTION_PART:
            raise CardRefusal(Sw.WRONG_DATA, "CPLC data of one step of production have 8 bytes")
        else:
            card.registry.set_object(domain, node.tag, node.value)
