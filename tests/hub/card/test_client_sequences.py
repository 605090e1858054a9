# SPDX-License-Identifier: Apache-2.0
"""What each client of the field sends, in its own forms, as scripts of plain commands.

GlobalPlatformPro opens with an empty SELECT and gives no Le with data; gpshell puts keys with
their length, names the target domain and appends an empty token; pySim selects with P2=04, asks
for tags and puts keys without their length. Scripts run at the levels that their clients offer.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.card.open import Card
from hub.card.profile import PYSIM, S16
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import encode_length
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.keys import StaticKeys, encrypt_key, key_check_value
from protocols.secure_channel.session import SecurityLevel
from tests.support.card import APPLET, ISSUER, KEYS, MODULE, PACKAGE, open_card
from tests.support.card_host import load_block

NEW_KEYS = StaticKeys(bytes([1] * 16), bytes([2] * 16), bytes([3] * 16))
ISD, PKG, MOD, APP = (aid.hex() for aid in (ISSUER, PACKAGE, MODULE, APPLET))
LOAD = b"\xc4" + encode_length(len(load_block())) + load_block()


def lv(text: str) -> str:
    return f"{len(text) // 2:02x}{text}"


@dataclass
class Client:
    card: Card
    level: int
    size: int = 8

    def __post_init__(self) -> None:
        connection = self.card.connect()
        self.raw = connection.transmit
        self.client = CardClient(connection.transmit, max_data=255)

    def open(self, keys: StaticKeys = KEYS, version: int = 0) -> None:
        self.client.open_scp03(
            keys, bytes(self.size), level=SecurityLevel(self.level), key_version=version
        )

    def send(self, text: str, sw: str = "9000") -> str:
        response = self.client.send(CommandApdu.decode(bytes.fromhex(text.replace(" ", ""))))
        assert f"{response.sw:04x}" == sw, f"{text}: {response.sw:04x}"
        return response.data.hex()

    def put_keys(self, header: str, version: int, keys: StaticKeys, *, length: bool) -> None:
        session = self.client.session
        assert session is not None
        data = f"{version:02x}"
        for key in (keys.enc, keys.mac, keys.dek):
            secret = encrypt_key(session.dek, key).hex()
            prefix = f"8811{len(key):02x}" if length else "8810"
            data += f"{prefix}{secret}03{key_check_value(key).hex()}"
        answer = self.send(f"{header}{lv(data)}")
        checks = "".join(key_check_value(key).hex() for key in (keys.enc, keys.mac, keys.dek))
        assert answer == f"{version:02x}{checks}"

    def load(self, size: int) -> None:
        pieces = [LOAD[start : start + size] for start in range(0, len(LOAD), size)]
        for number, piece in enumerate(pieces):
            p1 = "80" if number == len(pieces) - 1 else "00"
            self.send(f"80e8{p1}{number:02x}{lv(piece.hex())}")


@pytest.mark.parametrize("level", [0x00, 0x01, 0x03, 0x13, 0x33])
def test_globalplatformpro(tmp_path: Path, level: int) -> None:
    client = Client(open_card(tmp_path), level)
    assert client.raw(bytes.fromhex("00A4040000")).hex().startswith("6f10")
    for tag in ("9f7f", "0042", "0045", "0066", "0067", "00e0", "00c1", "00cf"):
        assert client.raw(bytes.fromhex(f"80ca{tag}00"))[-2:].hex() == "9000"
    client.open()
    assert client.send("80f28002024f0000").startswith("e3")
    client.send("80f24002024f0000", "6a88")
    assert client.send("80f22002024f0000").startswith("e3")
    assert client.send("80f21002024f0000").startswith("e3")
    client.send("80e60200" + lv(lv(PKG) + lv(ISD) + "00" + "00" + "00"))
    client.load(231)
    client.send("80e60c00" + lv(lv(PKG) + lv(MOD) + lv(APP) + "0100" + lv("c900") + "00"))
    client.send("80e60800" + lv("0000" + lv(APP) + "0104" + "00" + "00"))
    client.send("80f04080" + lv(APP))
    client.send("80f04000" + lv(APP))
    client.send("80e62000" + lv("0000" + lv(APP) + "000000") + "00")
    client.send("80e28000" + lv("010203") + "00")
    client.send("80e29000" + lv("4204aabbccdd") + "00")
    client.put_keys("80d80081", 1, NEW_KEYS, length=True)
    client.put_keys("80d80181", 1, KEYS, length=True)
    client.send("80e40000" + lv("d20101"))
    client.send("80e40080" + lv("4f" + lv(PKG)))
    client.send("80f08007", "6985")
    client.send("80f0807f")
    client.send("80f0800f")


@pytest.mark.parametrize("level", [0x01, 0x33])
def test_globalplatformpro_with_security_domains(tmp_path: Path, level: int) -> None:
    """--domain with who may extradite, --install --to, --move, --set-perso, --put-key, --lock."""
    card = open_card(tmp_path)
    client = Client(card, level)
    client.open()
    sd, package, module = "f0534d480050", "a0000001515350", "a000000151535041"
    fields = lv(package) + lv(module) + lv(sd)
    parameters = lv("c90c 8102 0370 8202 2020 8702 2020".replace(" ", ""))
    client.send("80e60c00" + lv(fields + "0180" + parameters + "00") + "00")
    client.send("80e60200" + lv(lv(PKG) + lv(sd) + "00" + "00" + "00") + "00")
    client.load(200)
    client.send("80e60c00" + lv(lv(PKG) + lv(MOD) + lv(APP) + "0100" + lv("c900") + "00") + "00")
    assert f"cc{lv(sd)}" in client.send("80f24002" + lv(f"4f{lv(APP)}") + "00")
    client.send("80e61000" + lv(lv(ISD) + "00" + lv(APP) + "000000") + "00")
    client.send("80e28100" + lv("9f660802030405060708 09".replace(" ", "")) + "00")
    client.send("80e28000" + lv("9f67080102030405060708") + "00")
    assert client.send("80ca9f7f00").endswith("01020304050607080203040506070809")
    point = (
        "04"
        + "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        + ("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
    )
    client.send("80d80001" + lv("73" + "b0" + lv(point) + "f00100" + "00") + "00")
    modulus = "c1" * 256
    data = "70" + "a1820100" + modulus + "a003010001" + "00"
    client.send("80d88001" + lv(data[:400]) + "00")
    client.send("80d80001" + lv(data[400:]) + "00")
    assert "c0060170a100a003" in client.send("80ca00e000")
    client.send("80e40000" + lv("4f" + lv(APP)) + "00")
    longer = StaticKeys(bytes([7] * 32), bytes([8] * 32), bytes([9] * 32))
    session = client.client.session
    assert session is not None
    data = "01"
    for key in (longer.enc, longer.mac, longer.dek):
        data += f"882120{encrypt_key(session.dek, key).hex()}03{key_check_value(key).hex()}"
    client.send("80d80081" + lv(data) + "00")
    client.open(longer, version=1)
    client.send("80e40080" + lv("4f" + lv(sd)) + "00")


def test_globalplatformpro_tries_a_longer_challenge_where_the_card_wants_one(
    tmp_path: Path,
) -> None:
    client = Client(open_card(tmp_path, profile=S16), 0x01, 16)
    assert (
        client.raw(bytes.fromhex("80500000080000000000000000 00".replace(" ", ""))).hex() == "6700"
    )
    client.open()


@pytest.mark.parametrize(("level", "size"), [(0x01, 247), (0x03, 239), (0x33, 239)])
@pytest.mark.parametrize("bundle", [400, 460, 1500])
def test_globalplatformpro_cuts_a_load_whose_mac_does_not_fit(
    tmp_path: Path, level: int, size: int, bundle: int
) -> None:
    """It counts 8 bytes of MAC where S16 has 16, and sends what is over with the P1 of the LOAD."""
    card = open_card(tmp_path, profile=S16)
    client = Client(card, level, 16)
    client.open()
    session = client.client.session
    assert session is not None
    client.send("80e60200" + lv(lv(PKG) + "00" * 3 + "00") + "00")
    code = load_block(bytes(bundle))
    data = b"\xc4" + encode_length(len(code)) + code
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    for number, piece in enumerate(pieces):
        p1 = 0x80 if number == len(pieces) - 1 else 0
        secured = 16 + (len(piece) if level == 0x01 else len(piece) // 16 * 16 + 16)
        long = secured > 255
        command = CommandApdu(0x80, 0xE8, p1, number, piece, 256, extended=long)
        wrapped = session.wrap_command(command)
        first, rest = wrapped.data[:255], wrapped.data[255:]
        if rest:
            link = CommandApdu(wrapped.cla, 0xE8, p1 | 0x80, number, first, 256)
            assert client.raw(link.encode()).hex() == "9000"
        last = CommandApdu(wrapped.cla, 0xE8, p1, number, rest or first, 256)
        answer = ResponseApdu.decode(client.raw(last.encode()))
        assert session.unwrap_response(answer) == ResponseApdu(b"\0", 0x9000)
    assert card.bundle(PACKAGE) == bytes(bundle)


@pytest.mark.parametrize("level", [0x01, 0x03, 0x11, 0x13, 0x33])
@pytest.mark.parametrize("size", [8, 16])
def test_gpshell(tmp_path: Path, level: int, size: int) -> None:
    card = open_card(tmp_path, profile=S16 if size == 16 else None)
    client = Client(card, level, size)
    client.client.select(ISSUER)
    client.open(version=0x30)
    client.send("80f28000024f0000")
    client.send("80f21002024f0000")
    client.send("80e60200" + lv(lv(PKG) + lv(ISD) + "00" + lv("ef04c6022000") + "00") + "00")
    client.load(200)
    parameters = "ef08c7020100c8020100c900"
    client.send(
        "80e60400" + lv(lv(PKG) + lv(MOD) + lv(APP) + "0100" + lv(parameters) + "00") + "00"
    )
    client.send("80e60800" + lv("0000" + lv(APP) + "0100" + "00" + "00") + "00")
    client.send("80f04083" + lv(APP) + "00")
    client.send("80f04007" + lv(APP) + "00")
    client.put_keys("80d83081", 0x30, NEW_KEYS, length=True)
    client.send("80ca00e000")
    client.send("80ca00c100")
    client.send("80e40000" + lv("4f" + lv(APP)) + "00")
    client.send("80e40000" + lv("4f" + lv(PKG)) + "00")
    again = Client(card, level, size)
    again.client.select(ISSUER)
    again.open(NEW_KEYS)


@pytest.mark.parametrize("level", [0x01, 0x03, 0x11, 0x13, 0x33])
def test_pysim(tmp_path: Path, level: int) -> None:
    client = Client(open_card(tmp_path, profile=PYSIM), level)
    answer = client.raw(bytes.fromhex("00a40004023f0000")).hex()
    assert (answer[:2], answer[-4:]) == ("62", "9000")
    isd = "a000000003000000"
    selected = client.raw(bytes.fromhex(f"00a40404{lv(isd)}00")).hex()
    assert (selected[:4], selected[-4:]) == ("6f10", "9000")
    assert client.raw(bytes.fromhex("00a4040005a00000000300"))[-2:].hex() == "9000"
    client.open(version=0x30)
    for scope in ("80", "20", "10"):
        assert client.send(f"80f2{scope}02094f005c054f9f70c5cc00").startswith("e3")
    client.send("80f24002094f005c054f9f70c5cc00", "6a88")
    client.send("80e60200" + lv(lv(PKG) + lv(isd) + "00" + "00" + "00") + "00")
    client.load(200)
    client.send("80e60c00" + lv(lv(PKG) + lv(MOD) + lv(APP) + "03000000" + "00" + "00") + "00")
    client.send("80f04080" + lv(APP))
    client.send("80f04007" + lv(APP))
    client.put_keys("80d80081", 0x32, NEW_KEYS, length=False)
    client.send("80e29000" + lv("4502aabb") + "00")
    client.send("80e40000" + lv("d20132") + "00")
    client.send("80e40080" + lv("4f" + lv(PKG)) + "00")
    client.send("80f0800f00", "6985")  # it is SECURED already


def test_the_yubico_library_gives_no_le_and_extended_lengths(tmp_path: Path) -> None:
    client = Client(open_card(tmp_path), 0x33)
    raw = client.raw(bytes.fromhex("00a40400 000008 a000000151000000".replace(" ", "")))
    assert raw.hex().startswith("6f10")
    assert client.raw(bytes.fromhex("00ca00e0")).hex().startswith("c004")
    assert len(client.raw(bytes.fromhex("80500000 000008 0000000000000000".replace(" ", "")))) == 34


def test_globalplatformpro_gives_a_new_domain_its_own_keys(tmp_path: Path) -> None:
    """gp --domain F000000001, then gp -c F000000001 --lock: it reads E0 before there are keys."""
    card = open_card(tmp_path)
    issuer = Client(card, 0x01)
    issuer.open()
    sd = "f000000001"
    fields = lv("a0000001515350") + lv("a000000151535041") + lv(sd)
    issuer.send("80e60c00" + lv(fields + "0180" + lv("c90481020370") + "00") + "00")
    client = Client(card, 0x01)
    assert client.raw(bytes.fromhex(f"00a40400{lv(sd)}00")).hex() == (
        "6f0d8405f000000001a5049f6501ff9000"
    )
    client.open()
    assert client.send("80ca00e000") == "e000"
    client.put_keys("80d80081", 1, NEW_KEYS, length=True)
    again = Client(card, 0x01)
    again.raw(bytes.fromhex(f"00a40400{lv(sd)}00"))
    again.open(NEW_KEYS, version=1)
    assert again.send("80ca00e000") == "e012c00401018810c00402018810c00403018810"


def test_globalplatformpro_makes_a_second_instance(tmp_path: Path) -> None:
    """gp --package D276000118 --applet D27600011801 --create D2760001180199."""
    client = Client(open_card(tmp_path), 0x01)
    client.open()
    client.send("80e60200" + lv(lv(PKG) + "00" + "00" + "00" + "00") + "00")
    client.load(200)
    for aid in (APP, APP + "99"):
        fields = lv(PKG) + lv(MOD) + lv(aid) + lv("000000") + lv("c900") + "00"
        client.send("80e60c00" + lv(fields) + "00")
    assert client.send("80f24002024f00").count(APP) == 2
    client.send("80e40000" + lv("4f" + lv(APP + "99")) + "00")


def test_gpshell_protects_answers_for_a_while(tmp_path: Path) -> None:
    """begin_R_MAC and end_R_MAC, as its library sends them."""
    client = Client(open_card(tmp_path), 0x03)
    client.client.select(ISSUER)
    client.open(version=0x30)
    client.send("807a1001 01 00".replace(" ", ""))
    session = client.client.session
    assert session is not None
    session.change_level(SecurityLevel(0x13))
    assert client.send("80f28002024f0000").startswith("e3")
    client.send("8078000300")
    session.change_level(SecurityLevel(0x03))
    assert client.send("80f28002024f0000").startswith("e3")
