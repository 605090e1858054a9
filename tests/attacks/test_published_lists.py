# SPDX-License-Identifier: Apache-2.0
"""Prices for one home alone, and signers who show one home another list than the rest.

A recipient whose consent demands publication asks under what nobody else was shown. Then it hands
this home a list that says otherwise: one that forgets, rewrites, or is somebody else's.
"""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.applet_host.store import AppletStore
from hub.device import Description, Device
from hub.disclosure import (
    AggregateRequest,
    Publication,
    ReleaseRefused,
    ReleaseRequest,
    Weights,
    number_of,
)
from hub.disclosure.published import ListRefused, taken_lists
from hub.inspection.views.published import published_view, take_published
from protocols.amounts import SlotForm, Sum
from protocols.canonical.signing import key_id_of, sign_document
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from protocols.published import LIST_CONTENT_TYPE, DocumentKind, PublishedDocument, PublishedList
from tests.support.consented import BILLING
from tests.support.releases import in_coins

SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([2] * 32))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([9] * 32))
MARCH, NOW = 1_740_787_200, 1_743_500_000
APPLET = b"\xf0bill"
OTHER_APPLET = b"\xf0othr"
DEMANDING = replace(BILLING, published=1)
NIGHT, DAY, FOR_ONE = (sha256(name).digest() for name in (b"night", b"day", b"for one home"))


def entry(digest: bytes, meters: int = 240, time: int = MARCH) -> PublishedDocument:
    return PublishedDocument(
        time, DocumentKind.TARIFF, f"tariff {digest.hex()[:4]}", meters, digest
    )


