# SPDX-License-Identifier: Apache-2.0
"""One statement made of many parts, written once for prover and verifier.

A statement is a function that takes a session and works with quantities: committed numbers that
can be added, subtracted, multiplied by public integers, ranged, compared and opened.

    def bill(session: Session, slots: Source) -> int:
        day, night = session.forms("use by band", slots, [DAY, NIGHT])
        return session.open("fee", day * 31 + night * 24)

    prover = Prover(transcript, seed)               verifier = Verifier(transcript, proof)
    fee = bill(prover, Source(..., witness))        fee = bill(verifier, Source(...))
    proof = prover.finish()                         verify_all([verifier.finish("the bill")])

Both sides run the same lines, so neither can have rules of its own. On the prover's side a
quantity knows its value, and a part that does not hold raises `FalseStatement` at once. On the
verifier's side it is a point; what remains to be checked is gathered, ranges in one proof or two,
sums over a commitment a day in one proof for each month, and comes out of `finish` as one check
that can be verified in a batch.

**Wrap-around.** The group knows numbers modulo its order n only. Each quantity therefore carries
a public limit of its magnitude, which follows from what was proved or certified; no sum, multiple
or comparison whose limit comes near n/2 is allowed. So what is proved holds for the integers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from protocols.amounts import QuotientRule
from protocols.proofs._checks import OpenCheck, SessionCheck
from protocols.proofs._gathered import Range, receive_gathered, send_gathered
from protocols.proofs.batch import Check
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.errors import FalseStatement, ProofRefused
from protocols.proofs.excess import Excesses, receive_excess, send_excess
from protocols.proofs.group import ORDER, Point, PointVector
from protocols.proofs.many_ranges import whole_bytes
from protocols.proofs.nonces import Nonces
from protocols.proofs.one_of import receive_one_of, send_one_of
from protocols.proofs.pedersen import commit
from protocols.proofs.quantity import (
    LARGEST_LIMIT,
    LARGEST_USE_WH,
    LARGEST_VALUE,
    Quantity,
    SlotOpening,
    Source,
)
from protocols.proofs.ranges import LARGEST_WIDTH
from protocols.proofs.transcript import Transcript
from protocols.proofs.vector import (
    VectorCommitment,
    VectorOpening,
    receive_forms,
    send_forms,
)


@dataclass(slots=True)
class _VectorForms:
    """The forms of the uses of one month, and the commitments to what they come to."""

    label: str
    """Of the first of them, which names them all where they do not hold."""
    commitment: VectorCommitment
    opening: SlotOpening | VectorOpening | None
    forms: list[tuple[int, ...]] = field(default_factory=list)
    outputs: list[Quantity] = field(default_factory=list)


class Session(ABC):
    """What a statement may ask for; see the module's docstring."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self._ranges: list[Range] = []
        self._groups = 0
        self._vectors: dict[bytes, _VectorForms] = {}

    def forms(self, label: str, source: Source, forms: Sequence[Sequence[int]]) -> list[Quantity]:
        """Return Σ form[i]·use[i] for each form, committed."""
        limits = [sum(map(abs, form)) * LARGEST_USE_WH for form in forms]
        if max(limits, default=0) > LARGEST_LIMIT:
            raise ValueError(f"{label}: the weights are so large that a sum could wrap around")
        if any(len(form) != source.size for form in forms):
            raise ValueError(f"{label}: not one weight for each of {source.size} slots")
        self.transcript.append_text("forms", label)
        self.transcript.append("source", source.identity)
        for form in forms:
            self.transcript.append("form", _digest_of(tuple(form)))
        if isinstance(source.commitment, VectorCommitment):
            self._say_points(source.commitment)
            return self._forms_by_stretch(label, source, forms)
        points = [source.commitment.weighted_sum(form) for form in forms]
        secrets = [_slot_form(source.opening, form) for form in forms]
        return [Quantity(*parts) for parts in zip(points, limits, secrets, strict=True)]

    def _forms_by_stretch(
        self, label: str, source: Source, forms: Sequence[Sequence[int]]
    ) -> list[Quantity]:
        """Return the forms' sums, committed to month by month and added.

        What is proved of a month is gathered, and proved at once at the end.
        """
        totals: list[Quantity] = []
        for slots, part, commitment in source.stretches():
            parts = [tuple(form[slots]) for form in forms]
            sums = [self._vector_form(label, part, form) for form in parts]
            key = repr(commitment.parts).encode() + commitment.points.encode()
            gathered = self._vectors.setdefault(key, _VectorForms(label, commitment, part.opening))
            gathered.forms += parts
            gathered.outputs += sums
            totals = [a + b for a, b in zip(totals, sums, strict=True)] if totals else sums
        return totals

    def windows(self, label: str, source: Source, windows: Sequence[range]) -> list[Quantity]:
        """Return the use of each window, a range of slots; single slots for the most part.

        The same as `forms` with ones and noughts, at a fraction of the cost where commitments
        are slot by slot.
        """
        if not all(len(w) and w.step == 1 and w.start >= 0 and w.stop <= source.size
                   for w in windows):  # fmt: skip
            raise ValueError(f"{label}: a window is empty or beyond the {source.size} slots")
        if isinstance(source.commitment, VectorCommitment):
            forms = [[int(slot in window) for slot in range(source.size)] for window in windows]
            return self.forms(label, source, forms)
        self.transcript.append_text("windows", label)
        self.transcript.append("source", source.identity)
        self.transcript.append_integers(
            "edges", [edge for w in windows for edge in (w.start, w.stop)]
        )
        return [_slot_window(source.commitment, source.opening, window) for window in windows]

    def excess(self, label: str, source: Source, excesses: Excesses) -> Quantity:
        """Return Σ weight·max(0, use − limit), committed; see `protocols.proofs.excess`."""
        if not 0 <= min(excesses.places) <= max(excesses.places) < source.size:
            raise ValueError(f"{label}: a comparison is beyond the {source.size} slots")
        if excesses.limit > LARGEST_LIMIT:
            raise ValueError(f"{label}: the weights are so large that a sum could wrap around")
        self.transcript.append_text("excess", label)
        self.transcript.append("source", source.identity)
        if isinstance(source.commitment, VectorCommitment):
            self._say_points(source.commitment)
        excesses.append_to(self.transcript)
        return self._excess(label, source, excesses)

    def given(
        self, label: str, point: Point, limit: int, secret: tuple[int, int] | None = None
    ) -> Quantity:
        """Return a commitment from elsewhere as a quantity; its `limit` is the caller's word.

        Certified registers are such: the certifier signed that they are below 2^63.
        """
        quantity = Quantity(point, limit, secret)
        self._say(label, quantity)
        return quantity

    def require_range(self, label: str, quantity: Quantity, width: int) -> Quantity:
        """Prove 0 <= quantity < 2^width; return it with this as its limit."""
        if not 1 <= width <= LARGEST_WIDTH:
            raise ValueError(f"{label}: a range of {width} bits")
        self._say(label, quantity)
        self.transcript.append_integer("width", width)
        self._ranges.append(Range(label, quantity, width))
        return Quantity(quantity.point, (1 << width) - 1, quantity.secret)

    def require_between(self, label: str, quantity: Quantity, low: int, high: int) -> Quantity:
        """Prove low <= quantity <= high; return it with the larger one as its limit."""
        width = (high - low).bit_length()
        if low >= high:
            raise ValueError(f"{label}: nothing lies between {low} and {high}")
        self.require_range(label, quantity - low, width)
        if high - low != (1 << width) - 1:
            self.require_range(label, -quantity + high, width)
        return Quantity(quantity.point, max(abs(low), abs(high)), quantity.secret)

    def require_up_to(self, label: str, quantity: Quantity, largest: int) -> Quantity:
        """Prove 0 <= quantity <= largest, in one range; return it with this as its limit."""
        width = largest.bit_length() if largest > 0 else 0
        if not 1 <= width <= LARGEST_WIDTH:
            raise ValueError(f"{label}: a range up to a number of {width} bits")
        if largest == (1 << width) - 1:
            return self.require_range(label, quantity, width)
        self._say(label, quantity)
        self.transcript.append_integer("largest", largest)
        self._ranges.append(Range(label, quantity, width, most=largest))
        return Quantity(quantity.point, largest, quantity.secret)

    def open_quotient(
        self, label: str, quantity: Quantity, divisor: int, rule: QuotientRule
    ) -> int:
        """Show quantity / divisor, rounded, and nothing else of it; return that whole number.

        The remainder that the number leaves is proved to be one that `rule` rounds to it. It is
        never committed to: its range is about quantity - number * divisor.
        """
        if divisor == 1:
            return self.open(label, quantity)
        self._say(label, quantity)
        self.transcript.append_text("quotient", f"{divisor} {rule}")
        number = self._tell_integer(
            label, lambda: rule.divide(self._known(label, quantity), divisor)
        )
        low, high = remainders(number, divisor, rule)
        remainder = quantity - (number * divisor + low)
        if low == high:
            self.require_equal(label, remainder, Quantity.constant(0))
        else:
            self.require_up_to(label, remainder, high - low)
        return number

    def _tell_integer(self, label: str, number: Callable[[], int]) -> int:
        """Tell the verifier a number of either sign, up to 63 bits; it proves nothing."""
        offset = LARGEST_VALUE
        return self.tell(label, lambda: number() + offset, 2 * offset + 1) - offset

    @staticmethod
    def _known(label: str, quantity: Quantity) -> int:
        value, blinding = quantity.opened()
        # A prover that was handed other uses than the certified ones refuses to say so.
        if commit(value, blinding) != quantity.point:
            raise FalseStatement(f"{label}: the uses are not the certified ones")
        return value

    def largest(
        self, label: str, items: Sequence[Quantity], width: Callable[[Quantity], int]
    ) -> Quantity:
        """Return the largest of many items, committed, hiding which it is.

        Its differences to the others are below 2^width, rounded up to whole bytes. The width is
        asked for once the largest is committed to, so that it may depend on what is opened of it.
        See `protocols.proofs.many_ranges`.
        """
        largest = self._commit_largest(label, items)
        rounded_up = whole_bytes(width(largest))
        self.transcript.append_text("largest", label)
        start = len(self._ranges)
        for item in items:
            self.require_range(label, largest - item, rounded_up)
        self._ranges[start:] = [replace(own, group=self._groups) for own in self._ranges[start:]]
        self._groups += 1
        return largest

    @abstractmethod
    def commit(self, label: str, value: Callable[[], int], width: int) -> Quantity:
        """Return a new quantity, proved to be in [0, 2^width); only the prover calls `value`."""

    @abstractmethod
    def choose(self, label: str, options: Sequence[Quantity], pick: Callable[[], int]) -> Quantity:
        """Return a quantity that equals one of `options`, hiding which; the prover picks."""

    @abstractmethod
    def open(self, label: str, quantity: Quantity) -> int:
        """Show a quantity to the verifier, up to 63 bits and a sign, and return it."""

    @abstractmethod
    def tell(self, label: str, number: Callable[[], int], below: int) -> int:
        """Tell the verifier a public number in [0, below) that what follows depends on.

        It proves nothing; only the prover calls `number`.
        """

    @abstractmethod
    def require_equal(self, label: str, left: Quantity, right: Quantity) -> None:
        """Prove that two quantities are the same number."""

    @abstractmethod
    def _vector_form(self, label: str, source: Source, form: Sequence[int]) -> Quantity: ...

    @abstractmethod
    def _commit_largest(self, label: str, items: Sequence[Quantity]) -> Quantity: ...

    @abstractmethod
    def _excess(self, label: str, source: Source, excesses: Excesses) -> Quantity: ...

    def _say_points(self, commitment: VectorCommitment) -> None:
        self.transcript.append("points", commitment.points.encode())
        self.transcript.append("parts", b"".join(part.label for part in commitment.parts))

    def _say(self, label: str, quantity: Quantity) -> None:
        self.transcript.append_text("about", label)
        self.transcript.append_point("quantity", quantity.point)


