# SPDX-License-Identifier: Apache-2.0
"""What the signers of tariffs, indexes and profiles show to everybody, as the hub was handed it."""

from typing import Final

from hub.device import Device
from hub.disclosure.published import TakenList, take_list, taken_lists

KEY_NAME: Final = b"-key"
"""How the names end under which applets keep their recipients' keys for the resident."""
KEY_SIZE: Final = 32


def published_view(device: Device) -> tuple[TakenList, ...]:
    """Return the newest list of each signer."""
    return tuple(taken_lists(device.disclosure.log))


def recipient_keys(device: Device) -> dict[bytes, frozenset[bytes]]:
    """Return the keys that applets were installed with, each with the applets that have it."""
    found: dict[bytes, frozenset[bytes]] = {}
    for applet in device.document_keepers():
        for name, value in device.documents(applet).items():
            if name.endswith(KEY_NAME) and len(value) == KEY_SIZE:
                found[value] = found.get(value, frozenset()) | {applet}
    return found


def take_published(device: Device, document: bytes, key: bytes | None = None) -> TakenList:
    """Take a list that an installed applet's recipient signed, or the owner of `key`.

    With a key that no applet was installed with, the list counts for all applets. Raises
    `ListRefused`.
    """
    signers = recipient_keys(device)
    if key is not None:
        signers = {key: signers.get(key, frozenset())}
    return take_list(device.disclosure.log, device.now(), document, signers)
