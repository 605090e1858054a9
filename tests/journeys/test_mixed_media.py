# SPDX-License-Identifier: Apache-2.0
"""A month of electricity, gas, water, heat and appliances in one hub, each over its own line.

Every intact reading is stored once, what is odd waits in quarantine, and each supplier's private
bill is what its meter's readings differ by, at the tariff, reckoned here by fractions.
"""

import json
import random
import shutil
from collections import Counter
from contextlib import ExitStack
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Final

import pytest

from hub.device import Device
from hub.meters.odd import Odd
from hub.meters.recognition import MeterKind
from hub.quarantining import meter_of
from tests.support.asked import MOSQUITTO, broker
from tests.support.command import ROOT, serving_hub
from tests.support.mixed_media import (
    BERLIN,
    HOME,
    HOURS,
    Bus,
    Line,
    Plug,
    heat_meter,
    port,
    sensor,
)
from tests.support.soak import IS_SOAKING
from tests.support.town import done

pytest.importorskip("serial")
BEGIN: Final = int(datetime(2025, 1, 31, 18, tzinfo=BERLIN).timestamp())
END: Final = int(datetime(2025, 3, 1, 12, tzinfo=BERLIN).timestamp())
FEBRUARY: Final = tuple(
    int(datetime(2025, month, 1, tzinfo=BERLIN).timestamp()) for month in (2, 3)
)
GAS_DAY: Final = 6 * HOURS
DAYS: Final = 28
TARIFFS: Final = ROOT / "examples" / "tariffs"
BILLING: Final = ROOT / "applets" / "billing"
FLAT: Final = """
format = 1
name = "{name}"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
{medium}valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = {{ rule = "half-up", decimals = 2 }}
[[charge]]
name = "energy"
kind = "energy"
price = "{price}"
[[charge]]
name = "standing"
kind = "standing"
per_day = "0.30"
[[step]]
name = "vat"
kind = "tax"
on = ["energy", "standing"]
percent = "19"
"""


def has_broker() -> bool:
    try:
        import aiomqtt  # noqa: F401
    except ImportError:
        return False
    return MOSQUITTO is not None


