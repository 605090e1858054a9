# SPDX-License-Identifier: Apache-2.0
"""The concentrator, as a process, on a day of many households: time, memory and bytes.

10,000 households (METERLET_BENCH_HOMES for another number) in groups of 100, each group's day of
96 quarter-hours a round over real sockets: contributions, agreements and openings of every
household, all checked and multiplied, the batch handed out. Contributions are made beforehand;
household and operator are not measured. Time and bytes grow with the number of groups; memory
does not, since a group's contributions are forgotten when its round ends.

Then one group goes through a week of such days with the same keys, with hubs that are told rosters
and lists by name and with hubs of before, that are told them in full each time: bytes to a home.

`python -m benchmarks.bench_concentrator` prints what 100,000 households would take.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pytest_benchmark.fixture import BenchmarkFixture

from applets.aggregation.messages import Instruction, StepAnswer, StepRequest
from protocols.aggregation.collector import Batch
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.household import RoundHousehold
from protocols.aggregation.rosters import Roster
from protocols.aggregation.round import Round
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import Period
from protocols.platform.errors import StatusWord
from tests.support.aggregation import (
    OPERATOR,
    Home,
    encryptor,
    homes,
    plain_sum,
    private_key,
    public_of,
    terms,
)
from tests.support.stand_in import StandIn, listening
from utility_server.grid.pinned_line import LineKeys
from utility_server.grid.rpc import Connection
from utility_server.head_end import Address
from utility_server.keys import write_secret

SERVER_SEED = bytes([4] * 32)
LINE = LineKeys(Ed25519PrivateKey.from_private_bytes(OPERATOR), public_of(SERVER_SEED))
HOMES = int(os.environ.get("METERLET_BENCH_HOMES", "10000"))
GROUP = 100
WEEK = 7
SLOTS = 96
BITS = 2048
DAY = Period(date(2013, 3, 4), date(2013, 3, 4))
TARGET = 100_000
INS_SELECT = 0xA4
TICKS = os.sysconf("SC_CLK_TCK")


class Everybody(StandIn):
    """Stands in for all hubs; a household's messages are made as it would make them."""

    def __init__(self) -> None:
        self.group: dict[bytes, StandIn] = {}
        self.is_of_before = False
        self.made: dict[bytes, bytes] = {}

    def prepare(self, group: list[Home], number: int, day: Period = DAY, keys: int = -1) -> Round:
        """Make a group's round and its contributions; forget the group before.

        Its keys are those of the round of number `keys`, if there is one.
        """
        nonce = (number if keys < 0 else keys).to_bytes(32, "big")
        about = terms(BITS, 15, day)
        members = tuple(home.member(nonce) for home in group)
        until, collector = int(time.time()) + 80_000, public_of(SERVER_SEED)
        announced = Round.announce(about, nonce, until, collector, members, OPERATOR)
        crypt = encryptor(BITS, about.exponent_bits)
        self.made = {home.meter: home.contribute(announced, crypt) for home in group}
        if keys < 0 or not self.group:
            self.group = {home.meter: StandIn(home) for home in group}
        for hub in self.group.values():
            hub.is_of_before = self.is_of_before
        return announced

    def transmit(self, apdu: bytes) -> bytes:
        command = CommandApdu.decode(apdu)
        if command.ins == INS_SELECT:
            return ResponseApdu(b"", 0x9000).encode()
        request = StepRequest.decode(command.data)
        hub = self.group[request.meter]
        try:
            parts = request.parts if self.is_of_before else hub.in_full(request.parts)
            if request.step is Instruction.CONTRIBUTE:
                roster = Roster.of(Round.decode(parts[0]))
                hub.rosters[roster.digest] = roster
                content = self.made[request.meter]
            else:
                content = hub.answer(request.step, parts)
        except KeyError:
            return ResponseApdu(b"", StatusWord.NOT_FOUND).encode()
        except MalformedMessage:
            return ResponseApdu(b"", StatusWord.WRONG_DATA).encode()
        answer = StepAnswer(request.meter, request.nonce, request.step, content)
        return ResponseApdu(answer.encode(), 0x9000).encode()


@dataclass(frozen=True, slots=True)
class Measured:
    """What the concentrator's process took for so many households."""

    homes: int
    cpu_seconds: float
    seconds: float
    before_kb: int
    peak_kb: int
    sent: int
    received: int
    to_operator: int

    def report(self) -> str:
        """Return a table, extrapolated: time and bytes grow with the groups, memory does not."""
        lines = [f"{'':28}{self.homes:>14,}{TARGET:>14,} (extrapolated)"]
        factor = TARGET / self.homes
        for name, value, grows in (
            ("CPU seconds", self.cpu_seconds, True),
            ("seconds", self.seconds, True),
            ("memory at its peak, MB", self.peak_kb / 1024, False),
            ("... of it the program, MB", self.before_kb / 1024, False),
            ("MB from the hubs", self.received / 1e6, True),
            ("MB to the hubs", self.sent / 1e6, True),
            ("MB to the operator", self.to_operator / 1e6, True),
        ):
            lines.append(f"{name:28}{value:14,.1f}{value * (factor if grows else 1):14,.1f}")
        per_reading = self.received / self.homes / SLOTS
        lines.append(f"{per_reading:.2f} bytes a reading from the hubs, all three messages")
        return "\n".join(lines)


