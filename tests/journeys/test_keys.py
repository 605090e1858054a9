# SPDX-License-Identifier: Apache-2.0
"""Keys that come and go while hub and utility work together, each command in its own process."""

import json
from pathlib import Path
from typing import Any

import pytest

from applets.billing.messages import AID as BILLING
from hub.device import Device
from hub.machine.machine import AppletMachine
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import KeyAnnouncement
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.host import CardClient
from tests.support.town import TARIFF, Town, done, refused
from tests.support.waiting import wait_until
from utility_server.head_end import Address, HeadEnd
from utility_server.retail.utility import Utility

AID = BILLING.hex().upper()


def billed(town: Town, address: str) -> bool:
    return bool(json.loads(done(*town.request(address, TARIFF, "--json")))["verified"])


def keys_of(town: Town) -> Any:
    return json.loads(done("hub", "keys", "list", "--hub", town.hub, "--json"))


def test_a_serving_hub_goes_on_with_new_keys_on_the_same_port(town: Town) -> None:
    before = keys_of(town)
    with town.serving() as address:
        assert billed(town, address)
        said = json.loads(done("hub", "keys", "rotate", "vault", "--hub", town.hub, "--json"))
        assert said["fingerprint"] != before["vault"]
        wait_until(lambda: _answers(town, address))
        assert billed(town, address)
        done("hub", "keys", "rotate", "certifier", "--hub", town.hub)
        wait_until(lambda: _answers(town, address))
        assert billed(town, address)
        more = ("synthetic", "--from", "2025-04-01", "--until", "2025-04-30")
        done("hub", "ingest", "--hub", town.hub, *more)
        april = [word if word != "2025-03" else "2025-04" for word in town.request(address)]
        assert "verified" in done(*april)
        first = keys_of(town)["certifier"][0]["public_key"]
        done("authority", "init", town.folder / "authority")
        revoke = ("authority", "revoke", "--authority", town.folder / "authority", "--certifier")
        done(*revoke, first, "--from", "2025-03-15", "-o", town.folder / "list")
        pem = town.folder / "authority" / "public.pem"
        taken = ("utility", "revoke", "--utility", town.utility, town.folder / "list")
        done(*taken, "--authority", pem)
        code, line = refused(*town.request(address))
        assert (code, "revoked: 2025-03-15: the key that certified it" in line) == (3, True), line
        assert "verified" in done(*april)  # another key's days
    after = keys_of(town)
    assert after["vault"] == said["fingerprint"]
    assert [one["until"] for one in after["certifier"]] == ["2025-04-01", None]
    assert "verify" in done("utility", "ledger", "--utility", town.utility)
    status = json.loads(done("hub", "status", "--hub", town.hub, "--json"))
    assert status["certifier"] == after["certifier"][1]["public_key"]


def _answers(town: Town, address: str) -> bool:
    with Utility.open(town.utility) as utility:
        (meter,) = utility.customers.meters()
        enrolment = utility.customers.find(meter, BILLING)
        command = CommandApdu(0x80, 0x7F, 0, 0)
        try:
            HeadEnd(utility.randomness).ask(Address.parse(address), enrolment, command)
        except Exception as error:  # noqa: BLE001 - hung up, or not there for a moment
            return "6D00" in str(error)
    return True


