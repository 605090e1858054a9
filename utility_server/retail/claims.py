# SPDX-License-Identifier: Apache-2.0
"""Claims: what the utility asks customers' hubs, and how an answer becomes an entry of the ledger.

    question -> ask -> verify -> enter          `audit`: verify again, from the evidence

Billing, settlement and profiling are three claims; they differ in what is signed, how an answer is
checked and what the ledger says of it. An answer that does not verify is entered as refused, with
the answer as evidence. `Claim.verify` needs a bundle alone, and runs offline.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing import messages as billing
from applets.billing.statement import LEAST_DAYS, PURPOSE, RECIPIENT, VerifiedBill, bill_check
from applets.common.bounded_energy import BoundedPeriod, check_unattributed
from applets.common.evidence import AnswerRefused
from applets.common.questions import (
    CLA,
    NONCE_SIZE,
    About,
    Instruction,
    MessageRefused,
    Question,
)
from applets.common.unattributed import UnattributedLimit, UnattributedQuestion
from applets.profiling import messages as profiling
from applets.profiling.statement import ProfiledPeriod, ProfilesMalformed, check_profile
from applets.settlement import messages as settlement
from applets.settlement.statement import SettledPeriod, settlement_check
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import CertifiedDay, GridError, Period, Series
from protocols.proofs import Check, ProofRefused, verify_all
from tariffs import PriceIndex, Register, Tariff, TariffError
from tariffs.signing import verify_document
from utility_server.errors import CannotVerify, HubRefused, VerificationFailed
from utility_server.retail.corrected_bills import FACTS, BillCorrection, correction_between
from utility_server.retail.revoked_days import require_standing_days
from utility_server.retail.verification import (
    BillBundle,
    ProfilingBundle,
    SettlementBundle,
    UnattributedBundle,
)

if TYPE_CHECKING:  # who verifies offline has no channels, no database and none of their libraries
    from protocols.aggregation.revocations import RevocationList
    from utility_server.head_end import Address, HeadEnd
    from utility_server.keys import UtilityKeys
    from utility_server.retail.carried_states import Succession
    from utility_server.retail.contracts import Contracts
    from utility_server.retail.customers import Customers
    from utility_server.retail.ledger import Content, Ledger, LedgerEntry

_TOO_FEW_DAYS: Final = (0x6982, 0x6985)
"""Refused by what the applet may ask at all, or by what the resident has consented to."""
NO_CONSENT_EXIT: Final = 5
_DAY_SECONDS: Final = 86_400
MOST_ANSWER_BYTES: Final = 65_536
MOST_DOCUMENT_BYTES: Final = 65_000
"""What a question may carry: with it, it has to fit one command of 65,535 bytes."""

QuestionT = TypeVar("QuestionT", bound=Question)
DocumentT = TypeVar("DocumentT")


class CertifiedResult(Protocol):
    """What was proved of certified days."""

    @property
    def certified(self) -> Sequence[CertifiedDay]:
        """The days, in order."""
        ...


ResultT = TypeVar("ResultT", bound=CertifiedResult)


@dataclass(frozen=True, slots=True)
class Claim(Generic[QuestionT, DocumentT, ResultT]):
    """One kind of thing that the utility asks and a hub proves."""

    kind: str
    """The kind of its entries in the ledger."""
    aid: bytes
    """The applet that is asked."""
    question: type[QuestionT]
    bundle: type[BillBundle]
    document: str
    """What the question carries, signed; the check of it has this name."""
    decode: Callable[[bytes], DocumentT]
    check: Callable[
        [QuestionT, DocumentT, BillBundle, Period, Series, bool], tuple[ResultT, Sequence[Check]]
    ]
    """Returns the result, and what remains to be checked before it is one.

    Raises `AnswerRefused`, or `TariffError` or `ProfilesMalformed` where nothing is provable."""
    unprovable: str
    """How a sentence begins that says why nothing is provable."""
    content: Callable[[About, DocumentT, ResultT], "Content"]
    """What the ledger says of it."""
    signed_otherwise: str
    """What the ledger is told of an entry whose document another than the utility signed."""
    added: Sequence[str] = ()
    """Of what the ledger says, what the utility adds by itself."""
    may_add: Sequence[str] = ()
    """The same, where there is something to add: of a bill, what corrections made of it."""
    instruction: Instruction = Instruction.ASK
    """With what the applet is asked."""
    further_aids: Sequence[bytes] = ()
    """The applets that are asked where a meter has none of `aid`: the same program, of meters that
    count something else."""

    @property
    def aids(self) -> tuple[bytes, ...]:
        """The applets that may be asked, the one that is meant first."""
        return (self.aid, *self.further_aids)

    def verify(
        self, bundle: BillBundle, *, is_stored: bool = False
    ) -> tuple[QuestionT, DocumentT, ResultT]:
        """Return question, signed document and result of a bundle whose answer is right.

        `is_stored` says that the answer was not asked for just now, and may be of release 0.1,
        which opened exact amounts, some of them unbound to their nonce.
        Raises `VerificationFailed` with the check that refused it, or `CannotVerify` where the
        question itself makes no sense.
        """
        question, document, result, checks = self.examine(bundle, is_stored=is_stored)
        try:
            verify_all(checks)
        except ProofRefused as error:
            raise VerificationFailed("proof", str(error)) from None
        return question, document, result

    def examine(
        self, bundle: BillBundle, *, is_stored: bool = False
    ) -> tuple[QuestionT, DocumentT, ResultT, Sequence[Check]]:
        """Return as `verify`, with what remains to be checked: until that holds, nothing does.

        The checks of many bundles are verified at once (`utility_server.retail.batches`). All else
        is checked, and raises, as `verify` does it.
        """
        try:
            question = self.question.decode(bundle.question)
            about = question.about
            series = Series(about.meter, bundle.register, bundle.zone, bundle.slot_minutes)
            period = Period.filling(about.begin, about.end, bundle.zone)
        except (MessageRefused, GridError) as error:
            raise CannotVerify(f"the question: {error}") from None
        try:
            document = _signed_document(
                self.decode, question.document, self.question.content_type, bundle.supplier
            )
        except TariffError as error:
            raise VerificationFailed(self.document, str(error)) from None
        except ProfilesMalformed as error:
            raise CannotVerify(f"the {self.document}: {error}") from None
        try:
            result, checks = self.check(question, document, bundle, period, series, is_stored)
        except AnswerRefused as refused:
            raise VerificationFailed(refused.check, refused.reason, refused.difference) from None
        except (TariffError, ProfilesMalformed) as error:
            raise CannotVerify(f"{self.unprovable}{error}") from None
        return question, document, result, checks


@lru_cache(maxsize=16)
def _signed_document(
    decode: Callable[[bytes], DocumentT], document: bytes, content: str, signer: bytes
) -> DocumentT:
    """Return what a document says that `signer` has signed; the same for all who were sent it."""
    key = Ed25519PublicKey.from_public_bytes(signer)
    return decode(verify_document(document, content, key))


def _certifier(bundle: BillBundle) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bundle.certifier)


def _bill_content(_: About, tariff: Tariff, verified: VerifiedBill) -> "Content":
    facts: dict[str, int | str | bytes] = {
        "begin": verified.begin,
        "end": verified.end,
        "currency": verified.currency,
        "total": f"{verified.total:f}",
        "missing": len(verified.missing),
        "tariff": tariff.digest,
    }
    if verified.exact is not None:  # entries of older bills stay what they say
        facts["exact"] = str(verified.exact.total_exact)
        facts["decimals"] = verified.exact.exact_decimals
    if Register.EXPORT in verified.registers:
        facts["registers"] = "+".join(verified.registers)
    if verified.state is not None:
        state = verified.state
        facts |= {"account": state.account, "bill": state.number}
        facts |= {"state_before": state.previous, "state": state.digest}
        if verified.paid:
            facts["paid"] = verified.paid
        if verified.is_last:
            facts["last"] = 1
    return facts


def _settlement_content(about: About, index: PriceIndex, settled: SettledPeriod) -> "Content":
    return {
        "begin": about.begin,
        "end": about.end,
        "currency": index.currency,
        "index": index.digest,
        "value": str(settled.value),
        "missing": len(settled.missing),
    }


def _profile_content(
    about: About, request: profiling.ProfilingRequest, profiled: ProfiledPeriod
) -> "Content":
    return {
        "begin": about.begin,
        "end": about.end,
        "method": request.method.value,
        "profiles": request.profiles.digest,
        "best": profiled.best,
        "readings": profiled.readings,
        "missing": profiled.missing,
    }


def _unattributed_content(about: About, _: UnattributedLimit, bounded: BoundedPeriod) -> "Content":
    opened = bounded.opened_wh
    return {
        "begin": about.begin,
        "end": about.end,
        "limit_wh": bounded.limit_wh,
        "days": bounded.days_digest,
        **({} if opened is None else {"opened_wh": opened}),
    }


BILL: Final = Claim(
    kind="bill",
    aid=billing.AID,
    question=billing.BillQuestion,
    bundle=BillBundle,
    document="tariff",
    decode=Tariff.decode,
    check=lambda question, tariff, bundle, period, series, is_stored: bill_check(
        question, bundle.answer, tariff, period, series, _certifier(bundle),
        bundle.feed_in_register, is_stored=is_stored,
    ),
    unprovable="the tariff makes no bill that can be proved: ",
    content=_bill_content,
    signed_otherwise="under another supplier's tariff",
    may_add=FACTS,
    further_aids=billing.FURTHER_AIDS,
)  # fmt: skip
SETTLEMENT: Final = Claim(
    kind="settlement",
    aid=settlement.AID,
    question=settlement.SettlementQuestion,
    bundle=SettlementBundle,
    document="index",
    decode=PriceIndex.decode,
    check=lambda question, index, bundle, period, series, is_stored: settlement_check(
        question, bundle.answer, index, period, series, _certifier(bundle), is_stored=is_stored
    ),
    unprovable="",
    content=_settlement_content,
    signed_otherwise="under an index that another has signed",
    added=("supplier",),
)
PROFILE: Final = Claim(
    kind="profile",
    aid=profiling.AID,
    question=profiling.ProfilingQuestion,
    bundle=ProfilingBundle,
    document="request",
    decode=profiling.ProfilingRequest.decode,
    check=lambda question, request, bundle, period, series, is_stored: (
        check_profile(
            question,
            bundle.answer,
            request,
            period,
            series,
            _certifier(bundle),
            is_stored=is_stored,
        ),
        (),
    ),
    unprovable="the profiles: ",
    content=_profile_content,
    signed_otherwise="to a request that another has signed",
)
UNATTRIBUTED: Final = Claim(
    kind="unattributed",
    aid=billing.AID,
    question=UnattributedQuestion,
    bundle=UnattributedBundle,
    document="limit",
    decode=UnattributedLimit.decode,
    check=lambda question, limit, bundle, period, series, _: (
        check_unattributed(
            question, bundle.answer, limit, period, series, _certifier(bundle), RECIPIENT, PURPOSE
        ),
        (),
    ),
    unprovable="the limit: ",
    content=_unattributed_content,
    signed_otherwise="under a limit that another has signed",
    instruction=Instruction.BOUND,
    further_aids=billing.FURTHER_AIDS,
)
CLAIMS: Final[Mapping[str, Claim[Any, Any, Any]]] = {
    claim.kind: claim for claim in (BILL, SETTLEMENT, PROFILE, UNATTRIBUTED)
}


class ClaimingUtility(Protocol):
    """Who asks: what is used here of a `Utility`."""

    keys: "UtilityKeys"

    @property
    def now(self) -> Callable[[], int]:
        """The clock, in epoch seconds."""
        ...

    @property
    def randomness(self) -> Callable[[int], bytes]:
        """Gives so many random bytes."""
        ...

    @property
    def customers(self) -> "Customers":
        """The enrolled meters."""
        ...

    @property
    def contracts(self) -> "Contracts":
        """From when to when a meter is which customer's."""
        ...

    @property
    def revocations(self) -> "Sequence[RevocationList]":
        """The metering authorities' lists of certifiers that count no more."""
        ...

    @property
    def ledger(self) -> "Ledger":
        """What was verified, refused and billed."""
        ...


