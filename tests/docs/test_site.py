# SPDX-License-Identifier: Apache-2.0
"""The documentation as a site: it is whole, and its pages fetch nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|audio|video)[^>]+\bsrc=["']?(?:https?:)?//"""
    r"""|<link[^>]+\brel=["']?(?:stylesheet|preconnect|preload|icon)[^>]+\bhref=["']?(?:https?:)?//"""
    r"""|@import|url\(["']?(?:https?:)?//|class="mermaid""",
)
"""What a browser would fetch from elsewhere; for diagrams the theme would, and there are none."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_its_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 30
    found = {str(page): hit[0] for page in pages if (hit := FETCHED.search(page.read_text()))}
    assert not found


def test_the_pages_at_the_root_are_in_it(site: Path) -> None:
    for name in ("index", "architecture", "contributing", "security", "changelog"):
        assert (site / f"{name}.html").is_file()
    assert 'href="glossary.html"' in (site / "index.html").read_text()


def test_the_interfaces_show_what_the_packages_export(site: Path) -> None:
    import protocols.proofs
    import sml_codec
    import tariffs

    for package in (protocols.proofs, sml_codec, tariffs):
        page = (site / "api" / f"{package.__name__}.html").read_text()
        shown = [name for name in package.__all__ if f'id="{package.__name__}.{name}"' in page]
        assert len(shown) > len(package.__all__) * 3 // 4
