# SPDX-License-Identifier: Apache-2.0
"""What a manifest asks for beside its consents, in sentences."""

from typing import Final

from hub.machine.manifest import Manifest

FED_IN: Final = ":2."
"""In the OBIS code of a register of what is fed in: value group C is 2."""


def about_feed_in(manifest: Manifest) -> list[str]:
    """Return which statements an applet may ask for about energy fed in, in a sentence."""
    kinds = [
        grant.kind
        for grant in manifest.statements
        if any(FED_IN in register for register in grant.registers)
    ]
    if not kinds:
        return []
    return [
        "all this of what you draw from the grid; and by itself, on the same terms, of what you"
        f" feed in, if your meter counts that ({', '.join(kinds)})"
    ]


def dealings(manifest: Manifest) -> list[str]:
    """Return which more registers an applet reads, and with which applets it may speak."""
    reads = [f"it also reads the registers {', '.join(manifest.registers)}"]
    asks = [
        f"it may ask the applet {peer.aid.hex().upper()} (services"
        f" {', '.join(map(str, peer.services))}), which has the same recipient or refuses"
        for peer in manifest.peers
    ]
    return (
        (reads if manifest.registers else [])
        + asks
        + [
            f"it may answer the applet {client.hex().upper()} (service {shared.service}), which has"
            " the same recipient or is refused"
            for shared in manifest.shared
            for client in shared.clients
        ]
    )
