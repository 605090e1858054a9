# SPDX-License-Identifier: Apache-2.0
"""The client's side of an association, without I/O.

    client                                     meter
    AARQ challenge, proposal            --->
                                        <---   AARE challenge, what both can do
    ACTION answer to the challenge      --->
                                        <---   answer to the client's challenge
    GET, SET, ACTION                    --->
                                        <---   a value, in blocks if it is long
    RLRQ                                --->
                                        <---   RLRE

Each operation is a generator that yields the APDU to send, and is sent the one that came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from dlms_codec.apdus import Apdu, decode_apdu
from dlms_codec.apdus.access import Access, AccessOutcome, AccessRequest, AccessResponse
from dlms_codec.apdus.acse import Aare, Aarq, Context, Mechanism, Rlre, Rlrq
from dlms_codec.apdus.action import (
    NO_PARAMETERS,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestNext,
    ActionResponse,
    ActionResponseBlock,
    ActionResponseNext,
    NoParameters,
    Outcome,
)
from dlms_codec.apdus.addressing import (
    AccessResult,
    Attribute,
    DataBlock,
    Failure,
    Method,
    Value,
    read_result,
    result_name,
)
from dlms_codec.apdus.get import (
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
)
from dlms_codec.apdus.initiate import LOGICAL_NAMES as NAMED_LOGICALLY
from dlms_codec.apdus.initiate import Conformance, InitiateRequest, InitiateResponse
from dlms_codec.apdus.notifications import DataNotification, EventNotification
from dlms_codec.apdus.refusals import ConfirmedServiceError, ExceptionResponse
from dlms_codec.apdus.set import (
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetResponse,
    SetResponseBlock,
    SetResponseLastBlock,
)
from dlms_codec.authentication import CHALLENGE, PROVED, Exchange, check_challenge, prove, verify
from dlms_codec.axdr import decode_data, encode_data
from dlms_codec.client_settings import ClientSettings
from dlms_codec.data import Array, Data, Structure
from dlms_codec.datetimes import DateTime, as_date_time
from dlms_codec.errors import (
    AssociationRefused,
    EncodingError,
    LimitExceeded,
    MissingKey,
    NotTheMeter,
    ObjectUndefined,
    ReplayedCounter,
    RequestRefused,
    SecurityError,
    ServiceRefused,
    UnexpectedAnswer,
    UnprotectedMessage,
    WrongKey,
    WrongPassword,
)
from dlms_codec.link import Steps
from dlms_codec.obis import Obis
from dlms_codec.protection import GeneralCiphered, ServiceCiphered
from dlms_codec.reader import Reader
from dlms_codec.secure_messaging import OVERHEAD, SecureMessaging, SendCounter
from dlms_codec.security import KEY_SIZES, CounterGuard
from dlms_codec.selecting import CaptureObject, Entries, Range

ASSOCIATION: Final = Obis.parse("0-0:40.0.0")
REPLY_TO_CHALLENGE: Final = Method(15, ASSOCIATION, 1)
CLOCK_TIME: Final = Attribute(8, Obis.parse("0-0:1.0.0"), 2)
CONFIRMED: Final = 0xC0
"""In front of an invoke id: answer it, and before others."""
DIAGNOSTICS: Final = {
    (1, 1): "no reason given", (1, 2): "it does not know this application context",
    (1, 3): "it does not know the system title of the client",
    (1, 11): "it does not know this mechanism", (1, 12): "it wants to be told a mechanism",
    (1, 13): "the authentication failed", (1, 14): "it wants authentication",
    (2, 1): "no reason given by the provider", (2, 2): "no common version",
}  # fmt: skip
NOTHING: Final = Conformance(0)
_AUTHENTICATION: Final = 0x80
_WRONG_SECRET: Final = (1, 13)


@dataclass(frozen=True, slots=True)
class ProfileRows:
    """Rows of a profile, as the meter sent them, and what their columns hold."""

    columns: tuple[CaptureObject, ...]
    rows: tuple[Structure, ...]


@dataclass(slots=True)
class ClientDialogue:
    """One association of a client.

    `random` makes challenges and keys. `counter` and `received` outlive the association: keep them
    for as long as the keys live.
    """

    settings: ClientSettings
    random: Callable[[int], bytes]
    counter: SendCounter = field(default_factory=SendCounter)
    received: CounterGuard = field(default_factory=CounterGuard)
    notifications: deque[DataNotification | EventNotification] = field(
        default_factory=lambda: deque(maxlen=16)
    )
    """What the meter sent unasked; the last 16."""
    meter_title: bytes = b""
    conformance: Conformance = NOTHING
    """What both ends can do."""
    _longest: int = 0xFFFF
    _invoke: int = 0
    _messaging: SecureMessaging | None = None

    # The association

    def associate(self) -> Steps[None]:
        """Begin the association.

        Raises `WrongPassword`, `AssociationRefused`, `WrongKey`, `NotTheMeter` or another
        `DlmsError`.
        """
        settings, mechanism = self.settings, self.settings.credentials.mechanism
        proved = mechanism in PROVED
        self._messaging = None
        own_challenge = self.random(CHALLENGE) if proved else b""
        keys = settings.keys
        if settings.dedicated and settings.protects:
            keys = replace(keys, dedicated=self.random(KEY_SIZES[settings.suite]))
        if settings.protects:
            self._messaging = SecureMessaging(
                keys, settings.system_title, settings.meter_title or b"", self.counter,
                self.received, settings.suite, settings.policy, settings.dedicated,
            )  # fmt: skip
        initiate = InitiateRequest(settings.conformance, settings.longest, keys.dedicated).encode()
        if self._messaging is not None:
            initiate = self._messaging.protect(initiate, dedicated=False)
        context = Context.LOGICAL_NAMES_CIPHERED if settings.protects else Context.LOGICAL_NAMES
        named = mechanism is not Mechanism.LOWEST
        aarq = Aarq(
            context,
            initiate,
            settings.system_title or None,
            _AUTHENTICATION if named else None,
            mechanism if named else None,
            (own_challenge or settings.credentials.secret) if named else None,
        )
        before = self.received.last
        aare = self._granted(decode_apdu((yield aarq.encode()), limits=settings.limits), context)
        self._take_initiate(aare.user_information)
        if proved:
            yield from self._prove(aare, own_challenge, before)

    def _granted(self, answer: Apdu, context: Context) -> Aare:
        """Return the meter's response; raise if it refuses, or is another's."""
        if isinstance(answer, ExceptionResponse):
            raise _exception(answer)
        if isinstance(answer, ConfirmedServiceError):
            raise AssociationRefused(f"the meter refuses the association: {answer.reason}")
        if not isinstance(answer, Aare):
            raise UnexpectedAnswer("the meter does not answer the request for an association")
        why = (answer.diagnostic.source, answer.diagnostic.code)
        if answer.result != 0:
            reason = DIAGNOSTICS.get(why, f"diagnostic {why[0]}, {why[1]}")
            kind = WrongPassword if why == _WRONG_SECRET else AssociationRefused
            raise kind(f"the meter refuses the association: {reason}{_error_inside(answer)}")
        if answer.context != context:
            raise AssociationRefused(f"the meter answers in application context {answer.context}")
        if why == (1, 14) and self.settings.credentials.mechanism not in PROVED:
            raise AssociationRefused("the meter wants a mechanism that proves more")
        title = answer.system_title or self.settings.meter_title or b""
        if self.settings.meter_title not in (None, title):
            raise NotTheMeter(f"system title {title.hex()} is not the meter's")
        if title and title == self.settings.system_title:
            raise NotTheMeter("the meter has the client's own system title")
        self.meter_title = bytes(title)
        if self._messaging is not None:
            if len(title) != 8:
                raise MissingKey("the system title of the meter is needed: 8 bytes")
            self._messaging.peer_title = self.meter_title
        return answer

    def _take_initiate(self, information: bytes | None) -> None:
        if information is None:
            raise UnexpectedAnswer("the meter does not say what it can do")
        answer = self._opened(bytes(information))
        if isinstance(answer, ConfirmedServiceError):
            raise AssociationRefused(f"the meter refuses the association: {answer.reason}")
        if not isinstance(answer, InitiateResponse) or answer.name != NAMED_LOGICALLY:
            raise UnexpectedAnswer("the meter does not go by logical names")
        self.conformance = answer.conformance & self.settings.conformance
        self._longest = answer.longest or 0xFFFF
        if self._longest <= 2 * OVERHEAD:
            raise AssociationRefused(f"the meter takes {self._longest} bytes: too few for anything")

    def _prove(self, aare: Aare, own_challenge: bytes, before: int) -> Steps[None]:
        """Answer the meter's challenge, and check its answer to ours."""
        settings = self.settings
        if aare.mechanism not in (None, settings.credentials.mechanism):
            raise AssociationRefused("the meter takes another mechanism than it was asked for")
        challenge = check_challenge(aare.authentication)
        if challenge == own_challenge:  # a reflection: it would have us answer for it
            raise NotTheMeter("the meter sends the client's own challenge back")
        ours = Exchange(settings.system_title, self.meter_title, challenge, own_challenge)
        counter = self.counter.take() if settings.credentials.mechanism is Mechanism.GMAC else 0
        answer = prove(
            settings.credentials, ours, settings.keys, suite=settings.suite, counter=counter
        )
        outcome = yield from self._invoke_whole(REPLY_TO_CHALLENGE, answer)
        if outcome.result != 0:
            keyed = settings.credentials.mechanism in (Mechanism.GMAC, Mechanism.ECDSA)
            kind = WrongKey if keyed else WrongPassword
            reason = result_name(outcome.result)
            raise kind(f"the meter does not take the answer to its challenge: {reason}")
        back = outcome.returned
        if not isinstance(back, Value) or not isinstance(back.data, bytes):
            raise NotTheMeter("the meter does not answer the client's challenge")
        theirs = Exchange(self.meter_title, settings.system_title, own_challenge, challenge)
        try:
            used = verify(settings.credentials, theirs, bytes(back.data), settings.keys)
        except SecurityError as error:
            raise NotTheMeter(f"the meter's answer to the challenge: {error}") from None
        if used is not None:
            # The message around it may have taken this counter, or one above it.
            if used <= before:
                raise ReplayedCounter(used, before)
            self.received.last = max(self.received.last, used)

    def release(self) -> Steps[None]:
        """End the association; meters that know no release do not answer with one."""
        information = None
        if self._messaging is not None:
            initiate = InitiateRequest(self.settings.conformance, self.settings.longest).encode()
            information = self._messaging.protect(initiate, dedicated=False)
        answer = decode_apdu((yield Rlrq(0, information).encode()), limits=self.settings.limits)
        if not isinstance(answer, Rlre | ExceptionResponse | ConfirmedServiceError):
            raise UnexpectedAnswer("the meter does not answer the release")

    # Reading

    def read(self, attribute: Attribute) -> Steps[Data]:
        """Return the value of an attribute, or of a part of it.

        Raises `RequestRefused` if the meter does not read it, `ObjectUndefined` if it has none.
        """
        invoke = self._next_invoke()
        answer = yield from self._ask(GetRequest(invoke, attribute).encode(), invoke)
        if isinstance(answer, GetResponseBlock):
            whole = yield from self._collect(answer, invoke, _name(attribute))
            return decode_data(whole, limits=self.settings.limits)
        if not isinstance(answer, GetResponse):
            raise UnexpectedAnswer("the meter does not answer the reading")
        if isinstance(answer.result, Failure):
            raise _refused(_name(attribute), answer.result.result)
        return answer.result.data

    def read_list(self, attributes: Sequence[Attribute]) -> Steps[tuple[Value | Failure, ...]]:
        """Return the value of each attribute, or why there is none.

        As many are asked for at a time as the meter takes.
        """
        results: list[Value | Failure] = []
        if Conformance.MULTIPLE_REFERENCES not in self.conformance:
            for attribute in attributes:
                results += ((yield from self._read_one(attribute)),)
            return tuple(results)
        room = self._longest - OVERHEAD
        for part in _portions(attributes, room):
            results += yield from self._read_portion(part)
        return tuple(results)

    def _read_one(self, attribute: Attribute) -> Steps[Value | Failure]:
        try:
            return Value((yield from self.read(attribute)))
        except RequestRefused as error:
            return Failure(error.result)

    def _read_portion(
        self, attributes: tuple[Attribute, ...]
    ) -> Steps[tuple[Value | Failure, ...]]:
        invoke = self._next_invoke()
        answer = yield from self._ask(GetRequestList(invoke, attributes).encode(), invoke)
        results: tuple[Value | Failure, ...]
        if isinstance(answer, GetResponseBlock):
            reader = Reader(
                (yield from self._collect(answer, invoke, "a list")), limits=self.settings.limits
            )
            results = tuple(read_result(reader) for _ in range(reader.count()))
            reader.end()
        elif isinstance(answer, GetResponseList):
            results = answer.results
        elif isinstance(answer, GetResponse) and isinstance(answer.result, Failure):
            raise _refused("a list", answer.result.result)
        else:
            raise UnexpectedAnswer("the meter does not answer the reading of a list")
        if len(results) != len(attributes):
            raise UnexpectedAnswer(f"{len(results)} values for {len(attributes)} attributes")
        return results

    def _collect(self, block: GetResponseBlock, invoke: int, what: str) -> Steps[bytes]:
        """Return the pieces of all blocks; each must be the next one."""
        pieces: list[bytes] = []
        size, due = 0, 1
        while True:
            if block.block != due:
                raise UnexpectedAnswer(f"block {block.block} where {due} is due")
            if isinstance(block.result, Failure):
                raise _refused(what, block.result.result)
            if not block.result and not block.last:
                raise UnexpectedAnswer(f"block {due} is empty, and not the last")
            pieces.append(block.result)
            size += len(block.result)
            if size > self.settings.limits.message:
                raise LimitExceeded(
                    f"longer than {self.settings.limits.message} bytes", offset=size
                )
            if block.last:
                return b"".join(pieces)
            answer = yield from self._ask(GetRequestNext(invoke, due).encode(), invoke)
            if isinstance(answer, GetResponse) and isinstance(answer.result, Failure):
                raise _refused(what, answer.result.result)
            if not isinstance(answer, GetResponseBlock):
                raise UnexpectedAnswer(f"the meter does not send block {due + 1}")
            block, due = answer, due + 1

    def read_profile(self, obis: Obis, part: Entries | Range) -> Steps[ProfileRows]:
        """Return rows of a profile and what its columns hold."""
        value = yield from self.read(Attribute(7, obis, 3))
        if not isinstance(value, Array):
            raise UnexpectedAnswer(f"{obis}: the columns are no array")
        columns = tuple(CaptureObject.of(column) for column in value)
        rows = yield from self.read(Attribute(7, obis, 2, part.access()))
        if not isinstance(rows, Array):
            raise UnexpectedAnswer(f"{obis}: the rows are no array")
        found = tuple(row for row in rows if isinstance(row, Structure))
        if len(found) != len(rows):
            raise UnexpectedAnswer(f"{obis}: a row is no structure")
        return ProfileRows(_chosen(columns, part), found)

    def read_clock(self) -> Steps[DateTime]:
        """Return what the meter's clock shows."""
        moment = as_date_time((yield from self.read(CLOCK_TIME)))
        if moment is None:
            raise UnexpectedAnswer("the clock shows no time")
        return moment

    # Writing and doing

    def write(self, attribute: Attribute, value: Data) -> Steps[None]:
        """Write an attribute, in blocks if it is long."""
        invoke = self._next_invoke()
        request = SetRequest(invoke, attribute, value).encode()
        room = self._longest - OVERHEAD
        if len(request) <= room:
            answer = yield from self._ask(request, invoke)
            result = answer.result if isinstance(answer, SetResponse) else None
        else:
            result = yield from self._write_blocks(attribute, encode_data(value), invoke, room)
        if result is None:
            raise UnexpectedAnswer("the meter does not answer the writing")
        if result != 0:
            raise _refused(_name(attribute), result)

    def _write_blocks(
        self, attribute: Attribute, value: bytes, invoke: int, room: int
    ) -> Steps[AccessResult | int | None]:
        blocks = _blocks(value, room - OVERHEAD)
        for block in blocks:
            if block.number == 1:
                request = SetRequestFirstBlock(invoke, attribute, block).encode()
            else:
                request = SetRequestBlock(invoke, block).encode()
            answer = yield from self._ask(request, invoke)
            if isinstance(answer, SetResponseLastBlock) and answer.block == block.number:
                return answer.result
            if isinstance(answer, SetResponse):
                return answer.result
            if not isinstance(answer, SetResponseBlock) or answer.block != block.number:
                return None
        return None

    def set_clock(self, moment: DateTime) -> Steps[None]:
        """Set the meter's clock."""
        return self.write(CLOCK_TIME, bytes(moment))

    def invoke(
        self, method: Method, parameters: Data | NoParameters = NO_PARAMETERS
    ) -> Steps[Data]:
        """Invoke a method; return what comes back, None if nothing does."""
        what = f"class {method.class_id}, {method.obis}, method {method.method}"
        outcome = yield from self._invoke_whole(method, parameters)
        if outcome.result != 0:
            raise _refused(what, outcome.result)
        if isinstance(outcome.returned, Failure):
            raise _refused(what, outcome.returned.result)
        return None if outcome.returned is None else outcome.returned.data

    def _invoke_whole(self, method: Method, parameters: Data | NoParameters) -> Steps[Outcome]:
        invoke = self._next_invoke()
        request = ActionRequest(invoke, method, parameters).encode()
        room = self._longest - OVERHEAD
        if len(request) <= room or isinstance(parameters, NoParameters):
            answer = yield from self._ask(request, invoke)
        else:
            for block in _blocks(encode_data(parameters), room - OVERHEAD):
                if block.number == 1:
                    request = ActionRequestFirstBlock(invoke, method, block).encode()
                else:
                    request = ActionRequestBlock(invoke, block).encode()
                answer = yield from self._ask(request, invoke)
                if not isinstance(answer, ActionResponseNext):
                    break
                if answer.block != block.number:
                    raise UnexpectedAnswer(f"block {answer.block} is not the one that was sent")
        if isinstance(answer, ActionResponse):
            return answer.outcome
        if isinstance(answer, ActionResponseBlock):
            return (yield from self._collect_outcome(answer, invoke))
        raise UnexpectedAnswer("the meter does not answer the method")

    def _collect_outcome(self, answer: ActionResponseBlock, invoke: int) -> Steps[Outcome]:
        pieces: list[bytes] = []
        size, due = 0, 1
        while True:
            block = answer.block
            if block.number != due or not (block.piece or block.last):
                raise UnexpectedAnswer(f"block {block.number} where {due} is due")
            pieces.append(block.piece)
            size += len(block.piece)
            if size > self.settings.limits.message:
                raise LimitExceeded(
                    f"longer than {self.settings.limits.message} bytes", offset=size
                )
            if block.last:
                reader = Reader(b"".join(pieces), limits=self.settings.limits)
                outcome = Outcome.read(reader)
                reader.end()
                return outcome
            found = yield from self._ask(ActionRequestNext(invoke, due).encode(), invoke)
            if not isinstance(found, ActionResponseBlock):
                raise UnexpectedAnswer(f"the meter does not send block {due + 1}")
            answer, due = found, due + 1

    def access(
        self, accesses: Sequence[Access], data: Sequence[Data]
    ) -> Steps[tuple[tuple[Data, AccessOutcome], ...]]:
        """Read, write and invoke in one message; return what came back of each, and how it went.

        `data` has one for each: what is written or handed over, None for reading.
        """
        if Conformance.ACCESS not in self.conformance:
            raise EncodingError("the meter does not know this service: ACCESS")
        invoke = CONFIRMED << 24 | self._next_invoke() & 0x0F
        request = AccessRequest(invoke, b"", tuple(accesses), tuple(data))
        answer = yield from self._ask(request.encode(), invoke)
        if not isinstance(answer, AccessResponse):
            raise UnexpectedAnswer("the meter does not answer the access")
        if not len(answer.data) == len(answer.outcomes) == len(accesses):
            raise UnexpectedAnswer(f"{len(answer.outcomes)} results for {len(accesses)}")
        return tuple(zip(answer.data, answer.outcomes, strict=True))

    # One request and its answer

    def _next_invoke(self) -> int:
        self._invoke = (self._invoke + 1) % 16
        return CONFIRMED | self._invoke

    def _ask(self, request: bytes, invoke: int) -> Steps[Apdu]:
        """Return the answer to a request; what the meter sends unasked is put aside."""
        out = request
        if self._messaging is not None:
            out = self._messaging.protect(request, general=self.settings.general)
        while True:
            answer = self._opened((yield out))
            out = b""
            if isinstance(answer, DataNotification | EventNotification):
                self.notifications.append(answer)
                continue
            if isinstance(answer, ExceptionResponse):
                raise _exception(answer)
            if isinstance(answer, ConfirmedServiceError):
                raise ServiceRefused(f"the meter does not take the request: {answer.reason}")
            if getattr(answer, "invoke", invoke) & 0x0F != invoke & 0x0F:
                raise UnexpectedAnswer("the meter answers another request")
            return answer

    def _opened(self, wire: bytes) -> Apdu:
        """Return the message that came, checked and deciphered."""
        apdu = decode_apdu(wire, limits=self.settings.limits)
        if isinstance(apdu, GeneralCiphered | ServiceCiphered):
            if self._messaging is None:
                raise MissingKey("the meter protects its messages: its keys are needed")
            return decode_apdu(self._messaging.open(apdu), limits=self.settings.limits)
        # A meter that cannot read us says so without protection; nothing else is taken like that.
        if self._messaging is not None and not isinstance(
            apdu, ExceptionResponse | ConfirmedServiceError
        ):
            raise UnprotectedMessage("the meter answers without protection")
        return apdu


