# SPDX-License-Identifier: Apache-2.0
"""Verifies what hubs answer, alone from what was asked, signed and enrolled.

A `BillBundle` is everything a third party needs to repeat a verification offline: the question,
the answer, and the public keys of certifier and supplier. It holds no secret.

    bundle = deterministic CBOR {"answer", "certifier", "feed_in_register", "format", "question",
                                 "register", "slot_minutes", "supplier", "zone"}

`feed_in_register` is there just for meters that have one.

Whether these keys are the right ones is for the verifier to say: it names the supplier's key it
trusts, and the certifier's if it knows it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.messages import BillQuestion
from applets.billing.statement import VerifiedBill, check_bill
from applets.common.evidence import AnswerRefused
from applets.common.questions import MessageRefused
from applets.profiling.messages import CONTENT_TYPE, ProfilingQuestion, ProfilingRequest
from applets.profiling.statement import ProfiledPeriod, ProfilesMalformed, check_profile
from applets.settlement.messages import SettlementQuestion
from applets.settlement.statement import SettledPeriod, check_settlement
from protocols.canonical import cbor
from protocols.canonical.reader import MapReader
from protocols.metrology import GridError, Period, Series, is_feed_in_pair
from tariffs import PriceIndex, SignatureRefused, Tariff, TariffError
from tariffs.signing import verify_document, verify_signed_index, verify_signed_tariff
from utility_server.errors import CannotVerify, VerificationFailed

if TYPE_CHECKING:  # who verifies offline has no channels and none of their libraries
    from protocols.enrolment import Enrolment


@dataclass(frozen=True, slots=True)
class BillBundle:
    """A question, its answer, and whose signatures they rest on."""

    form: ClassVar[str] = "meterlet bill bundle 1"

    question: bytes
    answer: bytes
    certifier: bytes
    """The certifier's Ed25519 public key."""
    supplier: bytes
    """The supplier's Ed25519 public key, which signed the tariff."""
    register: bytes
    zone: str
    slot_minutes: int
    feed_in_register: bytes | None = None
    """The meter's export register, if it has one."""

    @classmethod
    def of(cls, question: bytes, answer: bytes, enrolment: "Enrolment", supplier: bytes) -> Self:
        """Return the bundle for a customer's answer."""
        return cls(
            question,
            answer,
            enrolment.certifier,
            supplier,
            enrolment.register,
            enrolment.zone,
            enrolment.slot_minutes,
            enrolment.feed_in_register,
        )

    def encode(self) -> bytes:
        """Return the bundle's one encoding."""
        members: dict[str, cbor.CborValue] = {
            "format": self.form,
            "question": self.question,
            "answer": self.answer,
            "certifier": self.certifier,
            "supplier": self.supplier,
            "register": self.register,
            "zone": self.zone,
            "slot_minutes": self.slot_minutes,
        }
        if self.feed_in_register is not None:
            members["feed_in_register"] = self.feed_in_register
        return cbor.encode(members)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the bundle in `data`; raise `CannotVerify` for anything else."""
        try:
            members = BillBundleReader(cbor.decode(data), "the bundle")
        except cbor.CborError as error:
            raise CannotVerify(f"not a bill bundle: {error}") from None
        if members.text("format") != cls.form:
            raise CannotVerify(f"not a {cls.form!r} file")
        register = members.data("register", 6)
        fed_in = members.data("feed_in_register") if "feed_in_register" in members else None
        if fed_in is not None and not is_feed_in_pair(register, fed_in):
            raise CannotVerify("the bundle's registers are not of energy drawn and fed in")
        bundle = cls(
            members.data("question"),
            members.data("answer"),
            members.data("certifier", 32),
            members.data("supplier", 32),
            register,
            members.text("zone"),
            members.integer("slot_minutes"),
            fed_in,
        )
        members.done()
        return bundle


class BillBundleReader(MapReader):
    """The map that a bundle is."""

    error: ClassVar[type[Exception]] = CannotVerify


class SettlementBundle(BillBundle):
    """What a third party needs to verify a settlement's answer; `supplier` signed the index."""

    __slots__ = ()
    form = "meterlet settlement bundle 1"


class ProfilingBundle(BillBundle):
    """What a third party needs to verify a profile; `supplier` signed the request."""

    __slots__ = ()
    form = "meterlet profiling bundle 1"


KINDS: Final = (SettlementBundle, ProfilingBundle, BillBundle)


