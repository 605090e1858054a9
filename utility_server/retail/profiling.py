# SPDX-License-Identifier: Apache-2.0
"""Profiling: which load profile a customer is like, as the customer's hub proves it.

request, signed -> hub -> best match, scores or a sample, proved -> verified -> ledger
"""

from dataclasses import dataclass
from typing import Final

from applets.common.questions import CLA, NONCE_SIZE, About, Instruction
from applets.profiling.messages import (
    AID,
    CONTENT_TYPE,
    ProfilingQuestion,
    ProfilingRequest,
)
from applets.profiling.statement import ProfiledPeriod
from protocols.canonical.signing import key_id_of
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import GridError, Period
from tariffs.signing import sign_document
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.head_end import Address, HeadEnd
from utility_server.retail.ledger import Content, LedgerEntry
from utility_server.retail.utility import MOST_ANSWER_BYTES, Utility, require_short
from utility_server.retail.verification import ProfilingBundle, verify_profile

KIND: Final = "profile"


@dataclass(frozen=True, slots=True)
class Profiled:
    """A customer whose answer was verified and entered."""

    request: ProfilingRequest
    period: ProfiledPeriod
    entry: LedgerEntry


def profile_customer(
    office: Utility,
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
    enrolment = office.customers.find(meter, AID)
    document = sign_document(
        request.encode(), CONTENT_TYPE, office.keys.signing, key_id_of(office.keys.public)
    )
    require_short("the request", document)
    try:
        begin, end = period.bounds(enrolment.zone)
    except GridError as error:
        raise CannotVerify(f"the period: {error}") from None
    about = About(meter, begin, end, office.randomness(NONCE_SIZE))
    question = ProfilingQuestion(about, document)
    command = CommandApdu(
        CLA, Instruction.ASK, 0, 0, question.encode(), le=MOST_ANSWER_BYTES, extended=True
    )
    answer = head_end.ask(address, enrolment, command)
    bundle = ProfilingBundle.of(
        question.encode(), answer, enrolment, office.keys.public.public_bytes_raw()
    )
    evidence = bundle.encode()
    try:
        _, found, profiled = verify_profile(bundle)
    except (VerificationFailed, CannotVerify) as error:
        facts: Content = {"begin": begin, "end": end, "why": str(error)}
        office.ledger.append(office.now(), "refused", meter, facts, evidence)
        raise
    content = _content(about, found, profiled)
    entry = office.ledger.append(office.now(), KIND, meter, content, evidence)
    return Profiled(found, profiled, entry)


def check_profile_entry(office: Utility, entry: LedgerEntry) -> None:
    """Verify an entry again, from its evidence, and that it says just that.

    Raises `VerificationFailed` or `CannotVerify`.
    """
    bundle = ProfilingBundle.decode(office.ledger.evidence(entry))
    place = f"entry {entry.sequence}"
    try:
        question, request, profiled = verify_profile(bundle, is_stored=True)
    except VerificationFailed as failed:
        raise VerificationFailed(failed.check, f"{place}: {failed.reason}") from None
    if bundle.supplier != office.keys.public.public_bytes_raw():
        raise VerificationFailed("ledger", f"{place}: to a request that another has signed")
    if bundle.certifier != office.customers.find(entry.meter, AID).certifier:
        raise VerificationFailed("ledger", f"{place}: certified by another key than enrolled")
    said = {name: value for name, value in entry.content.items() if name != "evidence"}
    if question.about.meter != entry.meter or said != _content(question.about, request, profiled):
        raise VerificationFailed("ledger", f"{place}: it does not say what was verified")


def _content(about: About, request: ProfilingRequest, profiled: ProfiledPeriod) -> Content:
    return {
        "begin": about.begin,
        "end": about.end,
        "method": request.method.value,
        "profiles": request.profiles.digest,
        "best": profiled.best,
        "readings": profiled.readings,
        "missing": profiled.missing,
    }
