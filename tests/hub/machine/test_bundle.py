# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cwt import COSE, COSEKey
from hypothesis import given
from hypothesis import strategies as st

from hub.machine.bundle import CONTENT_TYPE, Bundle, build_bundle
from hub.machine.errors import BundleError, ManifestError
from protocols.canonical.signing import sign_document
from tests.support.applet_machine import MANIFEST, VENDOR, VENDOR_KEYS, bundle

SAMPLE = bundle("def process(self, command): return Response()")
SIGNED = SAMPLE.sign(VENDOR, b"vendor")
TEXT = MANIFEST.format(limits="")


def signed_payload(payload: object) -> bytes:
    """Return what an authentic but careless vendor might send."""
    raw = payload if isinstance(payload, bytes) else cbor2.dumps(payload, canonical=True)
    return sign_document(raw, CONTENT_TYPE, VENDOR, b"vendor")


def test_a_bundle_comes_back_as_it_was_signed() -> None:
    again = Bundle.decode(SIGNED, VENDOR_KEYS)
    assert again == SAMPLE
    assert again.digest == SAMPLE.digest
    assert again.sign(VENDOR, b"vendor") == SIGNED


def test_another_implementation_of_cose_takes_it() -> None:
    pem = VENDOR.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key = COSEKey.from_pem(pem, kid=b"vendor")
    protected, _, payload = COSE.new().decode_with_headers(SIGNED, key)
    assert protected == {1: -8, 3: CONTENT_TYPE, 4: b"vendor"}
    assert cbor2.loads(payload)["manifest"] == TEXT


def test_a_bundle_of_another_vendor_is_refused() -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(BundleError, match="signed by nobody"):
        Bundle.decode(SIGNED, {b"other": VENDOR.public_key()})
    with pytest.raises(BundleError, match="not the vendor's"):
        Bundle.decode(SIGNED, {b"vendor": other.public_key()})


@given(st.integers(0, len(SIGNED) * 8 - 1))
def test_a_bundle_with_a_bit_flipped_is_refused(bit: int) -> None:
    flipped = bytearray(SIGNED)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BundleError):
        Bundle.decode(bytes(flipped), VENDOR_KEYS)


@given(st.integers(0, len(SIGNED) - 1))
def test_a_bundle_cut_short_or_lengthened_is_refused(size: int) -> None:
    for data in (SIGNED[:size], SIGNED + SIGNED[: size + 1]):
        with pytest.raises(BundleError):
            Bundle.decode(data, VENDOR_KEYS)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    for prefix in (b"", b"\xd2\x84", SIGNED[:40]):
        with pytest.raises(BundleError):
            Bundle.decode(prefix + data, VENDOR_KEYS)


@given(st.binary(max_size=200))
def test_any_payload_that_a_vendor_signs_is_refused_properly(payload: bytes) -> None:
    with pytest.raises(BundleError):
        Bundle.decode(signed_payload(payload), VENDOR_KEYS)


GOOD = {"files": dict(SAMPLE.files), "format": 1, "manifest": TEXT}


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {**GOOD, "extra": 1},
        {**GOOD, "format": 2},
        {**GOOD, "format": True},
        {**GOOD, "manifest": b"bytes"},
        {**GOOD, "files": []},
        {**GOOD, "files": {"sample/applet.py": "text"}},
        {**GOOD, "files": {1: b""}},
        {**GOOD, "files": {"sample/other.py": b""}},
        {**GOOD, "files": {"sample/applet.py": b"", "../escape.py": b""}},
        {**GOOD, "files": {"sample/applet.py": b"", "/etc/passwd.py": b""}},
        {**GOOD, "files": {"sample/applet.py": b"", "top.py": b""}},
        {**GOOD, "files": {"sample/applet.py": b"", "json/decoder.py": b""}},
        {**GOOD, "files": {"sample/applet.py": b"", "applets/sdk/applet.py": b""}},
        {**GOOD, "files": {"sample/applet.py": b"", "protocols/platform/table.py": b""}},
        {**GOOD, "files": {"sample/applet.py": b"", "protocols/iso7816/apdu.py": b""}},
        {**GOOD, "files": {"sample/applet.py": b"", "sml_codec/crc.py": b""}},
        {**GOOD, "files": {"sample/applet.py": b"", "sample/applet.wasm": b""}},
        {**GOOD, "files": {f"sample/m{n}.py": b"" for n in range(600)}},
    ],
)
def test_an_authentic_bundle_of_the_wrong_shape_is_refused(payload: object) -> None:
    with pytest.raises(BundleError):
        Bundle.decode(signed_payload(payload), VENDOR_KEYS)


