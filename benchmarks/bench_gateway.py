# SPDX-License-Identifier: Apache-2.0
"""The gateway's CPU for each POST of a hub, over TLS 1.3 with certificates on both sides.

    python benchmarks/bench_gateway.py [--polls N] [--answers N]

The gateway runs in a process of its own, and its CPU time is read there, TLS and the kernel's part
included. An answer has 14.6 kB, as a month's has today, or 112 kB, as in the format of before; it
is kept in the database before the next command goes out, and the secure channel is left out. One
hub answers after the other, or eight at the same time. The yardstick is the same server with an
application that answers 204 and does nothing else.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from applets.billing.messages import BillQuestion
from applets.common.questions import About
from protocols.hub_certificates import make_signing_request
from protocols.remote_admin.http import ANSWERS, PROTOCOL
from protocols.remote_admin.scripts import ResponseScript
from protocols.remote_admin.server import Errand, Waits
from protocols.secure_channel.conversation import Conversation, Transmit
from utility_server.gateway.application import Gateway
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.gathering import Gathering
from utility_server.gateway.limits import Pace
from utility_server.gateway.serving import serve_gateway, server_context
from utility_server.retail.utility import Utility

HUBS: Final = 8
METERS: Final = [bytes.fromhex("0a014d544c") + number.to_bytes(5, "big") for number in range(HUBS)]
METER: Final = METERS[0]
SIZES: Final = (14_600, 112_000)
APPLET: Final = bytes.fromhex("F04D544C010101")


class Answers:
    """An errand for each question: one command, one long answer, which is kept."""

    def __init__(self, utility: Utility) -> None:
        self.utility, self.numbers = utility, itertools.count(1)
        self.is_on = False
        self.done: set[bytes] = set()
        self.gathering = Gathering(utility.questions.answered_together)

    def is_fresh(self) -> bool:
        return True

    def refresh(self) -> None:
        pass

    def is_waiting(self, meter: bytes) -> bool:
        return self.is_on

    def waits(self, meter: bytes) -> Waits:
        return Waits()

    def next(self, meter: bytes) -> Errand | None:
        # One errand a dialogue: the call after one that is done ends it.
        if meter in self.done:
            self.done.discard(meter)
            return None
        return self.errand(meter, next(self.numbers))

    def errand(self, meter: bytes, number: int) -> Conversation[None]:
        about = About(meter, 3600 * number, 3600 * number + 3600, number.to_bytes(16, "big"))
        question = BillQuestion(about, b"tariff")
        self.utility.questions.ask(question)
        yield Transmit((b"\x00\xa4\x04\x00\x07" + APPLET,), APPLET)
        [answer] = yield Transmit((b"\x80\x10\x00\x00",))
        self.gathering.keep(question, answer[:-2])
        self.done.add(meter)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def serve(folder: Path, pipe: Connection) -> None:
    """Serve, and tell the CPU seconds so far whenever asked; end when the pipe does."""
    with Utility.open(folder) as utility, ThreadPoolExecutor(8) as workers:
        authority = authority_of(utility)
        certificate, key = authority.server_files(["localhost"])
        errands = Answers(utility)
        pace = Pace(per_second=1e9, at_once=1e9)
        gateway = Gateway(errands, authority, os.urandom, workers, pace=pace)
        apps: dict[str, Any] = {"gateway": gateway, "nothing": nothing}
        current: list[Any] = [gateway]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await current[0](scope, receive, send)

        async def main() -> None:
            stop, running = asyncio.Event(), asyncio.get_running_loop()

            def told() -> None:
                try:
                    word = pipe.recv()
                except EOFError:
                    running.remove_reader(pipe.fileno())
                    stop.set()
                    return
                if word in apps:
                    current[0] = apps[word]
                elif word == "answers":
                    errands.is_on = not errands.is_on
                pipe.send(time.process_time())

            running.add_reader(pipe.fileno(), told)
            context = server_context(certificate, key, authority.certificate_file)
            await serve_gateway(
                app, context, "127.0.0.1", 0, lambda _host, port: pipe.send(port), stop
            )

        asyncio.run(main())


def authority_of(utility: Utility) -> CertificateAuthority:
    return CertificateAuthority(
        utility.folder, utility.engine, utility.customers, utility.now, utility.randomness
    )


def client_context(folder: Path, meter: bytes = METER) -> ssl.SSLContext:
    """Return what a hub shows; its certificate is issued here, without an enrolment."""
    key = generate_private_key(SECP256R1())
    with Utility.open(folder) as utility:
        authority = authority_of(utility)
        issued = authority.renew(make_signing_request(meter, key), meter)
        (folder / "hub.pem").write_bytes(authority.bundle(issued))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "hub.key").write_bytes(pem)
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "hub.pem", folder / "hub.key")
    return context


def head(uri: str, more: str = "") -> bytes:
    meter = uri.removeprefix("/gp/").partition("?")[0]
    return (
        f"POST {uri} HTTP/1.1\r\nHost: localhost\r\nX-Admin-Protocol: {PROTOCOL}\r\n"
        f"X-Admin-From: {meter}\r\n{more}\r\n"
    ).encode()


def reply_to(line: ssl.SSLSocket, data: bytes) -> bytes:
    line.sendall(data)
    got = b""
    while b"\r\n\r\n" not in got:
        got += line.recv(65_536)
    top, _, body = got.partition(b"\r\n\r\n")
    for field in top.split(b"\r\n"):
        if field.lower().startswith(b"content-length:"):
            while len(body) < int(field.split(b":")[1]):
                body += line.recv(65_536)
    return top


def next_uri(top: bytes) -> str:
    [field] = [one for one in top.split(b"\r\n") if one.lower().startswith(b"x-admin-next-uri")]
    return field.split(b":", 1)[1].strip().decode()


def run(polls: int, answers: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "utility"
        Utility.create(folder).close()
        contexts = [client_context(folder, meter) for meter in METERS]
        pipe, other = multiprocessing.get_context("spawn").Pipe()
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(folder, other), daemon=True
        )
        server.start()
        other.close()
        port = pipe.recv()

        def told(word: str = "time") -> float:
            pipe.send(word)
            seconds: float = pipe.recv()
            return seconds

        def connect(hub: int = 0) -> ssl.SSLSocket:
            line = socket.create_connection(("127.0.0.1", port))
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return contexts[hub].wrap_socket(line, server_hostname="localhost")

        def measured(work: Callable[[], None], count: int) -> float:
            work()
            before = told()
            for _ in range(count):
                work()
            return (told() - before) / count * 1000

        def first_of(hub: int) -> str:
            return f"/gp/{METERS[hub].hex()}?step=0"

        def script_of(size: int) -> tuple[str, bytes]:
            body = ResponseScript((os.urandom(size) + b"\x90\x00",)).encode()
            fields = (
                f"X-Admin-Script-Status: ok\r\nContent-Type: {ANSWERS}\r\n"
                f"Content-Length: {len(body)}\r\n"
            )
            return fields, body

        first = first_of(0)
        lines = [connect(hub) for hub in range(HUBS)]
        threads = ThreadPoolExecutor(HUBS)

        def poll() -> None:
            assert reply_to(lines[0], head(first)).startswith(b"HTTP/1.1 204")

        def begun(hub: int = 0) -> str:
            return next_uri(reply_to(lines[hub], head(first_of(hub))))

        def answer(hub: int, fields: str, body: bytes) -> None:
            reply = reply_to(lines[hub], head(begun(hub), fields) + body)
            assert reply.startswith(b"HTTP/1.1 204")

        told("nothing")
        bare_ms = measured(poll, polls)
        told("gateway")
        poll_ms = measured(poll, polls)
        found: list[tuple[int, float, float, float]] = []
        for size in SIZES:
            fields, body = script_of(size)

            def bare_answer(fields: str = fields, body: bytes = body) -> None:
                reply = reply_to(lines[0], head(first, fields) + body)
                assert reply.startswith(b"HTTP/1.1 204")

            def one(fields: str = fields, body: bytes = body) -> None:
                answer(0, fields, body)

            def at_once(fields: str = fields, body: bytes = body) -> None:
                list(threads.map(lambda hub: answer(hub, fields, body), range(HUBS)))

            told("nothing")
            bare_answer_ms = measured(bare_answer, answers)
            told("gateway")
            told("answers")
            one_ms, many_ms = measured(one, answers), measured(at_once, answers) / HUBS
            begun_ms = measured(lambda: [begun()].clear(), answers)
            told("answers")
            found.append((size, bare_answer_ms, one_ms, many_ms))
        threads.shutdown()
        for line in lines:
            line.close()

        def fresh() -> None:
            with connect() as line:
                assert reply_to(line, head(first)).startswith(b"HTTP/1.1 204")

        fresh_ms = measured(fresh, 60)
        pipe.close()
        server.join()
    print("CPU of the gateway's process, ms")
    print(f"  bare server, POST without body      {bare_ms:.3f}")
    print(f"  poll, nothing to do                 {poll_ms:.3f}   {poll_ms / bare_ms:.2f} times")
    print(f"  first POST, question kept, script   {begun_ms:.3f}")
    for size, bare_answer_ms, one_ms, many_ms in found:
        print(f"  bare server, POST of {size:,} bytes".ljust(38) + f"{bare_answer_ms:.3f}")
        took = one_ms - begun_ms
        print("  answer of it, kept".ljust(38) + f"{took:.3f}   {took / bare_answer_ms:.2f} times")
        print("  first POST and answer, one by one".ljust(38) + f"{one_ms:.3f}")
        print("  the same, eight hubs at once".ljust(38) + f"{many_ms:.3f}")
    print(f"  poll on a new connection            {fresh_ms:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--polls", type=int, default=400)
    parser.add_argument("--answers", type=int, default=100)
    options = parser.parse_args()
    run(options.polls, options.answers)
