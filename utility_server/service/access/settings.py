# SPDX-License-Identifier: Apache-2.0
"""What the service is told in `service.toml` in the utility's folder.

    [operators]
    second_factor = "required"               # nobody signs in with a password alone

    [oidc]
    issuer = "https://login.example.org"     # exactly as its tokens say
    audience = "meterlet-utility"            # what access tokens for the interface are for
    client_id = "meterlet-console"           # the console at the provider; without it, none
    client_secret_file = "keys/oidc.secret"  # mode 0600; without it, a public client
    roles_claim = "roles"                    # where tokens have roles; `a.b` is b within a
    ca_file = "ca.pem"                       # instead of the system's authorities

    [oidc.roles]                             # the provider's word = our roles
    billing-clerks = ["billing"]

Errors: AccessProblem
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from protocols.canonical.foreign_text import ForeignTextRefused, read_toml
from utility_server.errors import AccessProblem
from utility_server.keys import read_secret
from utility_server.service.access.roles import Role, parse_roles

FILE: Final = "service.toml"
_TEXTS: Final = (
    "issuer", "audience", "client_id", "client_secret_file", "roles_claim", "ca_file",
)  # fmt: skip
_LARGEST: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """One identity provider, and how its words become roles."""

    issuer: str
    audience: str
    roles: Mapping[str, frozenset[Role]]
    roles_claim: str = "roles"
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        require_safe_address(self.issuer, "issuer")
        if not self.audience:
            raise AccessProblem("oidc.audience: say what access tokens for this service are for")
        if self.audience == self.client_id:
            # An ID token says that somebody has signed in at the console; it opens no interface.
            raise AccessProblem("oidc.audience: it must not be the console's client_id")
        if not self.roles:
            raise AccessProblem("oidc.roles: say which roles the provider's words stand for")

    def roles_of(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        """Return the roles that a token gives; words that are not known give none."""
        value: Any = claims
        for name in self.roles_claim.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        words = value.split() if isinstance(value, str) else value
        if not isinstance(words, list):
            return frozenset()
        known = (self.roles.get(word, frozenset()) for word in words if isinstance(word, str))
        return frozenset().union(*known)


def needs_second_factor(folder: Path) -> bool:
    """Tell whether a utility's folder demands a second factor of operators with passwords."""
    section = _document(folder).get("operators", {})
    path = folder / FILE
    if not isinstance(section, dict) or section.keys() - {"second_factor"}:
        raise AccessProblem(f"{path}: operators: second_factor alone is known")
    word = section.get("second_factor", "optional")
    if word not in ("optional", "required"):
        raise AccessProblem(f'{path}: operators.second_factor: "optional" or "required"')
    return bool(word == "required")


def _document(folder: Path) -> dict[str, Any]:
    """Return what the file says, by its known tables; nothing where there is none."""
    path = folder / FILE
    try:
        if not path.exists():
            return {}
        content = path.read_bytes()
        if len(content) > _LARGEST:
            raise AccessProblem(f"{path}: too large")
        document = read_toml(content.decode())
    except OSError as error:
        raise AccessProblem(f"{path}: {error.strerror}") from None
    except (ForeignTextRefused, UnicodeDecodeError) as error:
        raise AccessProblem(f"{path}: {error}") from None
    unknown = document.keys() - {"oidc", "operators"}
    if unknown:
        raise AccessProblem(f"{path}: {min(unknown)[:40]}: not known")
    return document


def read_settings(folder: Path) -> OidcSettings | None:
    """Return what a utility's folder says, None where it says nothing of a provider."""
    path, section = folder / FILE, _document(folder).get("oidc")
    if section is None:
        return None
    try:
        return _oidc(folder, section)
    except AccessProblem as error:
        raise AccessProblem(f"{path}: {error}") from None


def _oidc(folder: Path, section: object) -> OidcSettings:
    if not isinstance(section, dict):
        raise AccessProblem("oidc: not a table")
    unknown = section.keys() - {*_TEXTS, "roles"}
    if unknown:
        raise AccessProblem(f"oidc.{min(unknown)[:40]}: not known")
    texts: dict[str, str] = {}
    for name in _TEXTS:
        value = section.get(name, "")
        if not isinstance(value, str):
            raise AccessProblem(f"oidc.{name}: not a text")
        texts[name] = value
    words = section.get("roles", {})
    if not isinstance(words, dict):
        raise AccessProblem("oidc.roles: not a table")
    roles = {}
    for word, names in words.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise AccessProblem(f"oidc.roles.{word[:40]}: not a list of roles")
        roles[word] = parse_roles(names)
    secret = ""
    if texts["client_secret_file"]:
        secret = read_secret(folder / texts["client_secret_file"]).decode(errors="replace").strip()
    return OidcSettings(
        issuer=texts["issuer"],
        audience=texts["audience"],
        roles=roles,
        roles_claim=texts["roles_claim"] or "roles",
        client_id=texts["client_id"],
        client_secret=secret,
        ca_file=folder / texts["ca_file"] if texts["ca_file"] else None,
    )


def require_safe_address(address: str, what: str) -> None:
    """Raise `AccessProblem` unless it is https, or http on this very machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise AccessProblem(f"{what}: not an address") from None
    is_plain = parts.scheme == "http" and (host == "localhost" or _is_loopback(host))
    if not host or parts.username or parts.fragment or not (parts.scheme == "https" or is_plain):
        raise AccessProblem(f"{what}: it must begin with https://")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
