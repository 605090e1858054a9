# SPDX-License-Identifier: Apache-2.0
"""The aggregation applet's messages, in SML.

    command       CLA INS   parts of the request               the answer
    TELL_KEYS     80  30    nonce of the round, and the        member keys
                            operator's signature on it
    CONTRIBUTE    80  32    announced round                    contribution
    AGREE         80  34    contributors                       agreement
    OPEN          80  36    contributors, all agreements'      opening
                            signatures
    SHOW_POINTS   80  38    contributors                       pair points
    SHOW_KEY      80  3A    contributors, pair points of       pair key
                            whom they accuse

A request is an SML file: Open, SetProcParameter.Req, Close. The tree that it writes is the step's
node, with a child `PART` for each part, in order. The answer is an Open, a GetProcParameter.Res
with the step's node, whose value is the answer, and a Close. The file id of both Open messages is
the caller's nonce.

What the parts say is `protocols.aggregation`'s, encrypted, masked and signed from end to end: a
concentrator that relays these files need not be trusted, nor need it read more than they say.

Decoding is strict: other messages, nodes, numbers of parts or an order of one's own are refused.

Errors: MessageRefused
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sml_codec import (
    Body,
    CloseReq,
    CloseRes,
    GetProcParameterRes,
    Limits,
    Message,
    Obis,
    OpenReq,
    OpenRes,
    PlainValue,
    SetProcParameterReq,
    SmlError,
    Tree,
    decode_file,
    encode_file,
)

CLA: Final = 0x80
ROUND_NONCE_SIZE: Final = 32
_CALL: Final = b"meterlet call for keys of a round 1"
NONCE_SIZE: Final = 16
PART: Final = Obis(bytes.fromhex("81814d020000"))
"""129-129:77.2.0*0: group A and B from the manufacturers' range, as are all here."""
LIMITS: Final = Limits(octets=1 << 18, elements=64, depth=8)


class Instruction(enum.IntEnum):
    """A step of a round."""

    TELL_KEYS = 0x30
    CONTRIBUTE = 0x32
    AGREE = 0x34
    OPEN = 0x36
    SHOW_POINTS = 0x38
    SHOW_KEY = 0x3A


PARTS: Final[Mapping[Instruction, int]] = {
    Instruction.TELL_KEYS: 1,
    Instruction.CONTRIBUTE: 1,
    Instruction.AGREE: 1,
    Instruction.OPEN: 2,
    Instruction.SHOW_POINTS: 1,
    Instruction.SHOW_KEY: 2,
}
"""How many parts a request has."""


class MessageRefused(Exception):
    """Bytes are not the message they should be."""


def called_for(nonce: bytes) -> bytes:
    """Return what the operator signs to call for the keys of the round of this nonce."""
    return _CALL + nonce


@dataclass(frozen=True, slots=True)
class StepRequest:
    """Take this step."""

    meter: bytes
    nonce: bytes
    """16 random bytes, which the answer repeats."""
    step: Instruction
    parts: tuple[bytes, ...]

    def __post_init__(self) -> None:
        _require_nonce(self.nonce)
        if len(self.parts) != PARTS[self.step] or not all(self.parts):
            raise MessageRefused(f"{self.step.name} has {PARTS[self.step]} parts")

    def encode(self) -> bytes:
        """Return the SML file."""
        name = _name(self.step)
        children = tuple(Tree(PART.code, PlainValue(part)) for part in self.parts)
        return _file(
            self.nonce,
            OpenReq(client_id=b"", request_file_id=self.nonce, server_id=self.meter),
            SetProcParameterReq(
                server_id=self.meter, tree_path=(name,), tree=Tree(name, children=children)
            ),
            CloseReq(),
        )

    @classmethod
    def decode(cls, data: bytes) -> "StepRequest":
        """Return the request in `data`; raise `MessageRefused` for anything else."""
        match _bodies(data):
            case [
                OpenReq(request_file_id=nonce, server_id=bytes(meter)),
                SetProcParameterReq(tree=Tree(name=name, children=tuple(children))),
                CloseReq(),
            ]:
                parts = tuple(_octets(child) for child in children)
                request = cls(meter, nonce, _step(name), parts)
            case _:
                raise MessageRefused("not a step of a round")
        return _exactly(request, data)


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """What a step has come to."""

    meter: bytes
    nonce: bytes
    step: Instruction
    content: bytes

    def __post_init__(self) -> None:
        _require_nonce(self.nonce)
        if not self.content:
            raise MessageRefused("an answer says something")

    def encode(self) -> bytes:
        """Return the SML file."""
        name = _name(self.step)
        return _file(
            self.nonce,
            OpenRes(request_file_id=self.nonce, server_id=self.meter),
            GetProcParameterRes(
                server_id=self.meter, tree_path=(name,), tree=Tree(name, PlainValue(self.content))
            ),
            CloseRes(),
        )

    @classmethod
    def decode(cls, data: bytes) -> "StepAnswer":
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        match _bodies(data):
            case [
                OpenRes(request_file_id=nonce, server_id=meter),
                GetProcParameterRes(tree=Tree(name=name) as tree),
                CloseRes(),
            ]:
                answer = cls(meter, nonce, _step(name), _octets(tree))
            case _:
                raise MessageRefused("not the answer to a step of a round")
        return _exactly(answer, data)


MessageT = TypeVar("MessageT", StepRequest, StepAnswer)


def _name(step: Instruction) -> bytes:
    code = bytearray(PART.code)
    code[4] = step
    return bytes(code)


def _step(name: bytes) -> Instruction:
    for step in Instruction:
        if _name(step) == name:
            return step
    raise MessageRefused("there is no such step")


def _octets(node: Tree) -> bytes:
    match node.value:
        case PlainValue(value=bytes(octets)):
            return octets
        case _:
            raise MessageRefused("a part is an octet string")


def _require_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_SIZE:
        raise MessageRefused(f"a nonce has {NONCE_SIZE} bytes, not {len(nonce)}")


def _file(nonce: bytes, *bodies: Body) -> bytes:
    return encode_file(
        [
            Message(transaction_id=nonce[:4] + bytes([place]), body=body)
            for place, body in enumerate(bodies)
        ]
    )


def _bodies(data: bytes) -> Sequence[Body]:
    try:
        return [message.body for message in decode_file(data, limits=LIMITS)]
    except SmlError as error:
        raise MessageRefused(f"not SML: {error}") from None


def _exactly(message: MessageT, data: bytes) -> MessageT:
    # One message has one encoding: whatever the fields above leave open is refused here.
    if message.encode() != data:
        raise MessageRefused("not in the form that these messages have")
    return message
