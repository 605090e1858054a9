# SPDX-License-Identifier: Apache-2.0
"""What triggers an agent, and what it has stored: the parameters of administration sessions.

    trigger   81 ( 83 session [B3 DNS] )              everything may be left out
    stored    85 ( session, 8A, 8B )    all at once
              A5 ( ... )                single ones; an empty value deletes

    session   84 connection    TLVs of OPEN CHANNEL (ETSI TS 102 223)
              85 security      length | PSK identity | 02 | KVN | KID [| SHA type]; A5: several 85
              86 retries       counter (2) | timer (5) [| report of failure]
              89 POST          8A Host | 8B X-Admin-From | 8C URI
    stored    8A retries of connections   counter (2) | timer (5)
              8B inactivity               timer (5)
    timer     25 03 hh mm ss, each with its semi-octets swapped: 5 min is 25 03 00 50 00

(GPC_SPE_011 v1.2, 3.7 and 3.8.) What a trigger leaves out comes from the triggered security domain,
then from the issuer's (`complete`). 8A and 8B mean other things inside 89. Decoding is strict.

Errors: MalformedParameters
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self, TypeVar

from protocols.iso7816.errors import MalformedTlv
from protocols.iso7816.tlv import Tlv
from protocols.remote_admin.agent import RetryPolicy
from protocols.remote_admin.errors import MalformedParameters

TRIGGER, SESSION, DNS = 0x81, 0x83, 0xB3
CONNECTION, SECURITY, SEVERAL, RETRIES, POST = 0x84, 0x85, 0xA5, 0x86, 0x89
HOST, FROM, URI = 0x8A, 0x8B, 0x8C
STORED, STORED_SINGLE = 0x85, 0xA5
CONNECTION_RETRIES, INACTIVITY = 0x8A, 0x8B
TIMER: Final = bytes((0x25, 3))
TCP_CLIENT: Final = 0x02
ADDRESS, TRANSPORT = 0x3E, 0x3C
_IPV4, _IPV6 = 0x21, 0x57
ValueT = TypeVar("ValueT")
_OPTIONAL: Final = 0x7F
"""Without the bit that says whether a TLV of OPEN CHANNEL must be understood."""


def encode_timer(seconds: int) -> bytes:
    """Return a wait of less than a hundred hours as a whole TLV."""
    if not 0 <= seconds < 100 * 3600:
        raise MalformedParameters(f"{seconds} seconds are no timer")
    parts = (seconds // 3600, seconds // 60 % 60, seconds % 60)
    return TIMER + bytes(part % 10 << 4 | part // 10 for part in parts)


def decode_timer(data: bytes) -> int:
    """Return a timer's seconds."""
    if len(data) != 5 or data[:2] != TIMER:
        raise MalformedParameters("not a timer")
    values = []
    for byte, limit in zip(data[2:], (100, 60, 60), strict=True):
        ones, tens = byte >> 4, byte & 0x0F  # swapped: the low digit comes first
        if ones > 9 or tens > 9 or 10 * tens + ones >= limit:
            raise MalformedParameters("a timer's digits are none")
        values.append(10 * tens + ones)
    hours, minutes, seconds = values
    return 3600 * hours + 60 * minutes + seconds


