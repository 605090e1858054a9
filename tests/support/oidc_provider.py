# SPDX-License-Identifier: Apache-2.0
"""A small identity provider on loopback: discovery, keys, the authorization code flow with PKCE.

It signs for real, checks what clients send as RFC 6749 and RFC 7636 say, and can be told to lie.
"""

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

CONSOLE, SECRET, AUDIENCE = "meterlet-console", "a client's secret", "meterlet-utility"


@dataclass
class OidcProvider:
    """What it knows, and what it is told to say."""

    issuer: str = ""
    now: Any = None
    keys: list[Any] = field(
        default_factory=lambda: [
            RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
            ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"}),
        ]
    )
    subject: str = "clerk-7"
    roles: list[str] = field(default_factory=lambda: ["billing-clerks"])
    lies: dict[str, Any] = field(default_factory=dict)
    """Claims of ID tokens that are put in the place of the right ones."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def claims(self, audience: str, **more: Any) -> dict[str, Any]:
        now = self.now()
        return {
            "iss": self.issuer, "aud": audience, "sub": self.subject, "iat": now, "nbf": now,
            "exp": now + 300, "roles": self.roles, **more,
        }  # fmt: skip

    def sign(self, claims: dict[str, Any], algorithm: str = "RS256", kind: str = "at+jwt") -> str:
        wanted = "EC" if algorithm.startswith("ES") else "RSA"
        key = next(key for key in self.keys if key.key_type == wanted)
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": algorithm, "kid": key.kid, "typ": kind}
        return jwt.encode(header, claims, key, algorithms=[algorithm])

    def access_token(self, algorithm: str = "RS256", **more: Any) -> str:
        return self.sign(self.claims(AUDIENCE, **more), algorithm)

    # The endpoints

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def public_keys(self) -> Any:
        return KeySet(self.keys).as_dict(private=False)

    def authorize(self, query: dict[str, str]) -> str:
        """Return where the browser is sent, as if somebody had signed in."""
        assert query["response_type"] == "code"
        assert query["client_id"] == CONSOLE
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        expected = base64.b64encode(f"{CONSOLE}:{SECRET}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)
        digest = sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        claims = {**self.claims(CONSOLE), "nonce": asked["nonce"], **self.lies}
        return 200, {"token_type": "Bearer", "id_token": self.sign(claims, kind="JWT")}


@contextmanager
def oidc_provider(now: Any) -> Iterator[OidcProvider]:
    """Serve one on loopback."""
    provider = OidcProvider(now=now)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            provider.asked.append(parts.path)
            match parts.path:
                case "/.well-known/openid-configuration":
                    self.say(200, provider.discovery())
                case "/keys":
                    self.say(200, provider.public_keys())
                case _:
                    self.say(404, {})

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.say(*provider.token(form, self.headers.get("Authorization", "")))

        def say(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()


def settings_text(provider: OidcProvider) -> str:
    """What a utility's `service.toml` says of it; the secret lies beside."""
    return f"""
[oidc]
issuer = "{provider.issuer}"
audience = "{AUDIENCE}"
client_id = "{CONSOLE}"
client_secret_file = "keys/oidc.secret"

[oidc.roles]
billing-clerks = ["billing"]
inspectors = ["auditor"]
"""
