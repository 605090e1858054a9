# SPDX-License-Identifier: Apache-2.0
"""What stands in the card's registry: kinds of entries, life cycles and privileges.

Life cycles are GPCS 2.3.1, 11.1.1 (tables 11-3 to 11-6); a locked entry keeps the state it comes
back to under bit 8. Privileges are three bytes, GPCS 2.3.1, 11.1.2 (tables 11-7 to 11-9).
"""

import enum
from dataclasses import dataclass
from typing import Final

from hub.card.status import CardRefusal, Sw

LOCKED: Final = 0x80


class Kind(enum.IntEnum):
    """What an entry is."""

    ISSUER_DOMAIN = 1
    DOMAIN = 2
    APPLICATION = 3
    PACKAGE = 4


class CardState(enum.IntEnum):
    """The card's life cycle, which is the issuer security domain's."""

    OP_READY = 0x01
    INITIALIZED = 0x07
    SECURED = 0x0F
    LOCKED = 0x7F
    TERMINATED = 0xFF


class LifeCycle(enum.IntEnum):
    """States every application has; others up to 7F are the application's own."""

    LOADED = 0x01
    INSTALLED = 0x03
    SELECTABLE = 0x07


class DomainState(enum.IntEnum):
    """States of a supplementary security domain beside INSTALLED and SELECTABLE."""

    PERSONALIZED = 0x0F


class Privilege(enum.IntFlag):
    """What an application may do beyond its own business."""

    NONE = 0
    SECURITY_DOMAIN = 0x800000
    DAP_VERIFICATION = 0x400000
    DELEGATED_MANAGEMENT = 0x200000
    CARD_LOCK = 0x100000
    CARD_TERMINATE = 0x080000
    CARD_RESET = 0x040000
    CVM_MANAGEMENT = 0x020000
    MANDATED_DAP = 0x010000
    TRUSTED_PATH = 0x008000
    AUTHORIZED_MANAGEMENT = 0x004000
    TOKEN_VERIFICATION = 0x002000
    GLOBAL_DELETE = 0x001000
    GLOBAL_LOCK = 0x000800
    GLOBAL_REGISTRY = 0x000400
    FINAL_APPLICATION = 0x000200
    GLOBAL_SERVICE = 0x000100
    RECEIPT_GENERATION = 0x000080
    CIPHERED_LOAD_FILE = 0x000040
    CONTACTLESS_ACTIVATION = 0x000020
    CONTACTLESS_SELF_ACTIVATION = 0x000010

    def encode(self) -> bytes:
        """Return the three bytes of GPCS."""
        return int(self).to_bytes(3, "big")


ISSUER_PRIVILEGES: Final = Privilege(0x9EFE80)
"""The issuer security domain: everything but DAP verification and delegated management."""


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One row of the registry."""

    aid: bytes
    kind: Kind
    life_cycle: int
    privileges: Privilege
    domain: bytes
    """The security domain it belongs to; the issuer's belongs to itself."""
    package: bytes = b""
    """The load file it was made from, for an application or a domain."""
    module: bytes = b""
    version: bytes = b""
    """Major and minor, for a package."""
    implicit: bytes = b""
    """Implicit selection parameter (tag CF), one byte where there is one."""
    code_quota: int | None = None
    """Bytes of code that may be loaded below a domain (C6)."""
    volatile_quota: int | None = None
    """Bytes of transient memory reserved (C7)."""
    data_quota: int | None = None
    """Bytes of persistent memory that it, and what belongs to it, may fill (C8)."""

    @property
    def is_domain(self) -> bool:
        """Whether it is a security domain, the issuer's or another."""
        return self.kind in {Kind.ISSUER_DOMAIN, Kind.DOMAIN}

    @property
    def is_locked(self) -> bool:
        """Whether it cannot be selected until it is unlocked."""
        return self.kind is not Kind.ISSUER_DOMAIN and bool(self.life_cycle & LOCKED)

    @property
    def is_selectable(self) -> bool:
        """Whether SELECT may find it."""
        if self.kind is Kind.ISSUER_DOMAIN:
            return True
        known = self.kind is not Kind.PACKAGE and not self.is_locked
        return known and self.life_cycle >= LifeCycle.SELECTABLE

    def has(self, privilege: Privilege) -> bool:
        """Whether every bit of `privilege` is set."""
        return self.privileges & privilege == privilege


def check_aid(aid: bytes, what: str = "AID") -> bytes:
    """Return `aid`; raise `CardRefusal` unless it has 5 to 16 bytes (ISO/IEC 7816-5)."""
    if not 5 <= len(aid) <= 16:
        raise CardRefusal(Sw.WRONG_DATA, f"{what}: an AID has 5 to 16 bytes, not {len(aid)}")
    return aid
