# SPDX-License-Identifier: Apache-2.0
"""What a settlement applet answers for one of the London homes, and the check of it."""

from dataclasses import replace
from functools import lru_cache

from applets.common.questions import About
from applets.settlement.messages import SettlementAnswer, SettlementQuestion, settled_total
from applets.settlement.statement import PURPOSE, RECIPIENT, SettledPeriod, check_settlement
from hub.certifier import Certifier
from protocols.proofs import NumbersContext, open_numbers
from tariffs import PriceIndex
from tariffs.index_source import IndexShape, read_index
from tests.support.homes import KEYS, SLOT, Home, series_of
from tests.support.price_files import price_file
from tests.support.statements import stated_numbers

TEN_YEARS = 521 * 7 * 86_400 + 7 * 86_400
NONCE = bytes(range(16))


@lru_cache
def agile() -> PriceIndex:
    shape = IndexShape("import_p_per_kWh", "p/kWh", SLOT, "Europe/London")
    text = price_file("gb_octopus_agile_2022-11_2023-12_30min")
    found = read_index(text, shape, "agile", 1, "GBP", name="agile")
    moved = replace(found.prices, begin=found.prices.begin - TEN_YEARS)
    return replace(found, prices=moved)


def question_for(home: Home, index: bytes = b"signed") -> SettlementQuestion:
    return SettlementQuestion(About(home.name.encode(), *home.bounds, NONCE), index)


def answered(home: Home, index: PriceIndex) -> SettlementAnswer:
    """What applet and platform make of it."""
    begin, end = home.bounds
    series = series_of(home.name)
    context = NumbersContext(
        series.meter, (series.register,), begin, end, SLOT // 60, index.digest, RECIPIENT, PURPOSE,
        NONCE,
    )  # fmt: skip
    total = settled_total(index.weights(home.starts, SLOT))
    source, days = stated_numbers(Certifier(series, KEYS), home.certified, [total])
    _, proof = open_numbers(context, [source], [total], bytes(32))
    return SettlementAnswer(question_for(home).about, proof, index.digest, days)


def checked(home: Home, answer: SettlementAnswer, index: PriceIndex) -> SettledPeriod:
    return check_settlement(
        question_for(home), answer.encode(), index, home.period, series_of(home.name),
        KEYS.public_key,
    )  # fmt: skip
