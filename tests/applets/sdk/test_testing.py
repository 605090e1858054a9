# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.sdk import Applet, AppletError, Command, Refusal, Refused, Response, StatusWord
from applets.sdk.testing import (
    EXPORT_REGISTER,
    IMPORT_REGISTER,
    FakePlatform,
    Household,
    NativeCard,
)
from protocols.amounts import SlotForm, Sum, encode_amounts


class Sample(Applet):
    """Does what its data says."""

    count = 0

    def process(self, command: Command) -> Response:
        self.count += 1
        self.platform.store.put(b"count", bytes([self.count]))
        match command.data:
            case b"crash":
                return Response(bytes([1 // (self.count * 0)]))
            case b"refuse":
                raise AppletError(StatusWord.CONDITIONS_NOT_SATISFIED)
            case b"warn":
                return Response(status=0x6300)
            case b"sum":
                household = self.platform.calendar
                begin = household.slots(IMPORT_REGISTER, *self.period).starts
                opened = self.platform.statements.open_amounts(
                    IMPORT_REGISTER, *self.period, sum_of(len(begin)), b"context"
                )
                return Response(opened.values[0].to_bytes(4, "big"))
            case _:
                return Response(bytes([self.count]))

    @property
    def period(self) -> tuple[int, int]:
        return MARCH.begin, MARCH.end


MARCH = Household.constant(10, 31)


def sum_of(slots: int) -> bytes:
    return encode_amounts([Sum(SlotForm(((0, slots, 1),)))])


def ask(card: NativeCard, data: bytes = b"") -> Response:
    return card.send(Command(0x80, 0, data=data))


def test_march_has_an_hour_less() -> None:
    assert len(MARCH.watt_hours) == 31 * 96 - 4
    assert len(Household.constant(1, 31, first_day=date(2026, 10, 1)).watt_hours) == 31 * 96 + 4
    assert len(Household.constant(1, 31, zone="UTC", slot_minutes=60).watt_hours) == 31 * 24


def test_a_statement_is_computed_and_kept_for_the_test() -> None:
    fake = FakePlatform(MARCH)
    response = ask(NativeCard(Sample, fake), b"sum")
    assert int.from_bytes(response.data, "big") == 10 * (31 * 96 - 4)
    assert [opened.values for opened in fake.released_amounts] == [(29_720,)]


def test_an_error_undoes_what_the_command_did() -> None:
    fake = FakePlatform(MARCH)
    card = NativeCard(Sample, fake)
    assert ask(card) == Response(b"\x01")
    assert ask(card, b"refuse") == Response(status=0x6985)
    assert fake.store == {b"count": b"\x01"}
    assert ask(card, b"warn") == Response(status=0x6300)
    assert fake.store == {b"count": b"\x03"}


def test_a_crash_loses_the_memory_and_is_kept_for_the_test() -> None:
    fake = FakePlatform(MARCH)
    card = NativeCard(Sample, fake)
    assert ask(card) == Response(b"\x01")
    assert ask(card, b"crash") == Response(status=0x6400)
    assert isinstance(card.failure, ZeroDivisionError)
    assert ask(card) == Response(b"\x01")
    assert card.failure is None


def test_install_and_select_are_answered() -> None:
    card = NativeCard(Sample, FakePlatform(MARCH))
    assert card.install() == Response()
    assert card.install(b"a recipient's key") == Response()
    assert card.select() == Response()
    card.reset()
    assert ask(card) == Response(b"\x01")


def test_the_services_refuse_as_the_hub_does() -> None:
    fake = FakePlatform(MARCH, store_bytes=10, output_sizes={"hours": 2})
    platform = fake.platform()
    begin, end = MARCH.begin, MARCH.end
    whole, longer = sum_of(len(MARCH.watt_hours)), sum_of(len(MARCH.watt_hours) + 1)

    def refused(call: object) -> Refusal:
        assert callable(call)
        with pytest.raises(Refused) as caught:
            call()
        return caught.value.refusal

    slots, opens = platform.calendar.slots, platform.statements.open_amounts
    assert refused(lambda: slots("other", begin, end)) is Refusal.NOT_FOUND
    assert refused(lambda: slots(IMPORT_REGISTER, begin - 900, end)) is Refusal.NOT_FOUND
    assert refused(lambda: slots(IMPORT_REGISTER, begin + 1, end)) is Refusal.MALFORMED
    assert refused(lambda: opens(IMPORT_REGISTER, begin, end, longer, b"")) is Refusal.MALFORMED
    assert refused(lambda: opens(IMPORT_REGISTER, begin, end, b"", b"")) is Refusal.MALFORMED
    assert refused(lambda: platform.store.put(b"key", bytes(8))) is Refusal.TOO_MUCH
    read, put = platform.readings.read, platform.outputs.set
    assert refused(lambda: read(IMPORT_REGISTER, begin, end)) is Refusal.NOT_GRANTED
    assert refused(lambda: put("hours", b"ab")) is Refusal.NOT_GRANTED
    fake.is_raw = True
    assert read(IMPORT_REGISTER, begin, end).watt_hours == MARCH.watt_hours
    assert refused(lambda: put("hours", b"abc")) is Refusal.MALFORMED
    put("hours", b"ab")
    assert fake.outputs == {"hours": b"ab"}
    fake.refuse = Refusal.NO_CONSENT
    assert refused(lambda: opens(IMPORT_REGISTER, begin, end, whole, b"")) is Refusal.NO_CONSENT


def test_missing_slots_are_never_summed() -> None:
    gap = Household("UTC", 60, 0, (1, 1), b"\0\3")
    statements = FakePlatform(gap).platform().statements
    assert statements.open_amounts(IMPORT_REGISTER, 0, 7200, sum_of(2), b"").values == (1,)


def test_the_small_services_do_what_they_say() -> None:
    fake = FakePlatform(MARCH)
    platform, key = fake.platform(), Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    assert platform.clock.now() == MARCH.end
    assert platform.signatures.verify_ed25519(public, b"message", key.sign(b"message"))
    assert not platform.signatures.verify_ed25519(public, b"other", key.sign(b"message"))
    platform.store.put(b"b", b"1")
    platform.store.put(b"a", b"2")
    assert platform.store.keys() == [b"a", b"b"]
    platform.store.delete(b"a")
    platform.store.delete(b"a")
    assert (platform.store.get(b"a"), platform.store.get(b"b")) == (None, b"1")
    platform.log.write("line")
    assert fake.log == ["line"]


def test_every_refusal_has_a_status_word_of_its_own() -> None:
    words = {Refused(refusal).status for refusal in Refusal}
    assert len(words) == len(Refusal)
    assert StatusWord.SUCCESS not in words


class Sharer(Applet):
    """Serves whom it knows, and asks its neighbour."""

    def process(self, command: Command) -> Response:
        transactions = self.platform.transactions
        match command.data:
            case b"commit":
                with transactions:
                    self.platform.store.put(b"k", b"1")
            case b"abort":
                transactions.begin()
                self.platform.store.put(b"k", b"2")
                transactions.abort()
            case b"leave open":
                transactions.begin()
                self.platform.store.put(b"k", b"3")
            case b"twice":
                transactions.begin()
                transactions.begin()
            case b"open":
                with transactions:
                    self.platform.statements.open_amounts(IMPORT_REGISTER, 0, 1, sum_of(1), b"")
            case b"too much":
                self.platform.peers.call(b"neighbour", 1, bytes(65_537))
            case data:
                return Response(self.platform.peers.call(b"neighbour", 1, data))
        return Response()

    def grants(self, client: bytes, service: int) -> bool:
        return (client, service) == (b"friend", 1)

    def serve(self, client: bytes, service: int, request: bytes) -> bytes:
        self.platform.store.put(b"served", request)
        if request == b"back":
            return self.platform.peers.call(b"friend", 1, b"")
        return bytes([10 // len(request.strip(b"x"))]) + request


def test_peers_are_asked_natively_as_in_the_hub() -> None:
    neighbour = FakePlatform(MARCH)
    server = NativeCard(Sharer, neighbour)
    friend = FakePlatform(MARCH, aid=b"friend", peers={b"neighbour": server})
    client = NativeCard(Sharer, friend)
    neighbour.peers[b"friend"] = client
    assert ask(client, b"hello") == Response(b"\x02hello")
    assert neighbour.store == {b"served": b"hello"}
    for request in (b"xx", b"back", b"too much"):
        assert ask(client, request).status == 0x6982
    assert neighbour.store == {b"served": b"hello"}
    stranger = FakePlatform(MARCH, peers={b"neighbour": server})
    assert ask(NativeCard(Sharer, stranger), b"hello").status == 0x6982
    assert ask(NativeCard(Sharer, FakePlatform(MARCH)), b"hello").status == 0x6982


def test_transactions_work_natively_as_in_the_hub() -> None:
    fake = FakePlatform(MARCH)
    card = NativeCard(Sharer, fake)
    assert ask(card, b"commit") == Response()
    assert ask(card, b"abort") == Response()
    assert ask(card, b"leave open") == Response()
    assert ask(card, b"twice").status == 0x6A80
    assert ask(card, b"open").status == 0x6A80
    assert ask(card, b"abort") == Response()
    assert fake.store == {b"k": b"1"}


def test_a_household_that_feeds_in_has_a_second_register() -> None:
    home = Household.constant(watt_hours=10, days=2)
    begin, end = home.begin, home.end
    with pytest.raises(Refused):
        home.between(EXPORT_REGISTER, begin, end)
    solar = replace(home, fed_in_wh=(3,) * len(home.watt_hours))
    assert set(solar.between(EXPORT_REGISTER, begin, end).watt_hours) == {3}
    assert set(solar.between(IMPORT_REGISTER, begin, end).watt_hours) == {10}
