# SPDX-License-Identifier: Apache-2.0
"""How a card presents itself: names, keys' version, protocol options, sizes."""

from dataclasses import dataclass
from typing import Final

from hub.card.entries import CardState
from protocols.secure_channel.scp03 import Option


@dataclass(frozen=True, slots=True)
class CardProfile:
    """What differs between cards that obey the same standard."""

    name: str = "default"
    issuer_aid: bytes = bytes.fromhex("A000000151000000")
    aliases: tuple[bytes, ...] = ()
    """Further AIDs that select the issuer's domain."""
    option: Option = Option.S8_FULL
    key_version: int = 0x30
    state: CardState = CardState.SECURED
    domain_package: bytes = bytes.fromhex("A0000001515350")
    domain_module: bytes = bytes.fromhex("A000000151535041")
    diversification: bytes = bytes(10)
    attempts: int = 64
    """Failed authentications until a key set blocks."""
    issuer: bytes = bytes.fromhex("4D4554455201")
    """Issuer identification number, tag 42, until one is stored."""
    image: bytes = bytes.fromhex("4D45544552000001")
    """Card image number, tag 45, until one is stored."""
    scp11_options: tuple[int, ...] = ()
    """The options `i` of SCP11 that GET DATA lists; none is no SCP11."""
    counts_challenges: bool = False
    """Whether a challenge counts as a failed attempt until the host has authenticated."""
    drops_factory_keys: bool = False
    """Whether the first own key set takes the place of version FF."""
    restores_keys: bool = False
    """Whether blocked keys are removed, and a card without keys gets its first ones again."""
    strict: bool = False
    """Whether domains hold and manage content only when PERSONALIZED, which SET STATUS makes them,
    and things move only between domains whose parameters allow it (82, 87)."""
    scp11c_manages: bool = True
    """Whether a session of SCP11c, whose commands may be prepared offline, manages the card."""
    links_loads: bool = False
    """Whether LOAD may come in two links that are protected as a whole, by bit 8 of P1.

    That bit says of LOAD that it is the last, and the specification chains no LOAD. But
    GlobalPlatformPro fills its blocks as if every MAC had 8 bytes, and cuts what 16 make too long.
    """
    attested: bool = False
    """Whether the card is issued with a key for SCP11b, 13/01, and certificates for it."""
    historical: bytes = b"\x58Meterlet"
    """The end of the ATR's historical bytes, a compact TLV."""
    file_system: bool = False
    """Whether SELECT of the master file answers as on a card with files."""
    channels: int = 20
    code_memory: int = 1 << 25
    """Bytes that packages may fill together."""
    data_memory: int = 1 << 24
    volatile_memory: int = 1 << 24


DEFAULT: Final = CardProfile()
S16: Final = CardProfile(name="s16", option=Option.S16_FULL, links_loads=True)
PYSIM: Final = CardProfile(
    name="pysim", aliases=(bytes.fromhex("A000000003000000"),), file_system=True
)
YUBIKEY: Final = CardProfile(
    name="yubikey",
    option=Option.S8_FULL,
    key_version=0xFF,
    counts_challenges=True,
    drops_factory_keys=True,
    restores_keys=True,
    scp11c_manages=False,
    attested=True,
    scp11_options=(0x04,),
    historical=b"\x57YubiKey",
)
STRICT: Final = CardProfile(
    name="strict",
    key_version=0xFF,
    state=CardState.OP_READY,
    drops_factory_keys=True,
    strict=True,
)
PROFILES: Final = {profile.name: profile for profile in (DEFAULT, S16, PYSIM, YUBIKEY, STRICT)}
