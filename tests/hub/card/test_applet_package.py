# SPDX-License-Identifier: Apache-2.0
"""The billing applet in its CAP file, loaded as a stranger's tool does, and running."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.connection import Exchange
from hub.card.open import Card
from hub.card.packages.cap_file import CapFile, build_cap
from hub.card.profile import PROFILES
from hub.card.trace import describe
from hub.installer import build_package
from hub.machine.machine import AppletMachine
from meterlet.commands import reader
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.tlv import Tlv, encode_lv
from protocols.secure_channel.errors import CardRefused
from tests.support.card_host import Manager

ROOT = Path(__file__).resolve().parents[3]
RECIPIENT = Ed25519PrivateKey.generate().public_key().public_bytes_raw()


@pytest.fixture(scope="module")
def vendor() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def package(vendor: Ed25519PrivateKey) -> bytes:
    return build_package(ROOT / "applets" / "billing", vendor, [ROOT])


@pytest.fixture
def card(
    tmp_path: Path,
    vendor: Ed25519PrivateKey,
    machine: AppletMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Card]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(reader, "open_machine", lambda: machine)
    trusted = tmp_path / "vendor.pem"
    public = vendor.public_key()
    trusted.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with reader.open_test_card("default", False, (trusted,)) as device:
        yield reader.card_of(device, PROFILES["default"])


def load(manager: Manager, cap: CapFile) -> str:
    assert manager.install_for_load(aid=cap.file.aid, digest=cap.sha256) == "9000"
    return manager.load(cap.block, size=231)


def install(manager: Manager, cap: CapFile, parameters: bytes) -> str:
    (module,) = cap.file.modules
    return manager.install(
        module, package=cap.file.aid, module=module, parameters=Tlv(0xC9, parameters).encode()
    )


def test_any_tool_loads_and_installs_the_package_and_it_runs(card: Card, package: bytes) -> None:
    cap = CapFile.decode(package)
    (aid,) = cap.file.modules
    manager = Manager(card)
    assert load(manager, cap) == "9000"
    assert install(manager, cap, RECIPIENT) == "9000"
    assert manager.state(aid) == 0x07
    # In the issuer's domain the issuer speaks for it, and only behind full protection.
    runs = Manager(card, aid)
    assert runs.sw("8077 0000".replace(" ", "")) == "6D00"
    assert Manager(card, aid, level=0x13).sw("80770000") == "6982"
    plain = card.connect()
    select = b"\x00\xa4\x04\x00" + encode_lv(aid)
    assert plain.transmit(select)[-2:].hex() == "9000"
    assert plain.transmit(bytes.fromhex("80770000")).hex() == "6982"
    assert manager.sw("80F04080", aid) == "9000"
    assert card.connect().transmit(select).hex() == "6a82"
    assert manager.sw("80F04000", aid) == "9000"
    assert manager.sw("80E40080", Tlv(0x4F, cap.file.aid).encode()) == "9000"
    assert manager.listing("40") == {}
    with pytest.raises(CardRefused, match="6A82"):
        Manager(card, aid)


def test_an_applet_that_refuses_its_parameters_is_not_installed(card: Card, package: bytes) -> None:
    cap = CapFile.decode(package)
    manager = Manager(card)
    assert load(manager, cap) == "9000"
    assert install(manager, cap, b"no key") != "9000"
    assert manager.listing("40") == {}
    assert install(manager, cap, RECIPIENT) == "9000"


def test_a_package_of_a_vendor_who_is_not_trusted_is_refused_and_the_trace_says_so(
    card: Card,
) -> None:
    other = build_package(ROOT / "applets" / "billing", Ed25519PrivateKey.generate(), [ROOT])
    manager = Manager(card)
    told: list[Exchange] = []
    manager.connection.observer = told.append
    assert load(manager, CapFile.decode(other)) == "6A80"
    reason = told[-1].reason
    assert reason == "signed by nobody who is trusted to sign applets"
    assert len(manager.listing("20")) == 1


def test_a_bundle_altered_inside_a_package_that_is_well_formed_is_refused(
    card: Card, package: bytes
) -> None:
    cap = CapFile.decode(package)
    bundle = bytearray(cap.file.bundle)
    bundle[len(bundle) // 2] ^= 1
    altered = build_cap(cap.file.aid, (1, 0), cap.file.modules, bytes(bundle), "com.meterlet.bad")
    assert load(Manager(card), CapFile.decode(altered)) == "6A80"


def test_an_applet_answers_a_command_that_is_longer_than_one_apdu_with_a_status_word(
    card: Card, package: bytes
) -> None:
    cap = CapFile.decode(package)
    manager = Manager(card)
    load(manager, cap)
    install(manager, cap, RECIPIENT)
    runs = Manager(card, cap.file.modules[0])
    response = runs.client.send(CommandApdu(0x80, 0x77, 0, 0, bytes(70_000)))
    assert response.sw in {0x6700, 0x6D00}


def test_a_refused_installation_is_told_in_the_applets_own_words(
    card: Card, package: bytes
) -> None:
    """As `gp --install billing.cap` asks without --params."""
    cap = CapFile.decode(package)
    manager = Manager(card)
    told: list[Exchange] = []
    manager.connection.observer = told.append
    assert load(manager, cap) == "9000"
    assert install(manager, cap, b"") == "6A80"
    assert told[-1].reason == (
        "the applet refused to be installed: it is installed with its recipient's public key,"
        " 32 bytes, perhaps with a register's code, 6, behind it, and got 0"
    )
    assert describe(told[-1]).splitlines()[-1] == f"   because {told[-1].reason}"


def test_a_refused_command_is_told_in_the_applets_own_words(card: Card, package: bytes) -> None:
    cap = CapFile.decode(package)
    manager = Manager(card)
    load(manager, cap)
    install(manager, cap, RECIPIENT)
    runs = Manager(card, cap.file.modules[0])
    told: list[Exchange] = []
    runs.connection.observer = told.append
    assert runs.sw("80100000", b"no question") == "6A80"
    assert told[-1].reason is not None
    assert "because" in describe(told[-1])
    assert runs.sw("80770000") == "6D00"
    assert told[-1].reason != told[-2].reason  # what was said of the one is not said of the next


def test_a_second_instance_has_another_aid_and_a_store_and_channel_of_its_own(
    card: Card, package: bytes
) -> None:
    """`gp --create`: GPCS 9.3.6. The manifest's AID is the module's name and no more."""
    cap = CapFile.decode(package)
    (module,) = cap.file.modules
    other = module + b"\x99"
    manager = Manager(card)
    assert load(manager, cap) == "9000"
    for aid, key in ((module, RECIPIENT), (other, bytes(31) + b"\x01")):
        given = Tlv(0xC9, key).encode()
        assert manager.install(aid, package=cap.file.aid, module=module, parameters=given) == "9000"
    assert set(manager.listing("40")) == {module.hex().upper(), other.hex().upper()}
    query = "SELECT DISTINCT applet FROM applet_store ORDER BY applet"
    assert card.database.connection.execute(query).fetchall() == [(module,), (other,)]
    assert Manager(card, other).sw("80770000") == "6D00"
    assert manager.sw("80E40000", Tlv(0x4F, cap.file.aid).encode()) == "6985"  # two are left
    assert manager.sw("80E40000", Tlv(0x4F, module).encode()) == "9000"
    assert card.database.connection.execute(query).fetchall() == [(other,)]
    assert Manager(card, other).sw("80770000") == "6D00"
    assert manager.sw("80E40080", Tlv(0x4F, cap.file.aid).encode()) == "9000"
