# SPDX-License-Identifier: Apache-2.0
"""The parameters of INSTALL: which there are, and that each is kept or refused.

    C9   the application's own; of a security domain: 81 the secure channel it speaks (protocol and
         `i`, in pairs), 82 whether things may move into it, 87 whether they may move out
    EF   the system's: C6, C7, C8 memory, CF implicit selection
    B6   which card a token is for: 42, 45, 5F20, 93

A parameter that the card would not honour is not read over (GPCS 2.3.1, 11.5.2.3.7): whoever asked
for a restriction, a reservation or another secure channel would believe to have it.
"""

from dataclasses import dataclass
from typing import Final

from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.tlv import Tlv

SYSTEM, APPLICATION, REFERENCE = 0xEF, 0xC9, 0xB6
CODE, VOLATILE, DATA, IMPLICIT = 0xC6, 0xC7, 0xC8, 0xCF
CHANNEL, MOVES_IN, MOVES_OUT = 0x81, 0x82, 0x87
ALLOWED: Final = b"\x20\x20"
"""By whoever manages the content, which is what this card asks for anyway."""
SCP03, SCP11 = 0x03, 0x11
CONTACTS: Final = 0x40
ISSUER_NUMBER, IMAGE_NUMBER, PROVIDER, TOKEN_NUMBER = 0x42, 0x45, 0x5F20, 0x93


@dataclass(frozen=True, slots=True)
class Parameters:
    """What one INSTALL asks for."""

    application: bytes
    """The value of C9."""
    code: int | None
    volatile: int | None
    data: int | None
    implicit: bytes

    @classmethod
    def decode(
        cls,
        card: CardParts,
        data: bytes,
        *,
        system: frozenset[int] = frozenset(),
        application: bool = False,
    ) -> "Parameters":
        """Read the parameters; raise `CardRefusal` for any but `system` ones, B6, and C9 if so."""
        with refusing_malformed("parameters"):
            fields = Tlv.decode_map(data)
            values = Tlv.decode_map(fields.get(SYSTEM, b""))
        known = (
            {REFERENCE}
            | ({SYSTEM} if system else set())
            | ({APPLICATION} if application else set())
        )
        for tag in [*(fields.keys() - known), *(values.keys() - system)]:
            raise CardRefusal(
                Sw.WRONG_DATA, f"the parameter {tag:02X} is not supported here (11.5.2.3.7)"
            )
        check_reference(card, fields.get(REFERENCE, b""))
        sizes: list[int | None] = []
        for tag in (CODE, VOLATILE, DATA):
            value = values.get(tag)
            if value is not None and len(value) not in {2, 4}:
                raise CardRefusal(Sw.WRONG_DATA, f"{tag:02X} has two or four bytes (table 11-49)")
            sizes.append(None if value is None else int.from_bytes(value, "big"))
        implicit = values.get(IMPLICIT, b"")
        limit = card.profile.channels
        if implicit and (len(implicit) != 1 or not 0 <= implicit[0] - CONTACTS < limit):
            raise CardRefusal(
                Sw.WRONG_DATA,
                f"CF is one byte, 40 and the number of a logical channel below {limit}: there are"
                " contacts, and no contactless interface (table 11-50)",
            )
        code, volatile, data_size = sizes
        return cls(fields.get(APPLICATION, b""), code, volatile, data_size, implicit)


def check_reference(card: CardParts, template: bytes) -> None:
    """Return if a token is for this card; raise `CardRefusal` if it names another (tag B6)."""
    with refusing_malformed("the control reference template"):
        fields = Tlv.decode_map(template)
    issuer, profile = card.registry.issuer().aid, card.profile
    own = {
        ISSUER_NUMBER: card.registry.find_object(issuer, ISSUER_NUMBER) or profile.issuer,
        IMAGE_NUMBER: card.registry.find_object(issuer, IMAGE_NUMBER) or profile.image,
    }
    for tag, value in fields.items():
        if tag not in {*own, PROVIDER, TOKEN_NUMBER}:
            raise CardRefusal(Sw.WRONG_DATA, f"B6 holds no {tag:02X}: 42, 45, 5F20 and 93")
        if own.get(tag, value) != value:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, f"the token is for another card ({tag:02X} differs)"
            )


def check_domain(card: CardParts, value: bytes) -> tuple[bool, bool]:
    """Return whether things may move into a new domain and out of it, as C9 says.

    Raises `CardRefusal` where C9 asks for a secure channel that the card does not speak.
    """
    with refusing_malformed("the security domain's parameters"):
        fields = Tlv.decode_map(value)
    unknown = fields.keys() - {CHANNEL, MOVES_IN, MOVES_OUT}
    if unknown:
        raise CardRefusal(
            Sw.WRONG_DATA, f"a security domain has no parameter {min(unknown):02X} here: 81, 82, 87"
        )
    spoken = {bytes((SCP03, card.profile.option))}
    spoken |= {bytes((SCP11, option)) for option in card.profile.scp11_options}
    channels = fields.get(CHANNEL, b"")
    pairs = {channels[start : start + 2] for start in range(0, len(channels), 2)}
    if pairs - spoken or (CHANNEL in fields and not pairs):
        there = ", ".join(f"SCP{pair[0]:02X} i={pair[1]:02X}" for pair in sorted(spoken))
        raise CardRefusal(
            Sw.WRONG_DATA, f"81 asks for another secure channel than the card's: {there}"
        )
    for tag in (MOVES_IN, MOVES_OUT):
        if fields.get(tag, ALLOWED) != ALLOWED:
            raise CardRefusal(Sw.WRONG_DATA, f"{tag:02X} is 2020, or it is not there")
    return MOVES_IN in fields, MOVES_OUT in fields
