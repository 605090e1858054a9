# SPDX-License-Identifier: Apache-2.0
"""Whole hubs take part in rounds with prices: one number leaves, and the resident is told so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from hub.inspection.api.json_releases import disclosed_json
from hub.inspection.views.releases import releases_view
from hub.machine.machine import AppletMachine
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.weighting import Weighting
from tests.support.aggregation import private_key
from tests.support.hubs import MONTH, Hub, announce, copies, run
from tests.support.weighted_aggregation import weighted_terms

PRICES = [1_000 * (hour % 24) - 4_000 + hour for hour in range(28 * 24)]
ABOUT = weighted_terms(PRICES, bits=2048, resolution=60, period=MONTH)


@pytest.fixture
def hubs(tmp_path: Path, machine: AppletMachine, settled_hubs: list[Hub]) -> Iterator[list[Hub]]:
    with copies(settled_hubs, tmp_path, machine) as hubs:
        yield hubs


def worth(hub: Hub) -> int:
    return sum(p * wh for p, wh in zip(PRICES, hub.values(60, MONTH), strict=True))


def test_hubs_give_the_one_number_exactly_whoever_drops_out(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32), ABOUT)
    present = [hub for hub in hubs if hub is not hubs[2]]
    collector, _ = run(announced, present)
    opened = decrypt_sum(announced, collector.batch(), private_key(2048))
    assert opened.values == (sum(map(worth, present)),)
    assert (len(opened.meters), opened.missing_slots) == (5, 0)


def test_the_log_says_one_number_and_no_bit_of_this_home_and_keeps_the_prices(
    hubs: list[Hub],
) -> None:
    announced = announce(hubs, bytes(32), ABOUT)
    run(announced, hubs)
    disclosure = hubs[0].device.disclosure
    [entry] = disclosure.log.entries("aggregate")
    assert {name: entry.facts[name] for name in ("statement", "bits", "values", "group")} == {
        "statement": "weighted",
        "bits": 0,
        "values": 1,
        "group": 6,
    }
    assert (entry.facts["index"], entry.facts["currency"]) == ("spot revision 1", "EUR")
    assert Weighting.decode(disclosure.log.content(entry)) == ABOUT.weighting
    assert disclosure.releases() == []
    assert disclosure.knowledge().numbers == 0
    disclosure.log.verify()


def test_what_the_resident_is_shown_says_what_was_told_and_of_whom(hubs: list[Hub]) -> None:
    run(announce(hubs, bytes(32), ABOUT), hubs)
    device = hubs[0].device
    facts = disclosed_json(releases_view(device), device.zone).as_json()
    [part] = facts["aggregates"]
    assert (part["values"], part["households"], part["index"]) == (1, 6, "spot revision 1")
    assert part["recipient"] == "settlement"
    assert facts["raw_readings_left_house"] == 0
    [(name, known)] = facts["known"].items()
    assert (name, known["numbers"], known["sums_over_households"]) == ("settlement", 0, 1)
    assert "Nothing about your household alone" in known["in_words"]["en"]


def test_a_step_is_answered_again_as_it_was(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32), ABOUT)
    first = hubs[0].take(Instruction.CONTRIBUTE, announced.encode())
    assert hubs[0].take(Instruction.CONTRIBUTE, announced.encode()) == first
    collector, contributors = run(announced, hubs)
    listed, signatures = contributors.encode(), b"".join(collector.agreements)
    opening = collector.batch().openings[announced.index_of(hubs[0].meter)].encode()
    assert hubs[0].take(Instruction.OPEN, listed, signatures) == opening
    assert len(list(hubs[0].device.disclosure.log.entries("aggregate"))) == 1
