# SPDX-License-Identifier: Apache-2.0
"""Commitments to energy, and proofs of statements about what was committed to.

From the bottom: `group` (secp256k1), `transcript` (challenges), `pedersen` (commitments slot by
slot) and `vector` (a point a day), `ranges`, `one_of`, `lookup` (of which `many_ranges` and
`excess` are made), `session` (statements of many parts), `compare` (what tariffs need), `amounts`
(what is opened of a register), `numbers` (rounded totals of several), `batch` (many proofs at
once); `linear` verifies sums of version 0.1. docs/statements.md lists every statement with its
claim.
"""

from protocols.proofs.amounts import amounts_check, open_amounts, verify_amounts
from protocols.proofs.batch import Check, find_refused, name_of_refused, verify_all
from protocols.proofs.compare import (
    largest,
    largest_few,
    maximum,
    minimum,
    piecewise_linear,
    positive_part,
    require_at_most,
    require_largest,
    rounded,
    tiers,
)
from protocols.proofs.context import NumbersContext, StatementContext
from protocols.proofs.errors import FalseStatement, Malformed, ProofError, ProofRefused
from protocols.proofs.group import ORDER, Point, PointVector
from protocols.proofs.needs import needs_slots, registers_by_slots
from protocols.proofs.numbers import (
    StatedNumbers,
    numbers_check,
    numbers_check_on,
    open_numbers,
    open_numbers_on,
    verify_numbers,
)
from protocols.proofs.pedersen import commit, commit_many, derive_blindings
from protocols.proofs.quantity import (
    LARGEST_USE_WH,
    LARGEST_VALUE,
    Quantity,
    SlotOpening,
    Source,
)
from protocols.proofs.session import Prover, Session, Verifier
from protocols.proofs.transcript import Transcript
from protocols.proofs.vector import VectorCommitment, VectorOpening, VectorPart, commit_vector

__all__ = [
    "LARGEST_USE_WH",
    "LARGEST_VALUE",
    "ORDER",
    "Check",
    "FalseStatement",
    "Malformed",
    "NumbersContext",
    "Point",
    "PointVector",
    "ProofError",
    "ProofRefused",
    "Prover",
    "Quantity",
    "Session",
    "SlotOpening",
    "Source",
    "StatedNumbers",
    "StatementContext",
    "Transcript",
    "VectorCommitment",
    "VectorOpening",
    "VectorPart",
    "Verifier",
    "amounts_check",
    "commit",
    "commit_many",
    "commit_vector",
    "derive_blindings",
    "find_refused",
    "largest",
    "largest_few",
    "maximum",
    "minimum",
    "name_of_refused",
    "needs_slots",
    "numbers_check",
    "numbers_check_on",
    "open_amounts",
    "open_numbers",
    "open_numbers_on",
    "piecewise_linear",
    "positive_part",
    "registers_by_slots",
    "require_at_most",
    "require_largest",
    "rounded",
    "tiers",
    "verify_all",
    "verify_amounts",
    "verify_numbers",
]
