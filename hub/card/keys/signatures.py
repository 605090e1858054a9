# SPDX-License-Identifier: Apache-2.0
"""Signatures of card management: DAP, tokens and receipts (GPCS 2.3.1, B.3 to B.5 and annex C).

RSA up to 1024 bits   PKCS #1 v1.5 with SHA-1 (or SHA-256, which signers use too)
RSA above             PSS with SHA-256 and a salt of 32 bytes
RSA above 2048 bits   that, or PSS with SHA-512 and a salt of 64 bytes
ECDSA                 the curve's hash, r and s of the curve's size one after the other
AES                   CMAC
"""

import hmac
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from hub.card.keys.curves import CURVES
from hub.card.keys.keystore import Key, KeyType
from hub.card.status import CardRefusal, Sw
from protocols.secure_channel.keys import cmac
from protocols.secure_channel.scp11 import curve_hash

_SMALL_RSA: Final = 1024
_LARGE_RSA: Final = 2048
_RSA_EXPONENT: Final = 65537


def curve_of(key: Key) -> ec.EllipticCurve:
    """Return the curve of an EC key; raise `CardRefusal` for one that is not known."""
    reference = int.from_bytes(key.part(KeyType.EC_PARAMETERS) or b"\0", "big")
    known = CURVES.get(reference)
    if known is None:
        raise CardRefusal(
            Sw.WRONG_DATA, f"no curve has the key parameter reference {reference:02X}"
        )
    return known()


def load_public(key: Key) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey | None:
    """Return the public key that an entry of the key store holds; None for a secret one."""
    point, modulus = key.part(KeyType.EC_PUBLIC), key.part(KeyType.RSA_MODULUS)
    try:
        if point is not None:
            return ec.EllipticCurvePublicKey.from_encoded_point(curve_of(key), point)
        if modulus is not None:
            exponent = key.part(KeyType.RSA_EXPONENT) or b"\x01\x00\x01"
            numbers = rsa.RSAPublicNumbers(
                int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")
            )
            return numbers.public_key()
    except ValueError as error:
        raise CardRefusal(Sw.WRONG_DATA, f"not a public key: {error}") from error
    return None


def load_rsa_private(key: Key) -> rsa.RSAPrivateKey:
    """Return the RSA private key that an entry holds; its public exponent is 65537."""
    modulus, exponent = (
        int.from_bytes(key.part(kind) or b"", "big")
        for kind in (KeyType.RSA_PRIVATE_MODULUS, KeyType.RSA_PRIVATE_EXPONENT)
    )
    try:
        p, q = rsa.rsa_recover_prime_factors(modulus, _RSA_EXPONENT, exponent)
        numbers = rsa.RSAPrivateNumbers(
            p,
            q,
            exponent,
            rsa.rsa_crt_dmp1(exponent, p),
            rsa.rsa_crt_dmq1(exponent, q),
            rsa.rsa_crt_iqmp(p, q),
            rsa.RSAPublicNumbers(_RSA_EXPONENT, modulus),
        )
        return numbers.private_key()
    except (ValueError, ZeroDivisionError) as error:
        raise CardRefusal(
            Sw.WRONG_DATA, "not an RSA private key with the exponent 65537"
        ) from error


def verify(key: Key, message: bytes, signature: bytes) -> bool:
    """Return whether `signature` is one of `message` under `key`."""
    secret = key.part(KeyType.AES)
    if secret is not None:
        return hmac.compare_digest(cmac(secret, message), signature)
    public = load_public(key)
    try:
        match public:
            case ec.EllipticCurvePublicKey():
                return _verify_ec(public, message, signature, curve_hash(public.curve))
            case rsa.RSAPublicKey():
                return _verify_rsa(public, message, signature)
            case _:
                return False
    except (InvalidSignature, ValueError):
        return False


def verify_hash(key: Key, digest: bytes, signature: bytes) -> bool:
    """Return whether an ECDSA `signature` is one of what has `digest`, which is not hashed again.

    A DAP is over the load file's hash. Some signers take that for the message, others for the hash
    in ECDSA itself; the second is as strong, for whatever else has this hash is the same load file.
    """
    public = load_public(key)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    algorithm = curve_hash(public.curve)
    if len(digest) != algorithm.digest_size:
        return False
    try:
        return _verify_ec(public, digest, signature, Prehashed(algorithm))
    except (InvalidSignature, ValueError):
        return False


def _verify_ec(
    public: ec.EllipticCurvePublicKey,
    message: bytes,
    signature: bytes,
    algorithm: hashes.HashAlgorithm | Prehashed,
) -> bool:
    size = (public.curve.key_size + 7) // 8
    if len(signature) != 2 * size:
        return False
    r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
    public.verify(encode_dss_signature(r, s), message, ec.ECDSA(algorithm))
    return True


def _verify_rsa(public: rsa.RSAPublicKey, message: bytes, signature: bytes) -> bool:
    schemes: list[tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]]
    if public.key_size > _SMALL_RSA:
        schemes = [_pss(hashes.SHA256())]
        if public.key_size > _LARGE_RSA:
            schemes.append(_pss(hashes.SHA512()))
    else:
        algorithms = (hashes.SHA1(), hashes.SHA256())  # noqa: S303 - as GPCS B.3.1 has it
        schemes = [(padding.PKCS1v15(), algorithm) for algorithm in algorithms]
    for scheme, algorithm in schemes:
        try:
            public.verify(signature, message, scheme, algorithm)
        except InvalidSignature:
            continue
        return True
    return False


def _pss(algorithm: hashes.HashAlgorithm) -> tuple[padding.PSS, hashes.HashAlgorithm]:
    """Return PSS with a salt as long as the hash (GPCS B.3.2)."""
    return padding.PSS(padding.MGF1(algorithm), salt_length=algorithm.digest_size), algorithm


def sign(key: Key, message: bytes) -> bytes | None:
    """Return a signature of `message` under a secret key; None for a public one."""
    secret = key.part(KeyType.AES)
    if secret is not None:
        return cmac(secret, message)
    if key.part(KeyType.RSA_PRIVATE_EXPONENT) is not None:
        rsa_key = load_rsa_private(key)
        if rsa_key.key_size <= _SMALL_RSA:
            return rsa_key.sign(message, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - B.3.1
        return rsa_key.sign(message, *_pss(hashes.SHA256()))
    scalar = key.part(KeyType.EC_PRIVATE)
    if scalar is None:
        return None
    private = ec.derive_private_key(int.from_bytes(scalar, "big"), curve_of(key))
    r, s = decode_dss_signature(private.sign(message, ec.ECDSA(curve_hash(private.curve))))
    size = (private.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
