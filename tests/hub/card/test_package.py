# SPDX-License-Identifier: Apache-2.0
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.card.connection import Exchange
from hub.card.packages.cap_file import CapFile, PackageError, build_cap
from hub.card.packages.host_tool import CardManager
from protocols.packages.errors import PackageMalformed
from protocols.packages.load_file import CUSTOM_AID, LoadFile, build_components, lacks_bundle
from protocols.secure_channel.host import CardClient
from tests.support.card import APPLET, ISSUER, KEYS, MODULE, PACKAGE, open_card, runtime_of
from tests.support.card_host import Manager, load_block
from tests.support.soak import examples

APPLETS = "com/meterlet/test/javacard/Applet.cap"
IMPORTS = "com/meterlet/test/javacard/Import.cap"


def cap(bundle: bytes = b"bundle") -> bytes:
    return build_cap(PACKAGE, (1, 2), (MODULE,), bundle, "com.meterlet.test")


def files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(contents: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return output.getvalue()


@settings(deadline=None, max_examples=20)
@given(st.binary(max_size=300), st.sampled_from([1, 500]))
def test_what_is_packed_is_unpacked(text: bytes, times: int) -> None:
    bundle = text * times
    opened = CapFile.decode(cap(bundle))
    assert opened.file.bundle == bundle
    assert (opened.file.aid, opened.file.modules) == (PACKAGE, (MODULE,))
    assert opened.file.version == b"\x01\x02"


def test_the_same_package_is_the_same_bytes() -> None:
    assert cap() == cap()


def test_every_standard_component_is_well_formed() -> None:
    found = files(cap())
    names = [name.rpartition("/")[2] for name in found if name.endswith(".cap")]
    assert names == [
        "Header.cap", "Directory.cap", "Import.cap", "Applet.cap", "Class.cap", "Method.cap",
        "StaticField.cap", "ConstantPool.cap", "RefLocation.cap", "Descriptor.cap",
    ]  # fmt: skip
    sizes = {}
    for name, content in found.items():
        if name.endswith(".cap"):
            size = int.from_bytes(content[1:3], "big")
            sizes[content[0]] = size
            if not name.endswith("RefLocation.cap"):
                assert len(content) == 3 + size
    header = found["com/meterlet/test/javacard/Header.cap"]
    assert header[3:7].hex() == "decaffed"
    directory = found["com/meterlet/test/javacard/Directory.cap"][3:]
    claimed = [int.from_bytes(directory[2 * n : 2 * n + 2], "big") for n in range(12)]
    assert claimed == [sizes.get(tag, 0) for tag in range(1, 13)]
    assert directory[30:33] == bytes((0, 1, 1))  # no imports, one applet, one custom component


def test_what_loaders_send_carries_the_bundle_with_or_without_a_descriptor() -> None:
    found = {name.rpartition("/")[2]: content for name, content in files(cap()).items()}
    order = ["Header", "Directory", "Import", "Applet", "Class", "Method", "StaticField",
             "ConstantPool", "RefLocation"]  # fmt: skip
    block = b"".join(found[f"{name}.cap"] for name in order)
    assert LoadFile.decode(block).bundle == b"bundle"
    assert LoadFile.decode(block + found["Descriptor.cap"]).bundle == b"bundle"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f | {"../evil.cap": b""}, "leads out"),
        (lambda f: f | {"/etc/passwd": b""}, "leads out"),
        (lambda f: f | {"other/javacard/Header.cap": b""}, "twice"),
        (lambda f: {name: c for name, c in f.items() if "Header" not in name}, "DECAFFED|bytes"),
        (lambda f: f | {APPLETS: b"\x03\0\x01\0"}, "Applet component has none"),
        (lambda f: f | {IMPORTS: b"\x04\0\x02\0\0"}, "imports are malformed"),
        (lambda f: {name: c for name, c in f.items() if "RefLoc" not in name}, "no program"),
        (
            lambda f: {name: c.replace(b"bundle", b"bundel") for name, c in f.items()},
            "altered|no program",
        ),
        (lambda f: {name: c[:-1] for name, c in f.items()}, "announced"),
        (lambda f: f | {f"x/javacard/A{'b' * n}.cap": b"" for n in range(70)}, "files in it"),
        (lambda f: f | {"x/javacard/Debug.cap": bytes(1 << 24)}, "unpacks to more"),
    ],
)
def test_a_package_that_is_not_right_is_refused(change: object, reason: str) -> None:
    assert callable(change)
    with pytest.raises(PackageError, match=reason):
        CapFile.decode(zipped(change(files(cap()))))


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2000), st.integers(0, 255), st.booleans())
def test_an_altered_file_is_refused_or_says_the_same_bundle(
    place: int, value: int, cut: bool
) -> None:
    data = bytearray(cap())
    place %= len(data)
    data[place] = value
    try:
        opened = CapFile.decode(bytes(data[:place] if cut else data))
    except PackageError:
        return
    assert opened.file.bundle == b"bundle"


