# SPDX-License-Identifier: Apache-2.0
"""ROTATE KEY (INS F3): the hub's own keys are changed over the card; not in GlobalPlatform.

    P1  01 the vault's key, 02 the certifier's      P2  00      no data
    answer   01  the new key's fingerprint, 8 bytes      02  the announcement (key_chain)

For the issuer security domain alone, in a session that its keys have opened; on a port that domain
is not there. The new key is in force once this APDU is on the disk. A hub that serves then opens
its folder again, and every connection ends.
"""

import enum

from hub.card.commands.get_data import require_authenticated
from hub.card.entries import Kind
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from hub.errors import HubError
from protocols.iso7816.apdu import ResponseApdu


class HubKey(enum.IntEnum):
    """Which key P1 names."""

    VAULT = 0x01
    CERTIFIER = 0x02


def rotate_key(card: CardParts, call: CardCall) -> ResponseApdu:
    """Change a key of the hub."""
    require_authenticated(call)
    keys = card.hub_keys
    if keys is None or call.domain.kind is not Kind.ISSUER_DOMAIN:
        raise CardRefusal(
            Sw.FUNCTION_NOT_SUPPORTED, "the hub's keys belong to the issuer's domain of its card"
        )
    if call.command.data or call.command.p2 or call.command.p1 not in set(HubKey):
        raise CardRefusal(Sw.WRONG_P1_P2, "P1 is 01 (vault) or 02 (certifier), P2 00, and no data")
    try:
        if call.command.p1 == HubKey.VAULT:
            return ResponseApdu(bytes.fromhex(keys.rotate_vault_key()), Sw.SUCCESS)
        return ResponseApdu(keys.rotate_certifier_key().encode(), Sw.SUCCESS)
    except CardRefusal:
        raise
    except HubError as error:
        raise CardRefusal(error.status_word, str(error)) from error
