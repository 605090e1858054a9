# SPDX-License-Identifier: Apache-2.0
"""Rounds over the sessions of hubs that dial out: steps wait until each hub comes.

    concentrator   ask(hubs, question) --> an errand for each hub
    gateway        a hub POSTs         --> its errands, oldest first; the answers go to the asker
                   the time is over    --> whoever has not come is absent, as an unreachable hub is

It has the form of a gateway's errands (`utility_server.gateway.errands.Errands`) on one side, and
of `concentrator.hubs.Hubs` on the other. An errand whose connection breaks is begun anew at the
hub's next POST, while its time lasts: a hub answers a step that it took already with the same
bytes. A hub that has a step to come is told to come again soon, until its part is done. Over a
broker it can be woken for the first one (`concentrator_gateway`).

Nothing is kept beyond the asking, and no more is known of a message than the service knows.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, TypeVar

from applets.aggregation.messages import Instruction
from protocols.iso7816.errors import WireError
from protocols.remote_admin.server import Errand, Waits
from protocols.secure_channel.conversation import Conversation, Transmit
from utility_server.errors import HeadEndError
from utility_server.grid.concentrator.hubs import Answer, Hub
from utility_server.grid.concentrator.round_commands import Question
from utility_server.hub_conversation import HubConversations

POLL_SECONDS: Final = 240
"""Between two sessions of a hub that no round waits for: it comes twice while a step waits."""
PATIENCE_SECONDS: Final = 540.0
"""How long a step waits for hubs: less than an MDMS waits for a word of its concentrator."""
SOON_SECONDS: Final = 5
PAUSE_SECONDS: Final = 2
MOST_UNREAD: Final = 64
"""Answers that the asker has not taken yet; more hubs are asked when it has."""
_GOES_ON: Final = frozenset({Instruction.TELL_KEYS, Instruction.CONTRIBUTE, Instruction.AGREE})
"""Steps after which another one comes soon."""

ResultT = TypeVar("ResultT")


@dataclass(slots=True, eq=False)
class _Asker:
    """Who waits for the answers of many hubs."""

    loop: asyncio.AbstractEventLoop
    answers: asyncio.Queue[Answer] = field(default_factory=asyncio.Queue)
    unread: int = 0

    def take(self, answer: Answer) -> None:
        """Take an answer, from any thread, and at once."""
        self.unread += 1
        self.loop.call_soon_threadsafe(self.answers.put_nowait, answer)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A step that waits for its hub."""

    hub: Hub
    question: Question
    asker: "_Asker"
    number: bytes
    """No other step's."""
    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class DialledHubs:
    """Asks hubs when they dial; holds nothing of what they say."""

    timeout_seconds: float = PATIENCE_SECONDS
    poll_seconds: int = POLL_SECONDS
    most_unread: int = MOST_UNREAD
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    """For the nonces of requests; there is nothing secret here."""
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    _waiting: dict[bytes, list[_Waiting]] = field(default_factory=dict)
    _soon: dict[bytes, float] = field(default_factory=dict)
    """By meter: until when its hub is to come again soon."""
    _numbers: Iterator[int] = field(default_factory=count)
    _askers: set[_Asker] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def close(self) -> None:
        """Ask nobody any more; who is asking meanwhile gets no answers."""
        with self._lock:
            self._waiting.clear()
            self._soon.clear()

    async def ask(self, hubs: Sequence[Hub], question: Question) -> AsyncIterator[Answer]:
        """Yield each hub's answer as it comes, and then who has not come in time.

        Whoever stops listening stops the asking.
        """
        asker = _Asker(asyncio.get_running_loop())
        asked = {
            hub.meter: _Waiting(hub, question, asker, next(self._numbers).to_bytes(8, "big"))
            for hub in hubs
        }
        self._put(asker, asked)
        deadline = asker.loop.time() + self.timeout_seconds
        taken = 0
        try:
            while taken < len(asked):
                try:
                    async with asyncio.timeout_at(deadline):
                        answer = await asker.answers.get()
                except TimeoutError:
                    break
                taken += 1
                self._is_read(asker)
                yield answer
            # What came at the very last moment is taken, too: nobody is told twice.
            late = self._withdraw(asked)
            await asyncio.sleep(0)
            while not asker.answers.empty():
                yield asker.answers.get_nowait()
            for waiting in late:
                why = HeadEndError(f"it has not dialled within {self.timeout_seconds:.0f} s")
                yield Answer(waiting.hub, why, waiting.sent, waiting.received)
        finally:
            self._withdraw(asked)
            with self._lock:
                self._askers.discard(asker)

    def is_fresh(self) -> bool:
        """Always."""
        return True

    def refresh(self) -> None:
        """Nothing is read anywhere."""

    def steps_to_wake_for(self) -> list[tuple[bytes, bytes]]:
        """Return meter and number of each step whose hub would not come soon by itself."""
        now = self.monotonic()
        with self._lock:
            return [
                (meter, waiting[0].number)
                for meter, waiting in self._waiting.items()
                if self._soon.get(meter, 0.0) <= now
            ]

    def is_waiting(self, meter: bytes) -> bool:
        """Whether a step waits for a meter's hub."""
        return meter in self._waiting

    def waits(self, meter: bytes) -> Waits:
        """Soon, while a round goes on that the hub is part of."""
        is_soon = meter in self._waiting or self._soon.get(meter, 0.0) > self.monotonic()
        soon = min(SOON_SECONDS, self.poll_seconds)
        return Waits(PAUSE_SECONDS, soon if is_soon else self.poll_seconds)

    def next(self, meter: bytes) -> Errand | None:
        """Return the oldest step that waits for a meter's hub."""
        with self._lock:
            waiting = self._waiting.get(meter)
            if not waiting or sum(each.unread for each in self._askers) >= self.most_unread:
                return None
            return self._errand(waiting[0])

    def _errand(self, waiting: _Waiting) -> Errand:
        data: bytes | HeadEndError
        conversations = HubConversations(self.randomness)
        question, meter = waiting.question, waiting.hub.meter
        try:
            asking = question.ask(conversations, meter, self.randomness)
            data = yield from _counted(asking, waiting)
        except HeadEndError as error:
            data = error
        except (WireError, TimeoutError) as error:
            data = HeadEndError(str(error) or "it took too long")
        with self._lock:
            # Its time may be over meanwhile: then it was told to be absent already.
            if not self._remove(waiting):
                return
            if question.step in _GOES_ON and isinstance(data, bytes):
                self._soon[meter] = self.monotonic() + self.timeout_seconds
            else:
                self._soon.pop(meter, None)
            waiting.asker.take(Answer(waiting.hub, data, waiting.sent, waiting.received))

    def _put(self, asker: _Asker, asked: dict[bytes, _Waiting]) -> None:
        now = self.monotonic()
        with self._lock:
            self._askers.add(asker)
            for meter in [meter for meter, until in self._soon.items() if until <= now]:
                del self._soon[meter]
            for meter, waiting in asked.items():
                self._waiting.setdefault(meter, []).append(waiting)

    def _withdraw(self, asked: dict[bytes, _Waiting]) -> list[_Waiting]:
        """Let nobody be asked any more; return who was not."""
        with self._lock:
            return [waiting for waiting in asked.values() if self._remove(waiting)]

    def _remove(self, waiting: _Waiting) -> bool:
        known = self._waiting.get(waiting.hub.meter, [])
        if waiting not in known:
            return False
        known.remove(waiting)
        if not known:
            del self._waiting[waiting.hub.meter]
        return True

    def _is_read(self, asker: _Asker) -> None:
        with self._lock:
            asker.unread -= 1


def _counted(conversation: Conversation[ResultT], waiting: _Waiting) -> Conversation[ResultT]:
    """Hold a conversation, and count the bytes of its APDUs."""
    try:
        step = next(conversation)
        while True:
            if isinstance(step, Transmit):
                waiting.sent += sum(map(len, step.apdus))
            try:
                answers = yield step
            except Exception as error:  # noqa: BLE001 - handed on to whoever holds it
                step = conversation.throw(error)
            else:
                waiting.received += sum(map(len, answers))
                step = conversation.send(answers)
    except StopIteration as end:
        result: ResultT = end.value
        return result
    finally:
        conversation.close()
