# SPDX-License-Identifier: Apache-2.0
"""Points to which nobody knows a logarithm, one for each label.

Every generator but the standard one comes from here, so that anyone can make them again and see
that there is no trap door in them.
"""

import hashlib

from protocols.proofs.errors import Malformed
from protocols.proofs.group import Point, PointVector


def hash_to_point(label: bytes) -> Point:
    """Return the point that belongs to `label`.

    Try and increment: the first counter for which SHA-256 of a framed label is the abscissa of a
    point; its even root is taken. Labels are public, so the varying time tells nothing.
    """
    prefix = b"meterlet/hash-to-secp256k1/1" + len(label).to_bytes(4, "big") + label
    for counter in range(1 << 16):
        abscissa = hashlib.sha256(prefix + counter.to_bytes(2, "big")).digest()
        try:
            return Point.decode(b"\2" + abscissa)
        except Malformed:  # half of all numbers are no abscissa
            continue
    raise AssertionError("a hash that misses the curve 65536 times in a row")


def generators(label: bytes, count: int) -> PointVector:
    """Return `count` independent points for `label`; the first ones do not depend on `count`.

    They are kept for the life of the process, 64 bytes each.
    """
    known = _KNOWN.get(label, PointVector())
    if len(known) < count:
        rest = range(len(known), count)
        new = PointVector(hash_to_point(label + index.to_bytes(4, "big")) for index in rest)
        known = _KNOWN[label] = PointVector.join([known, new])
    return known if len(known) == count else known[:count]


_KNOWN: dict[bytes, PointVector] = {}
