# SPDX-License-Identifier: Apache-2.0
"""Which amounts of a period's use are to be proved, in public numbers: the statement's program.

An applet describes amounts by the places of slots, without a reading; the hub proves them and the
recipient, who derives the same description from the tariff, verifies them
(`protocols.proofs.amounts`). Standard library only: applets carry this package.

    Sum      Σ weight·use                                                        kind `linear`
    Tiered   Σ over buckets of Σ price·(what of the bucket's use is in the block)  kind `blocks`
    Peaks    Σ over groups of the highest use of a window, or the floor            kind `demand`
    Excess   Σ weight·use + Σ over limits of Σ weight·(what a slot uses above)    kind `excess`
    Count    how many of several windows use more than a limit                   kind `count`
    Best     which of several sums is the largest                                kind `match`
    Reading  the use of one slot                                                 kind `sample`
    Total    what such amounts of several registers come to by public steps, rounded once
"""

from protocols.amounts.bounds import Bounds, bounds_of
from protocols.amounts.codec import decode_amounts, decode_numbers, encode_amounts
from protocols.amounts.model import (
    Above,
    Amount,
    AmountsMalformed,
    Best,
    Bucket,
    Count,
    Excess,
    Group,
    MeteredAmount,
    Peaks,
    Reading,
    SlotForm,
    Sum,
    Tiered,
)
from protocols.amounts.steps import Combine, Least, Most, QuotientRule, Rounding, TotalStep
from protocols.amounts.total import Carried, Kept, Metered, NumberAmount, Total, fits

__all__ = [
    "Above",
    "Amount",
    "AmountsMalformed",
    "Best",
    "Bounds",
    "Bucket",
    "Carried",
    "Combine",
    "Count",
    "Excess",
    "Group",
    "Kept",
    "Least",
    "Metered",
    "MeteredAmount",
    "Most",
    "NumberAmount",
    "Peaks",
    "QuotientRule",
    "Reading",
    "Rounding",
    "SlotForm",
    "Sum",
    "Tiered",
    "Total",
    "TotalStep",
    "bounds_of",
    "decode_amounts",
    "decode_numbers",
    "encode_amounts",
    "fits",
]