def test_keys_are_changed_over_the_card_by_its_issuer_alone(
    town: Town, machine: AppletMachine
) -> None:
    """At the reader; on the port the issuer's domain is not there, whoever has its keys."""

    def issuer(device: Device) -> CardClient:
        client = CardClient(device.card(machine).connect().transmit)
        client.select(b"")
        client.open_scp03(device.issuer_keys(), bytes(8))
        return client

    with town.serving() as address:
        with Device.open(town.hub) as device:
            old = device.vault_fingerprint
            with HeadEnd(bytes)._connection(Address.parse(address)) as transmit:
                over_port = CardClient(transmit)
                over_port.select(bytes.fromhex("A000000151000000"))
                with pytest.raises(RemoteChannelError):
                    over_port.open_scp03(device.issuer_keys(), bytes(8), key_version=0x30)
                with pytest.raises(CardRefused, match="6982"):
                    over_port.call("ROTATE KEY", CommandApdu(0x80, 0xF3, 1, 0, le=256))
            stranger = CardClient(device.card(machine).connect().transmit)
            stranger.select(b"")
            with pytest.raises(CardRefused, match="6982"):
                stranger.call("ROTATE KEY", CommandApdu(0x80, 0xF3, 1, 0, le=256))
            owner = issuer(device)
            for wrong in ((3, 0), (1, 1), (0, 0)):
                with pytest.raises(CardRefused, match="6A86"):
                    owner.call("ROTATE KEY", CommandApdu(0x80, 0xF3, *wrong, le=256))
            answer = owner.call("ROTATE KEY", CommandApdu(0x80, 0xF3, 1, 0, le=256))
        assert len(answer) == 8
        assert answer.hex() != old
        wait_until(lambda: _answers(town, address))
        with Device.open(town.hub) as device:
            said = issuer(device).call("ROTATE KEY", CommandApdu(0x80, 0xF3, 2, 0, le=256))
        KeyAnnouncement.decode(said).verify()
        wait_until(lambda: _answers(town, address))
        assert billed(town, address)
    listed = keys_of(town)
    assert listed["vault"] == answer.hex()
    assert len(listed["certifier"]) == 2


def test_a_channels_old_keys_open_nothing_after_the_resident_or_the_recipient_replaced_them(
    town: Town, tmp_path: Path
) -> None:
    (meter,) = _meters(town)
    new = tmp_path / "new.json"
    with town.serving() as address:
        done("hub", "keys", "rotate", "channel", AID, "--hub", town.hub, "--enrolment", new)
        assert new.stat().st_mode & 0o777 == 0o600
        code, line = refused(*town.request(address))
        assert (code, line.startswith("meterlet: channel: ")) == (3, True), line
        code, line = refused("utility", "enrol", "--utility", town.utility, new)
        assert (code, "enrolled already, with other keys" in line) == (1, True)
        done("utility", "enrol", "--utility", town.utility, new, "--replace-keys")
        assert billed(town, address)
        rotate = ("utility", "rotate-channel", "--utility", town.utility, "--meter", meter)
        said = json.loads(done(*rotate, "--hub", address, "--json"))
        assert said["version"] == 0x32
        assert billed(town, address)
        with Utility.open(town.utility) as utility:  # the hub has them, and its answer was lost
            current, proposed = utility.customers.propose(bytes.fromhex(meter), BILLING)
            HeadEnd(utility.randomness).replace_keys(Address.parse(address), current, proposed)
        code, line = refused(*town.request(address))
        assert (code, line.startswith("meterlet: channel: ")) == (3, True), line
        done(*rotate, "--hub", address)
        assert billed(town, address)
    log = json.loads(done("hub", "keys", "list", "--hub", town.hub, "--json"))
    assert log["channels"] == [{"applet": AID, "version": 0x33}]


def _meters(town: Town) -> list[str]:
    with Utility.open(town.utility) as utility:
        return [meter.hex() for meter in utility.customers.meters()]


def test_replacement_keys_change_nothing_but_keys(town: Town, tmp_path: Path) -> None:
    new = tmp_path / "new.json"
    done("hub", "keys", "rotate", "channel", AID, "--hub", town.hub, "--enrolment", new)
    good = json.loads(new.read_text())
    for member, value, why in (
        ("zone", "Europe/London", "says more than new channel keys"),
        ("certifier", "00" * 32, "enrolled already, with other keys"),
        ("applet", BILLING[:-1].hex() + "7f", "not enrolled with this applet"),
    ):
        new.unlink()
        new.write_text(json.dumps({**good, member: value}, indent=2) + "\n")
        code, line = refused("utility", "enrol", "--utility", town.utility, new, "--replace-keys")
        assert (code, why in line) == (1, True), line
