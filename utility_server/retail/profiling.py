# SPDX-License-Identifier: Apache-2.0
"""Profiling: which load profile a customer is like, as the customer's hub proves it.

request, signed -> hub -> best match, scores or a sample, proved -> verified -> ledger
"""

from dataclasses import dataclass

from applets.profiling.messages import CONTENT_TYPE, ProfilingQuestion, ProfilingRequest
from applets.profiling.statement import ProfiledPeriod
from protocols.metrology import Period
from utility_server.head_end import Address, HeadEnd
from utility_server.retail.claims import PROFILE, ask, bounds_of, enter, question_of, verify
from utility_server.retail.ledger import LedgerEntry
from utility_server.retail.utility import Utility


@dataclass(frozen=True, slots=True)
class Profiled:
    """A customer whose answer was verified and entered."""

    request: ProfilingRequest
    period: ProfiledPeriod
    entry: LedgerEntry


def profile_customer(
    utility: Utility,
    request: ProfilingRequest,
    period: Period,
    meter: bytes,
    head_end: HeadEnd,
    address: Address,
) -> Profiled:
    """Ask a hub, verify what it answers and enter it.

    Raises `VerificationFailed` or `CannotVerify` (entered as refused), or `HeadEndError` where
    there was no answer (nothing is entered).
    """
    question = ask_for(utility, request, period, meter)
    verified = verify(
        utility, PROFILE, question, ask(utility, PROFILE, question, head_end, address)
    )
    entry = enter(utility, verified, verified.result.certified)
    return Profiled(verified.document, verified.result, entry)


def ask_for(
    utility: Utility, request: ProfilingRequest, period: Period, meter: bytes
) -> ProfilingQuestion:
    """Return a new question to a customer; raise `CannotVerify` if it makes no sense."""
    bounds = bounds_of(utility, PROFILE, meter, period)
    document = utility.sign_document(request.encode(), CONTENT_TYPE)
    question = question_of(utility, PROFILE, meter, bounds, document)
    utility.publish(request)
    return question
