# SPDX-License-Identifier: Apache-2.0
"""A region's sum through real processes, in a folder of its own.

    homes (a few processes, each hub a device with its own folder and port)
      <--TCP--> concentrator <--TCP--> MDMS <--socket--> here (the operator's command)

Everything goes through the same functions as the other commands. Here, and nowhere else, the
plain sums are worked out beside: out of the devices' folders, once their hubs have stopped.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.device import Device
from hub.inspection.api.json_releases import disclosed_json
from hub.inspection.views.releases import releases_view
from hub.installer import build_package
from meterlet.demo.fleet import FleetPlan, Home, ReadingsPlan
from meterlet.demo.search import Needles, SearchImpossible
from meterlet.resources import APPLETS, SOURCES
from protocols.aggregation.round import values_at_resolution
from protocols.aggregation.rules import SMALLEST_GROUP
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from utility_server.grid.authority import Authority
from utility_server.grid.concentrator.errors import ConcentratorError
from utility_server.grid.line_identity import LineIdentity
from utility_server.grid.mdms.control_socket import PinnedPeer, Request, ask
from utility_server.grid.mdms.workspace import Mdms
from utility_server.grid.trustee import Trustee
from utility_server.head_end import Address
from utility_server.keys import public_pem

REGION: Final = "Demonstration"
START_SECONDS: Final = 600
STOP_SECONDS: Final = 20
LIAR: Final = "from meterlet.demo.dishonest_concentrator import serve; serve()"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionPlan(ReadingsPlan):
    """What is to be shown."""

    columns: tuple[str, ...]
    """A column of the CSV file for each home; empty strings for synthetic households."""
    resolution_minutes: int
    source: str
    dropouts_percent: int
    cheat: str | None
    """A kind of dishonest concentrator, or "home"."""
    processes: int
    splits_key: bool = False
    """Whether a trustee holds a share of the Paillier key."""
    value_bits: int = 20
    manifest: str = "manifest.toml"
    """Of the aggregation applet, as it is installed in every home."""

    @property
    def vanishing(self) -> frozenset[int]:
        """The serial numbers of the homes that drop out, the same ones every time."""
        count = -(-len(self.columns) * self.dropouts_percent // 100)
        serials = range(1, len(self.columns) + 1)
        return frozenset(random.Random(7).sample(serials, count))  # noqa: S311 - no secret

    @property
    def liar(self) -> int:
        """The serial number of the home that lies; 0 for none."""
        honest = (n for n in range(1, len(self.columns) + 1) if n not in self.vanishing)
        return next(honest, 0) if self.cheat == "home" else 0


@dataclass(slots=True)
class Region:
    """The demonstration."""

    folder: Path
    plan: RegionPlan
    say: Callable[[str], None] = lambda line: None
    made: Callable[[], None] = lambda: None
    """Told of each home that is ready."""
    timings: dict[str, float] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    """The processes: "concentrator", "mdms", "homes 0", ..."""
    concentrator: Address = field(init=False)

    def run(self) -> dict[str, Any]:
        """Go the whole way; return the facts. Raises what goes wrong on it."""
        with ExitStack() as servers, ExitStack() as homes:
            self.start(homes, servers)
            with self._station("round"):
                outcome = self.aggregate()
            traffic = self._traffic()
            homes.close()
            with self._station("plain sums"):
                plain, released = self._plain(outcome)
            with self._station("search for readings"):
                needles = self.needles()
                parties = [party for party in self.pids if not party.startswith("homes")]
                seen = {party: self._search(needles, party) for party in parties}
        return self._facts(outcome, plain, seen, released, traffic)

    def start(self, homes: ExitStack, servers: ExitStack) -> None:
        """Make everything, and start all processes; the stacks stop them."""
        with self._station("keys"):
            operator = self._keys()
        with self._station("homes"):
            described = self._homes(homes, operator)
        with self._station("concentrator and MDMS"):
            self._servers(servers, described)

    def aggregate(self) -> dict[str, Any]:
        """Ask the MDMS for the sum; return the outcome's facts."""
        plan, facts = self.plan, dict[str, Any]()
        request = Request(
            REGION,
            ACTIVE_ENERGY_IMPORT,
            plan.period,
            plan.zone,
            plan.resolution_minutes,
            plan.value_bits,
            0,
            # With proofs, the concentrator would refuse this liar; its lie is to reach the sum.
            False if plan.cheat == "home" else None,
        )
        for line in ask(self.folder / "mdms", request):
            if isinstance(line, str):
                self.say(line)
            else:
                facts = line
        return facts

    def needles(self) -> Needles:
        """Return what is to be looked for: every home's readings, out of its own folder."""
        needles = Needles()
        for serial in range(1, len(self.plan.columns) + 1):
            with self._device(serial) as device:
                days = device.main.uses(self.plan.period)
                uses = [wh for day in days for wh in day.uses]
                needles.add(f"home {serial}", uses, days[0].start_wh)
        return needles

    def _keys(self) -> bytes:
        authority = Authority.create(self.folder / "authority")
        share = self.folder / "trustee.share" if self.plan.splits_key else None
        with Mdms.create(
            self.folder / "mdms", [authority.public_key], trustee_share=share
        ) as workspace:
            operator = workspace.signing.public_key().public_bytes_raw()
        vendor = Ed25519PrivateKey.generate()
        (self.folder / "vendor.pem").write_bytes(public_pem(vendor.public_key()))
        folder = APPLETS / "aggregation"
        package = build_package(folder, vendor, [SOURCES], self.plan.manifest)
        (self.folder / "aggregation.cap").write_bytes(package)
        return operator

    def _homes(self, stack: ExitStack, operator: bytes) -> list[dict[str, Any]]:
        """Start the homes' processes; return what the outside knows of each home."""
        plan, count = self.plan, min(self.plan.processes, len(self.plan.columns))
        homes = [
            Home(
                serial,
                str(self.folder / "homes" / f"{serial:04}"),
                column,
                vanishes=serial in plan.vanishing,
                lies=serial == plan.liar,
            )
            for serial, column in enumerate(plan.columns, 1)
        ]
        (self.folder / "homes").mkdir()
        processes = [
            self._fleet(stack, number, homes[number::count], operator) for number in range(count)
        ]
        described = [home for process in processes for home in _ready(process)["homes"]]
        authority = Authority.open(self.folder / "authority")
        with Mdms.open(self.folder / "mdms") as workspace:
            for home in described:
                names = bytes.fromhex(home["meter"]), bytes.fromhex(home["certifier"])
                workspace.members.admit(authority.certify(REGION, *names).encode())
        return sorted(described, key=lambda home: int(home["serial"]))

    def _fleet(
        self, stack: ExitStack, number: int, homes: Sequence[Home], operator: bytes
    ) -> subprocess.Popen[str]:
        plan, path = self.plan, self.folder / f"fleet-{number}.json"
        FleetPlan(
            **{shared.name: getattr(plan, shared.name) for shared in fields(ReadingsPlan)},
            homes=list(homes),
            package=str(self.folder / "aggregation.cap"),
            vendor=str(self.folder / "vendor.pem"),
            authority=str(self.folder / "authority" / "public.pem"),
            operator=operator.hex(),
        ).write(path)
        log = self._log(f"fleet-{number}")
        process = self._start(stack, ["-m", "meterlet.demo.fleet", str(path)], log)
        self.pids[f"homes {number}"] = process.pid
        watcher = threading.Thread(target=self._watch, args=(process, log, len(homes)), daemon=True)
        watcher.start()
        return process

    def _watch(self, process: subprocess.Popen[str], log: Path, homes: int) -> None:
        """Tell of the homes that a process has made, as its log has them."""
        counted = 0
        while counted < homes and process.poll() is None:
            lines = log.read_text().count("home ")
            for _ in range(lines - counted):
                self.made()
            counted = max(counted, lines)
            time.sleep(0.2)

    def _servers(self, stack: ExitStack, homes: Sequence[dict[str, Any]]) -> None:
        hubs = self.folder / "hubs.json"
        entries = [
            {"meter": home["meter"], "region": REGION, "address": home["address"]} for home in homes
        ]
        hubs.write_text(json.dumps({"format": "meterlet hubs 1", "hubs": entries}))
        operator = str(self.folder / "mdms" / "public.pem")
        identity = str(self.folder / "concentrator")
        LineIdentity.create(self.folder / "concentrator", "a concentrator")
        if self.plan.cheat in (None, "home"):
            program = ["-m", "meterlet", "concentrator", "serve", "--hubs", str(hubs)]
            program += ["--concentrator", identity, "--operator", operator, "--port", "0", "--json"]
        else:
            program = ["-c", LIAR, str(self.plan.cheat), identity, str(hubs), operator]
        concentrator = self._start(stack, program, self._log("concentrator"))
        where = _ready(concentrator)
        self.concentrator = Address(where["host"], where["port"])
        program = ["-m", "meterlet", "mdms", "serve", "--mdms", str(self.folder / "mdms")]
        program += ["--concentrator", str(self.concentrator), "--json"]
        program += ["--concentrator-key", str(self.folder / "concentrator" / "public.pem")]
        if self.plan.splits_key:
            program += ["--trustee", self._trustee(stack, operator)]
            program += ["--trustee-key", str(self.folder / "trustee.pem")]
        mdms = self._start(stack, program, self._log("mdms"))
        _ready(mdms)
        self.pids |= {"concentrator": concentrator.pid, "mdms": mdms.pid}

    def _trustee(self, stack: ExitStack, operator: str) -> str:
        """Start the holder of the key's other share; return its address."""
        program = ["-m", "meterlet", "trustee", "serve", "--port", "0", "--json"]
        program += ["--share", str(self.folder / "trustee.share"), "--operator", operator]
        program += ["--authority", str(self.folder / "authority" / "public.pem")]
        held = Trustee.open(self.folder / "trustee.share", b"", (), SMALLEST_GROUP)
        (self.folder / "trustee.pem").write_bytes(public_pem(held.line_key.public_key()))
        trustee = self._start(stack, program, self._log("trustee"))
        where = _ready(trustee)
        self.pids["trustee"] = trustee.pid
        return f"{where['host']}:{where['port']}"

    def _line_key(self) -> bytes:
        """Return the key by which the concentrator is known."""
        identity = LineIdentity.open(self.folder / "concentrator")
        return identity.public_key.public_bytes_raw()

    def _traffic(self) -> tuple[int, int]:
        """Return the bytes that went to and came from the hubs."""
        with (
            Mdms.open(self.folder / "mdms") as workspace,
            PinnedPeer(self.concentrator, self._line_key()).line(workspace) as connection,
        ):
            for name, items in connection.ask("status"):
                match name, items:
                    case "status", (*_, int(sent), int(received)):
                        return sent, received
        raise ConcentratorError("the concentrator does not tell its status")

    def _plain(self, outcome: dict[str, Any]) -> tuple[list[int], list[dict[str, Any]]]:
        """Return the plain sums over the members of the sum, and what left each house."""
        members, rows, released = set(outcome["meters"]), [], []
        for serial in range(1, len(self.plan.columns) + 1):
            with self._device(serial) as device:
                released.append(disclosed_json(releases_view(device), device.zone).as_json())
                if device.description.meter.hex() in members:
                    days = device.main.uses(self.plan.period)
                    rows.append(
                        values_at_resolution(
                            tuple(tuple(day.uses) for day in days),
                            self.plan.slot_minutes,
                            self.plan.resolution_minutes,
                        )
                    )
        return [sum(slot) for slot in zip(*rows, strict=True)], released

    def _device(self, serial: int) -> Device:
        return Device.open(self.folder / "homes" / f"{serial:04}")

    def _search(self, needles: Needles, party: str) -> list[str] | None:
        """Look for readings in a party's memory, logs and files; None if that is impossible."""
        files = {
            "concentrator": [self.folder / "hubs.json", self.folder / "concentrator.log"],
            "mdms": [*(self.folder / "mdms").rglob("*"), self.folder / "mdms.log"],
            "trustee": [self.folder / "trustee.share", self.folder / "trustee.log"],
        }
        try:
            names = needles.find_in_process(self.pids[party])
            return sorted(names | needles.find_in_files(files[party]))
        except SearchImpossible as error:
            self.say(f"{party}: not searched: {error}")
            return None

    def _facts(
        self,
        outcome: dict[str, Any],
        plain: list[int],
        seen: dict[str, list[str] | None],
        released: Sequence[dict[str, Any]],
        traffic: tuple[int, int],
    ) -> dict[str, Any]:
        plan, sums = self.plan, outcome["sums_wh"]
        searched = [names for names in seen.values() if names is not None]
        readings_seen = sum(map(len, searched)) if len(searched) == len(seen) else None
        cheats = len(outcome["culprits"]) + (plan.cheat is not None and bool(outcome["void"]))
        return {
            "source": plan.source,
            "homes": len(plan.columns),
            "homes_in_sum": outcome["homes"],
            "first_day": plan.period.first.isoformat(),
            "last_day": plan.period.last.isoformat(),
            "resolution_minutes": plan.resolution_minutes,
            "slots": len(sums or ()),
            "verified": outcome["verified"],
            "sums_wh": sums,
            "plain_sums_wh": plain if sums is not None else None,
            "sums_equal": None if sums is None else sums == plain,
            "dropouts": len(plan.columns) - outcome["homes"] if sums is not None else None,
            "cheat": plan.cheat,
            "cheats_found": cheats,
            "culprits": outcome["culprits"],
            "void": outcome["void"],
            "raw_readings_seen_outside": readings_seen,
            "raw_readings_left_houses": sum(facts["raw_readings_left_house"] for facts in released),
            "bytes_per_home": round(sum(traffic) / len(plan.columns)),
            "saw": {
                "concentrator": {
                    "bytes_to_homes": traffic[0],
                    "bytes_from_homes": traffic[1],
                    "keys_held": 0,
                    "readings_found": seen["concentrator"],
                },
                "mdms": {
                    "bytes_received": outcome["bytes_received"],
                    "sums_opened": len(sums or ()),
                    "readings_found": seen["mdms"],
                },
                **({"trustee": {"readings_found": seen["trustee"]}} if "trustee" in seen else {}),
                "residents": {
                    "sums_on_record": sum(len(facts["aggregates"]) for facts in released)
                },
            },
            "processes": {
                "homes": min(plan.processes, len(plan.columns)),
                "concentrator": 1,
                "mdms": 1,
            },
            "timings": {
                **{name: round(took, 3) for name, took in self.timings.items()},
                **{f"round: {name}": took for name, took in outcome["timings"].items()},
            },
        }

    def _log(self, name: str) -> Path:
        path = self.folder / f"{name}.log"
        path.touch()
        return path

    def _start(
        self, stack: ExitStack, arguments: Sequence[str], log: Path
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own modules
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=stack.enter_context(log.open("w")),
            text=True,
        )
        stack.callback(_stop, process)
        return process

    @contextmanager
    def _station(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - begin
        self.say(f"{name}: {self.timings[name]:.1f} s")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the JSON object that a process prints once it can be reached."""
    assert process.stdout is not None
    lines = ""
    for line in process.stdout:
        lines += line
        if line == "}\n":
            members: dict[str, Any] = json.loads(lines)
            return members
    raise ConcentratorError(f"a process ended with {process.wait()} before it could be reached")
