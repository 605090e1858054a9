# SPDX-License-Identifier: Apache-2.0
"""One key of a pair in the place of the other is said as such."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meterlet.key_files import KeyFileProblem, private_key, private_pem, public_key, public_pem


def test_the_other_key_of_the_pair_is_named(tmp_path: Path) -> None:
    made = Ed25519PrivateKey.generate()
    private, public = tmp_path / "key.pem", tmp_path / "key.pem.pub"
    private.write_bytes(private_pem(made))
    private.chmod(0o600)
    public.write_bytes(public_pem(made.public_key()))
    with pytest.raises(KeyFileProblem, match="a public key; the private one of the pair is wanted"):
        private_key(public)
    with pytest.raises(KeyFileProblem, match="a private key; the public one of the pair is wanted"):
        public_key(private)
    assert private_key(private).public_key() == public_key(public)