def measure(count: int) -> Measured:
    """Let a concentrator's process add up the days of `count` households."""
    everybody = Everybody()
    with (
        tempfile.TemporaryDirectory() as folder,
        listening([everybody]) as [address],
        # A household checks every agreement before it opens; that is its time, not measured here.
        mock.patch.object(RoundHousehold, "_require_agreement"),
        concentrator(Path(folder), address, count) as (process, where),
        Connection.open(where, 600, LINE) as line,
    ):
        before, seconds, received = memory_kb(process.pid, "VmRSS"), 0.0, 0
        started = cpu_seconds(process.pid)
        for number in range(count // GROUP):
            group = homes(GROUP, SLOTS, seed=number)
            for place, home in enumerate(group):
                home.number = number * GROUP + place
            announced = everybody.prepare(group, number)
            begin = time.perf_counter()
            answers = dict(line.ask("collect", announced.encode()))
            seconds += time.perf_counter() - begin
            assert set(answers) == {"batch", "done"}, answers
            [data] = answers["batch"]
            assert isinstance(data, bytes)
            received += len(data)
            if number == 0:
                opened = decrypt_sum(announced, Batch.decode(data), private_key(BITS))
                assert opened.values == plain_sum(group)
            list(line.ask("end", announced.digest))
        _, _, _, _, sent, taken = dict(line.ask("status"))["status"]
        return Measured(
            count // GROUP * GROUP,
            cpu_seconds(process.pid) - started,
            seconds,
            before,
            memory_kb(process.pid, "VmHWM"),
            int(sent),
            int(taken),
            received,
        )


def week(*, is_of_before: bool) -> list[int]:
    """Return the bytes to a home in each round of a week of one group, with the same keys."""
    everybody, group, sent = Everybody(), homes(GROUP, SLOTS), [0]
    everybody.is_of_before = is_of_before
    with (
        tempfile.TemporaryDirectory() as folder,
        listening([everybody]) as [address],
        mock.patch.object(RoundHousehold, "_require_agreement"),
        concentrator(Path(folder), address, GROUP) as (_, where),
        Connection.open(where, 600, LINE) as line,
    ):
        for number in range(WEEK):
            first = DAY.first + timedelta(days=number)
            announced = everybody.prepare(group, number, Period(first, first), keys=0)
            assert set(dict(line.ask("collect", announced.encode()))) == {"batch", "done"}
            list(line.ask("end", announced.digest))
            sent.append(int(dict(line.ask("status"))["status"][4]))
    return [(after - before) // GROUP for before, after in pairwise(sent)]


def report_week() -> str:
    """Return a table of the bytes to a home, round by round, and their ratio."""
    before, now = week(is_of_before=True), week(is_of_before=False)
    lines = [f"{'bytes to a home, groups of 100':32}" + "".join(f"{n + 1:>8}" for n in range(WEEK))]
    for name, row in (("in full (hubs of before)", before), ("by name", now)):
        lines.append(f"{name:32}" + "".join(f"{sent:8,}" for sent in row))
    lines.append(f"a later round takes {now[-1] / before[-1]:.2f} of what it took in full")
    return "\n".join(lines)


@contextmanager
def concentrator(
    folder: Path, hubs: Address, count: int
) -> Iterator[tuple["subprocess.Popen[str]", Address]]:
    """Start `meterlet concentrator serve` for `count` meters behind one address."""
    entries = [
        {"meter": (b"meter %05d" % n).hex(), "region": "any", "address": str(hubs)}
        for n in range(count)
    ]
    listed, operator = folder / "hubs.json", folder / "operator.pem"
    listed.write_text(json.dumps({"format": "meterlet hubs 1", "hubs": entries}))
    key = Ed25519PrivateKey.from_private_bytes(OPERATOR).public_key()
    operator.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    write_secret(folder / "line.key", SERVER_SEED)
    options = ["--concentrator", str(folder), "--hubs", str(listed)]
    options += ["--operator", str(operator), "--port", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "meterlet", "concentrator", "serve", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    try:
        assert process.stdout is not None
        lines = ""
        while not lines.endswith("}\n"):
            lines += process.stdout.readline()
        where = json.loads(lines)
        yield process, Address(where["host"], where["port"])
    finally:
        process.terminate()
        process.communicate()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def bench_a_day_of_many_households(benchmark: BenchmarkFixture) -> None:
    measured: Measured = benchmark.pedantic(lambda: measure(HOMES), rounds=1)  # type: ignore[no-untyped-call]  # pytest-benchmark has no types for it
    print("\n" + measured.report())
    assert measured.homes == HOMES


def bench_a_week_of_one_group(benchmark: BenchmarkFixture) -> None:
    made: str = benchmark.pedantic(report_week, rounds=1)  # type: ignore[no-untyped-call]  # as above
    print("\n" + made)


def main() -> None:
    print(measure(HOMES).report())
    print(report_week())


if __name__ == "__main__":
    main()