def _chosen(columns: tuple[CaptureObject, ...], part: Entries | Range) -> tuple[CaptureObject, ...]:
    """Return the columns that a part has."""
    if isinstance(part, Range):
        return part.columns or columns
    return columns[part.first_column - 1 : part.last_column or None]


def _portions(attributes: Sequence[Attribute], room: int) -> list[tuple[Attribute, ...]]:
    portions: list[list[Attribute]] = []
    left = 0
    for attribute in attributes:
        size = len(attribute.encode())
        if left < size or len(portions[-1]) == 100:
            portions.append([])
            left = room
        portions[-1].append(attribute)
        left -= size
    return [tuple(portion) for portion in portions]


def _blocks(value: bytes, size: int) -> list[DataBlock]:
    starts = range(0, len(value), size)
    return [
        DataBlock(start + size >= len(value), number, value[start : start + size])
        for number, start in enumerate(starts, 1)
    ]


def _name(attribute: Attribute) -> str:
    return f"class {attribute.class_id}, {attribute.obis}, attribute {attribute.attribute}"


def _refused(what: str, result: int) -> RequestRefused:
    kind = ObjectUndefined if result == AccessResult.OBJECT_UNDEFINED else RequestRefused
    return kind(what, result_name(result), int(result))


def _exception(answer: ExceptionResponse) -> WrongKey | ServiceRefused:
    if answer.service_error == 5:
        return WrongKey("the meter cannot decipher the request: are the keys of this meter?")
    more = "" if answer.counter is None else f"; it expects a counter of at least {answer.counter}"
    return ServiceRefused(f"the meter does not take the request: {answer.reason}{more}")


def _error_inside(answer: Aare) -> str:
    """Return what a refusal says beside its diagnostic."""
    information = bytes(answer.user_information or b"")
    if information[:1] == bytes([ConfirmedServiceError.tag]):
        inside = decode_apdu(information)
        if isinstance(inside, ConfirmedServiceError):
            return f" ({inside.reason})"
    return ""
