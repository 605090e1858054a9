# SPDX-License-Identifier: Apache-2.0
"""Whether a manifest asks for more than another."""

import pytest

from hub.machine.consent_terms import widens
from hub.machine.manifest import Manifest

USUAL = """
aid = "F04D544C01"
name = "sample"
version = "0.1.0"
vendor = "A vendor"
recipient = "grid"
purpose = "planning"
confinement = "statement"
expires = 2035-12-31
code = { runtime = "python", package = "sample" }

[[statements]]
kind = "linear"
registers = ["1-0:1.8.0*255"]
minimum_days = 28
at_most = 2
within_days = 31
least_minutes = 480
memory_days = 0
value_bits = 40
published = 100
corrected_minutes = 900

[[peers]]
aid = "F04D544C02"
services = [1]

[[shared]]
service = 1
clients = ["F04D544C02"]

[limits]
fuel = 5_000_000_000
"""
WIDER = [
    {"at_most = 2": "at_most = 3"},
    {"minimum_days = 28": "minimum_days = 27"},
    {"within_days = 31": "within_days = 30"},
    {"least_minutes = 480": "least_minutes = 450"},
    {"memory_days = 0": "memory_days = 1"},
    {"value_bits = 40": "value_bits = 41"},
    {"published = 100": "published = 99"},
    {"published = 100": ""},
    {"corrected_minutes = 900": "corrected_minutes = 600"},
    {"memory_days = 0": "slot_bits = 8"},
    {"2035-12-31": "2036-01-01"},
    {"planning": "billing"},
    {'"grid"': '"somebody"'},
    {'kind = "linear"': 'kind = "demand"'},
    {'["1-0:1.8.0*255"]': '["1-0:1.8.0*255", "1-0:2.8.0*255"]'},
    {"services = [1]": "services = [1, 2]"},
    {"service = 1": "service = 2"},
    {'clients = ["F04D544C02"]': 'clients = ["F04D544C02", "F04D544C03"]'},
]
NO_WIDER: list[dict[str, str]] = [
    {},
    {"at_most = 2": "at_most = 1"},
    {"minimum_days = 28": "minimum_days = 29"},
    {"within_days = 31": "within_days = 60"},
    {"least_minutes = 480": "least_minutes = 600"},
    {"value_bits = 40": "value_bits = 20"},
    {"published = 100": "published = 200"},
    {"corrected_minutes = 900": ""},
    {"2035-12-31": "2035-12-30"},
    {"5_000_000_000": "9_000_000_000"},
    {'version = "0.1.0"': 'version = "0.2.0"', '"sample"': '"other"'},
    {'[[peers]]\naid = "F04D544C02"\nservices = [1]\n': ""},
]


def changed(change: dict[str, str]) -> Manifest:
    text = USUAL
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    return Manifest.from_toml(text)


@pytest.mark.parametrize("change", WIDER)
def test_it_asks_for_more(change: dict[str, str]) -> None:
    assert widens(changed({}), changed(change))


@pytest.mark.parametrize("change", NO_WIDER)
def test_it_asks_for_no_more(change: dict[str, str]) -> None:
    assert not widens(changed({}), changed(change))


def test_of_two_tables_of_a_kind_both_have_to_cover_what_is_asked() -> None:
    table = USUAL[USUAL.index("[[statements]]") : USUAL.index("[[peers]]")]
    narrow = table.replace("at_most = 2", "at_most = 1")
    both = changed({table: table + narrow})
    assert widens(both, changed({}))
    assert not widens(both, changed({"at_most = 2": "at_most = 1"}))


def test_what_only_takes_part_in_sums_answers_without_a_channel_and_so_asks_for_more() -> None:
    table = USUAL[USUAL.index("[[statements]]") : USUAL.index("[limits]")]
    sums = """[[statements]]
kind = "aggregate"
registers = ["1-0:1.8.0*255"]
minimum_days = 1
at_most = 1
within_days = 1
smallest_group = 5

"""
    before = changed({table: sums + table})
    assert not widens(before, before)
    assert widens(before, changed({table: sums}))


def test_a_program_that_sees_readings_always_asks() -> None:
    table = USUAL[USUAL.index("[[statements]]") : USUAL.index("[limits]")]
    outputs = "[[outputs]]\nname = 'peak'\nsize = 4\nevery_hours = 24\n\n"
    raw = changed({
        '"statement"': '"raw"\nresolution_minutes = 60', table: outputs,
    })  # fmt: skip
    assert widens(raw, raw)