@dataclass(frozen=True, slots=True)
class Retries:
    """How often to try again, and how long to wait before."""

    count: int
    wait_seconds: int
    report: bytes = b""
    """How a failure is reported (OMA SCWS, 13.3.2.9.7); opaque here."""

    def encode(self) -> bytes:
        """Return the value of tag 86, or of 8A beside it."""
        if not 0 <= self.count <= 0xFFFF:
            raise MalformedParameters(f"{self.count} is no number of retries")
        return self.count.to_bytes(2, "big") + encode_timer(self.wait_seconds) + self.report

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Return what a value says."""
        if len(value) < 7:
            raise MalformedParameters("retries are cut off")
        return cls(int.from_bytes(value[:2], "big"), decode_timer(value[2:7]), value[7:])


@dataclass(frozen=True, slots=True)
class Security:
    """The pre-shared key of a session, by its identity and place."""

    identity: bytes
    key_version: int
    key_id: int
    sha_type: int | None = None
    """Of TLS 1.3 alone; None: SHA-256."""

    def encode(self) -> bytes:
        """Return the value of tag 85."""
        if not 1 <= len(self.identity) <= 0xFF:
            raise MalformedParameters("a PSK identity has 1 to 255 bytes")
        sha = b"" if self.sha_type is None else bytes((self.sha_type,))
        place = bytes((2, self.key_version, self.key_id))
        return bytes((len(self.identity),)) + self.identity + place + sha

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Return what a value says."""
        end = 1 + value[0] if value else 0
        rest = value[end:]
        if end < 2 or len(rest) not in (3, 4) or rest[0] != 2:
            raise MalformedParameters("not an identity and the place of its key")
        return cls(value[1:end], rest[1], rest[2], rest[3] if len(rest) == 4 else None)


@dataclass(frozen=True, slots=True)
class Connection:
    """The server's place, as OPEN CHANNEL has it: TLVs in their order, opaque but for these."""

    nodes: tuple[Tlv, ...]

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The server's address, where one is there."""
        for node in self.nodes:
            if node.tag & _OPTIONAL == ADDRESS:
                return ipaddress.ip_address(node.value[1:])
        return None

    @property
    def port(self) -> int | None:
        """The server's TCP port, where one is there."""
        for node in self.nodes:
            if node.tag & _OPTIONAL == TRANSPORT:
                return int.from_bytes(node.value[1:], "big")
        return None

    def encode(self) -> bytes:
        """Return the value of tag 84."""
        return b"".join(node.encode() for node in self.nodes)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Return what a value says."""
        nodes = tuple(_nodes(value))
        seen = [node.tag & _OPTIONAL for node in nodes]
        if len(set(seen)) != len(seen):
            raise MalformedParameters("a part of the connection comes twice")
        for node in nodes:
            match node.tag & _OPTIONAL:
                case tag if tag == ADDRESS:
                    sizes = {_IPV4: 5, _IPV6: 17}
                    if not node.value or sizes.get(node.value[0]) != len(node.value):
                        raise MalformedParameters("not the address of a server")
                case tag if tag == TRANSPORT:
                    if len(node.value) != 3 or node.value[0] != TCP_CLIENT:
                        raise MalformedParameters("not a TCP client and a port")
        return cls(nodes)


@dataclass(frozen=True, slots=True)
class PostParameters:
    """What the first POST says; None: left out."""

    host: str | None = None
    agent: str | None = None
    uri: str | None = None

    def encode(self) -> bytes:
        """Return the value of tag 89."""
        named = ((HOST, self.host), (FROM, self.agent), (URI, self.uri))
        return b"".join(Tlv(tag, text.encode()).encode() for tag, text in named if text is not None)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Return what a value says."""
        texts: dict[int, str] = {}
        for tag, content in _in_order(value, (HOST, FROM, URI)).items():
            if not content.isascii() or not content or min(content) < 0x21:
                raise MalformedParameters(f"tag {tag:02X} of a POST is not printable text")
            texts[tag] = content.decode("ascii")
        return cls(texts.get(HOST), texts.get(FROM), texts.get(URI))


