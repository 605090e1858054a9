# SPDX-License-Identifier: Apache-2.0
"""What an emulated hub costs: to make it, to let it be billed, and to keep it in memory.

    python benchmarks/bench_fleet.py           one core, processor time; Linux

The yardstick u is what a month's 2,972 compressed points take to decode in the same run, which
other machines have in common with this one. Memory is this process's, of what it shares its part:
"open" is a hub whose folder is open and whose card has not been spoken to, "billed" one that has
answered for a month and stays open, "closed" what is left of it.
"""

import gc
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hub.device import Description, Device
from hub.dialling.dialler import Dialler
from hub.dialling.recipient import find_recipient
from hub.installer import Installer
from hub.machine.machine import AppletMachine
from hub.readings import Readout
from meterlet.fleet.folder import RECIPIENT, FleetFolder, FleetSettings
from meterlet.fleet.making import LOAD_BLOCK
from meterlet.fleet.memory import cpu_seconds, memory_bytes
from meterlet.fleet.run import FleetRun, gateway
from protocols.metrology import Period
from protocols.proofs import PointVector, commit_many, derive_blindings
from tariffs.source import load_toml
from utility_server.retail.utility import Utility

HOMES = 8
MONTH = Period.month(2025, 3)
TARIFF = load_toml(Path("examples/tariffs/de-modul3-2025.toml").read_text())
KIB = 1024


def yardstick() -> float:
    points = commit_many([7] * 2972, derive_blindings(bytes(32), b"yardstick", 2972)).encode()
    best = float("inf")
    for _ in range(20):
        start = time.process_time()
        PointVector.decode(points)
        best = min(best, time.process_time() - start)
    return best


def memory() -> int:
    gc.collect()
    return memory_bytes()


@contextmanager
def part(taken: dict[str, float], name: str) -> Iterator[None]:
    start = time.process_time()
    yield
    taken[name] = min(taken.get(name, float("inf")), time.process_time() - start)


def make(folder: FleetFolder, place: Path, machine: AppletMachine, taken: dict[str, float]) -> None:
    """Make a hub as `meterlet.fleet.making` does, part by part."""
    home = folder.home(1)
    register = home.series.register
    with part(taken, "readings"):
        readings = home.readings(MONTH)
    with part(taken, "keys, database"):
        about = Description(home.meter, (register,), home.zone, home.slot_minutes)
        device = Device.create(place, about)
        shutil.copy(folder.vendor, place / "vendors" / "meterlet.pem")
    with part(taken, "store"):
        device.store([Readout({register: reading}) for reading in readings])
    with part(taken, "certify"):
        device.certify()
    with part(taken, "install"):
        installer = Installer(device, device.card(machine), LOAD_BLOCK)
        package = installer.read(folder.package.read_bytes())
        installer.install(package, bytes.fromhex(folder.settings.supplier))
    device.close()


def keep(run: FleetRun, machine: AppletMachine, numbers: Sequence[int], u: float) -> None:
    """Open the hubs, let each be billed, and close them."""
    empty = memory()
    with ExitStack() as stack:
        devices = [Device.open(run.folder.hub(number)) for number in numbers]
        cards = [device.card(machine) for device in devices]
        for device in devices:
            stack.callback(device.close)
        opened = memory()
        url, process = stack.enter_context(gateway(run.utility.folder))
        marks = list[int]()
        for number, device, card in zip(numbers, devices, cards, strict=True):
            recipient = find_recipient(run.folder.hub(number), RECIPIENT, url)
            meter, record = run.folder.home(number).meter, device.disclosure.record_connection
            gateway_before = cpu_seconds(process) or 0.0
            start = time.process_time()
            dialler = Dialler(card, recipient, meter, record=record)
            dialler.session()
            dialler.hang_up()
            took = time.process_time() - start
            theirs = (cpu_seconds(process) or 0.0) - gateway_before
            marks.append(memory())
        print(f"\n{'a bill, at the hub':40}{took / u:8.1f} u")
        print(f"{'a bill, at the gateway, verified':40}{theirs / u:8.1f} u")
        print(f"\n{'open':40}{(opened - empty) / len(numbers) / KIB:8.0f} KiB a hub")
        print(f"{'billed':40}{(marks[-1] - marks[0]) / (len(marks) - 1) / KIB:8.0f} KiB a hub")
        print(f"{'the first of them, code included':40}{(marks[0] - opened) / KIB:8.0f} KiB")


def main() -> None:
    u = yardstick()
    print(f"u, 2,972 points decoded: {1000 * u:.1f} ms")
    machine, taken = AppletMachine.open(), dict[str, float]()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        with Utility.create(place / "utility") as utility:
            supplier = utility.keys.public.public_bytes_raw().hex()
            settings = FleetSettings(1, "Europe/Berlin", 15, supplier)
            folder = FleetFolder.open(place / "fleet", settings)
            for number in range(3):
                make(folder, place / f"hub-{number}", machine, taken)
            print(f"\n{'a hub is made':40}{sum(taken.values()) / u:8.1f} u")
            for name, seconds in taken.items():
                print(f"    {name:36}{seconds / u:8.1f} u")
            run = FleetRun(
                folder=folder, utility=utility, homes=HOMES, period=MONTH,
                signed_tariff=utility.sign(TARIFF),
            )  # fmt: skip
            numbers = range(1, HOMES + 1)
            run.make(numbers)
            run.enrol(numbers)
            run.ask(numbers)
            keep(run, machine, numbers, u)


if __name__ == "__main__":
    main()
