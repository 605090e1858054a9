# SPDX-License-Identifier: Apache-2.0
"""Certified slots: the certifier signs the commitment to a slot's use when the slot ends.

    certificate = CBOR [body, signature]       signature = Ed25519 over LABEL | body
    body        = CBOR [LABEL, meter, register, slot minutes, begin, state, step, C, previous]
    digest      = SHA-256 (LABEL | body)
    previous    = digest of the slot before; of a day's first slot the digest of the day before

    day --> slot 0 --> slot 1 --> ... --> slot 95 --> day --> slot 0 --> ...

C = x·H + r·G is one point. The day names the digest of its last slot: with it every slot of the
day, in its order and with its state, is signed once more, and whoever has the day and the points
needs no certificate to see that these are the ones (`digest_of_slots`). A certificate by itself is
for the time before the day is signed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical import cbor
from protocols.canonical.cbor import CborError, decode_array, encode_array
from protocols.metrology.errors import DayRefused, MalformedDay
from protocols.metrology.events import require_step
from protocols.metrology.grid import SLOT_MINUTES, DayGrid, SlotState
from protocols.metrology.version1 import METER_SIZES, NO_DAY
from protocols.proofs import Malformed, Point, PointVector
from protocols.proofs.group import COMPRESSED_SIZE

LABEL: Final = "meterlet certified slot 2"
SIGNATURE_SIZE: Final = 64
_NINE_ITEMS: Final = b"\x89"
_POINT: Final = bytes([0x58, COMPRESSED_SIZE])
"""The head of a byte string with a point, in CBOR."""
_DIGEST: Final = bytes([0x58, 32])
"""That of one with a digest."""
_LATEST: Final = 1 << 33


@dataclass(frozen=True, slots=True)
class SlotContent:
    """What the certifier signs when a slot ends."""

    meter: bytes
    register: bytes
    """The OBIS code, 6 bytes."""
    slot_minutes: int
    begin: int
    """The slot's first second."""
    state: SlotState
    step_wh: int
    """In which steps the register counts: above 1 Wh the slot is of a coarse register."""
    commitment: Point
    previous: bytes

    def __post_init__(self) -> None:
        if len(self.meter) not in METER_SIZES or len(self.register) != 6:
            raise MalformedDay("a meter id has 1 to 64 bytes, a register's OBIS code 6")
        if self.slot_minutes not in SLOT_MINUTES or not 0 <= self.begin < _LATEST:
            raise MalformedDay("no slot begins then, or lasts so long")
        require_step(self.step_wh)
        if self.commitment.is_infinity or len(self.previous) != len(NO_DAY):
            raise MalformedDay("a slot has a commitment and names what was before it")

    def encode(self) -> bytes:
        """Return the body, in its only encoding."""
        return encode_array([
            LABEL, self.meter, self.register, self.slot_minutes, self.begin, self.state,
            self.step_wh, self.commitment.encode(), self.previous,
        ])  # fmt: skip

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the content of exactly these bytes; raise `MalformedDay` otherwise."""
        try:
            items = decode_array(body)
            match items:
                case [
                    str(label), bytes(meter), bytes(register), int(minutes), int(begin),
                    int(state), int(step), bytes(point), bytes(previous),
                ] if label == LABEL and len(point) == COMPRESSED_SIZE:  # fmt: skip
                    return cls(
                        meter, register, minutes, begin, SlotState(state), step,
                        Point.decode(point), previous,
                    )  # fmt: skip
                case _:
                    raise MalformedDay("other fields than a certified slot has")
        except (CborError, Malformed, ValueError) as error:
            raise MalformedDay(f"not a certified slot: {error}") from None

    @property
    def digest(self) -> bytes:
        """The SHA-256 that the next slot, or the day, refers to."""
        return hashlib.sha256(signed_bytes(self.encode())).digest()


@dataclass(frozen=True, slots=True)
class CertifiedSlot:
    """A slot's content and the certifier's signature on it."""

    content: SlotContent
    signature: bytes

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_SIZE:
            raise MalformedDay(f"a signature has 64 bytes, not {len(self.signature)}")

    @classmethod
    def sign(cls, content: SlotContent, key: Ed25519PrivateKey) -> Self:
        """Return the content with its signature."""
        return cls(content, key.sign(signed_bytes(content.encode())))

    def encode(self) -> bytes:
        """Return the certificate's only encoding."""
        return encode_array([self.content.encode(), self.signature])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the certificate of exactly these bytes; raise `MalformedDay` otherwise."""
        try:
            items = decode_array(data)
        except CborError as error:
            raise MalformedDay(f"not a certified slot: {error}") from None
        match items:
            case [bytes(body), bytes(signature)]:
                return cls(SlotContent.decode(body), signature)
            case _:
                raise MalformedDay("not a certified slot: neither body nor signature")

    def verify(self, public_key: Ed25519PublicKey, day: DayGrid) -> None:
        """Return if this key has signed a slot of this day; raise `DayRefused` if not.

        Whether its meter and register are the right ones, and what it follows, is for the caller.
        """
        content = self.content
        if content.slot_minutes != day.slot_minutes or content.begin not in day.boundaries()[:-1]:
            raise DayRefused(day.day, "the slot is not one of the day")
        try:
            public_key.verify(self.signature, signed_bytes(content.encode()))
        except InvalidSignature:
            raise DayRefused(day.day, "the signature of a slot does not match") from None


def chain_slots(
    meter: bytes,
    register: bytes,
    grid: DayGrid,
    states: Sequence[SlotState],
    steps: Sequence[int],
    points: PointVector,
    previous: bytes,
) -> list[SlotContent]:
    """Return the day's first slots, as many as there are points, each with the one before it."""
    slots: list[SlotContent] = []
    for begin, state, step, point in zip(
        grid.boundaries()[:-1], states, steps, points, strict=False
    ):
        slot = SlotContent(
            meter, register, grid.slot_minutes, begin, state, step, point, previous
        )  # fmt: skip
        slots.append(slot)
        previous = slot.digest
    return slots


def digest_of_slots(
    meter: bytes,
    register: bytes,
    grid: DayGrid,
    states: Sequence[SlotState],
    steps: Sequence[int],
    points: PointVector,
    previous: bytes,
) -> bytes:
    """Return the digest of the last slot of `chain_slots`, whose encodings it makes at once.

    What all slots have in common is encoded once. Points and digests have one size, and one head.
    """
    encoded, size = points.encode(), COMPRESSED_SIZE
    same = encode_array([LABEL, meter, register, grid.slot_minutes])[1:]
    start = hashlib.sha256(signed_bytes(_NINE_ITEMS + same))
    pairs = set(zip(states, steps, strict=True))
    said = {one: cbor.encode(one[0]) + cbor.encode(one[1]) for one in pairs}
    for place, begin in enumerate(grid.boundaries()[:-1]):
        slot = start.copy()
        slot.update(
            cbor.encode(begin) + said[states[place], steps[place]]
            + _POINT + encoded[place * size : (place + 1) * size] + _DIGEST + previous
        )  # fmt: skip
        previous = slot.digest()
    return previous


def signed_bytes(body: bytes) -> bytes:
    """Return what is signed and hashed of a body."""
    return LABEL.encode() + body
