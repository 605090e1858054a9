# SPDX-License-Identifier: Apache-2.0
"""A hub's meter is exchanged by command: its readings go on under the new meter's id."""

import json
from datetime import date
from pathlib import Path

from click.testing import CliRunner, Result

from hub.device import Device
from meterlet.commands.main import main
from protocols.metrology import DayContent, MeterExchange, Period, verify_days


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], env={"NO_COLOR": "1"})


def shown(*arguments: object) -> dict[str, object]:
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_a_hub_goes_on_with_another_meter(tmp_path: Path) -> None:
    folder, new = tmp_path / "hub", "0a014d544c0000000007"
    assert run("hub", "init", folder, "--serial", 1).exit_code == 0
    days = "hub", "ingest", "--hub", folder, "synthetic"
    assert run(*days, "--from", "2025-03-01", "--until", "2025-03-02").exit_code == 0
    with Device.open(folder) as device:
        last = device.main.vault.latest(device.main.channel)
        assert last is not None
    told = shown(
        "hub", "exchange-meter", "--hub", folder, "--at", "2025-03-03T10:07:00", "--meter", new,
        "--register", f"{last.register_wh + 800}:12", "--json",
    )  # fmt: skip
    assert (told["meter"], told["at"]) == (new, "2025-03-03T10:07:00Z")
    assert run(*days, "--from", "2025-03-04", "--until", "2025-03-06").exit_code == 0
    with Device.open(folder) as device:
        assert device.mounted_meter.hex() == new
        assert device.main.journal.span() is not None
        first_day, last_day, _ = device.main.journal.span() or (date.min, date.min, 0)
        period = Period(first_day, last_day)
        done = device.main.certifications(period)
        contents = [one.day.content for one in done if isinstance(one.day.content, DayContent)]
        events = [event for content in contents for event in content.events]
        assert [type(event) for event in events] == [MeterExchange]
        assert (contents[0].mounted, contents[-1].mounted.hex()) == (contents[0].meter, new)
        assert done[-1].use.start_wh < last.register_wh
        certifier = device.main.certifier
        sent = [certifier.with_slots(one) for one in done]
        verify_days(sent, period, certifier.series, certifier.keys.public_key)
    again = run(
        "hub", "exchange-meter", "--hub", folder, "--at", "2025-03-03T12:00:00", "--meter", "0b",
        "--register", "99999999:0",
    )  # fmt: skip
    assert again.exit_code == 1
    assert "certified already" in again.stderr
    assert f"`meterlet hub correct --hub {folder}` corrects the readings in between" in " ".join(
        again.stderr.split()
    )
    two = run(
        "hub", "exchange-meter", "--hub", folder, "--at", "2025-03-09T12:00:00", "--meter", "0b",
        "--register", "1-0:2.8.0*255=5:0",
    )  # fmt: skip
    assert "needs just the registers of this hub: 1-0:1.8.0*255" in two.stderr
    for wrong in ("5", "5:", "x:1", "1-0:2.8.0*255=5:0", "-1:0"):
        refused = run(
            "hub", "exchange-meter", "--hub", folder, "--at", "2025-03-09T12:00:00", "--meter",
            "0b", "--register", wrong,
        )  # fmt: skip
        assert refused.exit_code in (1, 2), wrong
    with Device.open(folder) as device:
        assert device.mounted_meter.hex() == new