class World:
    """The meters, what they count, their lines, and what is expected of the hub."""

    def __init__(self, folder: Path, scratch: Path, stack: ExitStack) -> None:
        self.dice = random.Random(17)
        self.wh, self.gas, self.water = 5_000_001, 1_569_646, 872_234
        self.heat, self.pump, self.washer = 8_640, 14_768, 12_345
        self.freezer_watt_seconds = 0
        self.stored: dict[str, dict[int, int]] = {name: {} for name in ("", *HOME.meters)}
        self.odd: list[tuple[str, Odd]] = []
        self.p1 = Line.open(folder, MeterKind.P1, stack)
        self.display = Line.open(folder, MeterKind.CURRENT_COST, stack)
        self.bus = Bus.open(folder, stack, heat_meter(self.heat))
        self.plug: Plug | None = None
        if has_broker():
            number = stack.enter_context(broker(scratch))
            self.plug = Plug.open(folder, stack, number)
        self.time = BEGIN
        self.p1.start(BEGIN)
        self.display.start(BEGIN)
        self.bus.hub.start(BEGIN)
        self.stored["heat"][BEGIN] = self.heat * 1000
        stack.callback(self.bus.hub.stop)
        if self.plug is not None:
            self.plug.hub.start(BEGIN, self.plug.wake)
            stack.callback(self.plug.hub.stop)

    def set(self, now: int) -> None:
        """Let the one clock stand at a moment; the bus has the time of its next question."""
        self.time = now
        for one in (self.p1.hub, self.display.hub, *([self.plug.hub] if self.plug else [])):
            one.clock.set(now)

    def hour(self) -> None:
        """An hour of the port: everything behind it counts on, and is told."""
        self.wh += self.dice.randrange(60, 1500)
        self.gas += self.dice.choice((0, 0, 150, 900)) + self.dice.randrange(50)
        self.water += self.dice.choice((0, 0, 0, 8, 60))
        self.tell_port()

    def tell_port(self) -> None:
        self.p1.send(port(self.time, self.wh, self.gas, self.water))
        for name, steps in (("", self.wh), ("gas", self.gas), ("water", self.water)):
            self.stored[name][self.time] = steps

    def ask_bus(self, number: int) -> None:
        if number == 30:  # somebody has put another meter on the bus, for six hours
            self.bus.slave = heat_meter(3, number="99999999")
            self.bus.ask(self.time)
            self.odd.append(("heat", Odd.FOREIGN))
            return
        self.heat += self.dice.randrange(12)
        self.bus.slave = heat_meter(self.heat)
        self.bus.ask(self.time)
        self.stored["heat"][self.time] = self.heat * 1000

    def count_impulses(self) -> None:
        self.pump += self.dice.randrange(2_500)
        self.display.send(sensor(2, "01039", impulses=self.pump))
        self.stored["heat-pump"][self.time] = self.pump

    def measure_power(self) -> None:
        """Three messages of the freezer, a minute from each to the next: power times time."""
        begin, before = self.time, None
        for step in range(3):
            self.set(begin + 60 * step)
            if before is not None:
                self.freezer_watt_seconds += before * 60
            before = self.dice.randrange(40, 2_000)
            self.display.send(sensor(1, "00629", watts=before))
            self.stored["freezer"][self.time] = self.freezer_watt_seconds // 3600
        self.set(begin)

    def publish(self) -> None:
        if self.plug is not None:
            self.washer += self.dice.randrange(900)
            self.plug.publish(self.washer)
            self.stored["washer"][self.time] = self.washer

    def month(self) -> None:
        for number, moment in enumerate(range(BEGIN, END + 1, HOURS)):
            self.set(moment)
            if number:
                self.hour()
            else:
                self.tell_port()
            if number % 6 == 0:
                if number:
                    self.ask_bus(number)
                self.count_impulses()
            if number % 12 == 0:
                self.publish()
            if number % 24 == 0:
                self.measure_power()
            if number % 48 == 30:
                self.fault(number // 48)

    def fault(self, number: int) -> None:
        """Send something odd, half an hour after a true telegram."""
        self.set(self.time + HOURS // 2)
        true = self.wh, self.gas, self.water
        match number:
            case 1:
                self.expect("", Odd.FELL, port(self.time, 7, *true[1:]))
                self.stored["gas"][self.time], self.stored["water"][self.time] = true[1:]
            case 2:
                self.expect("gas", Odd.FOREIGN, port(self.time, *true, gas_meter="G0777"))
                self.stored[""][self.time], self.stored["water"][self.time] = true[0], true[2]
            case 3:
                self.expect("water", Odd.LEAPT, port(self.time, *true[:2], 99_000_000))
                self.stored[""][self.time], self.stored["gas"][self.time] = true[:2]
            case 4:
                wire = bytearray(port(self.time, *true))
                wire[60] ^= 1
                self.p1.send(bytes(wire))
            case 5:  # the telegram of half an hour ago, once more
                self.p1.send(port(self.time - HOURS // 2, *true))
            case 6:  # the flat next door
                self.display.send(sensor(7, "04711", impulses=3))
            case 7 if self.plug is not None:
                self.plug.publish(self.washer - 1)
                self.odd.append(("washer", Odd.FELL))
            case 8 if self.plug is not None:
                self.plug.publish(1, device="somebody-elses")
            case _:
                pass
        self.set(self.time - HOURS // 2)

    def expect(self, meter: str, kind: Odd, telegram: bytes) -> None:
        self.p1.send(telegram)
        self.odd.append((meter, kind))

    def used(self, name: str, shift: int = 0) -> Fraction:
        """Return what a meter counted in February, in kilowatt-hours or cubic metres."""
        begin, end = (moment + shift for moment in FEBRUARY)
        return Fraction(self.stored[name][end] - self.stored[name][begin], 1000)


def live(folder: Path) -> World:
    """Let a hub see the month; return what it was to see."""
    done("tariff", "keygen", "--out", folder / "vendor.key")
    with Device.create(folder / "hub", HOME, now=lambda: BEGIN):
        shutil.copy(folder / "vendor.key.pub", folder / "hub" / "vendors" / "0-vendor.pem")
    with ExitStack() as stack:
        world = World(folder / "hub", folder, stack)
        world.month()
    return world


def require_stored(folder: Path, world: World) -> None:
    """Every reading is stored once, and the odd ones wait."""
    with Device.open(folder / "hub", now=lambda: END + HOURS) as device:
        for meter in device.every_meter:
            main = meter.main
            found = list(main.vault.between(main.channel, BEGIN, END + HOURS))
            shown = {one.time: one.register_wh for one in found}
            assert len(found) == len(shown)
            assert shown == world.stored[meter.name], meter.name
        waiting = Counter(
            (meter_of(device, one.telegram).name, one.telegram.kind)
            for one in device.quarantine.all()
        )
        assert waiting == Counter(world.odd)


def cents(total: Fraction) -> str:
    """Return an amount as an invoice has it, rounded half up."""
    whole = int(total * 100 + Fraction(1, 2))
    return f"{whole // 100}.{whole % 100:02}"


def flat(price: str, used: Fraction) -> str:
    """Return what use comes to at the flat tariff."""
    return cents((used * Fraction(price) + DAYS * Fraction("0.30")) * Fraction("1.19"))


def gas_bill(volume: Fraction) -> str:
    """Return what cubic metres of gas come to at the tariff de-gas-2025."""
    kilowatt_hours = volume * Fraction("0.9534") * Fraction("11.251")
    energy = kilowatt_hours * (Fraction("0.0642") + Fraction("0.009982"))
    return cents((energy + Fraction("134.40") * DAYS / 365) * Fraction("1.19"))


def water_bill(volume: Fraction) -> str:
    """Return what cubic metres of water come to at the tariff de-water-2025."""
    water = volume * Fraction("1.81") + Fraction("48.00") * DAYS / 365
    return cents(water * Fraction("1.07") + volume * Fraction("2.39"))


class Supplier:
    """Who bills one register, with an applet of its own in the hub."""

    def __init__(self, folder: Path, name: str, manifest: str) -> None:
        self.folder, self.office = folder, folder / f"utility-{name or 'electricity'}"
        package = self.office.with_suffix(".cap")
        enrolment = self.office.with_suffix(".json")
        done(
            "applet", "build", BILLING, "--manifest", BILLING / manifest,
            "--key", folder / "vendor.key", "-o", package,
        )  # fmt: skip
        done("utility", "init", self.office)
        done(
            "applet", "install", "--hub", folder / "hub", package, "--yes",
            "--recipient", self.office / "public.pem", "--enrolment", enrolment,
        )  # fmt: skip
        done("utility", "enrol", "--utility", self.office, enrolment)
        self.meter = json.loads(enrolment.read_text())["meter"]

    def bill(self, address: str, tariff: Path) -> str:
        """Return the total of a private bill of February."""
        bundle = self.office.with_suffix(".bundle")
        told = json.loads(
            done(
                "utility", "request", "bill", "--utility", self.office, "--meter", self.meter,
                "--month", "2025-02", "--tariff", tariff, "--hub", address,
                "--bundle", bundle, "--json",
            )
        )  # fmt: skip
        assert told["verified"]
        key = self.office / "public.pem"
        assert "matches" in done("bill", "verify", bundle, "--supplier", key)
        return str(told["total"])


def require_billed(folder: Path, world: World) -> None:
    """Each supplier bills what its register counted."""
    prices = {"electricity": "0.3127", "heat-pump": "0.2411"}
    for name, price in prices.items():
        (folder / f"{name}.toml").write_text(FLAT.format(name=name, price=price, medium=""))
    electricity = Supplier(folder, "", "manifest.toml")
    gas = Supplier(folder, "gas", "gas.toml")
    water = Supplier(folder, "water", "water.toml")
    pump = Supplier(folder, "heat-pump", "sub-meter.toml")
    with serving_hub(folder / "hub") as address:
        assert electricity.bill(address, folder / "electricity.toml") == flat(
            prices["electricity"], world.used("")
        )
        assert gas.bill(address, TARIFFS / "de-gas-2025.toml") == gas_bill(
            world.used("gas", GAS_DAY)
        )
        assert water.bill(address, TARIFFS / "de-water-2025.toml") == water_bill(
            world.used("water")
        )
        assert pump.bill(address, folder / "heat-pump.toml") == flat(
            prices["heat-pump"], world.used("heat-pump")
        )


def require_heat_billed(folder: Path, world: World) -> None:
    tariff = folder / "heat.toml"
    tariff.write_text(FLAT.format(name="heat", price="0.1104", medium='medium = "heat"\n'))
    heat = Supplier(folder, "heat", "heat.toml")
    with serving_hub(folder / "hub") as address:
        assert heat.bill(address, tariff) == flat("0.1104", world.used("heat"))


def test_a_month_of_mixed_media_is_stored_once_and_billed_by_its_differences(
    tmp_path: Path,
) -> None:
    world = live(tmp_path)
    require_stored(tmp_path, world)
    require_billed(tmp_path, world)
    if IS_SOAKING:
        require_heat_billed(tmp_path, world)
