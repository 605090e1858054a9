# SPDX-License-Identifier: Apache-2.0
"""Questions about a period of a meter, and their answers, in SML.

    command    CLA INS   data                                     answer
    ASK        80  10    SML file: Open, GetProfileList.Req, Close    SML file with the answer
    DELIVER    80  12    a document for the resident; billing only    nothing
    BOUND      80  14    SML file, as ASK; billing only           SML file with the answer

A question is a file of Open, GetProfileList.Req and Close: its period is begin and end time, the
path of its parameter tree says what is asked, `dasDetails` is one node with a document; a kind of
question may define nodes below it. The file id of the Open message is the recipient's nonce; the
answer's Open message repeats it. An answer has a GetProfileList.Res for the same period, with
entries that each applet defines.

Decoding is strict: other messages, or an encoding of one's own, are refused.

Errors: MessageRefused
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from sml_codec import (
    Body,
    CloseReq,
    CloseRes,
    GetProfileListReq,
    GetProfileListRes,
    Limits,
    Message,
    Obis,
    OpenReq,
    OpenRes,
    PeriodEntry,
    PlainValue,
    SmlError,
    Time,
    TimeChoice,
    Tree,
    decode_file,
    encode_file,
)

CLA: Final = 0x80
NONCE_SIZE: Final = 16
DIGEST_SIZE: Final = 32
MOST_DAYS: Final = 400
MOST_PROOF_BYTES: Final = 1 << 17
LIMITS: Final = Limits(octets=1 << 18, elements=1024, depth=8)
_ANY: Final = Obis(bytes(6))


class Instruction(enum.IntEnum):
    """What an applet that answers questions is sent."""

    ASK = 0x10
    DELIVER = 0x12
    BOUND = 0x14


class MessageRefused(Exception):
    """Bytes are not the message they should be."""


@dataclass(frozen=True, slots=True)
class About:
    """What a question or an answer is about, and which question it belongs to."""

    meter: bytes
    begin: int
    end: int
    nonce: bytes
    """16 random bytes, new for each question."""

    def __post_init__(self) -> None:
        require_size("a nonce", self.nonce, NONCE_SIZE)
        if not 0 <= self.begin < self.end < 1 << 32:
            raise MessageRefused("the period is empty, or beyond 32 bits of seconds")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a period, and the signed document that says what is asked."""

    path: ClassVar[Obis]
    """What the parameter tree calls the question."""
    name: ClassVar[Obis]
    """What it calls the document."""
    content_type: ClassVar[str]
    """As what the document is signed."""

    about: About
    document: bytes

    @property
    def nodes(self) -> tuple[Tree, ...]:
        """What else the question says, below the document; most kinds say nothing more."""
        return ()

    @classmethod
    def of_nodes(cls, about: About, document: bytes, nodes: Sequence[Tree]) -> Self:
        """Return the question that these nodes belong to; raise `MessageRefused` for others."""
        if nodes:
            raise MessageRefused("the question says more than its kind does")
        return cls(about, document)

    def encode(self) -> bytes:
        """Return the SML file."""
        about = self.about
        return _file(
            about.nonce,
            OpenReq(client_id=b"", request_file_id=about.nonce, server_id=about.meter),
            GetProfileListReq(
                server_id=about.meter,
                begin_time=Time(TimeChoice.TIMESTAMP, about.begin),
                end_time=Time(TimeChoice.TIMESTAMP, about.end),
                tree_path=(self.path.code,),
                details=Tree(self.name.code, PlainValue(self.document), self.nodes or None),
            ),
            CloseReq(),
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the question in `data`; raise `MessageRefused` for anything else."""
        match _bodies(data):
            case [
                OpenReq(request_file_id=nonce, server_id=bytes(meter)),
                GetProfileListReq(
                    begin_time=Time(choice=TimeChoice.TIMESTAMP, seconds=begin),
                    end_time=Time(choice=TimeChoice.TIMESTAMP, seconds=end),
                    details=Tree(value=PlainValue(value=bytes(document)), children=nodes),
                ),
                CloseReq(),
            ]:
                about = About(meter, int(begin), int(end), nonce)
                question = cls.of_nodes(about, document, nodes or ())
            case _:
                raise MessageRefused("not the question that is asked here")
        require_same(question.encode(), data)
        return question


@dataclass(frozen=True, slots=True)
class ProvedAnswer:
    """The answer that one proof over the days of one register is."""

    path: ClassVar[Obis]
    format: ClassVar[tuple[Obis, int] | None] = None
    """The entry before all others, and the version that it says; None for none."""
    layout: ClassVar[Mapping[str, Obis]]
    """The entries of `proof` and `digest`, in the order of the message."""
    day: ClassVar[Obis]
    """The entry of a certified day."""

    about: About
    proof: bytes
    """Opens what was asked for."""
    digest: bytes
    """Of the document that was asked with."""
    days: tuple[bytes, ...]
    """The certified days."""

    def __post_init__(self) -> None:
        require_size("a document's digest", self.digest, DIGEST_SIZE)
        require_proof(self.proof)

    def encode(self) -> bytes:
        """Return the SML file."""
        head = [entry(*self.format)] if self.format else []
        parts = [entry(obis, getattr(self, name)) for name, obis in self.layout.items()]
        days = [entry(self.day, day) for day in self.days]
        return encode_answer(self.about, self.path, [*head, *parts, *days])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        about, entries = decode_answer(data, cls.path)
        if cls.format:
            require_format(entries, cls.format[0])
        match entries[1:] if cls.format else entries:
            case [PeriodEntry(value=bytes(first)), PeriodEntry(value=bytes(second)), *rest]:
                parts = dict(zip(cls.layout, (first, second), strict=True))
                answer = cls(about=about, days=certified_days(rest, cls.day), **parts)
            case _:
                raise MessageRefused("not the entries of such an answer")
        require_same(answer.encode(), data)  # names, units and scalers
        return answer


def require_format(entries: Sequence[PeriodEntry], name: Obis) -> None:
    """Refuse an answer that does not say its format first; those of release 0.1 did not."""
    if not entries or entries[0].obis != name:
        raise MessageRefused(
            "an answer without a format, as applets of release 0.1 gave it: have the hub's"
            " resident install this release's applet"
        )


def require_size(name: str, value: bytes, size: int) -> None:
    """Refuse a value of another size."""
    if len(value) != size:
        raise MessageRefused(f"{name} has {size} bytes, not {len(value)}")


def require_proof(proof: bytes) -> None:
    """Refuse a proof that is empty or too long."""
    if not 0 < len(proof) <= MOST_PROOF_BYTES:
        raise MessageRefused(f"a proof has 1 to {MOST_PROOF_BYTES} bytes")


def encode_answer(about: About, path: Obis, entries: Sequence[PeriodEntry]) -> bytes:
    """Return the SML file with these entries."""
    return _file(
        about.nonce,
        OpenRes(request_file_id=about.nonce, server_id=about.meter),
        GetProfileListRes(
            server_id=about.meter,
            actual_time=Time(TimeChoice.TIMESTAMP, about.end),
            period_seconds=about.end - about.begin,
            tree_path=(path.code,),
            time=Time(TimeChoice.TIMESTAMP, about.begin),
            status=0,
            entries=tuple(entries),
        ),
        CloseRes(),
    )


def decode_answer(data: bytes, path: Obis) -> tuple[About, list[PeriodEntry]]:
    """Return what an answer is about and its entries; raise `MessageRefused` for other bytes."""
    match _bodies(data):
        case [
            OpenRes(request_file_id=nonce, server_id=bytes(meter)),
            GetProfileListRes(
                actual_time=Time(choice=TimeChoice.TIMESTAMP, seconds=end),
                time=Time(choice=TimeChoice.TIMESTAMP, seconds=begin),
                entries=entries,
            ),
            CloseRes(),
        ]:
            about = About(meter, int(begin), int(end), nonce)
        case _:
            raise MessageRefused("not the answer to a question about a period")
    require_same(encode_answer(about, path, entries), data)
    return about, list(entries)


def entry(
    obis: Obis, value: int | bytes, unit: int | None = None, scaler: int | None = None
) -> PeriodEntry:
    """Return an entry of an answer."""
    return PeriodEntry(obis=obis, unit=unit, scaler=scaler, value=value)


def certified_days(entries: Sequence[PeriodEntry], name: Obis) -> tuple[bytes, ...]:
    """Return the certified days that the last entries of an answer are."""
    days = []
    for one in entries:
        if one != entry(name, one.value) or not isinstance(one.value, bytes):  # type: ignore[arg-type]  # refused if so
            raise MessageRefused("in the place of a certified day is something else")
        days.append(one.value)
    if not 1 <= len(days) <= MOST_DAYS:
        raise MessageRefused(f"{len(days)} days, not 1 to {MOST_DAYS}")
    return tuple(days)


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


def require_same_entries(
    about: About, again: Sequence[PeriodEntry], entries: Sequence[PeriodEntry]
) -> None:
    """Refuse entries that are not written as `again`; `decode_answer` knows that data as theirs.

    Bytes have one encoding, numbers have several: what is no more than bytes is compared as it is.
    """
    if len(again) != len(entries):
        raise MessageRefused("not in the form that these messages have")
    numbers = [
        pair
        for pair in zip(again, entries, strict=True)
        if type(pair[1].value) is not bytes or pair[0] != pair[1]
    ]
    own, received = (encode_answer(about, _ANY, [pair[n] for pair in numbers]) for n in (0, 1))
    require_same(own, received)


def require_same(again: bytes, data: bytes) -> None:
    """Refuse bytes that are not the one encoding of what was read in them."""
    if again != data:
        raise MessageRefused("not in the form that these messages have")
