# SPDX-License-Identifier: Apache-2.0
"""The curves that keys of the card lie on, by reference or by all their parameters.

A key names its curve by a key parameter reference (GPCS 2.3.1, table B-2). A host may spell the
domain parameters out instead (table 11-16, types B2 to B7). A curve of the sender's making would
make signatures worth nothing (CVE-2020-0601 was that, with a generator of the attacker's), so
parameters count only if they are those of a known curve to the last bit. The values are those of
FIPS 186-4, D.1.2, and RFC 5639, 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.status import CardRefusal, Sw

CURVES: Final[dict[int, type[ec.EllipticCurve]]] = {
    0x00: ec.SECP256R1,
    0x01: ec.SECP384R1,
    0x02: ec.SECP521R1,
    0x03: ec.BrainpoolP256R1,
    0x05: ec.BrainpoolP384R1,
    0x07: ec.BrainpoolP512R1,
}
"""Key parameter references of GPCS 2.3.1, table B-2."""
FIELD, A, B, GENERATOR, ORDER, COFACTOR = PARAMETERS = (0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7)
"""The types of domain parameters, in the order in which they come; the cofactor may be missing."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """p, the coefficients a and b, and the order n of the generator; the cofactor is 1."""

    p: int
    a: int
    b: int
    n: int


def _numbers(*values: str) -> Numbers:
    return Numbers(*(int(value, 16) for value in values))


NUMBERS: Final[dict[int, Numbers]] = {
    0x00: _numbers(
        "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF",
        "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFC",
        "5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B",
        "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551",
    ),
    0x01: _numbers(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "FFFFFFFFFFFFFFFEFFFFFFFF0000000000000000FFFFFFFF",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "FFFFFFFFFFFFFFFEFFFFFFFF0000000000000000FFFFFFFC",
        "B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE814112"
        "0314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
    ),
    0x02: _numbers(
        "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC",
        "0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109"
        "E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00",
        "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
    ),
    0x03: _numbers(
        "A9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377",
        "7D5A0975FC2C3057EEF67530417AFFE7FB8055C126DC5C6CE94A4B44F330B5D9",
        "26DC5C6CE94A4B44F330B5D9BBD77CBF958416295CF7E1CE6BCCDC18FF8C07B6",
        "A9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7",
    ),
    0x05: _numbers(
        "8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B4"
        "12B1DA197FB71123ACD3A729901D1A71874700133107EC53",
        "7BC382C63D8C150C3C72080ACE05AFA0C2BEA28E4FB22787"
        "139165EFBA91F90F8AA5814A503AD4EB04A8C7DD22CE2826",
        "04A8C7DD22CE28268B39B55416F0447C2FB77DE107DCD2A6"
        "2E880EA53EEB62D57CB4390295DBC9943AB78696FA504C11",
        "8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B3"
        "1F166E6CAC0425A7CF3AB6AF6B7FC3103B883202E9046565",
    ),
    0x07: _numbers(
        "AADD9DB8DBE9C48B3FD4E6AE33C9FC07CB308DB3B3C9D20ED6639CCA70330871"
        "7D4D9B009BC66842AECDA12AE6A380E62881FF2F2D82C68528AA6056583A48F3",
        "7830A3318B603B89E2327145AC234CC594CBDD8D3DF91610A83441CAEA9863BC"
        "2DED5D5AA8253AA10A2EF1C98B9AC8B57F1117A72BF2C7B9E7C1AC4D77FC94CA",
        "3DF91610A83441CAEA9863BC2DED5D5AA8253AA10A2EF1C98B9AC8B57F1117A7"
        "2BF2C7B9E7C1AC4D77FC94CADC083E67984050B75EBAE5DD2809BD638016F723",
        "AADD9DB8DBE9C48B3FD4E6AE33C9FC07CB308DB3B3C9D20ED6639CCA70330870"
        "553E5C414CA92619418661197FAC10471DB1D381085DDADDB58796829CA90069",
    ),
}
"""The domain parameters of each curve by its reference."""


def reference_of(parameters: Sequence[tuple[int, bytes]]) -> int:
    """Return the reference of the curve that domain parameters, in their order, are those of.

    Raises `CardRefusal` for parameters that are missing, and for those of no known curve.
    """
    kinds = tuple(kind for kind, _ in parameters)
    if kinds not in {PARAMETERS, PARAMETERS[:-1]}:
        raise CardRefusal(Sw.WRONG_DATA, "domain parameters of a curve are B2 to B6, and B7 if any")
    values = dict(parameters)
    if int.from_bytes(values.get(COFACTOR, b"\1"), "big") == 1:
        numbers = Numbers(*(int.from_bytes(values[kind], "big") for kind in (FIELD, A, B, ORDER)))
        for reference, known in NUMBERS.items():
            if numbers == known and values[GENERATOR] == _generator(reference):
                return reference
    raise CardRefusal(Sw.WRONG_DATA, "domain parameters of no known curve (GPCS table B-2)")


def _generator(reference: int) -> bytes:
    public = ec.derive_private_key(1, CURVES[reference]()).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
