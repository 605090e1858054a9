# SPDX-License-Identifier: Apache-2.0
"""One package with several applets, each signed by itself: built, loaded by a tool, installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from hub.card.packages.cap_file import CapFile, build_cap
from hub.inspection.web.installed import installed_applets
from hub.installer import InstallationError, Installer, build_packages
from hub.machine.errors import BundleError
from hub.machine.machine import AppletMachine
from hub.machine.packed import LABEL, bundles_of, pack, unpack
from meterlet.commands.main import main
from protocols.iso7816.tlv import Tlv
from protocols.secure_channel.errors import CardRefused
from tests.support.card_host import Manager
from tests.support.sharing import AIDS, VENDOR, Home, new_home

KEY = bytes(32)


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[Home]:
    with new_home(tmp_path, machine) as made:
        made.build("ask", following="bee")
        made.build("bee", friend="ask")
        yield made


def both(home: Home) -> bytes:
    return build_packages([home.folder / "ask", home.folder / "bee"], VENDOR, [home.folder])


def test_any_tool_installs_each_module_of_a_package_as_an_applet_of_its_own(home: Home) -> None:
    cap = CapFile.decode(both(home))
    assert cap.file.modules == (AIDS["ask"], AIDS["bee"])
    manager = Manager(home.card, keys=home.device.issuer_keys())
    assert manager.install_for_load(aid=cap.file.aid, digest=cap.sha256) == "9000"
    assert manager.load(cap.block, size=231) == "9000"
    listed = manager.send("80F21002", b"\x4f\x00").data
    assert all(Tlv(0x84, module).encode() in listed for module in cap.file.modules)
    for module in cap.file.modules:
        given_key = Tlv(0xC9, KEY).encode()
        assert (
            manager.install(module, package=cap.file.aid, module=module, parameters=given_key)
            == "9000"
        )
    names = {applet.aid: applet.name for applet in installed_applets(home.device)}
    assert names == {AIDS["ask"]: "ask", AIDS["bee"]: "bee"}
    assert manager.sw("80E40080", Tlv(0x4F, cap.file.aid).encode()) == "9000"
    assert installed_applets(home.device) == []


def test_the_resident_installs_one_and_then_the_other_each_with_its_own_channel(
    home: Home,
) -> None:
    content = both(home)
    installer = Installer(home.device, home.card)
    with pytest.raises(InstallationError, match="--applet: ask .*, bee "):
        installer.read(content)
    for name in ("ask", "bee"):
        package = installer.read(content, AIDS[name])
        assert package.manifest.name == name
        home.enrolments[name] = installer.install(package, KEY)
    assert home.enrolments["ask"].keys != home.enrolments["bee"].keys
    answer = home.send("ask", 1, b"hello")
    assert (answer.sw, answer.data) == (0x9000, AIDS["ask"] + b"\x01hello")
    # The package came for the first and stays for the second; with that all of it goes.
    installer.remove(AIDS["ask"])
    assert home.served("bee") == 1
    with pytest.raises(CardRefused):
        home.send("ask", 1, b"hello")
    installer.remove(AIDS["bee"])
    assert [entry.kind.name for entry in home.card.entries()] == ["ISSUER_DOMAIN", "PACKAGE"]


def test_the_resident_removes_an_instance_that_a_tool_has_made(home: Home) -> None:
    home.install("bee")
    long = AIDS["bee"] + bytes(8)
    (package,) = (entry.package for entry in home.card.entries() if entry.aid == AIDS["bee"])
    manager = Manager(home.card, keys=home.device.issuer_keys())
    given_key = Tlv(0xC9, KEY).encode()
    assert (
        manager.install(long, package=package, module=AIDS["bee"], parameters=given_key) == "9000"
    )
    Installer(home.device, home.card).remove(long)
    assert home.card.find(long) is None
    assert home.served("bee") == 0


def test_another_package_of_the_same_name_is_not_taken_for_it(home: Home) -> None:
    installer = Installer(home.device, home.card)
    content = both(home)
    installer.install(installer.read(content, AIDS["ask"]), KEY)
    home.build("bee", friend="cat")
    other = installer.read(both(home), AIDS["bee"])
    with pytest.raises(InstallationError, match="another package"):
        installer.install(other, KEY)
    assert home.card.find(AIDS["bee"]) is None


def test_a_bundle_under_anothers_name_or_a_strangers_is_refused(home: Home) -> None:
    """Each bundle is checked when the package is loaded, whichever will be installed."""
    cap = CapFile.decode(both(home))
    bundles = unpack(cap.file.bundle)
    ask, bee = bundles[AIDS["ask"]], bundles[AIDS["bee"]]
    stranger = Ed25519PrivateKey.generate()
    foreign = build_packages([home.folder / "bee"], stranger, [home.folder])
    for content in (
        {AIDS["ask"]: bee, AIDS["bee"]: ask},
        {AIDS["ask"]: ask, AIDS["bee"]: CapFile.decode(foreign).file.bundle},
        {AIDS["ask"]: ask, AIDS["bee"]: ask},
    ):
        made = build_cap(cap.file.aid, (1, 0), cap.file.modules, pack(content), "com.x")
        block = CapFile.decode(made).block
        manager = Manager(home.card, keys=home.device.issuer_keys())
        assert manager.install_for_load(aid=cap.file.aid) == "9000"
        assert manager.load(block, size=231) == "6A80"
        assert home.card.find(cap.file.aid) is None


def test_the_command_builds_and_installs_packages_of_several(home: Home, tmp_path: Path) -> None:
    key, recipient = tmp_path / "vendor.key", tmp_path / "recipient.pem"
    key.write_bytes(VENDOR.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    public = VENDOR.public_key()
    recipient.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    folders = [str(home.folder / name) for name in ("ask", "bee")]
    cap, runner = tmp_path / "both.cap", CliRunner()
    built = runner.invoke(
        main, ["applet", "build", *folders, "--key", str(key), "--output", str(cap)]
    )
    assert built.exit_code == 0, built.output
    assert cap.read_bytes() == both(home)
    install = [
        "applet", "install", str(cap), "--hub", str(home.device.folder),
        "--recipient", str(recipient), "--enrolment", str(tmp_path / "bee.enrolment"), "--dry-run",
    ]  # fmt: skip
    unnamed = runner.invoke(main, install)
    assert unnamed.exit_code == 1
    assert f"--applet: ask {AIDS['ask'].hex().upper()}" in unnamed.output
    named = runner.invoke(main, [*install, "--json", "--applet", AIDS["bee"].hex()])
    assert named.exit_code == 0, named.output
    assert AIDS["bee"].hex().upper() in named.output


@given(st.binary(max_size=80))
def test_any_content_is_one_bundle_or_in_the_one_form_of_several(noise: bytes) -> None:
    for content in (noise, LABEL + noise):
        if not content.startswith(LABEL):  # which may be drawn: it stands in the code
            assert unpack(content) == {b"": content}
            continue
        try:
            bundles = unpack(content)
        except BundleError:
            continue
        assert pack(bundles) == content


@given(
    st.dictionaries(
        st.binary(min_size=5, max_size=16), st.binary(max_size=40), min_size=2, max_size=5
    ),
    st.data(),
)
def test_of_several_bundles_none_is_cut_off(
    bundles: dict[bytes, bytes], data: st.DataObject
) -> None:
    content = pack(bundles)
    assert unpack(content) == bundles
    cut = data.draw(st.integers(len(LABEL), len(content) - 1))
    try:
        fewer = unpack(content[:cut])
    except BundleError:
        return
    # Between two of them: none has lost a byte, and the load file's hash tells how many there were.
    assert pack(fewer) == content[:cut]
    assert fewer.items() < bundles.items()


def test_what_is_no_bundle_at_all_is_refused() -> None:
    with pytest.raises(BundleError):
        bundles_of(LABEL, {})
    with pytest.raises(BundleError):
        bundles_of(b"", {})
    with pytest.raises(BundleError, match="1 to 16"):
        pack({bytes((number,)) * 5: b"" for number in range(17)})
