# SPDX-License-Identifier: Apache-2.0
"""Commitments to energy, and proofs of statements about what was committed to.

From the bottom: `group` (secp256k1), `transcript` (challenges), `pedersen` (commitments),
`linear` (weighted sums, opened). docs/statements.md lists every statement with its claim.
"""

from protocols.proofs.errors import FalseStatement, Malformed, ProofError, ProofRefused
from protocols.proofs.group import ORDER, Point, PointVector
from protocols.proofs.linear import (
    LARGEST_USE_WH,
    LARGEST_VALUE,
    LinearOpening,
    LinearStatement,
    StatementContext,
    open_linear,
)
from protocols.proofs.pedersen import commit, commit_many, derive_blindings
from protocols.proofs.transcript import Transcript

__all__ = [
    "LARGEST_USE_WH",
    "LARGEST_VALUE",
    "ORDER",
    "FalseStatement",
    "LinearOpening",
    "LinearStatement",
    "Malformed",
    "Point",
    "PointVector",
    "ProofError",
    "ProofRefused",
    "StatementContext",
    "Transcript",
    "commit",
    "commit_many",
    "derive_blindings",
    "open_linear",
]