@dataclass(frozen=True, slots=True)
class SessionParameters:
    """The parameters of a session; None, or nothing: left out."""

    connection: Connection | None = None
    security: tuple[Security, ...] = ()
    """Several are for TLS 1.3; an older TLS uses the first."""
    retries: Retries | None = None
    post: PostParameters | None = None

    def nodes(self) -> list[Tlv]:
        """Return them as TLVs, in the order of their tags."""
        found = []
        if self.connection is not None:
            found.append(Tlv(CONNECTION, self.connection.encode()))
        if len(self.security) == 1:
            found.append(Tlv(SECURITY, self.security[0].encode()))
        elif self.security:
            several = [Tlv(SECURITY, one.encode()) for one in self.security]
            found.append(Tlv.of(SEVERAL, several))
        if self.retries is not None:
            found.append(Tlv(RETRIES, self.retries.encode()))
        if self.post is not None:
            found.append(Tlv(POST, self.post.encode()))
        return found

    @classmethod
    def of(cls, values: dict[int, bytes]) -> Self:
        """Return what values by tag say."""
        if SECURITY in values and SEVERAL in values:
            raise MalformedParameters("security parameters are given once, single or several")
        security: tuple[Security, ...] = ()
        if SECURITY in values:
            security = (Security.decode(values[SECURITY]),)
        elif SEVERAL in values:
            inner = list(_nodes(values[SEVERAL]))
            if len(inner) < 2 or any(node.tag != SECURITY for node in inner):
                raise MalformedParameters("several security parameters are two or more of tag 85")
            security = tuple(Security.decode(node.value) for node in inner)
        connection, retries = values.get(CONNECTION), values.get(RETRIES)
        post = values.get(POST)
        return cls(
            None if connection is None else Connection.decode(connection),
            security,
            None if retries is None else Retries.decode(retries),
            None if post is None else PostParameters.decode(post),
        )


