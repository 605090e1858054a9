# SPDX-License-Identifier: Apache-2.0
"""A gateway that is killed again and again while hubs dial it: each hub is billed once."""

import json
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from hub.device import Device
from hub.inspection.views.documents import supplier_documents
from tests.support.command import environment
from tests.support.quick_program import program
from tests.support.sockets import free_port
from tests.support.town import done
from tests.support.waiting import PATIENCE, wait_until
from utility_server.retail.audit import check_entry
from utility_server.retail.questions import State
from utility_server.retail.utility import Utility

pytestmark = [pytest.mark.process, pytest.mark.soak]
HOMES, KILLS, BILLING = 40, 20, bytes.fromhex("F04D544C010101")


class KilledGateway:
    """A gateway on one port, as a process that may be killed."""

    def __init__(self, utility: Path) -> None:
        self.utility, self.port = utility, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *program(), "utility", "gateway", "--utility", str(self.utility), "--port",
            str(self.port), "--poll", "1",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
        )
        wait_until(self.listens, "the gateway")

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        except ConnectionRefusedError:
            return False
        return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def test_each_home_is_billed_once_whenever_its_gateway_dies(tmp_path: Path) -> None:
    dice, kills = random.Random(18), 0
    utility_folder, folder = tmp_path / "utility", tmp_path / "fleet"
    Utility.create(utility_folder).close()
    gateway = KilledGateway(utility_folder)
    gateway.start()
    months = iter(("2025-03", "2025-04", "2025-05", "2025-06"))
    billed = 0
    while kills < KILLS:
        command = [
            *program(), "fleet", "--homes", HOMES, "--folder", folder, "--utility", utility_folder,
            "--slot", 60, "--month", next(months), "--gateway", f"https://localhost:{gateway.port}",
            "--json",
        ]  # fmt: skip
        told: list[str] = []
        with subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(),
        ) as fleet:  # fmt: skip
            assert fleet.stderr is not None
            assert fleet.stdout is not None
            reading = threading.Thread(target=told.extend, args=(fleet.stderr,))
            reading.start()
            with Utility.open(utility_folder) as utility:
                goal = billed + HOMES
                while fleet.poll() is None:
                    # Killed only while bills are under way: some are asked, and not all delivered.
                    count = utility.questions.counts()
                    if not count or count.get(State.DELIVERED, 0) == goal or kills == KILLS:
                        time.sleep(0.05)
                        continue
                    time.sleep(dice.uniform(0.05, 1.5))
                    gateway.kill()
                    kills += 1
                    gateway.start()
            result = json.loads(fleet.stdout.read())
            reading.join(PATIENCE)
        assert fleet.returncode == 0, told
        billed += HOMES
        assert result["billed_once"] == HOMES, result
    gateway.kill()
    assert kills == KILLS
    with Utility.open(utility_folder) as utility:
        entries = list(utility.ledger.entries())
        for entry in entries:
            check_entry(utility, entry)
        assert [entry.sequence for entry in entries] == [*range(1, billed + 1)]
        assert utility.questions.counts() == {State.DELIVERED: billed}
        per_home = Counter(entry.meter for entry in entries)
        assert set(per_home.values()) == {billed // HOMES}
    shown = Counter[int]()
    for hub in sorted((folder / "homes").iterdir()):
        if hub.is_dir():
            with Device.open(hub) as device:
                shown.update(one.number for one in supplier_documents(device, BILLING).invoices)
    assert shown == Counter(range(1, billed + 1))  # each invoice was shown once, to one resident
    assert "the chain holds" in done("utility", "check-ledger", "--utility", utility_folder)
