# SPDX-License-Identifier: Apache-2.0
"""The server's side of an association, without I/O.

A `LogicalDevice` has the clients that may ask, each with its address, its secrets and its table. It
opens a `ClientSession` for each connection. Until a client has proved who it is, it learns that the
device is there, and nothing of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Final

from dlms_codec.apdus import Apdu, decode_apdu
from dlms_codec.apdus.access import AccessRequest
from dlms_codec.apdus.acse import Aare, Aarq, Context, Diagnostic, Mechanism, Rlre, Rlrq
from dlms_codec.apdus.action import ActionRequest, ActionResponse, Outcome
from dlms_codec.apdus.addressing import ActionResult, Value
from dlms_codec.apdus.get import GetRequest, GetRequestList, GetRequestNext
from dlms_codec.apdus.initiate import Conformance, InitiateRequest, InitiateResponse
from dlms_codec.apdus.refusals import ConfirmedServiceError, ExceptionResponse
from dlms_codec.association_object import association_object
from dlms_codec.authentication import (
    CHALLENGE,
    NOBODY,
    PROVED,
    Credentials,
    Exchange,
    check_challenge,
    check_suite,
    prove,
    verify,
)
from dlms_codec.dialogue import REPLY_TO_CHALLENGE
from dlms_codec.errors import (
    DlmsError,
    EncodingError,
    MalformedDlms,
    ReplayedCounter,
    SecurityError,
    UnprotectedMessage,
)
from dlms_codec.objects import ObjectTable
from dlms_codec.options import Limits
from dlms_codec.protection import AUTHENTICATED, ENCRYPTED, GeneralCiphered, ServiceCiphered
from dlms_codec.secure_messaging import OVERHEAD, SecureMessaging, SendCounter, check_keys
from dlms_codec.security import KEY_SIZES, CounterGuard, Keys
from dlms_codec.services import SERVICE_UNKNOWN, TOO_LONG, Services
from dlms_codec.stream import NO_KEYS
from dlms_codec.wrong_passwords import WrongPasswords

OFFERED: Final = (
    Conformance.GENERAL_PROTECTION
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.ACCESS
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.ACTION
)
SERVER_LIMITS: Final = Limits(message=1 << 20, depth=16)
SHORTEST_APDU: Final = 128
"""Clients that take less are refused: blocks of a few bytes cost more than they carry."""
MOST_TITLES: Final = 16
"""How many system titles may use the keys of one client."""
MOST_BAD: Final = 8
"""So many messages that cannot be opened end an association."""

NOT_ALLOWED: Final = ExceptionResponse(1, 1)
CANNOT_DECIPHER: Final = ExceptionResponse(1, 5)
ACCEPTED: Final = Diagnostic(1, 0)
NO_REASON: Final = Diagnostic(1, 1)
WRONG_CONTEXT: Final = Diagnostic(1, 2)
WRONG_TITLE: Final = Diagnostic(1, 3)
WRONG_MECHANISM: Final = Diagnostic(1, 11)
FAILED: Final = Diagnostic(1, 13)
REQUIRED: Final = Diagnostic(1, 14)
FOR_GOOD: Final = 1
FOR_NOW: Final = 2
_AUTHENTICATION: Final = 0x80


class CounterGuards:
    """The counters of those who use one client's keys, by their system titles.

    A title is kept once a message of it had a right tag; at most 16.
    """

    def __init__(self, guards: Iterable[tuple[bytes, CounterGuard]] = ()) -> None:
        self._guards = dict(guards)

    def of(self, title: bytes) -> CounterGuard:
        """Return the guard of a title; a new one is kept when `keep` is called."""
        return self._guards.get(title) or CounterGuard()

    @property
    def highest(self) -> int:
        """The highest counter that was used: a client that lost its own goes on behind it."""
        return max((guard.last for guard in self._guards.values()), default=0)

    def keep(self, title: bytes, guard: CounterGuard) -> None:
        """Keep the guard of a title that has shown the key."""
        if title not in self._guards and len(self._guards) >= MOST_TITLES:
            raise SecurityError("too many system titles use this key")
        self._guards[title] = guard


@dataclass(frozen=True, slots=True)
class AccessOfClient:
    """A client that may ask: how it proves who it is, how messages are protected, what it sees.

    With a policy, messages have a tag and are enciphered; without, keys are for gmac alone. Clients
    that share a key must share `counter`.
    """

    table: ObjectTable
    credentials: Credentials = NOBODY
    keys: Keys = NO_KEYS
    suite: int = 0
    policy: int = 0
    """What both ways must have: 10 a tag, 30 a tag and ciphering; 0: nothing."""
    title: bytes | None = None
    """The client's system title; None: any, once it has shown the key."""
    counter: SendCounter | None = None
    """Of what the server sends with these keys, for as long as they live."""
    guards: CounterGuards = field(default_factory=CounterGuards)
    is_allowed: Callable[[], bool] = lambda: True
    """Whether the client may still ask; where not, it gets no association, and its own one ends."""

    def __post_init__(self) -> None:
        if self.policy not in (0, AUTHENTICATED, AUTHENTICATED | ENCRYPTED):
            raise EncodingError("a policy is 0, 10 (a tag) or 30 (a tag and ciphering)")
        needs_keys = self.policy or self.credentials.mechanism is Mechanism.GMAC
        if needs_keys and (self.keys.encryption is None or self.keys.authentication is None):
            raise EncodingError("the encryption key and the authentication key are needed")
        if needs_keys and self.counter is None:
            raise EncodingError("keys need a counter that outlives the server: SendCounter")
        check_keys(self.keys, self.suite)
        check_suite(self.credentials, self.suite)

    @property
    def needs_title(self) -> bool:
        """Whether the client must say its system title."""
        unnamed = (Mechanism.LOWEST, Mechanism.LOW, Mechanism.MD5, Mechanism.SHA1)
        return bool(self.policy) or self.credentials.mechanism not in unnamed