_SESSION_TAGS: Final = (CONNECTION, SECURITY, SEVERAL, RETRIES, POST)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A message that asks an agent to begin a session."""

    session: SessionParameters = SessionParameters()
    dns: bytes = b""
    """How the server's name is resolved (tag B3): opaque here."""

    def encode(self) -> bytes:
        """Return the message."""
        nodes = self.session.nodes()
        parts = [Tlv.of(SESSION, nodes)] if nodes else []
        if self.dns:
            parts.append(Tlv(DNS, self.dns))
        return Tlv.of(TRIGGER, parts).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what a message says; raise `MalformedParameters` for anything else."""
        nodes = list(_nodes(data))
        if len(nodes) != 1 or nodes[0].tag != TRIGGER:
            raise MalformedParameters("not one trigger")
        parts = _in_order(nodes[0].value, (SESSION, DNS))
        values = _in_order(parts.get(SESSION, b""), _SESSION_TAGS)
        if parts.get(SESSION) == b"" or parts.get(DNS) == b"":
            raise MalformedParameters("an empty part is left out")
        return cls(SessionParameters.of(values), parts.get(DNS, b""))


@dataclass(frozen=True, slots=True)
class StoredParameters:
    """What a security domain has stored."""

    session: SessionParameters = SessionParameters()
    connection_retries: Retries | None = None
    inactivity_seconds: int | None = None

    def nodes(self) -> list[Tlv]:
        """Return them as TLVs, in the order of their tags."""
        found = self.session.nodes()
        if self.connection_retries is not None:
            found.append(Tlv(CONNECTION_RETRIES, self.connection_retries.encode()))
        if self.inactivity_seconds is not None:
            found.append(Tlv(INACTIVITY, encode_timer(self.inactivity_seconds)))
        # The tag of several security parameters is the highest of all.
        return sorted(found, key=lambda node: _STORED_TAGS.index(node.tag))

    def encode(self) -> bytes:
        """Return the whole set in tag 85, as STORE DATA takes it and GET DATA 0085 gives it."""
        return Tlv.of(STORED, self.nodes()).encode()

    def single(self, tag: int) -> bytes:
        """Return one of them in tag A5, as GET DATA 00A5 gives it; empty where it is not there."""
        if tag not in _STORED_TAGS:
            raise MalformedParameters(f"no such parameter: tag {tag:02X}")
        return Tlv.of(STORED_SINGLE, [node for node in self.nodes() if node.tag == tag]).encode()

    def store(self, data: bytes) -> "StoredParameters":
        """Return what is stored after a TLV: tag 85 puts the whole set in place, A5 single ones.

        An empty 85 deletes all; an empty value inside A5 deletes that one.
        """
        nodes = list(_nodes(data))
        if len(nodes) != 1 or nodes[0].tag not in (STORED, STORED_SINGLE):
            raise MalformedParameters("not one set of parameters")
        given = _in_order(nodes[0].value, _STORED_TAGS)
        if nodes[0].tag == STORED:
            return _stored(given)
        values = {node.tag: node.value for node in self.nodes()}
        for tag, value in given.items():
            # One takes the other's place: they never stand together.
            for rival in {SECURITY, SEVERAL} if tag in (SECURITY, SEVERAL) else {tag}:
                values.pop(rival, None)
            if value:
                values[tag] = value
        return _stored(values)

    @classmethod
    def decode(cls, data: bytes) -> "StoredParameters":
        """Return the whole set in a tag 85."""
        nodes = list(_nodes(data))
        if len(nodes) != 1 or nodes[0].tag != STORED:
            raise MalformedParameters("not one set of parameters")
        return cls().store(data)

    @property
    def policy(self) -> RetryPolicy:
        """How often an agent tries again; nothing is tried where nothing is set (3.12)."""
        connections, sessions = self.connection_retries, self.session.retries
        return RetryPolicy(
            0 if connections is None else connections.count,
            0 if connections is None else connections.wait_seconds,
            0 if sessions is None else sessions.count,
            0 if sessions is None else sessions.wait_seconds,
            self.inactivity_seconds,
        )


_STORED_TAGS: Final = (
    CONNECTION, SECURITY, SEVERAL, RETRIES, POST, CONNECTION_RETRIES, INACTIVITY,
)  # fmt: skip


def _stored(values: dict[int, bytes]) -> StoredParameters:
    retries, inactivity = values.get(CONNECTION_RETRIES), values.get(INACTIVITY)
    known = None if retries is None else Retries.decode(retries)
    if known is not None and known.report:
        raise MalformedParameters("retries of connections have no report")
    return StoredParameters(
        SessionParameters.of({tag: one for tag, one in values.items() if tag in _SESSION_TAGS}),
        known,
        None if inactivity is None else decode_timer(inactivity),
    )


def complete(trigger: Trigger, *stored: StoredParameters) -> StoredParameters:
    """Return all that a session needs: from the trigger, else from the first that has it.

    `stored` are the triggered security domain's, then the issuer's. Raises `MalformedParameters`
    where a connection, security or a part of the POST is missing everywhere: the trigger is
    refused. Retries and inactivity may be missing.
    """
    sessions = [trigger.session, *(one.session for one in stored)]
    posts = [one.post for one in sessions if one.post is not None]
    texts = {
        field.name: _first([getattr(post, field.name) for post in posts], f"POST: {field.name}")
        for field in fields(PostParameters)
    }
    security = _first([one.security or None for one in sessions], "security")
    return StoredParameters(
        SessionParameters(
            _first([one.connection for one in sessions], "connection"),
            security,
            next((one.retries for one in sessions if one.retries is not None), None),
            PostParameters(**texts),
        ),
        next((one.connection_retries for one in stored if one.connection_retries), None),
        next(
            (one.inactivity_seconds for one in stored if one.inactivity_seconds is not None), None
        ),
    )


def _first(values: Sequence[ValueT | None], what: str) -> ValueT:
    for value in values:
        if value is not None:
            return value
    raise MalformedParameters(f"{what} is nowhere: the trigger is refused")


def _nodes(data: bytes) -> list[Tlv]:
    try:
        return list(Tlv.decode_all(data))
    except MalformedTlv as error:
        raise MalformedParameters(str(error)) from None


def _in_order(data: bytes, tags: tuple[int, ...]) -> dict[int, bytes]:
    """Return values by tag: each of these once at most, in this order."""
    values: dict[int, bytes] = {}
    place = -1
    for node in _nodes(data):
        if node.tag not in tags or tags.index(node.tag) <= place:
            raise MalformedParameters(f"tag {node.tag:02X} is unknown here, or out of order")
        place = tags.index(node.tag)
        values[node.tag] = node.value
    return values
