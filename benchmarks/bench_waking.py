# SPDX-License-Identifier: Apache-2.0
"""What a hub that can be woken sends and gets while nothing happens, and how soon it is called.

    python benchmarks/bench_waking.py [--wakes N] [--hubs N]

Mosquitto runs beside it, and a relay counts the bytes of TCP's streams, TLS included. A day of
listening is extrapolated from one connection and one keep-alive; the yardstick is a day of polls,
each on a new connection, to the utility's gateway. Latency is from a wake-up's publication to the
call at the hub, on one computer. Then many hubs listen in one process, as `meterlet fleet --wake`
has them: memory and CPU of that process and of the broker, by hub.
"""

import argparse
import asyncio
import os
import socket
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hub.dialling import wake_line
from hub.dialling.events import Kind
from hub.dialling.https import HttpsConnection
from hub.dialling.recipient import Recipient, ServerAddress
from hub.dialling.wake_calls import WakeCalls
from hub.dialling.wake_line import WakeLine
from meterlet.commands.main import main as meterlet
from meterlet.commands.utility_wake import authority_of
from meterlet.fleet.listening import Listening
from protocols.hub_certificates import make_signing_request
from protocols.remote_admin.http import AgentPost
from protocols.remote_admin.wake import WAKE, BrokerAddress, wake_topic
from tests.support.broker import client_context, mqtt_client, running
from tests.support.sockets import free_port
from utility_server.gateway.broker_files import BrokerFiles
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.errands import POLL_SECONDS, BillErrands
from utility_server.gateway.serving import gateway_app, serve_gateway, server_context
from utility_server.retail.utility import Utility

METER: Final = bytes.fromhex("0a014d544c0000000001")
DAY: Final = 86_400
KEEP_ALIVE: Final = wake_line.KEEP_ALIVE


class Relay:
    """Passes bytes on to a port and counts them."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._server.accept()
            far = socket.create_connection(("127.0.0.1", self._to))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                self.count += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            target.close()


def until(what: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    assert callable(what)
    while not what():
        assert time.monotonic() < end
        time.sleep(0.0005)


def identity(folder: Path, authority: CertificateAuthority, meter: bytes = METER) -> Recipient:
    folder.mkdir(exist_ok=True)
    key = generate_private_key(SECP256R1())
    made = authority.renew(make_signing_request(meter, key), meter)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "client.key").write_bytes(pem)
    (folder / "client.pem").write_bytes(authority.bundle(made))
    trust = authority.certificate_file
    return Recipient(
        ServerAddress("localhost", 1), folder / "client.pem", folder / "client.key", trust
    )


def poll_bytes(utility: Utility, authority: CertificateAuthority, hub: Recipient) -> int:
    """Return the bytes of a poll on a new connection."""
    ports: list[int] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    context = server_context(*authority.server_files(["localhost"]), authority.certificate_file)
    with ThreadPoolExecutor(2) as workers:
        app = gateway_app(BillErrands(utility), authority, workers)
        serving = serve_gateway(
            app, context, "127.0.0.1", 0, lambda _host, port: ports.append(port), stop
        )
        thread = threading.Thread(target=lambda: loop.run_until_complete(serving))
        thread.start()
        until(lambda: ports)
        relay = Relay(ports[0])
        address = ServerAddress("localhost", relay.port)
        line = HttpsConnection(address, hub.context(), time.monotonic)
        line.exchange(AgentPost(f"/gp/{METER.hex()}?step=0", METER.hex()))
        line.close()
        time.sleep(0.3)
        loop.call_soon_threadsafe(stop.set)
        thread.join()
    return relay.count


def private_bytes(process: int) -> int:
    """Return the memory of a process that no other has."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


