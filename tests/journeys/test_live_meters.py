# SPDX-License-Identifier: Apache-2.0
"""Readings that arrive while they are sent: over TCP, over a serial line, on standard input."""

import json
import os
import pty
import socket
import termios
import threading
import tty
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path

import pytest

from hub.meters.emulated import emulated_meter_id, telegrams
from hub.readings import Reading
from tests.support import field
from tests.support.command import run_meterlet

NOON = 1_743_500_000
STREAM = b"".join(
    telegrams(emulated_meter_id(1), (Reading(NOON + 900 * n, 5 * n) for n in range(20)))
)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    assert run_meterlet("hub", "init", tmp_path / "hub", "--serial", 1).returncode == 0
    return tmp_path / "hub"


@pytest.fixture
def tcp_meter() -> Iterator[str]:
    """A meter behind a network adapter that sends its telegrams in small pieces."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            line, _ = server.accept()
            with line:
                for place in range(0, len(STREAM), 37):
                    line.sendall(STREAM[place : place + 37])

        thread = threading.Thread(target=send)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_a_tcp_peer_is_read_until_it_hangs_up(hub: Path, tcp_meter: str) -> None:
    done = run_meterlet("hub", "ingest", "--hub", hub, tcp_meter, "--once", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["readings"] == 20


def test_a_serial_line_is_read_until_told_to_stop(hub: Path) -> None:
    pytest.importorskip("serial")
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    ended = threading.Event()

    def push() -> None:
        """Push a telegram every now and then, whether anyone listens or not."""
        readings = (Reading(NOON + n, 5 * n) for n in count())
        for telegram in telegrams(emulated_meter_id(1), readings):
            if ended.wait(0.02):
                return
            os.write(ours, telegram)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        done = run_meterlet(
            "hub", "ingest", "--hub", hub, f"serial://{os.ttyname(theirs)}?baud=9600",
            "--limit", 15, "--json",
        )  # fmt: skip
    finally:
        ended.set()
        termios.tcflush(theirs, termios.TCIOFLUSH)  # lets a write that waits for room go on
        thread.join()
        os.close(ours)
        os.close(theirs)
    outcome = json.loads(done.stdout)
    assert outcome["readings"] == 15
    assert len(outcome["lost"]) <= 1  # the one that was under way when the port was opened


def test_standard_input_is_a_capture(hub: Path) -> None:
    done = run_meterlet("hub", "ingest", "--hub", hub, "-", "--json", stdin=STREAM)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["readings"] == 20


@pytest.mark.parametrize("source", ["tcp://127.0.0.1:1", "ftp://meter", "tcp://x:99999"])
def test_a_source_that_is_not_there_is_named(hub: Path, source: str) -> None:
    done = run_meterlet("hub", "ingest", "--hub", hub, source)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


class Bridge(BaseHTTPRequestHandler):
    """Answers with the next telegram, as hex, and with an error every third time."""

    served = 0

    def do_GET(self) -> None:
        Bridge.served += 1
        failing = Bridge.served % 3 == 0
        self.send_response(500 if failing else 200)
        self.end_headers()
        if not failing:
            wh = 5_000_001 + Bridge.served
            self.wfile.write(field.telegram(wh, count=Bridge.served).hex(" ").encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_web_address_is_polled_and_asked_again_after_an_error(tmp_path: Path) -> None:
    assert (
        run_meterlet("hub", "init", tmp_path / "hub", "--meter", field.METER.hex()).returncode == 0
    )
    bridge = HTTPServer(("127.0.0.1", 0), Bridge)
    thread = threading.Thread(target=bridge.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{bridge.server_port}/"
        done = run_meterlet(
            "hub", "ingest", "--hub", tmp_path / "hub", address, "--limit", 3, "--json"
        )
    finally:
        bridge.shutdown()
        thread.join()
        bridge.server_close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["readings"] == 3
    assert "Internal Server Error; it is opened again" in done.stderr
