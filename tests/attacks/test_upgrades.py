# SPDX-License-Identifier: Apache-2.0
"""New versions of packages: what one program has stored comes to no other's hands.

The promise: a new version has its old one's vendor and recipient; what saw readings lets out what
it did before; nothing is released by it that the resident has not consented to again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.packages.cap_file import CapFile
from hub.installer import InstallationError, Installer, build_package
from hub.machine.bundle import Bundle
from hub.machine.errors import BundleError
from hub.machine.machine import AppletMachine
from hub.machine.packed import require_successor
from meterlet.commands.main import main
from protocols.iso7816.tlv import Tlv
from tests.support.card_host import Manager
from tests.support.sharing import AIDS, VENDOR, Home, new_home

KEY = bytes(32)
OTHER_VENDOR = Ed25519PrivateKey.generate()
RAW = """aid = "F04D544C0299"
name = "cat"
version = "0.{version}.0"
vendor = "A vendor"
recipient = "{recipient}"
purpose = "planning"
confinement = "raw"
expires = 2035-12-31
resolution_minutes = {minutes}
registers = ["{register}"]
code = {{ runtime = "python", package = "cat" }}
limits = {{ fuel = 5_000_000_000 }}
outputs = [{{ name = "peak", size = {size}, every_hours = {hours} }}]
"""
USUAL = {
    "version": "1", "recipient": "grid", "minutes": 60, "register": "1-0:1.8.0*255", "size": 4,
    "hours": 24,
}  # fmt: skip


@dataclass
class Field:
    """A home whose applet `cat` is in use, and a way to write its next version."""

    home: Home

    def version(self, change: dict[str, str], *, signer: Ed25519PrivateKey = VENDOR) -> bytes:
        """Return the package of `cat` with lines of its files changed."""
        folder = self.home.folder / "cat"
        self.home.build("cat")
        for path in (folder / "manifest.toml", folder / "applet.py"):
            text = path.read_text()
            for old, new in change.items():
                text = text.replace(old, new)
            path.write_text(text)
        return build_package(folder, signer, [self.home.folder])

    def load(self, content: bytes) -> tuple[str, str | None]:
        """Upgrade as any tool does; return the last status word, and the trace's reason."""
        cap = CapFile.decode(content)
        manager = Manager(self.home.card, keys=self.home.device.issuer_keys())
        reasons: list[str | None] = []
        manager.connection.observer = lambda exchange: reasons.append(exchange.reason)
        start = Tlv(0xA1, Tlv(0x4F, cap.file.aid).encode()).encode()
        assert manager.sw("80EA0100", start) == "9000"
        assert manager.install_for_load(aid=cap.file.aid, digest=cap.sha256) == "9000"
        sw = manager.load(cap.block, size=231)
        if sw != "9000":
            assert manager.sw("80EA0400") == "9000"
        return sw, reasons[-2] if sw != "9000" else None

    @property
    def is_as_before(self) -> bool:
        """Whether the old version is there, with what it had stored."""
        served = self.home.send("cat", 3, b"hello").data == b"not-granted"
        return served and self.home.kept("cat", b"mine") == b"1"


NEWER = {'version = "0.1.0"': 'version = "0.2.0"'}
TELLS = 'case 9:\n                return Response(self.store.get(b"mine") or b"")\n'


@pytest.fixture
def field(tmp_path: Path, machine: AppletMachine) -> Iterator[Field]:
    with new_home(tmp_path, machine) as home:
        home.install("cat", following="bee")
        assert home.send("cat", 3, b"hello").data == b"not-granted"
        assert home.kept("cat", b"mine") == b"1"
        pem = OTHER_VENDOR.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        (home.device.folder / "vendors" / "other.pem").write_bytes(pem)
        yield Field(home)


def reopened(field: Field) -> Field:
    """Let the hub read its vendors again."""
    machine = field.home.card.runtime.machine  # type: ignore[attr-defined]
    field.home.card = field.home.device.card(machine)
    return field


def test_an_instance_keeps_its_data_and_its_channel_and_asks_for_consent_again(
    field: Field,
) -> None:
    home = field.home
    assert home.send("cat", 5, b"open").sw == 0x9000
    newer = field.version({**NEWER, "case 2:": TELLS + "            case 2:"})
    assert field.load(newer) == ("9000", None)
    assert home.send("cat", 9).data == b"1"  # the new program, with what the old one stored
    assert home.send("cat", 5, b"open").sw == 0x6985  # and nothing is released by it yet
    installer = Installer(home.device, home.card)
    installer.consent(installer.bundle(AIDS["cat"]))
    assert home.send("cat", 5, b"open").sw == 0x9000
    package = home.card.find(CapFile.decode(newer).file.aid)
    assert package is not None
    assert package.version == b"\x00\x02"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({'recipient = "grid"': 'recipient = "somebody"'}, "recipient"),
        ({'aid = "F0': 'aid = "F1'}, "module"),
    ],
)
def test_a_new_version_for_others_is_refused(
    field: Field, change: dict[str, str], reason: str
) -> None:
    content = field.version({**NEWER, **change})
    if reason == "module":  # another applet is another package
        with pytest.raises(InstallationError, match="no applet of the package"):
            Installer(field.home.device, field.home.card).read_upgrade(content)
        return
    sw, said = field.load(content)
    assert sw == "6A80"
    assert said is not None
    assert reason in said
    assert field.is_as_before


