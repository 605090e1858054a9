# SPDX-License-Identifier: Apache-2.0
"""The queue in NATS JetStream, for several processes and machines.

    stream meterlet-answers   subject meterlet.answers     work queue, a nonce a message
    stream meterlet-aside     subject meterlet.aside       the dead letters: nonce, and why

The server should have `sync_interval: always`: otherwise it acknowledges what is not on its disk
yet. That loses no answer, as the database is the truth, but time, until the sweeper finds it.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError, ServiceUnavailableError

from applets.common.questions import NONCE_SIZE
from utility_server.errors import QueueRefused, QueueUnreachable
from utility_server.pipeline.queue import Delivery, server_place

STREAM: Final = "meterlet-answers"
SUBJECT: Final = "meterlet.answers"
ASIDE_STREAM: Final = "meterlet-aside"
ASIDE_SUBJECT: Final = "meterlet.aside"
WORKERS: Final = "workers"
ACK_SECONDS: Final = 15.0
"""After so long without a word an answer is given to another worker; workers say that they live."""
CALL_SECONDS: Final = 15.0
"""How long one call to the server may take."""
CONNECT_SECONDS: Final = 4.0
"""How long it may take to connect: that a server is not there is told soon."""
RECONNECT_SECONDS: Final = 1.0
"""A call waits so long for a connection that was lost; what is not said is found again later."""
_NO_JETSTREAM: Final = (None, 10039, 10076)
"""The server's codes for that, and none where nothing there has answered."""
_MOST_REASON: Final = 400
_DUPLICATES_SECONDS: Final = 120.0

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class JetStreamDelivery:
    """A delivery of `JetStreamQueue`."""

    nonce: bytes
    times: int
    message: Msg = field(repr=False)


