# SPDX-License-Identifier: Apache-2.0
"""What a host wants of a card, step by step, whoever carries the bytes.

A `Conversation` is a generator: it yields what is to be sent and is given what came back. So the
same code talks to a card behind a socket (`converse`) and to one that fetches its commands in an
answer to a POST (`protocols.remote_admin`).

    Transmit(apdus)   --> the answers, in order; fewer than commands where the carrier has stopped
    Pause()           --> nothing: the card works, and is to be asked again later

A carrier sends the commands of one `Transmit` in order, and stops after an answer that is neither
9000 nor a warning; the conversation sends the rest itself if it still wants to.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

ResultT = TypeVar("ResultT")
_FINE: Final = 0x90
_WARNINGS: Final = frozenset({0x62, 0x63})
_ENDING: Final = frozenset({(0x63, 0x00), (0x62, 0xF1)})
"""Warnings that are more: somebody has not authenticated; an answer was cut off."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """Commands for the card, one at least."""

    apdus: tuple[bytes, ...]
    selects: bytes = b""
    """The AID that the one command selects; a carrier that selects by other means leaves it out."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The card is still working: a carrier goes on with the conversation later, or begins anew."""


Step = Transmit | Pause
Conversation = Generator[Step, Sequence[bytes], ResultT]


class CardPauses(Exception):
    """A card works on its answer, and whoever carries the bytes cannot wait here."""


def goes_on(answer: bytes) -> bool:
    """Whether the next command of a step is sent after this answer."""
    if len(answer) < 2:
        return False
    first, second = answer[-2:]
    return first == _FINE or (first in _WARNINGS and (first, second) not in _ENDING)


def converse(conversation: Conversation[ResultT], transmit: Callable[[bytes], bytes]) -> ResultT:
    """Carry a conversation over a function that takes one APDU there and the answer back.

    Raises `CardPauses` where the card wants to be asked again later. What `transmit` raises is
    raised inside the conversation.
    """
    try:
        step = next(conversation)
        while True:
            if isinstance(step, Pause):
                raise CardPauses
            answers: list[bytes] = []
            try:
                for apdu in step.apdus:
                    answers.append(transmit(apdu))
                    if not goes_on(answers[-1]):
                        break
            except Exception as error:  # noqa: BLE001 - handed on to whoever wrote the conversation
                step = conversation.throw(error)
            else:
                step = conversation.send(answers)
    except StopIteration as end:
        result: ResultT = end.value
        return result
    finally:
        conversation.close()
