# SPDX-License-Identifier: Apache-2.0
"""Messages declare their items once, and are refused where an item is another one."""

from dataclasses import fields, replace

import pytest

from protocols.aggregation.collector import Batch
from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.loads import CertifiedLoad
from protocols.aggregation.members import MemberKeys, MeterCertificate
from protocols.aggregation.messages import (
    Contribution,
    Contributors,
    Opening,
    PairKey,
    PairPoints,
    SumAgreement,
)
from protocols.aggregation.weighting import Weighting
from protocols.aggregation.wire import WireMessage
from protocols.canonical.cbor import CborItem, encode_array
from tests.support.aggregation import public_of

KINDS: list[type[WireMessage]] = [
    Batch, CertifiedLoad, Contribution, Contributors, MemberKeys, MeterCertificate, Opening,
    PairKey, PairPoints, SumAgreement, Weighting,
]  # fmt: skip
SEED = bytes(range(32))
AGREEMENT = SumAgreement(bytes(32), 3, bytes(32)).signed(SEED)


def agreement_of(*items: CborItem) -> bytes:
    return encode_array([encode_array([SumAgreement.LABEL, *items]), AGREEMENT.signature])


def test_no_two_messages_have_one_label() -> None:
    assert len({kind.LABEL for kind in KINDS}) == len(KINDS)


def test_a_message_comes_back_and_is_signed_by_its_author_only() -> None:
    assert SumAgreement.decode(AGREEMENT.encode()) == AGREEMENT
    assert agreement_of(bytes(32), 3, bytes(32)) == AGREEMENT.encode()
    assert AGREEMENT.is_by(public_of(SEED))
    assert not AGREEMENT.is_by(public_of(bytes(32)))
    assert not AGREEMENT.is_by(b"no key")
    assert not replace(AGREEMENT, index=4).is_by(public_of(SEED))


@pytest.mark.parametrize(
    "items",
    [
        (),
        (bytes(32), 3),
        (bytes(32), 3, bytes(32), b""),
        (bytes(32), "3", bytes(32)),
        (bytes(32), bytes(32), 3),
        (bytes(31), 3, bytes(32)),
        (bytes(32), 3, bytes(33)),
        (bytes(32), 1 << 16, bytes(32)),
    ],
)
def test_other_items_than_a_message_has_are_refused(items: tuple[CborItem, ...]) -> None:
    with pytest.raises(MalformedMessage):
        SumAgreement.decode(agreement_of(*items))


def test_an_item_of_another_size_is_named() -> None:
    for name in ("round", "contributors", "signature"):
        with pytest.raises(MalformedMessage, match=name):
            replace(AGREEMENT, **{name: b"short"})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_the_label_is_of_the_class_and_no_item(kind: type[WireMessage]) -> None:
    assert "LABEL" not in {declared.name for declared in fields(kind)}
    with pytest.raises(MalformedMessage):
        kind.decode(AGREEMENT.encode() if kind is not SumAgreement else b"")
