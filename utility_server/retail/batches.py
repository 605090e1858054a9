# SPDX-License-Identifier: Apache-2.0
"""Many answers checked at once: one equation for all proofs, one outcome for each answer.

    check_answers(utility, BILL, [(question, bundle), ...])  ->  [VerifiedAnswer | refusal, ...]

A month's proof by itself takes a sum over a month's generators. A hundred proofs share it
(`protocols.proofs.batch`). The proofs' weights come from a hash of all of them, so nobody can make
two wrong answers that make up for each other.
"""

from collections.abc import Sequence
from typing import TypeAlias

from protocols.proofs import Check, find_refused, name_of_refused
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.retail.claims import (
    Claim,
    ClaimingUtility,
    DocumentT,
    QuestionT,
    ResultT,
    VerifiedAnswer,
    require_standing,
)
from utility_server.retail.verification import BillBundle

Outcome: TypeAlias = (
    VerifiedAnswer[QuestionT, DocumentT, ResultT] | VerificationFailed | CannotVerify
)
"""What became of an answer: what it proves, or why it is refused."""


def check_answers(
    utility: ClaimingUtility,
    claim: Claim[QuestionT, DocumentT, ResultT],
    asked: Sequence[tuple[QuestionT, BillBundle]],
) -> list[Outcome[QuestionT, DocumentT, ResultT]]:
    """Return, for each question with its answer's bundle, what `check_answer` returns or raises.

    All proofs are verified in one equation, which is a good deal cheaper than each by itself. An
    answer that is wrong is found by halving, and changes nothing for the others. Nothing is
    entered. What `check_answer` would raise beside these two is raised for all of them: ask for
    each by itself then.
    """
    outcomes = list[Outcome[QuestionT, DocumentT, ResultT]]()
    checks, owners = list[Check](), list[int]()
    for place, (question, bundle) in enumerate(asked):
        try:
            answered, document, result, own = claim.examine(bundle)
            if answered.about != question.about:
                raise CannotVerify("the question: the bundle is of another one")
        except (VerificationFailed, CannotVerify) as error:
            outcomes.append(error.with_traceback(None))  # it is kept: without what was seen
            continue
        outcomes.append(VerifiedAnswer(claim, question.about, bundle, document, result))
        checks += own
        owners += [place] * len(own)
    for refused in find_refused(checks):
        if isinstance(outcomes[owners[refused]], VerifiedAnswer):
            reason = f"the proof does not hold: {name_of_refused(checks[refused])}"
            outcomes[owners[refused]] = VerificationFailed("proof", reason)
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, VerifiedAnswer):
            try:
                require_standing(utility, outcome.about.meter, outcome.bundle, outcome.result)
            except VerificationFailed as error:
                outcomes[place] = error.with_traceback(None)
    return outcomes
