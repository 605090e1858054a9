# SPDX-License-Identifier: Apache-2.0
"""Roles, and whoever asks with them.

Roles do not include each other: whoever needs two is given two. None opens a customer's readings,
since the utility has none.
"""

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from utility_server.errors import AccessProblem


class Role(enum.StrEnum):
    """What someone may ask for."""

    BILLING = "billing"
    """Customers, contracts, tariffs, bills and their runs."""
    SETTLEMENT = "settlement"
    """Settlement and profiles."""
    GRID = "grid"
    """Sums of regions."""
    FLEET = "fleet"
    """Versions of applets and keys, on many hubs; nothing of bills."""
    AUDITOR = "auditor"
    """Everything on record, to read and verify again; nothing to change."""
    ADMIN = "admin"
    """Keys of systems; nothing of a customer."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: known, whatever he may."""

    kind: str
    """`key`, `certificate`, `staff` (by an identity provider) or `operator` (by a password)."""
    name: str
    """The key's identification, the certificate's fingerprint, the subject at the identity
    provider, or the operator's name."""
    roles: frozenset[Role]

    @property
    def who(self) -> str:
        """How records name him."""
        return f"{self.kind}:{self.name}"

    def may(self, roles: Iterable[Role]) -> bool:
        """Tell whether one of these roles is his."""
        return not self.roles.isdisjoint(roles)


def parse_roles(names: Iterable[str]) -> frozenset[Role]:
    """Return roles by name, at least one; raise `AccessProblem` for any other name."""
    roles = set()
    for name in names:
        try:
            roles.add(Role(name))
        except ValueError:
            known = ", ".join(Role)
            raise AccessProblem(f"there is no role {name[:40]!r}; there are {known}") from None
    require_roles(roles)
    return frozenset(roles)


def require_roles(roles: Collection[Role]) -> None:
    """Raise `AccessProblem` where there is no role."""
    if not roles:
        raise AccessProblem("say a role at least")


def stored_roles(text: str) -> frozenset[Role]:
    """Return the roles that a row of the database has."""
    return frozenset(Role(name) for name in text.split())


def roles_text(roles: Iterable[Role]) -> str:
    """Return roles as a row has them."""
    return " ".join(sorted(roles))
