# SPDX-License-Identifier: Apache-2.0
"""What readers over a codec's decoder have in common: bytes in, telegrams and losses out."""

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from hub.meters.telegrams import Heard

Found = TypeVar("Found")
Found_co = TypeVar("Found_co", covariant=True)


class Decoder(Protocol[Found_co]):
    """Finds what a stream holds, in pieces of any size."""

    def feed(self, data: bytes, /) -> Found_co:
        """Return what these bytes complete."""
        ...

    def close(self) -> Found_co:
        """Return what is left at the end."""
        ...


class DecodingReader(ABC, Generic[Found]):
    """A `Reader` (`hub.meters.telegrams`): its decoder finds, `_heard` says what that means."""

    _decoder: Decoder[Found]

    def feed(self, data: bytes) -> Heard:
        """Return what the telegrams say that these bytes complete."""
        return self._heard(self._decoder.feed(data))

    def close(self) -> Heard:
        """Return what is left at the end."""
        return self._heard(self._decoder.close())

    @abstractmethod
    def _heard(self, found: Found) -> Heard:
        """Return what the decoder's findings say."""
