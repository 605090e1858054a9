# SPDX-License-Identifier: Apache-2.0
"""Libraries: nobody's program comes to run with the rights of another vendor's applet.

The promise: an applet runs with libraries of its own vendor alone, of the versions that it names;
what any tool says of a package counts for nothing beside what its vendor has signed; and nothing is
released by an applet whose library has changed until the resident has consented to that.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.packages.cap_file import CapFile, build_cap
from hub.installer import InstallationError, Installer, build_package
from hub.machine.errors import BundleError
from hub.machine.machine import AppletMachine
from protocols.iso7816.tlv import Tlv
from protocols.packages.load_file import PackageImport
from tests.support.card_host import Manager
from tests.support.libraries import IMPORTED, TOOLS, written_library
from tests.support.sharing import AIDS, STEPS, VENDOR, Home, new_home

OTHER = Ed25519PrivateKey.generate()
AID = bytes.fromhex(TOOLS)


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[Home]:
    with new_home(tmp_path, machine) as made:
        pem = OTHER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (made.device.folder / "vendors" / "other.pem").write_bytes(pem)
        made.card = made.device.card(machine)
        yield made


def library(
    home: Home, version: str = "1.0.0", word: str = "hello", signer: Ed25519PrivateKey = VENDOR
) -> bytes:
    return build_package(written_library(home, version, word), signer, [home.folder])


def load(home: Home, content: bytes, *, upgrade: bool = False) -> str:
    """Load as any tool does."""
    cap = CapFile.decode(content)
    manager = Manager(home.card, keys=home.device.issuer_keys())
    if upgrade:
        start = Tlv(0xA1, Tlv(0x4F, cap.file.aid).encode()).encode()
        assert manager.sw("80EA0100", start) == "9000"
    sw = manager.install_for_load(aid=cap.file.aid)
    sw = sw if sw != "9000" else manager.load(cap.block, size=231)
    if upgrade and sw != "9000":
        assert manager.sw("80EA0400") == "9000"
    return sw


def repacked(
    content: bytes,
    *,
    aid: bytes | None = None,
    version: tuple[int, int] = (1, 0),
    modules: tuple[bytes, ...] | None = None,
    imports: tuple[PackageImport, ...] | None = None,
) -> bytes:
    """Return a package with another header around what its vendor has signed."""
    file = CapFile.decode(content).file
    return build_cap(
        aid or file.aid,
        version,
        file.modules if modules is None else modules,
        file.bundle,
        "com.x",
        file.imports if imports is None else imports,
    )


def installed(home: Home) -> None:
    """Install `cat`, which imports the library."""
    assert load(home, library(home)) == "9000"
    home.install("cat", extra=IMPORTED)
    assert home.send("cat", STEPS, b"open").sw == 0x9000


def test_another_vendors_library_of_the_same_name_is_not_run(home: Home) -> None:
    assert load(home, library(home, signer=OTHER)) == "9000"  # its vendor is trusted, for its own
    content = home.build("cat", extra=IMPORTED)
    assert load(home, content) == "6A80"
    with pytest.raises(InstallationError, match="another's"):
        Installer(home.device, home.card).read(content)


def test_another_vendor_puts_nothing_in_a_librarys_place(home: Home) -> None:
    installed(home)
    evil = library(home, "1.1.0", "evil", signer=OTHER)
    assert load(home, evil, upgrade=True) == "6A80"
    with pytest.raises(InstallationError, match="another vendor"):
        Installer(home.device, home.card).read_upgrade(evil)
    assert home.send("cat", STEPS, b"open").sw == 0x9000


def test_nothing_is_released_with_a_new_library_until_the_resident_consents(home: Home) -> None:
    installed(home)
    assert load(home, library(home, "1.1.0", "newer"), upgrade=True) == "9000"
    assert home.send("cat", STEPS, b"open").sw == 0x6985
    installer = Installer(home.device, home.card)
    installer.consent(installer.bundle(AIDS["cat"]))
    assert home.send("cat", STEPS, b"open").sw == 0x9000


def test_a_library_is_put_on_no_card_by_a_stranger(home: Home) -> None:
    stranger = Ed25519PrivateKey.generate()
    assert load(home, library(home, signer=stranger)) == "6A80"


def test_what_a_tool_says_of_a_package_is_what_its_vendor_signed(home: Home) -> None:
    content = library(home)
    assert load(home, repacked(content, version=(1, 9))) == "6A80"
    assert load(home, repacked(content, aid=AID + b"\1")) == "6A80"
    assert load(home, repacked(content, modules=(AIDS["cat"],))) == "6A80"
    assert load(home, content) == "9000"
    applet = home.build("cat", extra=IMPORTED)
    for imports in ((), (PackageImport(AID, b"\1\0"), PackageImport(AID + b"\1", b"\1\0"))):
        assert load(home, repacked(applet, imports=imports)) in {"6A80", "6985"}
    assert load(home, repacked(applet, modules=(), imports=())) == "6A80"
    assert load(home, applet) == "9000"


def test_an_applet_that_names_no_library_is_not_given_one(home: Home) -> None:
    assert load(home, library(home)) == "9000"
    applet = home.build("cat")
    assert load(home, repacked(applet, imports=(PackageImport(AID, b"\1\0"),))) == "6A80"


@pytest.mark.parametrize("path", ["cat/applet.py", "cat/__init__.py"])
def test_a_library_replaces_no_module_of_the_applets(home: Home, path: str) -> None:
    folder = written_library(home, "1.0.0", "hello")
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('package = "tools"', 'package = "cat"'))
    (folder / Path(path).name).write_text("evil = 1\n")
    assert load(home, build_package(folder, VENDOR, [home.folder])) == "9000"
    assert load(home, home.build("cat", extra=IMPORTED)) == "6A80"
    with pytest.raises(InstallationError, match="is another elsewhere"):
        Installer(home.device, home.card).read(home.packages["cat"])


def test_a_library_says_nothing_of_rights(home: Home) -> None:
    folder = written_library(home, "1.0.0", "hello")
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text() + "\n[limits]\nfuel = 1_000_000_000_000\n")
    with pytest.raises((InstallationError, BundleError)):
        build_package(folder, VENDOR, [home.folder])
