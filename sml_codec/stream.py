# SPDX-License-Identifier: Apache-2.0
"""From a stream of bytes to messages: `transport` and `codec` in one."""

from __future__ import annotations

from threading import get_ident

from sml_codec import _make as make
from sml_codec.codec import FileReader, decode_file, shared_reader
from sml_codec.errors import ChecksumMismatch, MalformedSml, UnsupportedVersion
from sml_codec.files import Telegram
from sml_codec.frames import START, Damage, DamageKind, Frame
from sml_codec.messages import Message
from sml_codec.options import DEFAULT_LIMITS, Limits, Quirk
from sml_codec.quirks import SignFaults
from sml_codec.transport import FrameDecoder


class StreamDecoder:
    """Turns a stream into telegrams.

    A damaged frame comes as a telegram too: its messages, if any, have the right checksum of their
    own, but how many are missing is not known.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        quirks: Quirk = Quirk.ALL,
        reader: FileReader | None = None,
        sign_faults: SignFaults | None = None,
    ) -> None:
        """`reader` is for going on with what another stream of the same meter taught.

        `sign_faults` says which DZG meters send wrong signs, instead of `Quirk.DZG_SIGN`.
        """
        self._frames = FrameDecoder(limits=limits, quirks=quirks)
        self._files = reader or FileReader(limits=limits, quirks=quirks, sign_faults=sign_faults)

    def feed(self, data: bytes) -> list[Telegram]:
        """Take the next bytes; return the telegrams that they complete."""
        return [self._telegram(frame) for frame in self._frames.feed(data)]

    def close(self) -> list[Telegram]:
        """End the stream; return what it cuts off."""
        return [self._telegram(frame) for frame in self._frames.close()]

    def _telegram(self, frame: Frame | Damage) -> Telegram:
        return make.telegram(frame, self._files.read(frame.payload))


def decode_stream(
    data: bytes, *, limits: Limits = DEFAULT_LIMITS, quirks: Quirk = Quirk.ALL
) -> list[Telegram]:
    """Return the telegrams of a whole capture, intact and damaged, in order."""
    reader = shared_reader(limits, quirks, get_ident())
    decoder = StreamDecoder(limits=limits, quirks=quirks, reader=reader)
    return decoder.feed(data) + decoder.close()


def decode_frame(
    data: bytes, *, limits: Limits = DEFAULT_LIMITS, quirks: Quirk = Quirk.ALL
) -> list[Message]:
    """Return the messages of exactly one frame.

    Raises `UnsupportedVersion`, `ChecksumMismatch` or `MalformedSml` for anything else.
    """
    decoder = FrameDecoder(limits=limits, quirks=quirks)
    match decoder.feed(data) + decoder.close():
        case [Frame(wire=wire, payload=payload)] if len(wire) == len(data):
            return decode_file(payload, limits=limits, quirks=quirks)
        case [Damage(kind=DamageKind.VERSION_2, offset=offset), *_]:
            raise UnsupportedVersion(offset=offset)
        case [Damage(reasons=("frame crc",)) as damage]:
            raise ChecksumMismatch("frame", offset=damage.offset + damage.length)
        case [Damage(reasons=reasons) as damage]:
            raise MalformedSml(", ".join(reasons), offset=damage.offset)
        case _:
            raise MalformedSml(
                "not exactly one frame", offset=0 if data[:8] != START else len(data)
            )
