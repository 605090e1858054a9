# SPDX-License-Identifier: Apache-2.0
"""The load file data block: components of a CAP file one after the other.

Java Card 3.1, Virtual Machine Specification, chapter 6. A component is a tag (1), a size (2) and
that many bytes. Standard components have the tags 1 to 12, in the order below, each at most once;
tags from 80 are anyone's own, and ours carry the bundle that the applet machine runs, in pieces:

    80 size  `Meterlet bundle` 00 | version 01 | count of pieces | SHA-256 of the bundle | piece
    81 size  piece, and so on

A package without an Applet component is a library. What a package imports stands in its Import
component (6.7): how many, then minor and major version, length and AID of each.

`build_components` makes them around a bundle, `LoadFile` reads one.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final, Self

from protocols.iso7816.errors import MalformedTlv
from protocols.iso7816.tlv import Cursor
from protocols.packages.errors import PackageMalformed, PackageTooLarge

COMPONENTS: Final = {
    "Header": 1, "Directory": 2, "Import": 4, "Applet": 3, "Class": 6, "Method": 7,
    "StaticField": 8, "Export": 10, "ConstantPool": 5, "RefLocation": 9, "Descriptor": 11,
}  # fmt: skip
"""Standard components in the order that the reference gives for installing (6.3)."""
_ORDER: Final = list(COMPONENTS.values())
MAGIC: Final = b"\xde\xca\xff\xed"
CUSTOM: Final = 0x80
LABEL: Final = b"Meterlet bundle\0\x01"
_PIECE: Final = 60_000
_MAX_SIZE: Final = 0xFFFF
CUSTOM_AID: Final = bytes.fromhex("F04D45544552")
"""Names our component in the Directory (6.5)."""
_BEFORE_CUSTOM: Final = 2 * 12 + 6 + 2
"""Bytes of a Directory of format 2.2: sizes of components, static fields, imports, applets."""
NO_BUNDLE: Final = (
    "the package carries no program for this machine, whose applets are no Java bytecode:"
    " `meterlet applet build` makes packages that do"
)


@dataclass(frozen=True, slots=True)
class PackageImport:
    """A package that another one cannot be without."""

    aid: bytes
    version: bytes
    """Major and minor."""

    def is_met_by(self, version: bytes) -> bool:
        """Tell whether a version will do: the same major one, and no earlier minor one (4.5)."""
        return version[:1] == self.version[:1] and version >= self.version


@dataclass(frozen=True, slots=True)
class LoadFile:
    """What a load file says of itself, and the bundle in it."""

    aid: bytes
    version: bytes
    """Major and minor."""
    modules: tuple[bytes, ...]
    """None in a library."""
    bundle: bytes = field(repr=False)
    imports: tuple[PackageImport, ...] = ()

    @classmethod
    def decode(cls, block: bytes) -> Self:
        """Read a load file data block; raise `PackageMalformed` unless it is sound and ours."""
        try:
            components, pieces = _components(block)
            aid, version = _header(components)
            modules = _applets(components.get(COMPONENTS["Applet"]))
            imports = _imports(components.get(COMPONENTS["Import"], b"\0"))
        except MalformedTlv as error:
            raise PackageMalformed(f"load file: {error}") from error
        return cls(aid, version, modules, _bundle(pieces), imports)


def _components(block: bytes) -> tuple[dict[int, bytes], list[bytes]]:
    cursor = Cursor(block)
    components: dict[int, bytes] = {}
    pieces: list[bytes] = []
    place = -1
    while not cursor.at_end:
        tag = cursor.byte()
        content = cursor.take(int.from_bytes(cursor.take(2), "big"))
        if tag >= CUSTOM:
            if tag != CUSTOM + len(pieces):
                raise PackageMalformed(f"custom component {tag:02X} is out of order")
            pieces.append(content)
            continue
        if tag not in _ORDER or _ORDER.index(tag) <= place:
            raise PackageMalformed(f"component {tag} is unknown, repeated or out of order")
        place = _ORDER.index(tag)
        components[tag] = content
    return components, pieces


def lacks_bundle(beginning: bytes) -> bool | None:
    """Whether a load file whose first bytes these are carries nothing for this machine.

    Its Directory says so, right behind the Header: a loader need not send the rest. None where
    that has not come yet, or is not where a file of ours has it.
    """
    cursor = Cursor(beginning)
    try:
        if cursor.byte() != COMPONENTS["Header"]:
            return None
        cursor.take(int.from_bytes(cursor.take(2), "big"))
        if cursor.byte() != COMPONENTS["Directory"]:
            return None
        directory = Cursor(cursor.take(int.from_bytes(cursor.take(2), "big")))
        directory.take(_BEFORE_CUSTOM)
        for _ in range(directory.byte()):
            directory.take(3)  # tag and size
            if directory.take(directory.byte()) == CUSTOM_AID:
                return False
    except MalformedTlv:
        return None
    return True


def _header(components: dict[int, bytes]) -> tuple[bytes, bytes]:
    cursor = Cursor(components.get(COMPONENTS["Header"], b""))
    if cursor.take(4) != MAGIC:
        raise PackageMalformed("the load file's header lacks DECAFFED (6.4)")
    cursor.take(3)  # minor and major version of the format, flags
    minor, major = cursor.take(2)
    return cursor.take(cursor.byte()), bytes((major, minor))


def _imports(component: bytes) -> tuple[PackageImport, ...]:
    cursor = Cursor(component)
    found = []
    for _ in range(cursor.byte()):
        minor, major = cursor.take(2)
        found.append(PackageImport(cursor.take(cursor.byte()), bytes((major, minor))))
    if not cursor.at_end or len({one.aid for one in found}) != len(found):
        raise PackageMalformed("the load file's imports are malformed (6.7)")
    return tuple(found)


def _applets(component: bytes | None) -> tuple[bytes, ...]:
    if component is None:
        return ()
    if component[:1] in {b"", b"\0"}:
        raise PackageMalformed("the load file's Applet component has none (6.6)")
    cursor = Cursor(component)
    found = []
    for _ in range(cursor.byte()):
        found.append(cursor.take(cursor.byte()))
        cursor.take(2)  # install method offset
    return tuple(found)


def _bundle(pieces: list[bytes]) -> bytes:
    head = LABEL + bytes(33)
    if not pieces or len(pieces[0]) < len(head) or not pieces[0].startswith(LABEL):
        raise PackageMalformed(NO_BUNDLE)
    count, digest = pieces[0][len(LABEL)], pieces[0][len(LABEL) + 1 : len(head)]
    bundle = b"".join([pieces[0][len(head) :], *pieces[1:]])
    if count != len(pieces) or hashlib.sha256(bundle).digest() != digest:
        raise PackageMalformed("the bundle in the load file is incomplete or altered")
    return bundle


def build_components(
    aid: bytes,
    version: tuple[int, int],
    modules: tuple[bytes, ...],
    bundle: bytes,
    name: str,
    imports: tuple[PackageImport, ...] = (),
) -> dict[str, bytes]:
    """Return the components by name, custom ones as `Custom`, that `LoadFile` reads back.

    Without modules they are a library's. Raises `PackageTooLarge`.

    `name` is the Java name of the package, with slashes. The standard components are those of an
    empty package: an install method that does nothing, so that tools find a well-formed file.
    """
    pieces = [bundle[start : start + _PIECE] for start in range(0, len(bundle), _PIECE)] or [b""]
    if len(pieces) > 0x100 - CUSTOM:
        raise PackageTooLarge(f"{len(bundle)} bytes do not fit a load file")
    head = LABEL + bytes((len(pieces),)) + hashlib.sha256(bundle).digest()
    contents = [head + pieces[0], *pieces[1:]]
    custom = b"".join(
        component(CUSTOM + number, content) for number, content in enumerate(contents)
    )
    text = name.encode("ascii")
    major, minor = version
    # install_method_offset 1: the first method, behind the empty table of handlers.
    applet = bytes((len(modules),)) + b"".join(
        bytes((len(module),)) + module + b"\x00\x01" for module in modules
    )
    parts = {
        "Header": MAGIC + bytes((2, 2, 0x04 if modules else 0x02, minor, major, len(aid))) + aid
        + bytes((len(text),)) + text,
        "Import": bytes((len(imports),)) + b"".join(
            bytes((one.version[1], one.version[0], len(one.aid))) + one.aid for one in imports
        ),
        "Applet": applet,
        "Class": b"\0\0",
        # no handlers; a method without locals that takes install's three words and returns
        "Method": b"\0" + b"\x00\x30" + b"\x7a",
        "StaticField": bytes(10),
        "ConstantPool": b"\0\0",
        "RefLocation": bytes(4),
        "Descriptor": b"\0" + b"\0\0",
    }  # fmt: skip
    if not modules:
        del parts["Applet"]
        parts["Export"] = b"\0"  # no class of Java
    sizes = {COMPONENTS[part]: len(content) for part, content in parts.items()}
    customs = b"".join(
        bytes((CUSTOM + number,)) + len(content).to_bytes(2, "big")
        + bytes((len(CUSTOM_AID),)) + CUSTOM_AID
        for number, content in enumerate(contents)
    )  # fmt: skip
    sizes[COMPONENTS["Directory"]] = 2 * 12 + 6 + 3 + len(customs)
    directory = b"".join(sizes.get(tag, 0).to_bytes(2, "big") for tag in range(1, 13))
    # no static fields; then the counts of imports, of applets and of custom components
    directory += bytes(6) + bytes((len(imports), len(modules), len(contents))) + customs
    parts["Directory"] = directory
    made = {part: component(COMPONENTS[part], parts[part]) for part in COMPONENTS if part in parts}
    made["Custom"] = custom
    return made


def component(tag: int, content: bytes) -> bytes:
    """Return one component: tag, size, content."""
    if len(content) > _MAX_SIZE:
        raise PackageTooLarge(f"component {tag} is larger than its size field")
    return bytes((tag,)) + len(content).to_bytes(2, "big") + content
