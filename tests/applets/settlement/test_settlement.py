# SPDX-License-Identifier: Apache-2.0
"""Settlement equals plain arithmetic: 60 London homes at real half-hourly prices, to the penny.

Low Carbon London 2013 (UK Power Networks, CC BY 4.0); the prices are those of Octopus Agile ten
years later, put back to the same weekday.
"""

from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.common.questions import About, MessageRefused
from applets.sdk import Command
from applets.sdk.testing import FakePlatform, Household, NativeCard
from applets.settlement.applet import SettlementApplet
from applets.settlement.messages import AID, PENNY, SettlementAnswer, SettlementQuestion
from applets.settlement.statement import PURPOSE, RECIPIENT
from hub.machine.manifest import Manifest
from protocols.metrology import Period
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tariffs.signing import sign_index
from tests.support.homes import SLOT, homes
from tests.support.settlement import NONCE, agile, answered, checked
from tests.support.soak import IS_SOAKING
from utility_server.retail.shares import round_shares

JANUARY = Period.month(2013, 1)
MANIFEST = Path(__file__).resolve().parents[3] / "applets" / "settlement" / "manifest.toml"


def test_homes_are_settled_as_plain_arithmetic_says(tmp_path: Path) -> None:
    index = agile()
    plain: dict[str, Fraction] = {}
    proved: dict[str, int] = {}
    every = list(homes(JANUARY, tmp_path))
    for number, home in enumerate(every if IS_SOAKING else every[::6]):
        settled = checked(home, answered(home, index), index)
        worth = Fraction(0)
        for start, watt_hours in home.rows.items():
            micro = index.prices.prices[(start - index.prices.begin) // SLOT]
            assert micro is not None
            worth += Fraction(micro, 10**6) * Fraction(watt_hours, 1000)
        assert settled.value == round(100 * worth) * PENNY  # half-even, as it is told
        assert len(settled.missing) == settled.slots - len(home.rows)
        supplier = f"supplier {number % 7}"
        plain[supplier] = plain.get(supplier, Fraction(0)) + worth
        proved[supplier] = proved.get(supplier, 0) + settled.value
    assert number == (59 if IS_SOAKING else 9)
    shares = round_shares(proved, 10**7)
    assert sum(shares.values()) * PENNY == sum(proved.values())
    for supplier, exact in plain.items():  # of nine homes or fewer, each off by half a penny
        assert abs(shares[supplier] - 100 * exact) <= Fraction(9, 2)


def test_the_applet_asks_for_the_index_as_weights() -> None:
    key = Ed25519PrivateKey.generate()
    household = Household.constant(watt_hours=100, days=28, first_day=date(2026, 2, 1))
    hours = (household.end - household.begin) // 3600
    prices = tuple(1000 * place for place in range(hours))
    index = PriceIndex(
        "spot", 1, "EUR", "EUR/MWh", "UTC", PriceSeries(household.begin, 3600, prices)
    )
    platform = FakePlatform(household)
    card = NativeCard(SettlementApplet, platform)
    card.install(key.public_key().public_bytes_raw())
    about = About(b"meter", household.begin, household.end, NONCE)
    asked = SettlementQuestion(about, sign_index(index, key, b"key"))
    response = card.send(Command(0x80, 0x10, data=asked.encode()))
    answer = SettlementAnswer.decode(response.data)
    (opened,) = platform.released_numbers
    assert (opened.values, answer.index) == (
        (round(Fraction(400 * sum(prices), PENNY)),),
        index.digest,
    )
    assert answer.proof == opened.proof
    stranger = sign_index(index, Ed25519PrivateKey.generate(), b"key")
    refused = card.send(Command(0x80, 0x10, data=replace(asked, document=stranger).encode()))
    assert refused.status == 0x6A80
    short = sign_index(index.between(household.begin, household.end - 3600), key, b"key")
    refused = card.send(Command(0x80, 0x10, data=replace(asked, document=short).encode()))
    assert refused.status == 0x6A80
    assert card.send(Command(0x80, 0x12, data=b"invoice")).status == 0x6D00
    assert (len(platform.released_numbers), platform.released_amounts) == (1, [])


def test_the_manifest_asks_for_slots_that_differ_and_for_nothing_else() -> None:
    manifest = Manifest.from_toml(MANIFEST.read_text())
    assert (manifest.aid, manifest.recipient, manifest.purpose) == (AID, RECIPIENT, PURPOSE)
    (statement,) = manifest.statements
    assert (statement.kind, statement.least_minutes, statement.value_bits) == ("linear", 15, 24)


def test_messages_that_are_not_in_their_one_form_are_refused() -> None:
    about = About(b"meter", 0, 86_400, NONCE)
    answer = SettlementAnswer(about, bytes(96), bytes(32), (b"day",))
    assert SettlementAnswer.decode(answer.encode()) == answer
    question = SettlementQuestion(about, b"index")
    assert SettlementQuestion.decode(question.encode()) == question
    for data in (question.encode(), answer.encode()):
        for place in range(len(data)):
            for decode in (SettlementQuestion.decode, SettlementAnswer.decode):
                changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
                try:
                    again = decode(changed)
                except MessageRefused:
                    continue
                assert again.encode() == changed


def test_shares_add_up_to_the_penny() -> None:
    assert round_shares({"a": 1_4999999, "b": 1_4999999, "c": 1}, 10**7) == {"a": 2, "b": 1, "c": 0}
    assert round_shares({"a": -3_333_333, "b": -3_333_333, "c": 6_666_666}, 10**7) == {
        "a": 0,
        "b": 0,
        "c": 0,
    }
