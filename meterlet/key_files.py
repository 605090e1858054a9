# SPDX-License-Identifier: Apache-2.0
"""Ed25519 keys in PEM files: those of suppliers, vendors and recipients."""

import re
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_PRIVATE: Final = re.compile(rb"^-----BEGIN [A-Z ]*PRIVATE KEY-----", re.MULTILINE)
_PUBLIC: Final = re.compile(rb"^-----BEGIN PUBLIC KEY-----", re.MULTILINE)


class KeyFileProblem(Exception):
    """A file is not the key it should be."""


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key as a PEM file has it."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """Return a private key as a PEM file has it, without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_key(path: Path) -> Ed25519PublicKey:
    """Return the Ed25519 public key in a PEM file."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if key is None and _PRIVATE.search(path.read_bytes()):
        raise KeyFileProblem(f"{path}: a private key; the public one of the pair is wanted here")
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileProblem(f"{path}: not an Ed25519 public key in PEM")
    return key


def private_key(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 private key in a PEM file that only its owner may read."""
    data = path.read_bytes()
    if _PUBLIC.search(data) and not _PRIVATE.search(data):
        raise KeyFileProblem(f"{path}: a public key; the private one of the pair is wanted here")
    if path.stat().st_mode & 0o077:
        raise KeyFileProblem(f"{path}: others may read it; its mode must be 0600")
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileProblem(f"{path}: not an Ed25519 private key in PEM without a password")
    return key
