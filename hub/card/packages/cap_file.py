# SPDX-License-Identifier: Apache-2.0
"""CAP files as the hub takes and makes them: what is wrong with one is an error of the hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from hub.errors import HubError
from protocols.packages import cap_file
from protocols.packages.errors import PackageMalformed
from protocols.packages.load_file import PackageImport


class PackageError(HubError):
    """A file is not a CAP file with a bundle for this machine."""


@dataclass(frozen=True, slots=True)
class CapFile(cap_file.CapFile):
    """A package ready to be loaded."""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a CAP file; raise `PackageError` where it is none or unpacks to too much."""
        with _as_ours():
            read = cap_file.CapFile.decode(data)
        return cls(read.file, read.block)


def build_cap(
    aid: bytes,
    version: tuple[int, int],
    modules: tuple[bytes, ...],
    bundle: bytes,
    name: str,
    imports: tuple[PackageImport, ...] = (),
) -> bytes:
    """Return the CAP file that carries `bundle`; raise `PackageError` where none can."""
    with _as_ours():
        return cap_file.build_cap(aid, version, modules, bundle, name, imports)


@contextmanager
def _as_ours() -> Iterator[None]:
    try:
        yield
    except PackageMalformed as error:
        raise PackageError(str(error)) from error