class Prover(Session):
    """The side that knows; `finish` returns the proof."""

    def __init__(self, transcript: Transcript, seed: bytes) -> None:
        """Prove onto a transcript that has taken in the context; `seed` is 32 random bytes."""
        super().__init__(transcript)
        self._nonces, self._channel = Nonces(seed), Outgoing(transcript)

    def commit(self, label: str, value: Callable[[], int], width: int) -> Quantity:
        """Commit to `value()`."""
        quantity = self._commit(label, value(), LARGEST_LIMIT)
        return self.require_range(label, quantity, width)

    def require_range(self, label: str, quantity: Quantity, width: int) -> Quantity:
        """Raise `FalseStatement` if the quantity is out of range."""
        if not 0 <= quantity.opened()[0] < 1 << width:
            raise FalseStatement(f"{label}: the quantity is not in the range of {width} bits")
        return super().require_range(label, quantity, width)

    def require_up_to(self, label: str, quantity: Quantity, largest: int) -> Quantity:
        """Raise `FalseStatement` if the quantity is out of range."""
        if not 0 <= quantity.opened()[0] <= largest:
            raise FalseStatement(f"{label}: the quantity is not from 0 to {largest}")
        return super().require_up_to(label, quantity, largest)

    def choose(self, label: str, options: Sequence[Quantity], pick: Callable[[], int]) -> Quantity:
        """Commit to the option at `pick()` and prove that it is one of them."""
        index = pick()
        value, blinding = options[index].opened()
        chosen = self._commit(label, value, max(option.limit for option in options))
        differences = [(chosen - option).point for option in options]
        for point in differences:
            self.transcript.append_point("option", point)
        own = (chosen.opened()[1] - blinding) % ORDER
        send_one_of(self._channel, differences, index, own, self._nonces)
        return chosen

    def open(self, label: str, quantity: Quantity) -> int:
        """Send value and blinding."""
        if abs(value := self._known(label, quantity)) > LARGEST_VALUE:
            raise FalseStatement(f"{label}: the value is beyond 63 bits")
        _, blinding = quantity.opened()
        self._say(label, quantity)
        self._channel.send_scalar("value", value)
        self._channel.send_scalar("blinding", blinding)
        return value

    def tell(self, label: str, number: Callable[[], int], below: int) -> int:
        """Send the number."""
        told = number()
        if not 0 <= told < below:
            raise FalseStatement(f"{label}: the number is not below {below}")
        self.transcript.append_text("told", label)
        self._channel.send_scalar("number", told)
        return told

    def require_equal(self, label: str, left: Quantity, right: Quantity) -> None:
        """Prove that the difference is a commitment to 0."""
        value, blinding = (difference := left - right).opened()
        if value:
            raise FalseStatement(f"{label}: the quantities differ")
        self._say(label, difference)
        send_one_of(self._channel, [difference.point], 0, blinding, self._nonces)

    def finish(self) -> bytes:
        """Prove the ranges and return the whole proof."""
        for one in self._vectors.values():
            if not isinstance(one.opening, VectorOpening):
                raise FalseStatement("the prover lacks the opening of a vector commitment")
            secrets = [output.opened() for output in one.outputs]
            send_forms(
                self._channel, one.commitment, one.opening, one.forms, secrets, self._nonces
            )  # fmt: skip
        send_gathered(self._channel, self._ranges, self._nonces)
        return self._channel.finish()

    def _commit(self, label: str, value: int, limit: int) -> Quantity:
        [blinding] = self._nonces.draw(self.transcript, [value], 1)
        quantity = Quantity(commit(value, blinding), limit, (value, blinding))
        self._channel.send_point(label, quantity.point)
        return quantity

    def _commit_largest(self, label: str, items: Sequence[Quantity]) -> Quantity:
        limit = max(item.limit for item in items)
        return self._commit(label, max(item.value for item in items), limit)

    def _vector_form(self, label: str, source: Source, form: Sequence[int]) -> Quantity:
        if not isinstance(source.opening, VectorOpening):
            raise FalseStatement(f"{label}: the prover lacks the opening of a vector commitment")
        return self._commit(label, _inner(form, source.opening.uses), _limit_of(form))

    def _excess(self, label: str, source: Source, excesses: Excesses) -> Quantity:
        if source.opening is None:
            raise FalseStatement(f"{label}: the prover lacks the opening of the uses")
        total = self._commit(label, excesses.sum_of(source.opening.uses), excesses.limit)
        send_excess(self._channel, source, excesses, total.opened(), self._nonces)
        return total


