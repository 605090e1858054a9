# SPDX-License-Identifier: Apache-2.0
"""A region's privacy budget, as the MDMS's operator and the resident are shown it."""

from typing import Any

from utility_server.grid.privacy_notice import DELTA, NANO, Budget


def budget_facts(found: Budget) -> dict[str, Any]:
    """Return a budget as the JSON outputs show it; ρ as decimals, exactly."""
    return {
        "rho": _decimal(found.nano_rho),
        "rho_spent": _decimal(found.spent),
        "rho_left": _decimal(found.left),
        "epsilon_spent": found.epsilon,
        "delta": DELTA,
    }


def budget_line(found: Budget) -> str:
    """Return a budget as a line of text."""
    return (
        f"privacy budget ρ = {_decimal(found.nano_rho)}, {_decimal(found.spent)} spent"
        f" (ε = {found.epsilon:g} at δ = {DELTA:g}), {_decimal(found.left)} left"
    )


def _decimal(nano: int) -> str:
    return f"{nano // NANO}.{nano % NANO:09d}".rstrip("0").rstrip(".")