def test_a_new_version_of_another_vendor_is_refused_even_of_one_who_is_trusted(
    field: Field,
) -> None:
    sw, said = reopened(field).load(field.version(NEWER, signer=OTHER_VENDOR))
    assert (sw, said) == ("6A80", "the new version is signed by another vendor")
    assert field.is_as_before
    sw, said = field.load(field.version(NEWER, signer=Ed25519PrivateKey.generate()))
    assert (sw, said) == ("6A80", "signed by nobody who is trusted to sign applets")


@pytest.mark.parametrize("version", ["0.1.0", "0.1.7", "0.0.9"])
def test_an_older_version_does_not_come_back(field: Field, version: str) -> None:
    content = field.version({'version = "0.1.0"': f'version = "{version}"'})
    sw, said = field.load(content)
    assert sw == "6985"
    assert said is not None
    assert "not newer" in said
    assert field.is_as_before


def test_the_resident_upgrades_by_a_command_and_reads_why_not(field: Field) -> None:
    home, runner, file = field.home, CliRunner(), field.home.folder / "cat.cap"
    command = ["applet", "upgrade", str(file), "--hub", str(home.device.folder)]
    for content, reason in (
        (field.version(NEWER, signer=OTHER_VENDOR), "signed by another vendor"),
        (field.version({}), "the package has version 0.1, and 0.1 is installed"),
        (field.version({**NEWER, '"grid"': '"somebody"'}), "has another recipient"),
        (home.build("bee"), "no applet of the package"),
    ):
        file.write_bytes(content)
        refused = runner.invoke(main, [*command, "--yes"])
        assert refused.exit_code == 1
        assert reason in " ".join(refused.output.split())
    file.write_bytes(field.version(NEWER))
    asked = runner.invoke(main, command, input="n\n")
    assert asked.exit_code == 5
    shown = runner.invoke(main, [*command, "--dry-run", "--json"])
    assert shown.exit_code == 0
    done = runner.invoke(main, [*command, "--yes"])
    assert done.exit_code == 0, done.output
    assert "version 0.2 is in place" in done.output
    reopened(field)
    assert home.kept("cat", b"mine") == b"1"
    assert home.send("cat", 5, b"open").sw == 0x9000
    standing = [one for one in home.device.disclosure.consents() if one.revoked is None]
    digest = Installer(home.device, home.card).bundle(AIDS["cat"]).digest
    assert {one.terms.package for one in standing} == {digest}


def raw(**changes: object) -> bytes:
    """Return the bundle of a raw applet."""
    text = RAW.format(**{**USUAL, **changes})
    files = {"cat/__init__.py": b"", "cat/applet.py": b""}
    return Bundle(text, files).sign(VENDOR, b"vendor")


def statement(**changes: object) -> bytes:
    text = RAW.format(**{**USUAL, **changes}).replace('"raw"', '"statement"')
    lines = [
        line
        for line in text.splitlines()
        if not line.startswith(("resolution_minutes", "registers", "outputs"))
    ]
    files = {"cat/__init__.py": b"", "cat/applet.py": b""}
    return Bundle("\n".join(lines), files).sign(VENDOR, b"vendor")


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (raw(), statement(), "confinement"),  # it would tell what the raw one has written down
        (statement(), raw(), "confinement"),
        (raw(), raw(minutes=15), "resolution"),
        (raw(minutes=15), raw(), "resolution"),  # finer readings are in the store
        (raw(), raw(register="1-0:2.8.0*255"), "registers"),
        (raw(), raw(size=400), "outputs"),
        (raw(), raw(hours=1), "outputs"),
        (raw(), raw(recipient="somebody"), "recipient"),
    ],
)
def test_a_store_of_readings_comes_to_no_program_that_may_tell_more(
    old: bytes, new: bytes, word: str
) -> None:
    keys = {b"vendor": VENDOR.public_key()}
    with pytest.raises(BundleError, match=f"another .*{word}"):
        require_successor(old, new, b"module", keys)
    require_successor(old, old, b"module", keys)
    require_successor(raw(), raw(version=2), b"module", keys)
