# SPDX-License-Identifier: Apache-2.0
"""A vendor's library: built, loaded, imported, upgraded and deleted with the commands."""

import json
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hub.installer import InstallationError, Installer
from hub.machine.machine import AppletMachine
from meterlet.commands.main import main
from protocols.iso7816.tlv import Tlv
from tests.support.card_host import Manager
from tests.support.libraries import IMPORTED, TOOLS, written_library
from tests.support.sharing import AIDS, VENDOR, Home, new_home

IMPORTING = """
    from applets.sdk import Applet, Command, Response
    from tools.greeting import greet

    class Greeter(Applet):
        def process(self, command: Command) -> Response:
            return Response(greet(self.platform, command.data))
    """


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[Home]:
    with new_home(tmp_path, machine) as made:
        yield made


def written_applet(home: Home, name: str = "cat") -> Path:
    home.build(name, extra=IMPORTED)
    folder = home.folder / name
    (folder / "applet.py").write_text(dedent(IMPORTING))
    return folder


def meterlet(home: Home, *arguments: object, fails: int = 0) -> str:
    done = CliRunner().invoke(main, ["applet", *map(str, arguments)])
    assert done.exit_code == fails, done.output
    return done.output if fails else done.stdout


def built(home: Home, folder: Path, name: str) -> Path:
    key = home.folder / "vendor.key"
    if not key.exists():
        pem = VENDOR.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        key.write_bytes(pem)
        key.chmod(0o600)
    cap = home.folder / name
    meterlet(home, "build", folder, "--key", key, "--output", cap)
    return cap


def test_from_the_vendors_folder_to_the_residents_second_consent(home: Home) -> None:
    tools = built(home, written_library(home, "1.0.0", "hello"), "tools.cap")
    applet = built(home, written_applet(home), "cat.cap")
    recipient = home.folder / "recipient.pem"
    recipient.write_bytes(
        VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    hub = ["--hub", home.device.folder]
    install = [
        "install", applet, *hub, "--recipient", recipient,
        "--enrolment", home.folder / "cat.enrolment", "--yes",
    ]  # fmt: skip
    assert f"imports the library {TOOLS} 1.0, which is not here" in meterlet(
        home, *install, fails=1
    )
    assert f"`meterlet applet load --hub {hub[1]}` it" in meterlet(
        home, "install", tools, *install[2:], fails=1
    )
    assert "loaded the library tools 1.0.0" in meterlet(home, "load", tools, *hub)
    assert "on the card already" in meterlet(home, "load", tools, *hub, fails=1)
    meterlet(home, *install)
    listed = json.loads(meterlet(home, "list", *hub, "--json"))["entries"]
    [library] = [one for one in listed if one["aid"] == TOOLS]
    assert (library["kind"], library["name"], library["version"]) == ("library", "tools", "1.0.0")
    assert "library tools 1.0.0: loaded" in meterlet(home, "list", *hub)
    packages = {one.get("name"): one for one in listed if one["kind"] == "package"}
    assert packages["cat"]["version"] == "0.1"
    assert "is imported by" in meterlet(home, "delete", TOOLS, *hub, fails=1)

    newer = built(home, written_library(home, "1.1.0", "good day"), "newer.cap")
    plan = json.loads(meterlet(home, "upgrade", newer, *hub, "--dry-run", "--json"))
    assert (plan["version"], plan["applets"]) == ("1.1", [AIDS["cat"].hex().upper()])
    assert plan["consents"]
    done = meterlet(home, "upgrade", newer, *hub, "--yes")
    assert "library tools, imported by cat: version 1.1 is in place" in done
    aid = AIDS["cat"].hex().upper()
    meterlet(home, "delete", aid, *hub)
    meterlet(home, "delete", TOOLS, *hub)
    left = json.loads(meterlet(home, "list", *hub, "--json"))["entries"]
    assert not {aid, TOOLS} & {one["aid"] for one in left}


def test_an_applet_answers_with_its_library_and_keeps_what_it_has_stored(home: Home) -> None:
    installer = Installer(home.device, home.card)
    tools = built(home, written_library(home, "1.0.0", "hello"), "tools.cap")
    installer.load_library(installer.read_library(tools.read_bytes()))
    package = installer.read(built(home, written_applet(home), "cat.cap").read_bytes())
    home.enrolments["cat"] = installer.install(package, bytes(32))
    assert home.send("cat", 1, b"you").data == b"hello you\x01"
    before = installer.bundle(AIDS["cat"]).digest

    newer = built(home, written_library(home, "1.1.0", "bye"), "newer.cap")
    installer.upgrade(installer.read_upgrade(newer.read_bytes()))
    assert home.send("cat", 1, b"you").data == b"bye you\x02"
    assert installer.bundle(AIDS["cat"]).digest != before
    open_consents = [one for one in home.device.disclosure.consents() if one.revoked is None]
    assert {one.terms.package for one in open_consents} == {installer.bundle(AIDS["cat"]).digest}
    with pytest.raises(InstallationError, match=r"version 1\.1, and 1\.1 is installed"):
        installer.read_upgrade(newer.read_bytes())


def test_any_tool_loads_a_library_and_what_imports_it(home: Home) -> None:
    installer = Installer(home.device, home.card)
    tools = installer.read_library(
        built(home, written_library(home, "1.0.0", "hello"), "tools.cap").read_bytes()
    )
    manager = Manager(home.card, keys=home.device.issuer_keys())
    assert manager.install_for_load(aid=tools.cap.file.aid, digest=tools.cap.sha256) == "9000"
    assert manager.load(tools.cap.block, size=231) == "9000"
    package = installer.read(built(home, written_applet(home), "cat.cap").read_bytes())
    assert [one.aid.hex().upper() for one in package.cap.file.imports] == [TOOLS]
    assert manager.install_for_load(aid=package.cap.file.aid) == "9000"
    assert manager.load(package.cap.block, size=231) == "9000"
    given = Tlv(0xC9, bytes(32)).encode()
    aid = AIDS["cat"]
    installed = manager.install(aid, package=package.cap.file.aid, module=aid, parameters=given)
    assert installed == "9000"
    assert manager.sw("80E40000", Tlv(0x4F, tools.cap.file.aid).encode()) == "6985"


def test_a_vendor_tries_an_applet_with_its_library(home: Home) -> None:
    library, applet = written_library(home, "1.0.0", "hello"), written_applet(home)
    shown = meterlet(home, "run", applet, "--library", library, "--send", "8001000003414243")
    assert b"hello ABC".hex() in shown
    assert "which is not here" in meterlet(home, "run", applet, "--send", "80010000", fails=1)
