# SPDX-License-Identifier: Apache-2.0
"""The CAP file that an applet travels in: a zip that every loader of Java Card tools can carry.

    META-INF/MANIFEST.MF
    <package>/javacard/Header.cap, Directory.cap, Import.cap, Applet.cap, Class.cap, Method.cap,
                       StaticField.cap, ConstantPool.cap, RefLocation.cap, Descriptor.cap

Loaders send the components whose names they know, one file after the other, and no others. So the
custom components with the bundle stand behind the RefLocation component in the file of that name,
the last one that all loaders send: `loadfile` reads a sequence of components and finds them.
"""

import hashlib
import io
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Final, Self

from protocols.packages.errors import PackageMalformed
from protocols.packages.load_file import COMPONENTS, LoadFile, PackageImport, build_components

MAX_SIZE: Final = 1 << 24
"""The most that a CAP file may unpack to."""
MAX_FILES: Final = 64
CARRIER: Final = "RefLocation"
_NAME: Final = re.compile(r"(?:[A-Za-z_]\w*/)+javacard/([A-Za-z]+)\.cap")
_NOT_A_ZIP: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
)
"""What the library raises for files that are no zip, or one that is damaged or encrypted."""
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_MOMENT: Final = (2025, 1, 1, 0, 0, 0)  # the same bytes whenever it is built


@dataclass(frozen=True, slots=True)
class CapFile:
    """A package ready to be loaded."""

    file: LoadFile
    block: bytes = field(repr=False)
    """The load file data block, as LOAD carries it behind the tag C4."""

    @property
    def sha256(self) -> bytes:
        """The hash that INSTALL [for load] announces."""
        return hashlib.sha256(self.block).digest()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a CAP file; raise `PackageMalformed` where it is none or unpacks to too much."""
        try:
            components = _unpack(data)
        except _NOT_A_ZIP as error:
            raise PackageMalformed(f"not a CAP file: {error}") from error
        block = b"".join(components[name] for name in COMPONENTS if name in components)
        return cls(LoadFile.decode(block), block)


def _unpack(data: bytes) -> dict[str, bytes]:
    components: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_FILES:
            raise PackageMalformed(f"{len(entries)} files in it, at most {MAX_FILES} are expected")
        left = MAX_SIZE
        for entry in entries:
            if ".." in entry.filename or entry.filename.startswith("/") or "\\" in entry.filename:
                raise PackageMalformed(
                    f"{entry.filename!r} is a path that leads out of the package"
                )
            match = _NAME.fullmatch(entry.filename)
            if match is None:
                continue  # manifests, descriptions: nothing of it is loaded
            name = match[1]
            if name in components:
                raise PackageMalformed(f"the component {name} is in it twice")
            if entry.compress_type not in _METHODS:
                raise PackageMalformed(
                    f"{entry.filename!r} is compressed in another way than deflate"
                )
            with archive.open(entry) as stream:
                # What the directory says of sizes is not believed.
                content = stream.read(left + 1)
            if len(content) > left:
                raise PackageMalformed(f"it unpacks to more than {MAX_SIZE} bytes")
            left -= len(content)
            components[name] = content
    return components


def build_cap(
    aid: bytes,
    version: tuple[int, int],
    modules: tuple[bytes, ...],
    bundle: bytes,
    name: str,
    imports: tuple[PackageImport, ...] = (),
) -> bytes:
    """Return the CAP file that carries `bundle`; `name` is the package's, with dots.

    Raises `PackageMalformed`, and `PackageTooLarge`.
    """
    path = name.replace(".", "/")
    if _NAME.fullmatch(f"{path}/javacard/Header.cap") is None:
        raise PackageMalformed(f"{name!r} is no name of a package")
    parts = build_components(aid, version, modules, bundle, path, imports)
    parts[CARRIER] += parts.pop("Custom")
    manifest = (
        "Manifest-Version: 1.0\r\nCreated-By: meterlet\r\n\r\n"
        f"Name: {path}/javacard\r\nJava-Card-CAP-File-Version: 2.2\r\n"
        f"Java-Card-Package-Name: {name}\r\n\r\n"
    )
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF", _MOMENT), manifest)
        for component, content in parts.items():
            entry = zipfile.ZipInfo(f"{path}/javacard/{component}.cap", _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return output.getvalue()
