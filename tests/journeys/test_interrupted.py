# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C in the midst of a command: one line, exit code 130, and nothing half written.

The commands read a pipe, so that each is in its midst when the signal comes.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest

from hub.meters.emulated import emulated_meter_id, telegrams
from hub.readings import Reading
from tests.support.answered_crowd import answered_crowd
from tests.support.command import PROGRAM, ROOT, environment
from tests.support.town import TARIFF, done
from tests.support.waiting import PATIENCE, wait_until
from utility_server.retail.entering import enter_answers
from utility_server.retail.utility import Utility

READING_SECONDS: Final = 0.3
"""After so long the command waits for the rest of the pipe."""
ROWS: Final = b"time,use,other\n2025-03-01T00:00:00Z,1,2\n"
PRICES: Final = b"time,price\n2025-03-01T00:00:00Z,1\n"
INDEX: Final = ("--series", "s", "--currency", "EUR", "--unit", "EUR/MWh", "--step", "15")
VERBS: Final = {
    ("bill", "verify", "PIPE"): b"",
    ("index", "import", "PIPE", *INDEX, "--column", "price", "-o", "MADE"): PRICES,
    ("profile", "extract", "PIPE", "--classes", "2", "--name", "n", "-o", "MADE"): ROWS,
    ("profile", "show", "PIPE"): b"",
    ("sml", "decode", "PIPE"): b"\x1b",
    ("sml", "encode", "PIPE", "-o", "MADE"): b'{"values": [',
    ("tariff", "check", "PIPE"): b"name",
    ("tariff", "import", "pge", "PIPE", "--out", "MADE"): b"{",
    ("tariff", "price", str(TARIFF), "PIPE", "--column", "use"): ROWS,
}


def interrupted(pipe: Path, begun: bytes, *arguments: object) -> str:
    """Run a command that reads a pipe, interrupt it then, and return what it says."""
    command = [*PROGRAM, *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process, pipe.open("wb", buffering=0) as writer:  # waits until it has opened the pipe
        writer.write(begun)
        time.sleep(READING_SECONDS)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert len(said.splitlines()) == 1, said
    return said.strip()


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: " ".join(verb[:2]))
def test_a_command_that_is_cut_off_says_so_and_leaves_nothing(
    verb: tuple[str, ...], tmp_path: Path
) -> None:
    pipe, made = tmp_path / "pipe", tmp_path / "made"
    os.mkfifo(pipe)
    places = {"PIPE": str(pipe), "MADE": str(made)}
    words = [places.get(word, word) for word in verb]
    assert interrupted(pipe, VERBS[verb], *words) == "meterlet: interrupted"
    refusal = json.loads(interrupted(pipe, VERBS[verb], *words, "--json"))
    assert (refusal["kind"], refusal["exit_code"]) == ("interrupted", 130)
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]


def test_a_hub_has_all_of_a_file_or_nothing(tmp_path: Path) -> None:
    hub, pipe = tmp_path / "hub", tmp_path / "pipe"
    done("hub", "init", hub, "--serial", 1)
    os.mkfifo(pipe)
    readings = [Reading(1_743_500_000 + 10 * n, n) for n in range(5_000)]
    capture = b"".join(telegrams(emulated_meter_id(1), readings))
    line = interrupted(pipe, capture, "hub", "ingest", "--hub", hub, pipe)
    assert line == "meterlet: interrupted"
    assert json.loads(done("hub", "status", "--hub", hub, "--json"))["readings"] == 0
    file = tmp_path / "capture.bin"
    file.write_bytes(capture)
    assert "5000 readings stored" in done("hub", "ingest", "--hub", hub, file)


def test_a_demonstration_that_is_cut_off_keeps_no_half_of_a_home(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command = [*PROGRAM, "demo", "--keep", str(kept)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith("meter: ")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (130, "meterlet: interrupted\n")
    assert not kept.exists()


@pytest.mark.process
def test_what_is_spread_over_processes_is_cut_off_in_one_line_too(tmp_path: Path) -> None:
    """A terminal interrupts all of them; those that work say nothing, and none is left."""
    with Utility.create(tmp_path / "utility") as utility:
        enter_answers(utility, answered_crowd(utility, 2).nonces)
    command = [
        *PROGRAM, "utility", "check-ledger", "--utility", str(tmp_path / "utility"),
        "--processes", "2",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def working() -> list[str]:
        """Return the processes that were begun to work on parts."""
        found = children.read_text().split() if children.exists() else []
        return [one for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]

    with process:
        wait_until(working, "a process that works")
        workers = working()
        os.killpg(process.pid, signal.SIGINT)
        out, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert said == "meterlet: interrupted\n"
    assert not [one for one in workers if Path(f"/proc/{one}").exists()]
