# SPDX-License-Identifier: Apache-2.0
"""`protocols.platform.services.Signatures`, checked outside the machine."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Ed25519Signatures:
    """`Signatures` by the `cryptography` package."""

    def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is the key's (RFC 8032)."""
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True