class JetStreamQueue:
    """One process's connection; a thread of its own talks to the server."""

    def __init__(self, url: str, credentials: Path | None, token: str | None) -> None:
        """Connect with `open`."""
        self._place = server_place(url)
        self._url, self._credentials, self._token = url, credentials, token
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._client = Client()
        self._jetstream: JetStreamContext | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._in_work = dict[bytes, Msg]()

    def __repr__(self) -> str:
        """Show no token."""
        return "JetStreamQueue()"

    @classmethod
    def open(cls, url: str, *, credentials: Path | None = None, token: str | None = None) -> Self:
        """Connect to the server at `url` and make the streams.

        Raises `QueueUnreachable` within some seconds, and `QueueRefused` where waiting is no use.
        """
        queue = cls(url, credentials, token)
        queue._thread.start()
        try:
            queue._call(queue._connect())
        except BaseException:
            queue.close()
            raise
        return queue

    async def _connect(self) -> None:
        more: dict[str, Any] = {}
        if self._credentials is not None:
            more["user_credentials"] = str(self._credentials)
        if self._token is not None:
            more["token"] = self._token
        failure: asyncio.Future[Exception] = self._loop.create_future()

        async def failed(error: Exception) -> None:
            if not failure.done():
                failure.set_result(error)

        connecting = self._loop.create_task(
            self._client.connect(
                self._url,
                connect_timeout=round(CONNECT_SECONDS),
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                error_cb=failed,
                name="meterlet",
                **more,
            )
        )
        # The library tries for ever, at the first time, too; its first error is ours.
        tasks: set[asyncio.Future[Any]] = {connecting, failure}
        await asyncio.wait(tasks, timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if failure.done() or not connecting.done():
            connecting.cancel()
            raise self._error(failure.result() if failure.done() else TimeoutError())
        await connecting
        self._jetstream = self._client.jetstream(timeout=CALL_SECONDS)
        try:
            await self._make_streams()
        except ServiceUnavailableError as error:
            if error.err_code not in _NO_JETSTREAM:
                raise
            raise QueueRefused(
                f"NATS at {self._place} has no JetStream: start nats-server with -js"
            ) from None
        self._loop.create_task(self._say_that_we_live())

    async def _make_streams(self) -> None:
        """Make streams and consumer where they are not, as after the loss of a disk."""
        jetstream = self._ready()
        for stream, subject, retention in (
            (STREAM, SUBJECT, RetentionPolicy.WORK_QUEUE),
            (ASIDE_STREAM, ASIDE_SUBJECT, RetentionPolicy.LIMITS),
        ):
            await jetstream.add_stream(
                StreamConfig(
                    name=stream,
                    subjects=[subject],
                    retention=retention,
                    storage=StorageType.FILE,
                    duplicate_window=_DUPLICATES_SECONDS,
                )
            )
        await jetstream.add_consumer(
            STREAM,
            ConsumerConfig(
                durable_name=WORKERS,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_SECONDS,
                max_ack_pending=10_000,
                max_deliver=-1,  # the workers count: what is set aside is written down
            ),
        )
        self._subscription = await jetstream.pull_subscribe_bind(WORKERS, STREAM)

    def _ready(self) -> JetStreamContext:
        if self._jetstream is None:
            raise QueueUnreachable("the queue's server is not reached yet")
        return self._jetstream

    async def _say_that_we_live(self) -> None:
        """Keep what is in work ours, while a long batch is verified."""
        while True:
            await asyncio.sleep(ACK_SECONDS / 3)
            for message in list(self._in_work.values()):
                try:
                    await message.in_progress()
                except NatsError:
                    break

    def _call(self, work: Coroutine[Any, Any, ResultT], seconds: float = 0.0) -> ResultT:
        future = asyncio.run_coroutine_threadsafe(self._connected(work), self._loop)
        try:
            return future.result(seconds + CALL_SECONDS)
        except (NatsError, OSError, FutureTimeout) as error:
            future.cancel()
            raise self._error(error) from error

    async def _connected(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Do something over the connection, if there is one soon; or make one."""
        try:
            deadline = self._loop.time() + RECONNECT_SECONDS
            while self._jetstream is not None and not self._client.is_connected:
                if self._loop.time() > deadline:
                    raise QueueUnreachable(self._not_reached("the connection was lost"))
                await asyncio.sleep(0.05)
            return await work
        finally:
            work.close()

    def _error(self, error: Exception) -> QueueUnreachable | QueueRefused:
        """Return what to say of an error of the library or the system."""
        text = str(error).lower()
        if isinstance(error, AuthorizationError) or "authorization" in text:
            return QueueRefused(
                f"NATS at {self._place} refuses us: say the right --nats-token-file or"
                " --nats-credentials"
            )
        if isinstance(error, TimeoutError | FutureTimeout | nats.errors.TimeoutError):
            return QueueUnreachable(self._not_reached("no answer in time"))
        if isinstance(error, socket.gaierror):
            return QueueUnreachable(self._not_reached("no host has that name"))
        if isinstance(error, OSError) and error.errno:  # asyncio's texts are another's
            return QueueUnreachable(self._not_reached(os.strerror(error.errno)))
        return QueueUnreachable(self._not_reached(text.partition("\n")[0] or type(error).__name__))

    def _not_reached(self, why: str) -> str:
        return f"NATS at {self._place} is not reached: {why}; is nats-server running?"

    def publish(self, nonces: Sequence[bytes]) -> None:
        """Add nonces; the server drops one that it has had within two minutes."""
        self._call(self._publish(nonces))

    async def _publish(self, nonces: Sequence[bytes]) -> None:
        jetstream = self._ready()
        for attempt in range(2):
            try:
                await asyncio.gather(*(_publish_once(jetstream, nonce) for nonce in nonces))
                return
            except NotFoundError:
                if attempt:
                    raise
            except NatsError as error:
                # Without a stream nobody answers.
                if attempt or "no response from stream" not in str(error):
                    raise
            await self._make_streams()

    def fetch(self, most: int, wait_seconds: float) -> list[Delivery]:
        """Take `most` at most; wait so long for the first one. Raises `QueueUnreachable`."""
        return self._call(self._fetch(most, wait_seconds), wait_seconds)

    async def _fetch(self, most: int, wait_seconds: float) -> list[Delivery]:
        self._ready()
        if self._subscription is None:
            await self._make_streams()
        assert self._subscription is not None
        try:
            messages = await self._subscription.fetch(most, timeout=max(wait_seconds, 0.05))
        except (TimeoutError, nats.errors.TimeoutError):
            # Also what is seen where the stream was lost: make it again then.
            await self._look_after_streams()
            return []
        except NatsError:
            await self._look_after_streams()
            return []
        deliveries = list[Delivery]()
        for message in messages:
            if len(message.data) != NONCE_SIZE:  # somebody else's; no nonce of ours
                await message.term()
                continue
            self._in_work[message.data] = message
            deliveries.append(
                JetStreamDelivery(message.data, message.metadata.num_delivered, message)
            )
        return deliveries

    async def _look_after_streams(self) -> None:
        try:
            await self._ready().consumer_info(STREAM, WORKERS)
        except NotFoundError:
            await self._make_streams()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Say that these are done; if that is lost they come again, and are passed over then."""
        self._call(self._each(deliveries, lambda message: message.ack()))

    def retry(self, deliveries: Sequence[Delivery], after_seconds: float) -> None:
        """Let these come again after so long."""
        self._call(self._each(deliveries, lambda message: message.nak(delay=after_seconds)))

    async def _each(self, deliveries: Sequence[Delivery], say: Any) -> None:
        for one in deliveries:
            if isinstance(one, JetStreamDelivery):
                self._in_work.pop(one.nonce, None)
                with suppress(nats.errors.MsgAlreadyAckdError):
                    await say(one.message)
        await self._client.flush(int(CALL_SECONDS))

    def set_aside(self, delivery: Delivery, reason: str) -> None:
        """Put one into the stream of dead letters."""
        self._call(self._set_aside(delivery, reason))

    async def _set_aside(self, delivery: Delivery, reason: str) -> None:
        text = f"{delivery.nonce.hex()} {reason[:_MOST_REASON]}"
        await self._ready().publish(ASIDE_SUBJECT, text.encode())
        await self._each([delivery], lambda message: message.term())

    def close(self) -> None:
        """Close the connection; what is in work comes again to somebody else."""
        if self._thread.is_alive():
            try:
                if self._client.is_connected:
                    self._call(self._client.close(), 2)
            except QueueUnreachable:
                pass
            self._loop.call_soon_threadsafe(self._stop)
            self._thread.join(CALL_SECONDS)
        if not self._loop.is_running():
            self._loop.close()

    def _stop(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.call_soon(self._loop.stop)


async def _publish_once(jetstream: JetStreamContext, nonce: bytes) -> None:
    """Publish a nonce under its own name, so that the server tells a repeat."""
    await jetstream.publish(SUBJECT, nonce, headers={"Nats-Msg-Id": nonce.hex()})
