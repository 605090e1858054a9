# SPDX-License-Identifier: Apache-2.0
"""Whether a period's unattributed energy is within the supplier's limit; if not, how much it is.

    question    path UNATTRIBUTED, document LIMIT: the signed limit
    answer      PROOF (`protocols.metrology.unattributed`), LIMIT: its digest, CERTIFIED_DAY...

Energy that the register counted while nobody read it is billed in no slot. A hub could let any
amount vanish there. The supplier states a limit; the hub shows that the period's is within it, or
opens the sum of the whole period.

The limit is a deterministic CBOR map {"format", "limit_wh"}, signed as `CONTENT_TYPE`.

Errors: MessageRefused, TariffError
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from applets.common.questions import ProvedAnswer, Question
from protocols.canonical import cbor
from sml_codec import Obis
from tariffs import TariffError

CONTENT_TYPE: Final = "application/vnd.meterlet.unattributed-limit+cbor"
FORMAT: Final = "meterlet unattributed limit 1"

UNATTRIBUTED: Final = Obis(bytes.fromhex("81814d010a00"))
LIMIT: Final = Obis(bytes.fromhex("81814d010b00"))
PROOF: Final = Obis(bytes.fromhex("81814d010c00"))
CERTIFIED_DAY: Final = Obis(bytes.fromhex("81814d010d00"))


@dataclass(frozen=True, slots=True)
class UnattributedLimit:
    """How much energy of a period may belong to no slot without being opened."""

    limit_wh: int

    def encode(self) -> bytes:
        """Return the document's one encoding."""
        return cbor.encode({"format": FORMAT, "limit_wh": self.limit_wh})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the limit in `data`; raise `TariffError` for anything else."""
        try:
            members = cbor.decode(data)
        except cbor.CborError as error:
            raise TariffError(f"not a limit: {error}") from None
        match members:
            case {"format": str(form), "limit_wh": int(limit_wh), **others} if (
                form == FORMAT and not others and limit_wh >= 0
            ):
                return cls(limit_wh)
            case _:
                raise TariffError("not a limit of unattributed energy")

    @property
    def digest(self) -> bytes:
        """The 32 bytes that name it."""
        return sha256(self.encode()).digest()


@dataclass(frozen=True, slots=True)
class UnattributedQuestion(Question):
    """Is the unattributed energy of [begin, end) within this signed limit, or how much is it?"""

    path = UNATTRIBUTED
    name = LIMIT
    content_type = CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class UnattributedAnswer(ProvedAnswer):
    """The proof of either, and the certified days that it is about."""

    path = UNATTRIBUTED
    layout = {"proof": PROOF, "digest": LIMIT}  # noqa: RUF012
    day = CERTIFIED_DAY