def listen(folder: Path, authority: CertificateAuthority, port: int, hubs: int) -> None:
    """Let many hubs listen in this process, and print what each of them takes."""
    meters = [METER[:-4] + number.to_bytes(4, "big") for number in range(100, 100 + hubs + 1)]
    owners = {one: identity(folder / one.hex(), authority, one) for one in meters}
    broker = BrokerFiles(folder / "broker").process
    assert broker is not None
    address, own = BrokerAddress("localhost", port), os.getpid()
    warm, listening = Listening(address), Listening(address)
    with warm.ending(), listening.ending():
        first = meters.pop()
        warm.start(first, owners[first], WakeCalls())
        until(lambda: warm.up == 1)
        before, broker_before = private_bytes(own), private_bytes(broker)
        cpu = time.process_time()
        for meter in meters:
            listening.start(meter, owners[meter], WakeCalls())
        until(lambda: listening.up == hubs, 120)
        connected = time.process_time() - cpu
        after, broker_after = private_bytes(own), private_bytes(broker)
        cpu, began = time.process_time(), time.monotonic()
        time.sleep(10)
        idle = (time.process_time() - cpu) / (time.monotonic() - began)
        assert listening.up == hubs
        assert not listening.odd
    kib = (after - before) / hubs / 1024
    broker_kib = (broker_after - broker_before) / hubs / 1024
    print(f"{hubs} hubs that listen in one process: {kib:.0f} KiB a hub")
    print(f"  at the broker                     {broker_kib:.0f} KiB a hub")
    print(f"  CPU                               {1000 * connected / hubs:.1f} ms a hub to connect")
    print(f"  while nothing happens             {100 * idle / hubs:.3f} % of a core a hub")


def run(folder: Path, wakes: int, hubs: int) -> None:
    Utility.create(folder / "utility").close()
    port = free_port()
    arguments = ["--utility", folder / "utility", "--to", folder / "broker", "--port", port]
    done = CliRunner().invoke(meterlet, ["utility", "broker-files", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    with Utility.open(folder / "utility") as utility, running(folder / "broker", port):
        authority = authority_of(utility)
        hub = identity(folder, authority)
        relay = Relay(port)
        told: list[Kind] = []
        calls, over = WakeCalls(lambda: 0.0), threading.Event()
        wake_line.KEEP_ALIVE = 2  # type: ignore[misc]
        line = WakeLine(
            BrokerAddress("localhost", relay.port), hub.broker_context, METER, calls,
            lambda kind, _: told.append(kind),
        )  # fmt: skip
        thread = threading.Thread(target=line.run, args=(over,), daemon=True)
        thread.start()
        until(lambda: Kind.WAKE_UP in told)
        time.sleep(0.3)
        connecting = relay.count
        until(lambda: relay.count > connecting)
        time.sleep(0.3)
        keeping = relay.count - connecting
        files = *authority.waker_files(), authority.certificate_file
        latencies = []
        with mqtt_client(port, client_context(*files)) as gateway:
            for _ in range(wakes):
                line.calls = WakeCalls(lambda: 0.0)
                began = time.perf_counter()
                gateway.publish(wake_topic(METER), WAKE, qos=1)
                until(lambda: line.calls.wait(0.001))
                latencies.append(time.perf_counter() - began)
        over.set()
        thread.join(5)
        polling = poll_bytes(utility, authority, hub)
        wake_line.KEEP_ALIVE = KEEP_ALIVE  # type: ignore[misc]
        listen(folder, authority, port, hubs)
    idle = connecting + keeping * (DAY // KEEP_ALIVE)
    polls = polling * (DAY // POLL_SECONDS)
    print(f"listening: {connecting:,} bytes to connect, {keeping} each {KEEP_ALIVE} s")
    print(f"  a day without a wake-up           {idle:>9,} bytes  {idle / polls:6.1%} of polling")
    print(f"polling: {polling:,} bytes on a new connection")
    print(f"  a day of polls each {POLL_SECONDS} s         {polls:>9,} bytes")
    middle, most = statistics.median(latencies), max(latencies)
    print(
        f"from publication to the hub's call: {1000 * middle:.1f} ms, at most {1000 * most:.1f} ms"
    )
    print(f"  and otherwise until the next poll: {POLL_SECONDS / 2:.0f} s on average")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wakes", type=int, default=50)
    parser.add_argument("--hubs", type=int, default=200)
    options = parser.parse_args()
    os.environ.setdefault("NO_COLOR", "1")
    with tempfile.TemporaryDirectory() as place:
        run(Path(place), options.wakes, options.hubs)
