# SPDX-License-Identifier: Apache-2.0
"""Bundles: what hubs answer, with what was asked, signed and enrolled.

A `BillBundle` is everything a third party needs to repeat a verification offline: the question,
the answer, and the public keys of certifier and supplier. It holds no secret.

    bundle = deterministic CBOR {"answer", "certifier", "format", "main", "question", "registers",
                                 "supplier", "zone"}

`registers` is a map of those that the recipient knows of, by OBIS code in hexadecimal digits: what
is to be known of each is {"slot_minutes"}. `main` is one of them, which bills are about. Bundles of
version 1 are read as they were written (`_from_version_1`): they had "register", "slot_minutes"
and, for meters that have one, "feed_in_register" in the place of "main" and "registers".

Whether these keys are the right ones is for the verifier to say: it names the supplier's key it
trusts, and the certifier's if it knows it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

from protocols.canonical import cbor
from protocols.canonical.reader import MapReader
from protocols.metrology import is_feed_in_pair
from protocols.metrology.registers import decode_registers, encode_registers, feed_in_of
from utility_server.errors import CannotVerify

if TYPE_CHECKING:  # who verifies offline has no channels and none of their libraries
    from protocols.enrolment import Enrolment


@dataclass(frozen=True, slots=True)
class BillBundle:
    """A question, its answer, and whose signatures they rest on."""

    form: ClassVar[str] = "meterlet bill bundle 2"
    form_of_version_1: ClassVar[str] = "meterlet bill bundle 1"

    question: bytes
    answer: bytes
    certifier: bytes
    """The certifier's Ed25519 public key."""
    supplier: bytes
    """The supplier's Ed25519 public key, which signed the tariff."""
    register: bytes
    zone: str
    slot_minutes: int
    others: tuple[bytes, ...] = ()
    """The other registers that the recipient knows of, in order."""

    @property
    def feed_in_register(self) -> bytes | None:
        """The register of what is fed in beside the main one, or None."""
        return feed_in_of(self.register, self.others)

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
            enrolment.others,
        )

    def encode(self) -> bytes:
        """Return the bundle's one encoding."""
        members: dict[str, cbor.CborValue] = {
            "format": self.form,
            "question": self.question,
            "answer": self.answer,
            "certifier": self.certifier,
            "supplier": self.supplier,
            "main": self.register,
            "registers": encode_registers(self.register, self.others, self.slot_minutes),
            "zone": self.zone,
        }
        return cbor.encode(members)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the bundle in `data`; raise `CannotVerify` for anything else."""
        try:
            members = BillBundleReader(cbor.decode(data), "the bundle")
        except cbor.CborError as error:
            raise CannotVerify(f"not a bill bundle: {error}") from None
        form = members.text("format")
        if form == cls.form_of_version_1:
            return cls._from_version_1(members)
        if form != cls.form:
            raise CannotVerify(f"not a {cls.form!r} file")
        register = members.data("main", 6)
        try:
            others, slot_minutes = decode_registers(members.value("registers"), register)
        except ValueError as error:
            raise CannotVerify(f"registers of the bundle: {error}") from None
        bundle = cls(
            members.data("question"),
            members.data("answer"),
            members.data("certifier", 32),
            members.data("supplier", 32),
            register,
            members.text("zone"),
            slot_minutes,
            others,
        )
        members.done()
        return bundle

    @classmethod
    def _from_version_1(cls, members: "BillBundleReader") -> Self:
        """Return a bundle of version 1. Frozen: anyone may hold such bundles."""
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
            () if fed_in is None else (fed_in,),
        )
        members.done()
        return bundle


class BillBundleReader(MapReader):
    """The map that a bundle is."""

    error: ClassVar[type[Exception]] = CannotVerify


class SettlementBundle(BillBundle):
    """What a third party needs to verify a settlement's answer; `supplier` signed the index."""

    __slots__ = ()
    form = "meterlet settlement bundle 2"
    form_of_version_1 = "meterlet settlement bundle 1"


class ProfilingBundle(BillBundle):
    """What a third party needs to verify a profile; `supplier` signed the request."""

    __slots__ = ()
    form = "meterlet profiling bundle 2"
    form_of_version_1 = "meterlet profiling bundle 1"


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