@dataclass(slots=True)
class LogicalDevice:
    """What answers at one address: its name, its title, and its clients by their addresses."""

    system_title: bytes
    clients: dict[int, AccessOfClient]
    random: Callable[[int], bytes]
    passwords: WrongPasswords
    longest: int = 0xFFFF
    """The longest message that it takes and sends."""
    limits: Limits = SERVER_LIMITS

    def __post_init__(self) -> None:
        if len(self.system_title) != 8:
            raise EncodingError("the system title of a device has 8 bytes")

    def session(self, client: int, address: str) -> ClientSession | None:
        """Return what answers a client; `address` is where it comes from, for wrong passwords."""
        access = self.clients.get(client)
        return None if access is None else ClientSession(self, client, access, address)


@dataclass(slots=True)
class _Association:
    """What was agreed on with a client."""

    conformance: Conformance
    room: int
    """The longest answer before it is protected."""
    title: bytes
    messaging: SecureMessaging | None
    challenges: tuple[bytes, bytes] | None = None
    """The client's and ours, until it has proved who it is."""
    services: Services | None = None
    """None until then."""
    bad: int = 0


class _Refusal(Exception):
    """Why an association is refused."""

    def __init__(self, diagnostic: Diagnostic, result: int = FOR_GOOD, error: int = 0) -> None:
        self.diagnostic, self.result, self.error = diagnostic, result, error


