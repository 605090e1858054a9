# SPDX-License-Identifier: Apache-2.0
"""Mosquitto, with the files that `meterlet utility broker-files` writes; and clients at it."""

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.asked import MOSQUITTO
from tests.support.sockets import free_port
from tests.support.waiting import PATIENCE, wait_until

MISSING = "NO MOSQUITTO: `apt-get install mosquitto` and waking hubs over MQTT is tested"


class PortTaken(Exception):
    """Somebody listens there meanwhile."""


class RunningBroker:
    """A broker that can be stopped and started again at the same port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self._process: subprocess.Popen[bytes] | None = None
        path = folder / "mosquitto.conf"
        if os.getuid() == 0:  # else it cannot read this folder
            path.write_text(f"user root\n{path.read_text()}")

    @property
    def url(self) -> str:
        return f"mqtts://localhost:{self.port}"

    def start(self) -> None:
        if MOSQUITTO is None:
            pytest.skip(MISSING)
        with (self.folder / "log").open("ab") as log:
            command = [MOSQUITTO, "-v", "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            if self._process.poll() is not None and "in use" in self.log():
                raise PortTaken
            assert self._process.poll() is None, self.log()
            try:
                socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def move(self, port: int) -> None:
        """Listen at another port."""
        path = self.folder / "mosquitto.conf"
        path.write_text(path.read_text().replace(f"listener {self.port}", f"listener {port}"))
        (self.folder / "log").unlink()
        self.port = port

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "log").read_text()

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until its log has a text so many times."""
        wait_until(lambda: self.log().count(text) >= count, f"{text!r} in the broker's log")


@contextmanager
def running(folder: Path, port: int) -> Iterator[RunningBroker]:
    """Run the broker in a folder that `broker-files` has written."""
    broker = RunningBroker(folder, port)
    for _ in range(20):
        try:
            broker.start()
            break
        except PortTaken:  # by somebody who was faster
            broker.move(free_port())
    try:
        yield broker
    finally:
        broker.stop()


def client_context(certificate: Path, key: Path, trust: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(trust)
    context.load_cert_chain(certificate, key)
    return context


@contextmanager
def mqtt_client(port: int, context: ssl.SSLContext | None, **settings: Any) -> Iterator[Any]:
    """A client of MQTT 5 that is connected; its loop runs in a thread of its own."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    if context is not None:
        client.tls_set_context(context)
    for name, value in settings.items():
        setattr(client, name, value)
    client.connect("localhost", port)
    client.loop_start()
    try:
        wait_until(client.is_connected, "a connection to the broker")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish(client: Any, topic: str, payload: bytes, *, retain: bool = False) -> str:
    """Publish, and return what the broker says to it."""
    codes: list[Any] = []

    def acknowledged(_client: Any, _data: Any, _number: int, code: Any, _: Any) -> None:
        codes.append(code)

    client.on_publish = acknowledged
    client.publish(topic, payload, qos=1, retain=retain)
    wait_until(lambda: codes, "the broker's answer")
    return str(codes[0])