@dataclass(frozen=True, slots=True)
class VerifiedAnswer(Generic[QuestionT, DocumentT, ResultT]):
    """An answer that is right, and not entered yet."""

    claim: Claim[QuestionT, DocumentT, ResultT]
    about: About
    bundle: BillBundle
    document: DocumentT
    result: ResultT


def bounds_of(
    utility: ClaimingUtility, claim: Claim[Any, Any, Any], meter: bytes, period: Period
) -> tuple[int, int]:
    """Return begin and end of a period at a customer's; raise `CannotVerify` where it has none.

    Raises `NoContract` where the period is not within one contract, and `CannotVerify` where
    another custody is known to begin within it.
    """
    within = [day for day in utility.ledger.custodies(meter) if period.first < day <= period.last]
    if within:
        raise CannotVerify(
            f"custody: another custody of meter {meter.hex()} begins on {within[0]}; ask for the"
            " days before it and from it on apart"
        )
    try:
        bounds = period.bounds(utility.customers.find(meter, *claim.aids).zone)
    except GridError as error:
        raise CannotVerify(f"the period: {error}") from None
    utility.contracts.covering(meter, period)
    return bounds


def question_of(
    utility: ClaimingUtility,
    claim: Claim[QuestionT, DocumentT, ResultT],
    meter: bytes,
    bounds: tuple[int, int],
    document: bytes,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> QuestionT:
    """Return a new question; raise `CannotVerify` for a document that no question can carry.

    `more` is what its kind of question says beside the document.
    """
    room = MOST_DOCUMENT_BYTES - len(more.get("state", b""))
    if len(document) > room:
        raise CannotVerify(
            f"the {claim.document} has {len(document):,} bytes; a question carries"
            f" {room:,}: use one for a shorter time"
        )
    about = About(meter, *bounds, utility.randomness(NONCE_SIZE))
    return claim.question(about, document, **more)


def ask(
    utility: ClaimingUtility,
    claim: Claim[QuestionT, DocumentT, ResultT],
    question: QuestionT,
    head_end: "HeadEnd",
    address: "Address",
) -> bytes:
    """Return the hub's answer, unverified; raise `HeadEndError` where there is none.

    A refusal of few days says what to do: hubs tell no more of it than a status word.
    """
    about = question.about
    command = command_of(claim, question)
    with saying_what_to_do(question):
        return head_end.ask(address, utility.customers.find(about.meter, *claim.aids), command)


def command_of(claim: Claim[QuestionT, DocumentT, ResultT], question: QuestionT) -> CommandApdu:
    """Return the command that asks a question."""
    return CommandApdu(
        CLA, claim.instruction, 0, 0, question.encode(), le=MOST_ANSWER_BYTES, extended=True
    )


@contextmanager
def saying_what_to_do(question: Question) -> Iterator[None]:
    """Say with a hub's refusal of few days what helps."""
    about = question.about
    try:
        yield
    except HubRefused as refused:
        days = round((about.end - about.begin) / _DAY_SECONDS)
        if refused.status_word in _TOO_FEW_DAYS and days < LEAST_DAYS:
            because = HubRefused(
                refused.status_word,
                f"{refused.meaning}; {days} days are asked for, and consents are to"
                f" {LEAST_DAYS} or more as a rule: ask for them together with the days"
                " before or after",
            )
            because.exit_code = NO_CONSENT_EXIT
            raise because from None
        raise


def verify(
    utility: ClaimingUtility,
    claim: Claim[QuestionT, DocumentT, ResultT],
    question: QuestionT,
    answer: bytes,
) -> VerifiedAnswer[QuestionT, DocumentT, ResultT]:
    """Return what a customer's answer proves.

    Raises `VerificationFailed` or `CannotVerify`, entered as refused.
    """
    enrolment = utility.customers.find(question.about.meter, *claim.aids)
    supplier = utility.keys.public.public_bytes_raw()
    bundle = claim.bundle.of(question.encode(), answer, enrolment, supplier)
    with refusals_entered(utility, question.about, bundle):
        return check_answer(utility, claim, question, bundle)


def check_answer(
    utility: ClaimingUtility,
    claim: Claim[QuestionT, DocumentT, ResultT],
    question: QuestionT,
    bundle: BillBundle,
) -> VerifiedAnswer[QuestionT, DocumentT, ResultT]:
    """Return what an answer proves, without entering anything; raise like `verify`."""
    _, document, result = claim.verify(bundle)
    require_standing(utility, question.about.meter, bundle, result)
    return VerifiedAnswer(claim, question.about, bundle, document, result)


def require_standing(
    utility: ClaimingUtility, meter: bytes, bundle: BillBundle, result: CertifiedResult
) -> None:
    """Return if no authority has revoked the days that a result rests on; else raise."""
    if lists := utility.revocations:
        known = utility.customers.announcements(meter)
        require_standing_days(result.certified, bundle.certifier, lists, known)


def enter(
    utility: ClaimingUtility,
    verified: VerifiedAnswer[Any, Any, Any],
    days: Sequence[CertifiedDay] = (),
    memory: "Succession | None" = None,
    **added: int | str | bytes,
) -> "LedgerEntry":
    """Enter what was verified, with what the utility adds, and return the entry.

    `days` are those that it rests on, `memory` is from which carried state a bill goes on to which
    one; raises `VerificationFailed`, entered as refused, where they do not fit those of earlier
    entries.
    """
    claim, about = verified.claim, verified.about
    content = {**claim.content(about, verified.document, verified.result), **added}
    evidence = verified.bundle.encode()
    with refusals_entered(utility, about, verified.bundle):
        return utility.ledger.append(
            utility.now(), claim.kind, about.meter, content, evidence, days, memory
        )  # fmt: skip


@contextmanager
def refusals_entered(utility: ClaimingUtility, about: About, bundle: BillBundle) -> Iterator[None]:
    """Enter what the block refuses, with the answer as evidence; the error goes on."""
    try:
        yield
    except (VerificationFailed, CannotVerify) as error:
        facts: Content = {"begin": about.begin, "end": about.end, "why": str(error)}
        utility.ledger.append(utility.now(), "refused", about.meter, facts, bundle.encode())
        raise


def bill_correction(
    utility: ClaimingUtility, meter: bytes, replaces: object, bill: VerifiedBill
) -> BillCorrection | None:
    """Return what corrections made of a meter's bill of that number; None where nothing.

    Raises `VerificationFailed` where the bills do not go together.
    """
    if not any(day.revision for day in bill.certified):
        return None  # nothing of it was ever corrected
    for entry in utility.ledger.of_kind(BILL.kind, meter):
        if entry.sequence == replaces:
            bundle = BILL.bundle.decode(utility.ledger.evidence(entry))
            _, _, old = BILL.verify(bundle, is_stored=True)
            return correction_between(old, bill, entry.sequence)
    return None
