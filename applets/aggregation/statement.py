# SPDX-License-Identifier: Apache-2.0
"""A region's sum, and why it is right.

Public:  the round's terms and roster; of each contributor the commitment A[i] to its limbs, signed
         by its certifier; the openings.
Secret:  each household's values x[i], and every sum over fewer households than all contributors.
Claim:   values[t] = Σ x[i][t] over the contributors.
Proof:   the sum's limbs V and the sum R of the blindings; anyone who has them checks
         Σ_l V[l]·G[l] + R·G = Σ A[i] (`protocols.aggregation.decryption`).

Binding while nobody knows a logarithm among the generators: a sum that opens is that of what the
certifiers signed, whoever relayed, multiplied or decrypted it. It shows no household: R and V are
sums over the group, and every other number was uniform.
"""

from applets.aggregation.messages import ROUND_NONCE_SIZE, Instruction, StepAnswer, StepRequest
from protocols.aggregation.errors import RoundRefused
from protocols.aggregation.members import MemberKeys, MeterCertificate, RosterMember


class AnswerRefused(RoundRefused):
    """An answer is not the one to its request."""


def content_of(request: StepRequest, data: bytes) -> bytes:
    """Return what the answer to a request says; raise `AnswerRefused` if it answers another."""
    answer = StepAnswer.decode(data)
    expected = (request.meter, request.nonce, request.step)
    if (answer.meter, answer.nonce, answer.step) != expected:
        raise AnswerRefused("the answer is to another request")
    return answer.content


def member_of(certificate: MeterCertificate, request: StepRequest, data: bytes) -> RosterMember:
    """Return the member that an answer to TELL_KEYS makes of a meter; check the certifier.

    Raises `AnswerRefused` unless the meter's certifier has signed keys for just this nonce.
    """
    assert request.step is Instruction.TELL_KEYS
    keys = MemberKeys.decode(content_of(request, data))
    if keys.meter != certificate.meter or keys.nonce != called_nonce(request):
        raise AnswerRefused("the keys are of another meter, or for another round")
    if not keys.is_by(certificate.certifier):
        raise AnswerRefused("the certifier has not signed the keys")
    return RosterMember(certificate, keys)


def called_nonce(request: StepRequest) -> bytes:
    """Return the nonce of the round that a request calls for keys of."""
    (call,) = request.parts
    return call[:ROUND_NONCE_SIZE]
