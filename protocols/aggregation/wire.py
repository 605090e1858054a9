# SPDX-License-Identifier: Apache-2.0
"""How the messages of a round are written down and signed.

    message   = CBOR [label, item, ...]                     the only encoding
    signed    = CBOR [message, signature]                   Ed25519 over the message

The label names the message and its version, so that no signature stands for two messages. A
message is a dataclass that declares its label and its items, in order, as fields:

    round: bytes = field(metadata=sized(32))                    checked at construction
    points: PointVector = field(metadata=written(encode, decode))   an item of bytes
    index: int                                                  bytes, int and str as they are
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, ClassVar, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.aggregation.errors import MalformedMessage
from protocols.canonical.cbor import CborError, CborItem, decode_array, encode_array

SIGNATURE_SIZE: Final = 64
DIGEST_SIZE: Final = 32
KEY_SIZE: Final = 32


def encode_message(label: str, *items: CborItem) -> bytes:
    """Return the message."""
    return encode_array([label, *items])


def decode_message(data: bytes, label: str) -> list[CborItem]:
    """Return the items after the label; raise `MalformedMessage` if it is another message."""
    try:
        items = decode_array(data)
    except CborError as error:
        raise MalformedMessage(f"not a message of type {label!r}: {error}") from None
    if not items or items[0] != label:
        raise MalformedMessage(f"not a message of type {label!r}")
    return items[1:]


def decode_signed(data: bytes) -> tuple[bytes, bytes]:
    """Return message and signature; raise `MalformedMessage` if that is not what `data` is."""
    try:
        items: Sequence[CborItem] = decode_array(data)
    except CborError as error:
        raise MalformedMessage(f"not a signed message: {error}") from None
    match items:
        case [bytes(message), bytes(signature)] if len(signature) == SIGNATURE_SIZE:
            return message, signature
        case _:
            raise MalformedMessage("not a message and its signature")


def require_size(name: str, value: bytes, size: int) -> None:
    """Raise `MalformedMessage` unless `value` has `size` bytes."""
    if len(value) != size:
        raise MalformedMessage(f"{name}: {len(value)} bytes, not {size}")


def cut(data: bytes, size: int) -> tuple[bytes, ...]:
    """Return pieces of `size` bytes; raise `MalformedMessage` if `data` is no whole number."""
    if len(data) % size:
        raise MalformedMessage(f"{len(data)} bytes are not a whole number of {size} bytes")
    return tuple(data[start : start + size] for start in range(0, len(data), size))


def sized(size: int) -> Mapping[str, Any]:
    """Return the metadata of a field of so many bytes."""
    return {"size": size}


def written(write: Callable[[Any], bytes], read: Callable[[bytes], Any]) -> Mapping[str, Any]:
    """Return the metadata of a field that is bytes on the wire; `read` may refuse them."""
    return {"write": write, "read": read}


@dataclass(frozen=True, slots=True)
class _MessageItem:
    """How a field stands in its message."""

    name: str
    kind: type
    size: int | None
    write: Callable[[Any], CborItem]
    read: Callable[[Any], Any]


def _items_of(cls: type) -> tuple[_MessageItem, ...]:
    return _declared(cls)


@cache
def _declared(cls: type) -> tuple[_MessageItem, ...]:
    return tuple(
        _MessageItem(
            declared.name,
            bytes if "read" in declared.metadata else declared.type,  # type: ignore[arg-type]
            declared.metadata.get("size"),
            declared.metadata.get("write", _unchanged),
            declared.metadata.get("read", _unchanged),
        )
        for declared in fields(cls)
        if declared.name != "signature"
    )


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class WireMessage:
    """A message whose items are its fields."""

    LABEL: ClassVar[str]

    def __post_init__(self) -> None:
        for item in _items_of(type(self)):
            if item.size is not None:
                require_size(item.name, getattr(self, item.name), item.size)
        self._check()

    @property
    def message(self) -> bytes:
        """The label and the items."""
        return encode_message(self.LABEL, *self._items())

    @property
    def digest(self) -> bytes:
        """SHA-256 of label and items, by which other messages name this one."""
        return hashlib.sha256(self.message).digest()

    def encode(self) -> bytes:
        """Return the message's bytes."""
        return self.message

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message of exactly these bytes; raise `MalformedMessage` otherwise."""
        return cls._of(decode_message(data, cls.LABEL))

    def _check(self) -> None:
        """Raise `MalformedMessage` for values that the message cannot have, beside sizes."""

    def _items(self) -> tuple[CborItem, ...]:
        return tuple(item.write(getattr(self, item.name)) for item in _items_of(type(self)))

    @classmethod
    def _of(cls, values: Sequence[CborItem], **signature: bytes) -> Self:
        items = _items_of(cls)
        if [type(value) for value in values] != [item.kind for item in items]:
            raise MalformedMessage(f"not a message of type {cls.LABEL!r}: other items than it has")
        return cls(
            *(item.read(value) for item, value in zip(items, values, strict=True)), **signature
        )


@dataclass(frozen=True, slots=True)
class SignedMessage(WireMessage):
    """A message with an Ed25519 signature over label and items; `signed` completes it."""

    signature: bytes = field(default=bytes(SIGNATURE_SIZE), kw_only=True)

    def __post_init__(self) -> None:
        require_size("signature", self.signature, SIGNATURE_SIZE)
        WireMessage.__post_init__(self)

    def signed(self, seed: bytes) -> Self:
        """Return the message, signed with the Ed25519 key of this seed."""
        return replace(
            self, signature=Ed25519PrivateKey.from_private_bytes(seed).sign(self.message)
        )

    def is_by(self, public_key: bytes) -> bool:
        """Return whether the holder of this key has signed it; False for bytes that are no key."""
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(self.signature, self.message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def encode(self) -> bytes:
        """Return message and signature."""
        return encode_array([self.message, self.signature])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message of exactly these bytes; raise `MalformedMessage` otherwise."""
        message, signature = decode_signed(data)
        return cls._of(decode_message(message, cls.LABEL), signature=signature)