class Verifier(Session):
    """The side that sees points and a proof; `finish` returns what remains to be checked."""

    def __init__(self, transcript: Transcript, proof: bytes) -> None:
        """Verify a proof over a transcript that has taken in the same context."""
        super().__init__(transcript)
        self._channel, self._checks = Incoming(transcript, proof), list[Check]()

    def commit(self, label: str, value: Callable[[], int], width: int) -> Quantity:
        """Receive the commitment; `value` is not called."""
        quantity = Quantity(self._channel.receive_point(label), LARGEST_LIMIT)
        return self.require_range(label, quantity, width)

    def choose(self, label: str, options: Sequence[Quantity], pick: Callable[[], int]) -> Quantity:
        """Receive the commitment and the proof that it is one of the options."""
        limit = max(option.limit for option in options)
        chosen = Quantity(self._channel.receive_point(label), limit)
        differences = [(chosen - option).point for option in options]
        for point in differences:
            self.transcript.append_point("option", point)
        self._checks.append(receive_one_of(self._channel, label, differences))
        return chosen

    def open(self, label: str, quantity: Quantity) -> int:
        """Receive value and blinding."""
        self._say(label, quantity)
        value = self._channel.receive_scalar("value")
        value = value - ORDER if value > ORDER // 2 else value
        if abs(value) > LARGEST_VALUE:
            raise ProofRefused(f"{label}: the value is beyond 63 bits")
        blinding = self._channel.receive_scalar("blinding")
        digest = self.transcript.digest()
        self._checks.append(OpenCheck(label, digest, quantity.point, value, blinding))
        return value

    def tell(self, label: str, number: Callable[[], int], below: int) -> int:
        """Receive the number."""
        self.transcript.append_text("told", label)
        told = self._channel.receive_scalar("number")
        if told >= below:
            raise ProofRefused(f"{label}: the number is not below {below}")
        return told

    def require_equal(self, label: str, left: Quantity, right: Quantity) -> None:
        """Receive the proof that the difference is a commitment to 0."""
        difference = left - right
        self._say(label, difference)
        self._checks.append(receive_one_of(self._channel, label, [difference.point]))

    def finish(self, name: str, *, accept_unbound: bool = False) -> SessionCheck:
        """Return all that remains to be checked; raise as `Incoming.finish` does."""
        for one in self._vectors.values():
            points = [output.point for output in one.outputs]
            self._checks.append(
                receive_forms(self._channel, one.label, one.commitment, one.forms, points)
            )
        self._checks += receive_gathered(self._channel, self._ranges)
        self._channel.finish(accept_unbound=accept_unbound)
        merge = self.transcript.challenge("merge")
        return SessionCheck(name, self.transcript.digest(), tuple(self._checks), merge)

    def _commit_largest(self, label: str, items: Sequence[Quantity]) -> Quantity:
        point, limit = self._channel.receive_point(label), max(item.limit for item in items)
        return Quantity(point, limit)

    def _vector_form(self, label: str, source: Source, form: Sequence[int]) -> Quantity:
        return Quantity(self._channel.receive_point(label), _limit_of(form))

    def _excess(self, label: str, source: Source, excesses: Excesses) -> Quantity:
        total = Quantity(self._channel.receive_point(label), excesses.limit)
        self._checks += receive_excess(self._channel, label, source, excesses, total.point)
        return total


