# SPDX-License-Identifier: Apache-2.0
"""What the site has beside `docs`: the pages at the root of the repository, and the interfaces.

README.md becomes the first page. Links that are right in the repository are made right in the site:
`docs/sml.md` in README.md, `../README.md` in a page of `docs`.

Each public package gets a page made from its docstrings. It shows the names in `__all__`.
"""

import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
PACKAGES: Final = (
    "meterlet",
    "dlms_codec",
    "sml_codec",
    "meter_codecs.p1",
    "meter_codecs.currentcost",
    "tariffs",
    "applets.sdk",
    "applets.sdk.testing",
    "protocols.enrolment",
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the packages' pages where the navigation says `api`."""
    for section in config.nav or []:
        if section == {"Python interfaces": "api"}:
            section["Python interfaces"] = [{name: _page(name)} for name in _packages()]
    return config


def _packages() -> list[str]:
    protocols = sorted((ROOT / "protocols").glob("*/__init__.py"))
    return [*PACKAGES, *(f"protocols.{path.parent.name}" for path in protocols)]


def _page(package: str) -> str:
    return f"api/{package}.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages, with their links as they are in `docs`."""
    for source, page in PAGES.items():
        text = _in_docs((ROOT / source).read_text("utf-8"))
        files.append(File.generated(config, page, content=text.replace("](docs/", "](")))
    for name in _packages():
        content = f"# `{name}`\n\n::: {name}\n"
        files.append(File.generated(config, _page(name), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page of `docs` with its links to the root's pages."""
    return _in_docs(markdown)


def _in_docs(text: str) -> str:
    names = "|".join(map(re.escape, PAGES))
    return re.sub(rf"\]\(((?:\.\./)*)({names})", lambda link: _link(link[1], link[2]), text)


def _link(up: str, name: str) -> str:
    return f"]({up.removeprefix('../')}{PAGES[name]}"