def decode_bundle(data: bytes) -> BillBundle:
    """Return the bundle of whichever kind it is; raise `CannotVerify` for anything else."""
    problem = CannotVerify("not a bundle")
    for kind in KINDS:
        try:
            return kind.decode(data)
        except CannotVerify as error:
            problem = error
    raise problem


def verify_bill(
    bundle: BillBundle, *, is_stored: bool = False
) -> tuple[BillQuestion, Tariff, VerifiedBill]:
    """Return question, tariff and bill of a bundle whose answer is right.

    `is_stored` says that the answer was not asked for just now, and may be of version 0.1, which
    left some unbound to their nonce (`protocols.proofs.channel`).
    Raises `VerificationFailed` with the check that refused it, or `CannotVerify` where the
    question itself makes no sense.
    """
    try:
        question = BillQuestion.decode(bundle.question)
        series = Series(question.about.meter, bundle.register, bundle.zone, bundle.slot_minutes)
        period = Period.filling(question.about.begin, question.about.end, bundle.zone)
    except (MessageRefused, GridError) as error:
        raise CannotVerify(f"the question: {error}") from None
    supplier = Ed25519PublicKey.from_public_bytes(bundle.supplier)
    certifier = Ed25519PublicKey.from_public_bytes(bundle.certifier)
    try:
        tariff = verify_signed_tariff(question.document, supplier)
    except TariffError as error:
        raise VerificationFailed("tariff", str(error)) from None
    try:
        verified = check_bill(
            question, bundle.answer, tariff, period, series, certifier, bundle.feed_in_register,
            is_stored=is_stored,
        )  # fmt: skip
    except AnswerRefused as refused:
        raise VerificationFailed(refused.check, refused.reason, refused.difference) from None
    except TariffError as error:
        raise CannotVerify(f"the tariff makes no bill that can be proved: {error}") from None
    return question, tariff, verified


def verify_settlement(
    bundle: SettlementBundle,
) -> tuple[SettlementQuestion, PriceIndex, SettledPeriod]:
    """Return question, index and value of a bundle whose answer is right.

    Raises `VerificationFailed` with the check that refused it, or `CannotVerify` where the
    question itself makes no sense.
    """
    try:
        question = SettlementQuestion.decode(bundle.question)
        about = question.about
        series = Series(about.meter, bundle.register, bundle.zone, bundle.slot_minutes)
        period = Period.filling(about.begin, about.end, bundle.zone)
    except (MessageRefused, GridError) as error:
        raise CannotVerify(f"the question: {error}") from None
    try:
        signer = Ed25519PublicKey.from_public_bytes(bundle.supplier)
        index = verify_signed_index(question.document, signer)
    except TariffError as error:
        raise VerificationFailed("index", str(error)) from None
    certifier = Ed25519PublicKey.from_public_bytes(bundle.certifier)
    try:
        settled = check_settlement(question, bundle.answer, index, period, series, certifier)
    except AnswerRefused as refused:
        raise VerificationFailed(refused.check, refused.reason) from None
    except TariffError as error:
        raise CannotVerify(str(error)) from None
    return question, index, settled


def verify_profile(
    bundle: ProfilingBundle, *, is_stored: bool = False
) -> tuple[ProfilingQuestion, ProfilingRequest, ProfiledPeriod]:
    """Return question, request and profile of a bundle whose answer is right.

    `is_stored` is as for `verify_bill`.
    Raises `VerificationFailed` with the check that refused it, or `CannotVerify` where the
    question itself makes no sense.
    """
    try:
        question = ProfilingQuestion.decode(bundle.question)
        about = question.about
        series = Series(about.meter, bundle.register, bundle.zone, bundle.slot_minutes)
        period = Period.filling(about.begin, about.end, bundle.zone)
    except (MessageRefused, GridError) as error:
        raise CannotVerify(f"the question: {error}") from None
    try:
        signer = Ed25519PublicKey.from_public_bytes(bundle.supplier)
        payload = verify_document(question.document, CONTENT_TYPE, signer)
        request = ProfilingRequest.decode(payload)
    except SignatureRefused as error:
        raise VerificationFailed("request", str(error)) from None
    except ProfilesMalformed as error:
        raise CannotVerify(f"the request: {error}") from None
    certifier = Ed25519PublicKey.from_public_bytes(bundle.certifier)
    try:
        profiled = check_profile(
            question, bundle.answer, request, period, series, certifier, is_stored=is_stored
        )
    except AnswerRefused as refused:
        raise VerificationFailed(refused.check, refused.reason) from None
    except ProfilesMalformed as error:
        raise CannotVerify(f"the profiles: {error}") from None
    return question, request, profiled
