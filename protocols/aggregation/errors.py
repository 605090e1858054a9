# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a round of aggregation.

AggregationError
  MalformedMessage      bytes are not the message they claim to be, in its only encoding
  KeyRefused            a Paillier key that is too short, too long, or not one
  PackingRefused        a sum could run over its slot, or a value over its bits
  RoundRefused          a household does not take part: a rule, a signature, another's lie
  ContributionRefused   one household's message is not taken; the round goes on without it
  SumRefused            what was opened is not the sum of what the certifiers signed
    HolderRefused       the other holder of a split key does not help, or answers wrongly
"""

import enum


class AggregationError(Exception):
    """Base of all errors of aggregation."""


class MalformedMessage(AggregationError):
    """Bytes are not the message they claim to be."""


class KeyRefused(AggregationError):
    """No Paillier key to work with."""


class PackingRefused(AggregationError):
    """There is not room enough for the sum."""


class RoundRefused(AggregationError):
    """A household does not take this step; the message says which rule forbids it."""


class Fault(enum.StrEnum):
    """What is wrong with one household's message."""

    MALFORMED = "malformed"
    OTHER_ROUND = "of another round"
    OTHER_KEY = "encrypted under another key"
    OTHER_SET = "for other contributors"
    UNKNOWN_METER = "of an unknown meter"
    REPEATED = "repeated"
    WRONG_COUNT = "of another length than the period"
    OVERSIZED = "oversized ciphertext"
    NOT_COPRIME = "ciphertext not coprime to the modulus"
    BAD_SIGNATURE = "not signed by the member"
    BAD_LOAD = "not signed by the certifier"
    BAD_RANGE = "its values are not proved to fit their bits"
    LATE = "too late"


class ContributionRefused(AggregationError):
    """One household's message is not taken."""

    def __init__(self, fault: Fault, meter: bytes | None = None, detail: str = "") -> None:
        who = "a contribution" if meter is None else f"meter {meter.hex()}"
        super().__init__(f"{who}: {fault.value}" + (f" ({detail})" if detail else ""))
        self.fault, self.meter = fault, meter


class SumRefused(AggregationError):
    """The opened sum is not that of the signed commitments; nothing of it may be used."""


class HolderRefused(SumRefused):
    """The other holder of a split key does not help to open it, or answers wrongly."""
