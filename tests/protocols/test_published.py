# SPDX-License-Identifier: Apache-2.0
"""The list of documents that everybody is shown: it grows, and one code names all of it."""

from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocols.canonical.cbor import CborValue, encode
from protocols.canonical.hash_chain import GENESIS
from protocols.published import (
    LIST_CONTENT_TYPE,
    MOST_ENTRIES,
    DocumentKind,
    ListMalformed,
    PublishedDocument,
    PublishedList,
    code_of,
)

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes([3] * 32))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([4] * 32))
MARCH = 1_740_787_200


def document(number: int) -> PublishedDocument:
    digest = sha256(bytes([number])).digest()
    return PublishedDocument(MARCH + number, DocumentKind.TARIFF, f"Night, {number}", 7, digest)


def listed(*numbers: int) -> PublishedList:
    return PublishedList(tuple(map(document, numbers)))


documents = st.builds(
    PublishedDocument,
    st.just(MARCH),
    st.sampled_from(DocumentKind),
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=120),
    st.integers(0, (1 << 32) - 1),
    st.binary(min_size=32, max_size=32),
)


@given(st.lists(documents, max_size=5))
def test_a_list_comes_back_signed_and_unsigned(entries: list[PublishedDocument]) -> None:
    known = PublishedList(tuple(entries))
    assert PublishedList.decode(known.encode()) == known
    assert PublishedList.verify(known.sign(SIGNER), SIGNER.public_key()) == known


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    try:
        known = PublishedList.decode(data)
    except ListMalformed:
        return
    assert known.encode() == data


@given(st.lists(documents, min_size=1, max_size=3), st.data())
def test_a_changed_byte_of_a_signed_list_is_refused(
    entries: list[PublishedDocument], data: st.DataObject
) -> None:
    signed = bytearray(PublishedList(tuple(entries)).sign(SIGNER))
    place = data.draw(st.integers(0, len(signed) - 1))
    signed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ListMalformed):
        PublishedList.verify(bytes(signed), SIGNER.public_key())


def test_another_signers_list_and_another_kind_of_document_are_refused() -> None:
    with pytest.raises(ListMalformed, match="signed with the key"):
        PublishedList.verify(listed(1).sign(OTHER), SIGNER.public_key())
    with pytest.raises(ListMalformed):
        PublishedList.verify(listed(1).encode(), SIGNER.public_key())
    assert LIST_CONTENT_TYPE.encode() in listed(1).sign(SIGNER)


def test_a_longer_list_extends_the_shorter_and_no_other_does() -> None:
    assert listed(1, 2, 3).extends(listed(1, 2))
    assert listed(1, 2).extends(PublishedList())
    assert not listed(1, 2).extends(listed(1, 2, 3))
    assert not listed(1, 3).extends(listed(1, 2))
    rewritten = PublishedList((replace(document(1), meters=1), document(2)))
    assert not rewritten.extends(listed(1))
    assert listed(1, 3, 4).agreement(listed(1, 2, 4)) == 1


def test_each_beginning_has_a_code_of_its_own_that_a_longer_list_keeps() -> None:
    codes = listed(1, 2, 3).codes()
    assert [listed(1).code, listed(1, 2).code, listed(1, 2, 3).code] == codes
    assert len({PublishedList().code, *codes}) == 4
    assert PublishedList().code == code_of(GENESIS) == "-".join(["AAAA"] * 6)


@pytest.mark.parametrize(
    "change", [{"time": MARCH + 9}, {"kind": DocumentKind.INDEX}, {"name": "Day"}, {"meters": 8},
               {"digest": bytes(32)}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_the_code_is_about_everything_in_an_entry(change: dict[str, object]) -> None:
    other = replace(document(1), **change)  # type: ignore[arg-type]  # a member of each type
    assert PublishedList((other,)).code != listed(1).code


def test_the_first_entry_says_since_when_and_the_last_for_how_many() -> None:
    again = replace(document(1), time=MARCH + 50, meters=90)
    known = PublishedList((document(1), document(2), again))
    found = known.find(document(1).digest)
    assert found is not None
    assert (found[0], found[1].time, found[1].meters) == (1, MARCH + 1, 90)
    assert known.find(bytes(32)) is None


def test_what_is_no_entry_is_refused() -> None:
    for change in (
        {"time": -1}, {"time": 1 << 40}, {"meters": -1}, {"meters": 1 << 32}, {"name": ""},
        {"name": "x" * 121}, {"name": "a\nb"}, {"digest": bytes(31)},
    ):  # fmt: skip
        with pytest.raises(ListMalformed):
            replace(document(1), **change)
    with pytest.raises(ListMalformed, match="order of time"):
        listed(2, 1)
    with pytest.raises(ListMalformed, match="more than"):
        PublishedList((document(1),) * (MOST_ENTRIES + 1))
    entries: list[CborValue] = [[], [MARCH, "poem", "x", 1, bytes(32)], [MARCH, "index", "x", 1], 7]
    malformed: list[CborValue] = [{"format": 1, "entries": [one]} for one in entries]
    malformed += [{"format": 2, "entries": []}, {"format": 1, "entries": [], "more": 1}]
    malformed += [{"entries": []}, {"format": 1}, []]
    for payload in malformed:
        with pytest.raises(ListMalformed):
            PublishedList.decode(encode(payload))


def test_a_list_that_no_hub_would_take_is_not_signed() -> None:
    wide = replace(document(1), name="\N{SNOWMAN}" * 120)
    with pytest.raises(ListMalformed, match="at most"):
        PublishedList((wide,) * 3000).sign(SIGNER)
