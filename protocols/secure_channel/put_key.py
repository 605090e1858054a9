# SPDX-License-Identifier: Apache-2.0
"""PUT KEY of an SCP03 key set, as a host sends it (GPCS 2.3.1, 11.8)."""

from typing import Final

from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.tlv import Tlv, encode_lv
from protocols.secure_channel.conversation import Conversation
from protocols.secure_channel.errors import CardRefused
from protocols.secure_channel.host import CardClient, CardDialogue
from protocols.secure_channel.keys import StaticKeys, encrypt_key, key_check_value

CLA: Final = 0x80
PUT_KEY: Final = 0xD8
SEVERAL_FROM_FIRST: Final = 0x81
NOT_AUTHENTICATED: Final = 0x6982


def put_static_keys(
    client: CardClient, version: int, keys: StaticKeys, *, replaces: int = 0
) -> None:
    """Give the domain that `client` has a session with an SCP03 key set.

    `replaces` is the version whose place it takes, 0 to add one. Raises `CardRefused`.
    """
    client.converse(putting_static_keys(client.dialogue, version, keys, replaces=replaces))


def putting_static_keys(
    dialogue: CardDialogue, version: int, keys: StaticKeys, *, replaces: int = 0
) -> Conversation[None]:
    """Do the same as a conversation."""
    session = dialogue.session
    if session is None:
        raise CardRefused("PUT KEY", NOT_AUTHENTICATED)
    data = bytes((version,))
    for key in (keys.enc, keys.mac, keys.dek):
        secret = bytes((len(key),)) + encrypt_key(session.dek, key)
        data += Tlv(0x88, secret).encode() + encode_lv(key_check_value(key))
    command = CommandApdu(CLA, PUT_KEY, replaces, SEVERAL_FROM_FIRST, data, le=256)
    yield from dialogue.call("PUT KEY", command)
