# SPDX-License-Identifier: Apache-2.0
import csv
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tariffs import MalformedTariff, PriceIndex, RoundingRule, SignatureRefused, UnpricedSlot
from tariffs.energy import PriceSeries
from tariffs.index_source import IndexShape, read_index
from tariffs.signing import sign_index, sign_tariff, verify_signed_index
from tariffs.source import load_toml
from tests.support.price_files import price_file

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "tariffs"
HOURLY = IndexShape("price", "ct/kWh", 3600)
ROWS = "time,price\n2024-01-01T00:00:00Z,0.001\n2024-01-01T01:00:00Z,-13.545\n"
NEW_YEAR = 1_704_067_200


def index_of(text: str = ROWS, shape: IndexShape = HOURLY) -> PriceIndex:
    return read_index(text, shape, "spot", 1, "EUR", name="file.csv")


def test_an_hours_price_holds_for_each_of_its_slots() -> None:
    index = index_of()
    starts = [NEW_YEAR + 900 * place for place in range(8)]
    assert index.weights(starts, 900) == [10] * 4 + [-135_450] * 4
    with pytest.raises(UnpricedSlot, match="index spot: the series has no price at 2024-01-01T02"):
        index.weights([NEW_YEAR + 7200], 900)
    with pytest.raises(UnpricedSlot, match="several prices"):
        index.weights([NEW_YEAR], 7200)


@given(
    st.lists(st.none() | st.integers(-(10**9), 10**9), min_size=1, max_size=40).filter(
        lambda prices: any(price is not None for price in prices)
    )
)
def test_an_index_has_one_encoding_and_one_digest(prices: list[int | None]) -> None:
    index = PriceIndex("spot", 3, "EUR", "EUR/MWh", "UTC", PriceSeries(0, 900, tuple(prices)))
    again = PriceIndex.decode(index.encode())
    assert (again, again.digest) == (index, index.digest)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedTariff):
        PriceIndex.decode(data)


@given(st.integers(0, len(index_of().encode()) - 1), st.integers(1, 255))
def test_a_byte_that_is_changed_is_refused_or_another_index(place: int, change: int) -> None:
    document = bytearray(index_of().encode())
    document[place] ^= change
    try:
        other = PriceIndex.decode(bytes(document))
    except MalformedTariff:
        return
    assert other.encode() == document
    assert other.digest != index_of().digest


def test_a_part_of_an_index_is_an_index() -> None:
    part = index_of().between(NEW_YEAR + 3600, NEW_YEAR + 7200)
    assert part.prices.prices == (-135_450,)
    assert part.weights([NEW_YEAR + 3600], 1800) == [-135_450]
    with pytest.raises(UnpricedSlot, match="no price at 2024-01-01T02:00:00Z"):
        index_of().between(NEW_YEAR, NEW_YEAR + 7201)


def test_a_signed_index_is_nobody_elses_and_no_tariff() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    document = sign_index(index_of(), key, b"key")
    assert verify_signed_index(document, key.public_key()) == index_of()
    with pytest.raises(SignatureRefused, match="the signature is wrong"):
        verify_signed_index(document, other.public_key())
    tariff = load_toml((EXAMPLES / "gb-economy7-2013.toml").read_text())
    with pytest.raises(SignatureRefused, match="header"):
        verify_signed_index(sign_tariff(tariff, key, b"key"), key.public_key())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ROWS.replace("price", "cost"), "line 1: no column 'price'"),
        (ROWS.replace("0.001", "0.00001"), "more than 6 decimals"),
        (ROWS.replace("0.001", "dear"), "'dear'"),
        (ROWS.replace("T01:00", "T01:30"), "not steps of 3600 s"),
        ("time,price\n", "no rows"),
    ],
)
def test_a_file_that_is_no_index_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(MalformedTariff, match=why):
        index_of(text)


def test_a_gap_has_no_price_unless_it_is_said_to_repeat() -> None:
    text = ROWS + "2024-01-01T03:00:00Z,5\n"
    assert index_of(text).prices.prices == (10, -135_450, None, 50_000)
    shape = IndexShape("price", "ct/kWh", 3600, repeat_gaps=True)
    assert index_of(text, shape).prices.prices == (10, -135_450, -135_450, 50_000)


def test_the_german_spot_price_of_2024_is_read_to_the_last_digit() -> None:
    text = price_file("de_lu_day_ahead_2024_60min")
    index = index_of(text, IndexShape("ct_per_kWh", "ct/kWh", 3600))
    prices = [price for price in index.prices.prices if price is not None]
    assert (len(prices), len(index.prices.prices)) == (8784, 8784)
    assert (min(prices), max(prices), sum(p < 0 for p in prices)) == (-135_450, 2_096_810, 457)
    rows = list(csv.reader(text.splitlines()))[1:]
    assert prices == [int(Decimal(row[1]).scaleb(4)) for row in rows]


def test_five_minute_prices_become_the_mean_of_the_half_hour() -> None:
    text = price_file("aemo_nsw1_rrp_2025-01_5min")
    shape = IndexShape(
        "AUD_per_MWh", "AUD/MWh", 300, "Australia/Brisbane",
        at_end=True, mean_seconds=1800, rule=RoundingRule.HALF_EVEN,
    )  # fmt: skip
    index = read_index(text, shape, "aemo-nsw1", 1, "AUD", name="aemo")
    east = timezone(timedelta(hours=10))
    groups: dict[int, list[Fraction]] = {}
    for row in csv.DictReader(text.splitlines()):
        ended = datetime.fromisoformat(row["interval_end"]).replace(tzinfo=east)
        groups.setdefault((int(ended.timestamp()) - 300) // 1800 * 1800, []).append(
            Fraction(row["AUD_per_MWh"])
        )
    assert index.prices.begin == min(groups)
    for place, price in enumerate(index.prices.prices):
        group = groups[index.prices.begin + 1800 * place]
        assert len(group) == 6
        assert price == round(sum(group, Fraction(0)) / 6 * 1000)


def test_a_price_of_agile_is_there_for_every_half_hour_but_the_repeated_ones() -> None:
    text = price_file("gb_octopus_agile_2022-11_2023-12_30min")
    shape = IndexShape("import_p_per_kWh", "p/kWh", 1800, "Europe/London")
    index = read_index(text, shape, "agile", 1, "GBP", name="agile")
    gaps = [place for place, price in enumerate(index.prices.prices) if price is None]
    assert [index.prices.begin + 1800 * place for place in gaps] == [1_698_541_200, 1_698_543_000]
