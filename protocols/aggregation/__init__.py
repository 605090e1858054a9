# SPDX-License-Identifier: Apache-2.0
"""Sums over households of which nobody learns more than the sum, and nobody can falsify it.

From the bottom: `paillier` and `packing` (encryption), `masks` (what cancels in the sum), `members`
and `round` (who takes part in what), `weighting` (at which prices, if at any), `loads` (what the
certifiers sign), `messages`; then the parts of the three parties: `household` with its `rules` and
`ranges`, `collector` (the concentrator), `opening` (the operator) and `culprits` (who spoiled a
sum). A key that is `split` needs a trustee: `halves`, `trusteeship`.
docs/aggregation.md tells it whole.
"""

from protocols.aggregation.collector import Batch, Collector, Phase
from protocols.aggregation.decryption import RegionSum, open_sum
from protocols.aggregation.dispute import CONCENTRATOR, Accused, Culprit, Investigation
from protocols.aggregation.errors import (
    AggregationError,
    ContributionRefused,
    Fault,
    HolderRefused,
    KeyRefused,
    MalformedMessage,
    PackingRefused,
    RoundRefused,
    SumRefused,
)
from protocols.aggregation.household import Household
from protocols.aggregation.loads import CertifiedLoad, commit_limbs
from protocols.aggregation.members import Member, MemberKeys, MemberSecret, MeterCertificate
from protocols.aggregation.messages import (
    Agreement,
    Contribution,
    Contributors,
    Opening,
    PairKey,
    PairPoints,
)
from protocols.aggregation.packing import Layout, Packing
from protocols.aggregation.paillier import (
    SHORT_EXPONENT,
    Decryptor,
    Encryptor,
    PaillierPrivateKey,
    PaillierPublicKey,
)
from protocols.aggregation.partial_decryption import Halves
from protocols.aggregation.round import (
    DAY_MINUTES,
    RESOLUTIONS,
    Round,
    Terms,
    values_at_resolution,
)
from protocols.aggregation.rules import SMALLEST_GROUP, Released, Rules
from protocols.aggregation.split_key import JointDecryptor, KeyShare, split_key
from protocols.aggregation.trusteeship import require_dispute, require_sum
from protocols.aggregation.weighting import Weighting

__all__ = [
    "CONCENTRATOR",
    "DAY_MINUTES",
    "RESOLUTIONS",
    "SHORT_EXPONENT",
    "SMALLEST_GROUP",
    "Accused",
    "AggregationError",
    "Agreement",
    "Batch",
    "CertifiedLoad",
    "Collector",
    "Contribution",
    "ContributionRefused",
    "Contributors",
    "Culprit",
    "Decryptor",
    "Encryptor",
    "Fault",
    "Halves",
    "HolderRefused",
    "Household",
    "Investigation",
    "JointDecryptor",
    "KeyRefused",
    "KeyShare",
    "Layout",
    "MalformedMessage",
    "Member",
    "MemberKeys",
    "MemberSecret",
    "MeterCertificate",
    "Opening",
    "Packing",
    "PackingRefused",
    "PaillierPrivateKey",
    "PaillierPublicKey",
    "PairKey",
    "PairPoints",
    "Phase",
    "RegionSum",
    "Released",
    "Round",
    "RoundRefused",
    "Rules",
    "SumRefused",
    "Terms",
    "Weighting",
    "commit_limbs",
    "open_sum",
    "require_dispute",
    "require_sum",
    "split_key",
    "values_at_resolution",
]