def signed(*entries: PublishedDocument, key: Ed25519PrivateKey = SUPPLIER) -> bytes:
    return PublishedList(entries).sign(key)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    description = Description(b"meter", (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as device:
        AppletStore(device.database, APPLET, 4096).put(b"resident/supplier-key", public(SUPPLIER))
        device.disclosure.grant(DEMANDING)
        yield device


def bill(subject: bytes) -> ReleaseRequest:
    form = SlotForm.of_each([240] * 2976)
    numbers = (number_of(in_coins(Sum(form), 1000), MARCH, 900, 2976),)
    terms = DEMANDING
    return ReleaseRequest(
        terms.applet, terms.package, terms.recipient, terms.purpose, 31, numbers, subject
    )


def refused(device: Device, request: ReleaseRequest) -> str:
    with pytest.raises(ReleaseRefused) as refusal:
        device.disclosure.permit(request)
    assert refusal.value.rule == "published"
    assert device.disclosure.releases() == []
    [*_, last] = device.disclosure.log.entries("refusal")
    assert last.facts["why"].startswith("published: ")
    return refusal.value.reason


def test_prices_that_this_home_alone_was_shown_are_refused_by_name(device: Device) -> None:
    """With no list at all, with a list that lacks them, and with one of nobody here."""
    assert "on no list" in refused(device, bill(FOR_ONE))
    take_published(device, signed(entry(NIGHT), entry(DAY)))
    assert FOR_ONE.hex()[:16] in refused(device, bill(FOR_ONE))
    with pytest.raises(ListRefused, match="signed by nobody"):
        take_published(device, signed(entry(FOR_ONE), key=STRANGER))
    refused(device, bill(FOR_ONE))
    device.disclosure.permit(bill(NIGHT))
    [release] = device.disclosure.releases()
    assert release.published == Publication(1, MARCH, 240)


def test_without_the_demand_the_record_says_who_else_was_shown_the_prices(device: Device) -> None:
    [consent] = device.disclosure.consents()
    device.disclosure.revoke(consent.number)
    device.disclosure.grant(BILLING)
    device.disclosure.permit(bill(FOR_ONE))
    take_published(device, signed(entry(NIGHT)))
    device.disclosure.permit(bill(NIGHT))
    alone, shown = device.disclosure.releases()
    assert (alone.published, shown.published) == (None, Publication(1, MARCH, 240))


@pytest.mark.parametrize(
    "entries",
    [
        [entry(DAY), entry(FOR_ONE)],
        [entry(FOR_ONE), entry(DAY), entry(NIGHT)],
        [entry(DAY), entry(NIGHT), entry(FOR_ONE)],
        [entry(NIGHT), entry(DAY, meters=1), entry(FOR_ONE)],
        [entry(NIGHT), entry(DAY, time=MARCH + 1), entry(FOR_ONE, time=MARCH + 1)],
        [entry(NIGHT), replace(entry(DAY), name="Day"), entry(FOR_ONE)],
    ],
    ids=["forgets", "puts before", "swaps", "other count", "other time", "other name"],
)
def test_a_list_that_forgets_or_rewrites_an_entry_is_refused(
    device: Device, entries: list[PublishedDocument]
) -> None:
    taken = take_published(device, signed(entry(NIGHT), entry(DAY)))
    with pytest.raises(ListRefused, match=r"entry \d is not what this signer's list said before"):
        take_published(device, signed(*entries))
    assert published_view(device) == (taken,)
    refused(device, bill(FOR_ONE))


def test_a_list_that_was_cut_off_is_refused(device: Device) -> None:
    taken = take_published(device, signed(entry(NIGHT), entry(DAY)))
    for older in (signed(entry(NIGHT)), signed()):
        with pytest.raises(ListRefused, match="get a newer one"):
            take_published(device, older)
    assert published_view(device) == (taken,)


def test_the_suppliers_name_on_a_strangers_list_is_no_signature(device: Device) -> None:
    payload = PublishedList((entry(FOR_ONE),)).encode()
    name = key_id_of(SUPPLIER.public_key())
    forged = sign_document(payload, LIST_CONTENT_TYPE, STRANGER, name)
    with pytest.raises(ListRefused, match="the signature is wrong"):
        take_published(device, forged)
    with pytest.raises(ListRefused):
        take_published(device, forged, public(STRANGER))
    for junk in (b"", b"\xd2", payload, bytes(2 << 20)):
        with pytest.raises(ListRefused):
            take_published(device, junk)
    assert published_view(device) == ()


def test_what_one_recipient_publishes_does_not_count_for_anothers_applet(device: Device) -> None:
    AppletStore(device.database, OTHER_APPLET, 4096).put(b"resident/index-key", public(STRANGER))
    theirs = take_published(device, signed(entry(FOR_ONE), key=STRANGER))
    assert theirs.applets == {OTHER_APPLET}
    refused(device, bill(FOR_ONE))


def test_a_list_whose_signer_the_resident_names_counts_for_all(device: Device) -> None:
    take_published(device, signed(entry(NIGHT), key=STRANGER), public(STRANGER))
    with pytest.raises(ListRefused, match="entry 1"):
        take_published(device, signed(entry(DAY), key=STRANGER), public(STRANGER))
    device.disclosure.permit(bill(NIGHT))


def test_a_document_for_too_few_meters_is_refused(device: Device) -> None:
    [consent] = device.disclosure.consents()
    device.disclosure.narrow(consent.number, replace(DEMANDING, published=100))
    take_published(device, signed(entry(FOR_ONE, meters=1)))
    assert "for 1 of the 100 meters" in refused(device, bill(FOR_ONE))
    take_published(device, signed(entry(FOR_ONE, meters=1), entry(FOR_ONE, meters=100)))
    device.disclosure.permit(bill(FOR_ONE))


def test_no_narrowing_takes_the_demand_away(device: Device) -> None:
    [consent] = device.disclosure.consents()
    with pytest.raises(ValueError, match="would allow more"):
        device.disclosure.narrow(consent.number, BILLING)


def test_a_sum_over_households_at_an_index_of_its_own_is_refused(device: Device) -> None:
    terms = replace(
        DEMANDING, statement="weighted", least_group=5, least_minutes=15, published=5, bits=64
    )
    device.disclosure.grant(terms)

    def part(digest: bytes) -> AggregateRequest:
        return AggregateRequest(
            terms.applet, terms.package, terms.recipient, terms.purpose, bytes(32), "north",
            MARCH, MARCH + 31 * 86_400, 31, 15, 1, 5, Weights("spot", digest, "EUR", 40, b"prices"),
        )  # fmt: skip

    take_published(device, signed(entry(NIGHT)))
    with pytest.raises(ReleaseRefused, match="published: "):
        device.disclosure.require_aggregate(part(FOR_ONE))
    device.disclosure.require_aggregate(part(NIGHT))
    assert device.disclosure.record_aggregate(part(NIGHT)).facts["published"] == 1


def test_two_homes_that_are_shown_two_lists_find_out_by_the_code(
    device: Device, tmp_path: Path
) -> None:
    """Neither hub can tell by itself; that is what the code is for."""
    here = take_published(device, signed(entry(NIGHT), entry(FOR_ONE)))
    device.disclosure.permit(bill(FOR_ONE))  # a demand for publication does not help here
    there = PublishedList((entry(NIGHT), entry(DAY)))
    assert here.documents.code != there.code
    assert here.documents.codes()[0] == there.codes()[0]  # they agree up to the first


def test_a_list_stays_taken_when_the_hub_is_opened_again(tmp_path: Path) -> None:
    description = Description(b"meter", (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as device:
        AppletStore(device.database, APPLET, 4096).put(b"resident/supplier-key", public(SUPPLIER))
        taken = take_published(device, signed(entry(NIGHT)))
        assert take_published(device, signed(entry(NIGHT))) == taken  # once is enough
    with Device.open(tmp_path / "hub") as device:
        assert taken_lists(device.disclosure.log) == [taken]
        assert len(list(device.disclosure.log.entries("published"))) == 1
        with pytest.raises(ListRefused):
            take_published(device, signed(entry(FOR_ONE)))


def test_a_refused_question_is_looked_at_again_once_a_list_was_taken(device: Device) -> None:
    with pytest.raises(ReleaseRefused) as refusal:
        device.disclosure.permit(bill(NIGHT))
    memo = device.disclosure.refused_before
    memo.keep(b"question", refusal.value, {})
    assert memo.find(b"question") is not None
    take_published(device, signed(entry(NIGHT)))
    assert memo.find(b"question") is None
