# SPDX-License-Identifier: Apache-2.0
"""Styles, scripts and pictures of pages: a fixed set of files, read at the start, named by a hash.

No address of a request is ever made into a path of the disk. What the pages of hub and utility
share is in `static` beside this file: `shared.css` and `icon.svg`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

SHARED: Final = Path(__file__).parent / "static"
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Assets:
    """The files, in memory."""

    _files: Mapping[str, tuple[str, bytes]] = field(repr=False)
    """By name with hash: media type and content."""
    _names: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read all files below a folder, and those that are shared.

        Raises ValueError where two have the same name.
        """
        files, names = dict[str, tuple[str, bytes]](), dict[str, str]()
        for path in (*sorted(SHARED.iterdir()), *sorted(folder.rglob("*"))):
            if path.suffix not in TYPES:
                continue
            if path.name in names:
                raise ValueError(f"{path.name} is there twice")
            content = path.read_bytes()
            name = f"{path.stem}-{sha256(content).hexdigest()[:16]}{path.suffix}"
            files[name], names[path.name] = (TYPES[path.suffix], content), name
        return cls(files, names)

    def address(self, name: str) -> str:
        """Return where a page finds a file."""
        return f"/assets/{self._names[name]}"

    async def answer(self, request: Request) -> Response:
        """Return a file; 404 for any name but the fixed ones."""
        if (file := self._files.get(request.path_params["name"])) is None:
            return PlainTextResponse("there is no such file\n", 404)
        media_type, content = file
        return Response(content, headers={"Cache-Control": FOR_EVER, "Content-Type": media_type})
