# SPDX-License-Identifier: Apache-2.0
"""Errors go from process to process with all their facts."""

import pickle
from decimal import Decimal

import pytest

from protocols.errors import MeterletError
from utility_server.errors import CannotVerify, HubPutBack, HubRefused, VerificationFailed


@pytest.mark.parametrize(
    "error",
    [
        VerificationFailed("proof", "it does not hold", Decimal("0.01")),
        HubRefused(0x6985, "the resident said no"),
        HubPutBack(b"meter", "shorter"),
        CannotVerify("no tariff"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_on_the_other_side(error: MeterletError) -> None:
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
