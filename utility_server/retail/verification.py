# SPDX-License-Identifier: Apache-2.0
"""Bundles: what hubs answer, with what was asked, signed and enrolled.

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

from protocols.canonical import cbor
from protocols.canonical.reader import MapReader
from protocols.metrology import is_feed_in_pair
from utility_server.errors import CannotVerify

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


class UnattributedBundle(BillBundle):
    """What a third party needs to verify an answer about unattributed energy."""

    __slots__ = ()
    form = "meterlet unattributed bundle 1"


KINDS: Final = (SettlementBundle, ProfilingBundle, UnattributedBundle, BillBundle)


def decode_bundle(data: bytes) -> BillBundle:
    """Return the bundle of whichever kind it is; raise `CannotVerify` for anything else."""
    problem = CannotVerify("not a bundle")
    for kind in KINDS:
        try:
            return kind.decode(data)
        except CannotVerify as error:
            problem = error
    raise problem
