# SPDX-License-Identifier: Apache-2.0
"""Packages that others import, as any tool loads and deletes them (GPCS 2.3.1, 9.3 and 9.5)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.card.open import Card
from hub.card.packages.cap_file import CapFile, build_cap
from hub.card.registry import CARD
from hub.vault.database import Component, Database
from protocols.iso7816.tlv import Tlv
from protocols.packages.errors import PackageMalformed
from protocols.packages.load_file import LoadFile, PackageImport, build_components
from tests.support.card import APPLET, DOMAIN, MODULE, PACKAGE, add_domain, open_card, runtime_of
from tests.support.card_host import DOMAIN_PACKAGE, Manager

TOOLS = bytes.fromhex("F0534D48EE")
OTHER = bytes.fromhex("F0534D48EF")
IMPORT = PackageImport(TOOLS, b"\x01\x02")


def library(
    version: tuple[int, int] = (1, 2), aid: bytes = TOOLS, bundle: bytes = b"tools"
) -> bytes:
    return b"".join(build_components(aid, version, (), bundle, "com/x").values())


def importer(
    imports: tuple[PackageImport, ...] = (IMPORT,),
    version: tuple[int, int] = (1, 0),
    modules: tuple[bytes, ...] = (MODULE,),
) -> bytes:
    return b"".join(
        build_components(PACKAGE, version, modules, b"bundle", "com/y", imports).values()
    )


def load(manager: Manager, aid: bytes, content: bytes, domain: bytes = b"") -> str:
    sw = manager.install_for_load(aid=aid, domain=domain)
    return sw if sw != "9000" else manager.load(content)


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[Card]:
    card = open_card(tmp_path)
    yield card
    card.database.close()


@pytest.fixture
def manager(blank: Card) -> Manager:
    manager = Manager(blank)
    assert load(manager, TOOLS, library()) == "9000"
    assert load(manager, PACKAGE, importer()) == "9000"
    assert manager.install(APPLET) == "9000"
    return manager


def test_the_library_comes_first(blank: Card) -> None:
    manager = Manager(blank)
    assert load(manager, PACKAGE, importer()) == "6985"
    assert blank.find(PACKAGE) is None
    assert load(manager, TOOLS, library()) == "9000"
    assert load(manager, PACKAGE, importer()) == "9000"


@pytest.mark.parametrize(
    ("version", "sw"),
    [((1, 1), "6985"), ((1, 2), "9000"), ((1, 3), "9000"), ((2, 2), "6985"), ((0, 2), "6985")],
)
def test_a_later_minor_version_will_do(blank: Card, version: tuple[int, int], sw: str) -> None:
    manager = Manager(blank)
    assert load(manager, TOOLS, library(version)) == "9000"
    assert load(manager, PACKAGE, importer()) == sw


def test_only_libraries_are_imported(manager: Manager) -> None:
    for aid in (PACKAGE, DOMAIN_PACKAGE, APPLET, bytes.fromhex("A000000151000000")):
        content = b"".join(
            build_components(
                OTHER, (1, 0), (OTHER + b"\1",), b"b", "com/z", (PackageImport(aid, b"\1\0"),)
            ).values()
        )
        assert load(manager, OTHER, content) in {"6A80", "6985"}


def test_a_library_is_listed_with_its_version_and_has_nothing_to_install(
    manager: Manager,
) -> None:
    assert manager.listing("20")[TOOLS.hex().upper()][0xCE] == b"\x01\x02"
    response = manager.send("80F21002", Tlv(0x4F, TOOLS).encode())
    (entry,) = Tlv.decode_all(response.data)
    assert 0x84 not in [node.tag for node in Tlv.decode_all(entry.value)]
    assert manager.install(OTHER, package=TOOLS, module=TOOLS) == "6A88"


def test_an_imported_library_stays(manager: Manager, blank: Card) -> None:
    for p2 in ("00", "80"):  # what imports it is not related to it: GPCS 9.5.2 names instances
        assert manager.sw(f"80E400{p2}", Tlv(0x4F, TOOLS).encode()) == "6985"
    assert manager.sw("80E40080", Tlv(0x4F, PACKAGE).encode()) == "9000"
    assert manager.sw("80E40000", Tlv(0x4F, TOOLS).encode()) == "9000"
    assert blank.registry.imports(PACKAGE) == []


def test_a_domain_goes_with_its_library_only_where_nobody_outside_imports_it(
    blank: Card,
) -> None:
    add_domain(blank, DOMAIN)
    manager = Manager(blank)
    related = Tlv(0x4F, DOMAIN).encode()
    assert load(manager, TOOLS, library(), DOMAIN) == "9000"
    assert load(manager, PACKAGE, importer()) == "9000"
    assert manager.sw("80E40080", related) == "6985"
    assert manager.sw("80E40000", Tlv(0x4F, PACKAGE).encode()) == "9000"
    assert load(manager, PACKAGE, importer(), DOMAIN) == "9000"
    assert manager.install(APPLET) == "9000"
    assert manager.sw("80E40080", related) == "9000"
    assert [entry.kind.name for entry in blank.entries()] == ["ISSUER_DOMAIN", "PACKAGE"]


def start(manager: Manager, aid: bytes) -> None:
    manager.ok("80EA0100", Tlv.of(0xA1, [Tlv(0x4F, aid)]).encode())


@pytest.mark.parametrize(
    ("content", "sw"),
    [
        (library((1, 3), bundle=b"newer"), "9000"),
        (library((1, 2)), "6985"),
        (library((2, 0)), "6985"),
        (library((1, 3), bundle=b"bad"), "6A80"),
        (library((1, 3))[:-1], "6A80"),
    ],
)
def test_a_librarys_new_version_takes_all_importers_along_or_changes_nothing(
    manager: Manager, blank: Card, content: bytes, sw: str
) -> None:
    start(manager, TOOLS)
    assert load(manager, TOOLS, content) == sw
    if sw == "9000":
        assert ("upgrade", (TOOLS, [APPLET])) in runtime_of(blank).calls
        assert blank.bundle(TOOLS) == b"newer"
    else:
        entry = blank.find(TOOLS)
        assert entry is not None
        assert (blank.bundle(TOOLS), entry.version) == (b"tools", b"\1\2")
    assert blank.find(APPLET) is not None


def test_what_is_imported_does_not_become_a_package_of_applets(manager: Manager) -> None:
    start(manager, TOOLS)
    made = build_components(TOOLS, (1, 3), (TOOLS + b"\1",), b"x", "com/x")
    assert load(manager, TOOLS, b"".join(made.values())) == "6A80"


def test_a_new_version_may_import_other_libraries(manager: Manager, blank: Card) -> None:
    start(manager, PACKAGE)
    wanting = importer((PackageImport(OTHER, b"\1\0"),), (1, 1))
    assert load(manager, PACKAGE, wanting) == "6985"
    assert blank.registry.imports(PACKAGE) == [IMPORT]
    assert load(manager, OTHER, library((1, 0), OTHER)) == "9000"
    assert load(manager, PACKAGE, wanting) == "9000"
    assert list(blank.registry.importers(OTHER)) == [PACKAGE]
    assert manager.sw("80E40000", Tlv(0x4F, TOOLS).encode()) == "9000"


def test_imports_outlive_a_power_cut_and_a_domains_new_name(tmp_path: Path, blank: Card) -> None:
    manager = Manager(blank)
    assert load(manager, TOOLS, library()) == "9000"
    assert load(manager, PACKAGE, importer()) == "9000"
    again = Manager(open_card(tmp_path))
    assert again.sw("80E40000", Tlv(0x4F, TOOLS).encode()) == "6985"


def test_a_card_of_before_has_no_imports(tmp_path: Path) -> None:
    before = Component("card", CARD.migrations[:1])
    Database(tmp_path / "hub.db", [before]).close()
    database = Database(tmp_path / "hub.db", [CARD])
    database.close()
    card = open_card(tmp_path)
    manager = Manager(card)
    assert load(manager, TOOLS, library()) == "9000"
    assert card.registry.importers(TOOLS) == {}
    card.database.close()


AIDS = st.binary(min_size=5, max_size=16)
VERSIONS = st.binary(min_size=2, max_size=2)


@given(st.dictionaries(AIDS, VERSIONS, max_size=4), st.booleans())
def test_what_is_imported_is_read_back(imports: dict[bytes, bytes], applets: bool) -> None:
    wanted = tuple(PackageImport(aid, version) for aid, version in imports.items())
    modules = (MODULE,) if applets else ()
    cap = build_cap(PACKAGE, (3, 4), modules, b"bundle", "com.x", wanted)
    file = CapFile.decode(cap).file
    assert (file.imports, file.modules, file.version) == (wanted, modules, b"\3\4")


@given(st.binary(max_size=30))
def test_any_import_component_is_refused_or_reproduced(noise: bytes) -> None:
    parts = build_components(PACKAGE, (1, 0), (MODULE,), b"bundle", "com/x")
    parts["Import"] = b"\x04" + len(noise).to_bytes(2, "big") + noise
    try:
        file = LoadFile.decode(b"".join(parts.values()))
    except PackageMalformed:
        return
    again = build_components(PACKAGE, (1, 0), (MODULE,), b"bundle", "com/x", file.imports)
    assert again["Import"] == parts["Import"]
