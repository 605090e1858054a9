# SPDX-License-Identifier: Apache-2.0
"""Codes of the moment, by the vectors of RFC 4226 and RFC 6238; and what databases keep of them."""

import base64
from pathlib import Path

import pytest

from tests.support.client_certificates import identity
from tests.support.service import new_utility, served
from utility_server.errors import AccessProblem
from utility_server.service.access.roles import Role
from utility_server.service.access.second_factor import NewFactor, hotp, step_of

SECRET = b"12345678901234567890"


def test_codes_of_a_counter_are_those_of_rfc_4226() -> None:
    # Appendix D
    assert [hotp(SECRET, counter) for counter in range(10)] == [
        "755224", "287082", "359152", "969429", "338314",
        "254676", "287922", "162583", "399871", "520489",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "code"),
    # RFC 6238, appendix B, of HMAC-SHA-1
    [
        (59, "94287082"), (1_111_111_109, "07081804"), (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"), (2_000_000_000, "69279037"), (20_000_000_000, "65353130"),
    ],
)  # fmt: skip
def test_codes_of_a_moment_are_those_of_rfc_6238(moment: int, code: str) -> None:
    assert hotp(SECRET, step_of(moment), digits=8) == code
    assert hotp(SECRET, step_of(moment)) == code[2:]


def test_an_app_is_told_all_that_it_has_to_know() -> None:
    secret = base64.b32encode(SECRET).decode()
    made = NewFactor("anna", secret, ("A",))
    assert made.uri == (
        f"otpauth://totp/Meterlet:anna?secret={secret}&issuer=Meterlet"
        "&algorithm=SHA1&digits=6&period=30"
    )
    assert secret not in repr(made)


def test_a_second_factor_is_kept_used_and_removed(tmp_path: Path) -> None:
    with served(new_utility(tmp_path / "utility")) as service:
        operators, factors = service.parts.operators, service.parts.operators.factors
        operators.add("anna", "correct horse battery", frozenset({Role.BILLING}))
        made = operators.add_factor("anna")
        code = hotp(base64.b32decode(made.secret), step_of(service.clock.now))
        for text, counts in ((code, True), (code, False), (made.recovery[0], True),
                             (made.recovery[0], False)):  # fmt: skip
            assert factors.use("anna", factors.look("anna", text)) is counts
        assert factors.left() == {"anna": 9}
        operators.remove("anna")
        assert factors.left() == {}
        assert not factors.look("anna", made.recovery[1]).is_needed


def test_a_systems_certificate_is_kept_found_and_withdrawn(tmp_path: Path) -> None:
    with served(new_utility(tmp_path / "utility")) as service:
        known, bank = service.parts.client_certificates, identity(tmp_path / "bank")
        made = known.register("bank", frozenset({Role.GRID, Role.AUDITOR}), bank.certificate)
        assert known.all() == [made]
        found = known.find(bank.der)
        assert found is not None
        assert (found.who, found.roles) == (f"certificate:{made.fingerprint}", made.roles)
        with pytest.raises(AccessProblem, match="on record already"):
            known.register("bank", made.roles, bank.certificate)
        assert known.withdraw(made.fingerprint).withdrawn
        assert known.find(bank.der) is None
