# SPDX-License-Identifier: Apache-2.0
"""How a chain of days goes on after a former custody, whose days and secrets are gone.

    CBOR [label, custody, day, counter, previous, mounted, step, register at the day's begin,
          blinding of its commitment, blindings of the day's first slots, 32 bytes each]

The day before committed to the register at midnight, and the first day of the new custody starts
with the same point: so its blinding is kept. The slots of that day which were signed already keep
theirs as well. No more of what the certifier knew before is kept: its blinding secret is another
one (`CertifierKeys.bereft`), and nobody can try out uses of former days against their commitments.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Final, Self

from hub.certifier.errors import ReadingsRefused
from protocols.canonical.cbor import CborError, decode_array, encode_array
from protocols.proofs import Malformed
from protocols.proofs.group import decode_scalar, encode_scalar

_LABEL: Final = "meterlet inherited chain 1"
_SCALAR_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class InheritedChain:
    """Where a register's chain stands when a custody begins."""

    custody: bytes
    """Names the custody, as its first day does."""
    day: date
    """The first day of the custody."""
    counter: int
    """Of that day."""
    previous: bytes
    """The digest of the day before."""
    mounted: bytes
    """The meter that counts when the day begins."""
    step_wh: int
    start_wh: int = field(repr=False)
    """The register when the day begins."""
    blinding: int = field(repr=False)
    """Of the commitment to it."""
    slots: tuple[int, ...] = field(default=(), repr=False)
    """The blindings of the day's first slots, which were signed already."""

    def encode(self) -> bytes:
        """Return it as CBOR, for the vault to seal."""
        return encode_array(
            [
                _LABEL, self.custody, self.day.isoformat(), self.counter, self.previous,
                self.mounted, self.step_wh, self.start_wh, encode_scalar(self.blinding),
                b"".join(map(encode_scalar, self.slots)),
            ]
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what `encode` wrote; raise `ReadingsRefused` if it did not."""
        try:
            match decode_array(data):
                case [
                    str(label), bytes(custody), str(day), int(counter), bytes(previous),
                    bytes(mounted), int(step), int(start), bytes(blinding), bytes(slots),
                ] if label == _LABEL:  # fmt: skip
                    pieces = range(0, len(slots), _SCALAR_SIZE)
                    return cls(
                        custody, date.fromisoformat(day), counter, previous, mounted, step, start,
                        decode_scalar(blinding),
                        tuple(decode_scalar(slots[at : at + _SCALAR_SIZE]) for at in pieces),
                    )  # fmt: skip
        except (CborError, Malformed, ValueError):
            pass
        raise ReadingsRefused("how the custody began is damaged")