def remainders(number: int, divisor: int, rule: QuotientRule) -> tuple[int, int]:
    """Return the least and the most v - number * divisor of the whole v that round to `number`."""
    match rule:
        case QuotientRule.DOWN:  # towards zero: what is left has the number's sign
            return -(divisor - 1) * (number <= 0), (divisor - 1) * (number >= 0)
        case QuotientRule.HALF_UP:  # a tie goes away from zero
            tie, less = divisor // 2, (divisor - 1) // 2
            return -(tie if number > 0 else less), tie if number < 0 else less
        case QuotientRule.HALF_EVEN:
            most = (divisor - 1) // 2 if number % 2 else divisor // 2
            return -most, most


def _limit_of(form: Sequence[int]) -> int:
    return sum(map(abs, form)) * LARGEST_USE_WH


def _slot_form(
    opening: SlotOpening | VectorOpening | None, form: Sequence[int]
) -> tuple[int, int] | None:
    if not isinstance(opening, SlotOpening):
        return None
    return _inner(form, opening.uses), _inner(form, opening.blindings) % ORDER


def _slot_window(
    points: PointVector, opening: SlotOpening | VectorOpening | None, window: range
) -> Quantity:
    part, secret = slice(window.start, window.stop), None
    if isinstance(opening, SlotOpening):
        secret = sum(opening.uses[part]), sum(opening.blindings[part]) % ORDER
    return Quantity(points[part].sum(), len(window) * LARGEST_USE_WH, secret)


def _inner(form: Sequence[int], numbers: Sequence[int]) -> int:
    return sum(weight * number for weight, number in zip(form, numbers, strict=True))


@lru_cache(maxsize=256)
def _digest_of(form: tuple[int, ...]) -> bytes:
    """Return the digest of the weights, which are the same for many customers."""
    transcript = Transcript("linear form", 1)
    transcript.append_integers("weights", form)
    return transcript.digest()
