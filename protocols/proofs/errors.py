# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a proof.

ProofError
  Malformed        bytes are not the point, scalar or proof they claim to be
  ProofRefused     well-formed, but it does not prove the statement: the peer's lie
  FalseStatement   our own caller asked for a proof of something that is not so
"""


class ProofError(Exception):
    """Base of all errors of proofs and their arithmetic."""


class Malformed(ProofError):
    """Bytes or numbers are not what they claim to be."""


class ProofRefused(ProofError):
    """The proof does not show what it claims; the message names the check."""


class FalseStatement(ProofError):
    """The prover was handed a statement that does not hold, or cannot be proved."""