class ClientSession:
    """Answers one client, on one connection."""

    def __init__(
        self, device: LogicalDevice, client: int, access: AccessOfClient, address: str
    ) -> None:
        self._device = device
        self._client = client
        self._access = access
        self._address = address
        self._association: _Association | None = None

    @property
    def is_associated(self) -> bool:
        """Whether the client has proved who it is."""
        return self._association is not None and self._association.services is not None

    def answer(self, apdu: bytes) -> bytes:
        """Return the answer to a message; empty if it wants none."""
        if len(apdu) > self._device.longest:
            return TOO_LONG.encode()
        try:
            message = decode_apdu(apdu, limits=self._device.limits)
        except MalformedDlms:
            return SERVICE_UNKNOWN.encode()
        if isinstance(message, Aarq):
            return self._associate(message)
        if isinstance(message, Rlrq):
            return self._release(message)
        association = self._association
        if association is None:
            return NOT_ALLOWED.encode()
        if isinstance(message, GeneralCiphered | ServiceCiphered):
            return self._protected(message, association)
        if association.messaging is not None:
            return NOT_ALLOWED.encode()
        return self._serve(message, association)

    @property
    def _is_guessable(self) -> bool:
        """Whether a stranger could try passwords; nobody guesses a key, or is kept out for that."""
        return self._access.credentials.mechanism not in (Mechanism.GMAC, Mechanism.ECDSA)

    # Messages

    def _protected(
        self, message: GeneralCiphered | ServiceCiphered, association: _Association
    ) -> bytes:
        messaging = association.messaging
        if messaging is None:
            return NOT_ALLOWED.encode()
        try:
            inside = decode_apdu(messaging.open(message), limits=self._device.limits)
        except ReplayedCounter as error:
            return _counter_error(error).encode()
        except UnprotectedMessage:
            return NOT_ALLOWED.encode()
        except SecurityError:
            association.bad += 1
            if association.bad >= MOST_BAD:
                self._association = None
            return CANNOT_DECIPHER.encode()
        except MalformedDlms:
            return SERVICE_UNKNOWN.encode()
        answer = self._serve(inside, association)
        if not answer:
            return b""
        general = isinstance(message, GeneralCiphered)
        return messaging.protect(answer, general=general, dedicated=message.dedicated)

    def _serve(self, request: Apdu, association: _Association) -> bytes:
        if association.services is None:
            if isinstance(request, ActionRequest) and request.method == REPLY_TO_CHALLENGE:
                return self._check_proof(request, association)
            return NOT_ALLOWED.encode()
        if not self._access.is_allowed():
            self._association = None
            return NOT_ALLOWED.encode()
        answer = association.services.answer(request)
        # A client may write or invoke without wanting to know how it went (a bit of the invoke id).
        confirmed = getattr(request, "invoke", 0x40) & (
            0x40000000 if isinstance(request, AccessRequest) else 0x40
        )
        reads = isinstance(request, GetRequest | GetRequestNext | GetRequestList)
        return answer if confirmed or reads else b""

    # The association

    def _associate(self, aarq: Aarq) -> bytes:
        self._association = None
        try:
            association = self._agreed(aarq)
        except _Refusal as refusal:
            return self._refusal(aarq, refusal).encode()
        except ReplayedCounter as error:
            return _counter_error(error).encode()
        except SecurityError:
            return CANNOT_DECIPHER.encode()
        except DlmsError:
            return self._refusal(aarq, _Refusal(NO_REASON)).encode()
        self._association = association
        initiate = InitiateResponse(association.conformance, self._device.longest).encode()
        if association.messaging is not None:
            initiate = association.messaging.protect(initiate, dedicated=False)
        proved = association.challenges is not None
        named = self._access.credentials.mechanism is not Mechanism.LOWEST
        return Aare(
            aarq.context,
            0,
            REQUIRED if proved else ACCEPTED,
            initiate,
            self._device.system_title,
            _AUTHENTICATION if named else None,
            self._access.credentials.mechanism if named else None,
            association.challenges[1] if association.challenges is not None else None,
        ).encode()

    def _agreed(self, aarq: Aarq) -> _Association:
        """Return what is agreed upon; raise if the client may not, or is not the one."""
        access, device = self._access, self._device
        mechanism = access.credentials.mechanism
        wanted = Context.LOGICAL_NAMES_CIPHERED if access.policy else Context.LOGICAL_NAMES
        if aarq.context != wanted:
            raise _Refusal(WRONG_CONTEXT)
        asked = Mechanism.LOWEST if aarq.mechanism is None else aarq.mechanism
        if asked != mechanism:
            raise _Refusal(REQUIRED if aarq.mechanism is None else WRONG_MECHANISM)
        if self._is_guessable and device.passwords.must_wait(self._address, self._client):
            raise _Refusal(NO_REASON, FOR_NOW)  # nothing is looked at, right or wrong
        title = bytes(aarq.system_title or b"")
        if (access.needs_title and len(title) != 8) or title == device.system_title:
            raise _Refusal(WRONG_TITLE)
        if access.title is not None and title != access.title:
            raise _Refusal(WRONG_TITLE)
        messaging = self._messaging(title)
        initiate = self._initiate(aarq, messaging, title)
        if not access.is_allowed():
            raise _Refusal(NO_REASON)
        if mechanism is Mechanism.LOW:
            secret = access.credentials.secret or b""
            if not compare_digest(bytes(aarq.authentication or b""), secret):
                device.passwords.wrong(self._address, self._client)
                raise _Refusal(FAILED)
            device.passwords.right(self._address)
        if messaging is not None and initiate.dedicated_key is not None:
            messaging.keys = replace(access.keys, dedicated=bytes(initiate.dedicated_key))
        room = min(initiate.longest or 0xFFFF, device.longest) - (OVERHEAD if messaging else 0)
        association = _Association(OFFERED & initiate.conformance, room, title, messaging)
        if mechanism in PROVED:
            theirs = check_challenge(aarq.authentication)
            association.challenges = (theirs, device.random(CHALLENGE))
        else:
            self._begin_services(association)
        return association

    def _messaging(self, title: bytes) -> SecureMessaging | None:
        access = self._access
        if not access.policy or access.counter is None:
            return None
        guard = access.guards.of(title)
        return SecureMessaging(
            access.keys, self._device.system_title, title, access.counter, guard,
            access.suite, access.policy,
        )  # fmt: skip

    def _initiate(
        self, aarq: Aarq, messaging: SecureMessaging | None, title: bytes
    ) -> InitiateRequest:
        """Return what the client proposes."""
        message = decode_apdu(bytes(aarq.user_information or b""), limits=self._device.limits)
        if messaging is not None:
            if not isinstance(message, GeneralCiphered | ServiceCiphered) or message.dedicated:
                raise _Refusal(NO_REASON)
            inside = messaging.open(message)
            self._access.guards.keep(title, messaging.received)
            message = decode_apdu(inside, limits=self._device.limits)
        if not isinstance(message, InitiateRequest):
            raise _Refusal(NO_REASON)
        if message.version < 6:
            raise _Refusal(NO_REASON, error=1)
        if 0 < message.longest < SHORTEST_APDU:
            raise _Refusal(NO_REASON, error=3)
        key = message.dedicated_key
        if key is not None and (messaging is None or len(key) != KEY_SIZES[self._access.suite]):
            raise _Refusal(NO_REASON)
        return message

    def _refusal(self, aarq: Aarq, refusal: _Refusal) -> Aare:
        error = ConfirmedServiceError(1, 6, refusal.error).encode() if refusal.error else None
        return Aare(aarq.context, refusal.result, refusal.diagnostic, error)

    def _begin_services(self, association: _Association) -> None:
        access = self._access
        own = association_object(
            access.table,
            client=self._client,
            mechanism=access.credentials.mechanism,
            ciphered=bool(access.policy),
            conformance=association.conformance,
            longest=self._device.longest,
        )
        table = ObjectTable([own, *access.table])
        association.services = Services(
            table, association.room, self._device.limits, association.conformance
        )

    def _check_proof(self, request: ActionRequest, association: _Association) -> bytes:
        """Check the client's answer to our challenge, once, and answer its own."""
        challenges, association.challenges = association.challenges, None
        try:
            if challenges is None or not isinstance(request.parameters, bytes):
                raise SecurityError("no answer to a challenge")
            back = self._proofs(bytes(request.parameters), challenges, association.title)
        except SecurityError:
            self._device.passwords.wrong(self._address, self._client)
            self._association = None
            outcome = Outcome(ActionResult.READ_WRITE_DENIED)
        else:
            self._device.passwords.right(self._address)
            self._begin_services(association)
            outcome = Outcome(ActionResult.SUCCESS, Value(back))
        return ActionResponse(request.invoke, outcome).encode()

    def _proofs(self, answer: bytes, challenges: tuple[bytes, bytes], title: bytes) -> bytes:
        access, own_title = self._access, self._device.system_title
        client_challenge, own_challenge = challenges
        theirs = Exchange(title, own_title, own_challenge, client_challenge)
        used = verify(access.credentials, theirs, answer, access.keys)
        if used is not None and not access.policy:
            # With a policy, the message around it has taken its counter already.
            guard = access.guards.of(title)
            guard.take(used)
            access.guards.keep(title, guard)
        gmac = access.credentials.mechanism is Mechanism.GMAC
        counter = access.counter.take() if gmac and access.counter is not None else 0
        ours = Exchange(own_title, title, client_challenge, own_challenge)
        return prove(access.credentials, ours, access.keys, suite=access.suite, counter=counter)

    def _release(self, rlrq: Rlrq) -> bytes:
        """End the association; who cannot show its key does not end another's."""
        association, self._association = self._association, None
        if association is None:
            return NOT_ALLOWED.encode()
        if association.messaging is None:
            return Rlre(0).encode()
        try:
            message = decode_apdu(bytes(rlrq.user_information or b""), limits=self._device.limits)
            if not isinstance(message, GeneralCiphered | ServiceCiphered):
                raise UnprotectedMessage("a release without protection")
            association.messaging.open(message)
        except DlmsError:
            # A meter stays associated; here the connection is the client's own, and may end.
            return Rlre(0).encode()
        answer = InitiateResponse(association.conformance, self._device.longest).encode()
        return Rlre(0, association.messaging.protect(answer, dedicated=False)).encode()


def _counter_error(error: ReplayedCounter) -> ExceptionResponse:
    return ExceptionResponse(1, 6, min(error.last + 1, 0xFFFFFFFF))