def test_a_payload_in_another_order_is_refused() -> None:
    with pytest.raises(BundleError, match="deterministic"):
        Bundle.decode(signed_payload(cbor2.dumps(dict(reversed(GOOD.items())))), VENDOR_KEYS)


def test_a_bundle_too_large_is_refused() -> None:
    with pytest.raises(BundleError, match="at most"):
        Bundle.decode(bytes(9 << 20), VENDOR_KEYS)


def test_a_manifest_in_an_authentic_bundle_is_checked() -> None:
    with pytest.raises(ManifestError):
        Bundle.decode(signed_payload({**GOOD, "manifest": "aid = 1"}), VENDOR_KEYS)


def test_the_digest_depends_on_manifest_and_files() -> None:
    digests = {
        SAMPLE.digest,
        Bundle(TEXT + "\n", SAMPLE.files).digest,
        Bundle(TEXT, {**SAMPLE.files, "sample/more.py": b""}).digest,
        bundle("def process(self, command): return Response(b'')").digest,
    }
    assert len(digests) == 4


def folder_with(tmp_path: Path, manifest: str = TEXT) -> Path:
    folder = tmp_path / "anywhere"
    (folder / "tests").mkdir(parents=True)
    (folder / "manifest.toml").write_text(manifest)
    (folder / "applet.py").write_text("from applets.sdk import *\n")
    (folder / "messages.py").write_text("")
    (folder / "tests" / "test_it.py").write_text("")
    return folder


def test_a_folder_becomes_a_bundle_without_its_tests(tmp_path: Path) -> None:
    made = Bundle.decode(build_bundle(folder_with(tmp_path), VENDOR, b"vendor"), VENDOR_KEYS)
    assert set(made.files) == {"sample/__init__.py", "sample/applet.py", "sample/messages.py"}


def test_included_packages_come_along(tmp_path: Path) -> None:
    helpers = tmp_path / "libraries" / "helpers" / "deep"
    helpers.mkdir(parents=True)
    (helpers.parent / "__init__.py").write_text("X = 1")
    (helpers / "sums.py").write_text("")
    manifest = TEXT.replace('package = "sample"', 'package = "acme.x"\ninclude = ["helpers"]')
    folder = folder_with(tmp_path, manifest)
    data = build_bundle(folder, VENDOR, b"vendor", [tmp_path / "no", tmp_path / "libraries"])
    assert set(Bundle.decode(data, VENDOR_KEYS).files) == {
        "acme/__init__.py",
        "acme/x/__init__.py",
        "acme/x/applet.py",
        "acme/x/messages.py",
        "helpers/__init__.py",
        "helpers/deep/__init__.py",
        "helpers/deep/sums.py",
    }
    with pytest.raises(BundleError, match="helpers"):
        build_bundle(folder, VENDOR, b"vendor", [tmp_path])


def test_a_folder_without_an_applet_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.toml"):
        build_bundle(tmp_path, VENDOR, b"vendor")
    folder = folder_with(tmp_path)
    (folder / "applet.py").unlink()
    with pytest.raises(BundleError, match=r"sample/applet\.py is missing"):
        build_bundle(folder, VENDOR, b"vendor")


def test_the_same_folder_makes_the_same_bytes(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    assert build_bundle(folder, VENDOR, b"vendor") == build_bundle(folder, VENDOR, b"vendor")