@examples(75, soak=300)
@given(st.data())
def test_an_altered_load_file_is_refused_or_says_the_same_bundle(data: st.DataObject) -> None:
    block = bytearray(load_block())
    place = data.draw(st.integers(0, len(block) - 1))
    block[place] ^= data.draw(st.integers(1, 255))
    try:
        opened = LoadFile.decode(bytes(block))
    except PackageMalformed:
        return
    assert opened.bundle == b"bundle"


@pytest.mark.parametrize("name", ["", "a b", "../x", "/a", "a//b"])
def test_a_package_has_the_name_of_one(name: str) -> None:
    with pytest.raises(PackageError):
        build_cap(PACKAGE, (1, 0), (MODULE,), b"", name)


def test_the_hubs_own_manager_takes_the_way_of_every_tool(tmp_path: Path) -> None:
    card = open_card(tmp_path)
    client = CardClient(card.connect().transmit)
    client.select(ISSUER)
    client.open_scp03(KEYS, bytes(8))
    manager = CardManager(client)
    seen: list[tuple[int, int]] = []
    opened = CapFile.decode(cap(bytes(3000)))
    manager.load(opened, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    domain = ISSUER[:5] + b"\x77\x01"
    manager.install(
        domain,
        package=card.profile.domain_package,
        module=card.profile.domain_module,
        privileges=type(card.entries()[0].privileges)(0x800000),
    )
    manager.install(APPLET, package=PACKAGE, module=MODULE, parameters=b"hello")
    assert ("install", (APPLET, b"hello")) in runtime_of(card).calls
    manager.extradite(APPLET, domain)
    manager.lock(APPLET)
    listed = {entry.aid: entry for entry in manager.entries()}
    assert (listed[APPLET].life_cycle, listed[APPLET].domain) == (0x87, domain)
    assert listed[PACKAGE].modules == (MODULE,)
    manager.unlock(APPLET)
    manager.delete(PACKAGE, related=True)
    assert APPLET not in {entry.aid for entry in manager.entries()}
    card.database.close()


def java_card_block(aid: bytes = PACKAGE) -> bytes:
    """Return the load file of a Java Card package: one of ours, of which the program is gone."""
    parts = build_components(aid, (1, 0), (MODULE,), b"program", "com/example/wallet")
    del parts["Custom"]
    directory = parts["Directory"]
    custom = len(directory) - 1 - 3 - 1 - len(CUSTOM_AID)
    content = directory[3:custom] + b"\0"
    parts["Directory"] = b"\x02" + len(content).to_bytes(2, "big") + content
    parts["Method"] = b"\x07" + (5000).to_bytes(2, "big") + bytes(5000)
    return b"".join(parts.values())


@pytest.mark.parametrize("prefix", [b"", b"\xe2\x81\xf0" + bytes(240)])
@pytest.mark.parametrize("size", [20, 231])
def test_a_package_without_our_program_is_refused_when_its_directory_has_come(
    tmp_path: Path, size: int, prefix: bytes
) -> None:
    card = open_card(tmp_path)
    manager = Manager(card)
    told: list[Exchange] = []
    assert manager.install_for_load() == "9000"
    manager.connection.observer = told.append
    assert manager.load(java_card_block(), size=size, prefix=prefix) == "6A80"
    assert len(told) <= (len(prefix) + 100) // size + 1  # of more than 5,000 bytes
    assert len(told) == 1 or prefix or size < 100  # GlobalPlatformPro's first block says it
    assert told[-1].reason is not None
    assert "meterlet applet build" in told[-1].reason
    assert manager.sw("80E88001", b"") == "6985"  # the load is over
    assert card.find(PACKAGE) is None


@given(st.binary(max_size=120), st.integers(0, 200))
def test_the_beginning_of_a_load_file_never_condemns_one_of_ours(noise: bytes, cut: int) -> None:
    ours = b"".join(build_components(PACKAGE, (1, 0), (MODULE,), noise, "com/x").values())
    assert lacks_bundle(ours[:cut]) in {None, False}
    assert lacks_bundle(noise) in {None, False, True}
    assert lacks_bundle(java_card_block()) is True
