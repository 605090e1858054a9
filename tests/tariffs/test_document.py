# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.canonical import cbor
from tariffs import MalformedTariff, Tariff, TariffError
from tariffs.source import load_toml
from tariffs.timetable import Exceptions, Signal
from tests.support.soak import examples
from tests.tariffs.plans import Plan, plans

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples" / "tariffs").glob("*.toml"))


def beside(path: Path) -> Callable[[str], str]:
    return lambda name: (path.parent / name).read_text()


DOCUMENTS = [load_toml(p.read_text(), files=beside(p)).encode() for p in EXAMPLES]

values = st.recursive(
    st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=30) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-(2**64), 2**64 - 1) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=50)
@given(plans())
def test_tariffs_come_back_as_they_went_out(plan: Plan) -> None:
    tariff = load_toml(plan.toml())
    data = tariff.encode()
    assert Tariff.decode(data) == tariff
    assert Tariff.decode(data).digest == tariff.digest


@examples(100, soak=400)
@given(st.sampled_from(DOCUMENTS), st.data())
def test_any_change_to_a_document_is_refused_or_another_document(
    document: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(document) - 1))
    changed = bytearray(document)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        tariff = Tariff.decode(bytes(changed))
    except TariffError:
        return
    assert tariff.encode() == changed
    assert tariff.digest != Tariff.decode(document).digest


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(DOCUMENTS), st.data())
def test_documents_with_a_foreign_part_raise_only_the_packages_errors(
    document: bytes, data: st.DataObject
) -> None:
    tree = cbor.decode(document)
    node: object = tree
    for _ in range(data.draw(st.integers(0, 6))):
        inner = node[data.draw(st.sampled_from(_keys(node)))]  # type: ignore[index]
        if not _keys(inner):
            break
        node = inner
    key = data.draw(st.sampled_from(_keys(node)))
    node[key] = data.draw(values)  # type: ignore[index]
    changed = cbor.encode(tree)
    try:
        tariff = Tariff.decode(changed)
    except TariffError:
        return
    assert tariff.encode() == changed


@pytest.mark.parametrize("moment", [2**40, 2**62, -(2**62), 2**64 - 1])
def test_an_event_outside_every_calendar_is_refused_by_name(moment: int) -> None:
    usual = Signal(("usual",), 0, 3600, bytes(1))
    with pytest.raises(MalformedTariff, match=f"the event at second {moment} is impossible"):
        Exceptions(usual, ("peak",), ((moment, moment, 0),))


def _keys(node: object) -> list[object]:
    if isinstance(node, dict):
        return sorted(node)
    return list(range(len(node))) if isinstance(node, list) else []


def test_a_document_of_another_format_is_refused() -> None:
    tree = cbor.decode(DOCUMENTS[0])
    assert isinstance(tree, dict)
    tree["format"] = 2
    with pytest.raises(MalformedTariff, match="format 2, this release reads 1"):
        Tariff.decode(cbor.encode(tree))


def test_an_oversized_document_is_refused_unread() -> None:
    with pytest.raises(MalformedTariff, match="larger than"):
        Tariff.decode(bytes((4 << 20) + 1))


def test_holidays_out_of_order_are_not_the_canonical_form() -> None:
    italy = next(path for path in EXAMPLES if path.stem == "it-bioraria-2025")
    tree = cbor.decode(load_toml(italy.read_text()).encode())
    assert isinstance(tree, dict)
    tree["versions"][0]["charges"][0]["timetable"]["holidays"].reverse()
    with pytest.raises(MalformedTariff, match="canonical"):
        Tariff.decode(cbor.encode(tree))
