# SPDX-License-Identifier: Apache-2.0
"""secp256k1 once more, slowly, from the equation of the curve: y² = x³ + 7 modulo p.

Shares nothing with the product's code. None is the point at infinity.
"""

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

Affine = tuple[int, int] | None

G: Affine = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(a: Affine, b: Affine) -> Affine:
    if a is None or b is None:
        return b if a is None else a
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(factor: int, point: Affine) -> Affine:
    total: Affine = None
    for bit in f"{factor % N:b}":
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def encode(point: Affine, size: int = 33) -> bytes:
    assert point is not None
    x, y = point
    if size == 65:
        return b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    return bytes([2 + y % 2]) + x.to_bytes(32, "big")


def decode(data: bytes) -> Affine:
    x = int.from_bytes(data[1:33], "big")
    y = pow(x**3 + 7, (P + 1) // 4, P)
    return x, y if y % 2 == data[0] % 2 else P - y
