# SPDX-License-Identifier: Apache-2.0
"""The hub as a GlobalPlatform card: registry, security domains, loading, life cycle, dispatch.

ISO/IEC 7816-4 and GPCS 2.3.1 with SCP03 (Amendment D). All that lasts is in the hub's database; one
APDU is one transaction. Applets run elsewhere: whoever builds the device hands in an
`AppletRuntime`.
"""

from hub.card.applet_runtime import AppletContext, AppletRefused, AppletRuntime, RegisteredApplet
from hub.card.connection import CardConnection, Exchange
from hub.card.entries import CardState, Kind, LifeCycle, Privilege, RegistryEntry
from hub.card.open import Card
from hub.card.profile import CardProfile
from hub.card.registry import CARD
from hub.card.status import CardRefusal, Sw

__all__ = [
    "CARD",
    "AppletContext",
    "AppletRefused",
    "AppletRuntime",
    "Card",
    "CardConnection",
    "CardProfile",
    "CardRefusal",
    "CardState",
    "Exchange",
    "Kind",
    "LifeCycle",
    "Privilege",
    "RegisteredApplet",
    "RegistryEntry",
    "Sw",
]
