"""A small provider of OpenID Connect over real HTTP, that can be told to lie."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

CLIENT_ID, SECRET = "tieline at work", "s:e%c+r&et"
_SECONDS = 300


@dataclass(slots=True, kw_only=True)
class OpenIdProvider:
    """One provider: who is signed in there, which keys it signs with, and what it is told to do wrong."""

    address: str
    subject: str = "u-1"
    email: str = "ann@firm.example"
    is_email_verified: bool = True
    lie: str = ""
    is_down: bool = False
    asked: list[str] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def rotate(self) -> None:
        """Sign with a new key from now on, and show the old one no more."""
        self.keys = [RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})]

    def authorize(self, query: Mapping[str, str]) -> str:
        """Return where the browser is sent when the person has said yes."""
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(12)
        self.codes[code] = dict(query)
        answer = {"code": code, "state": query["state"], "iss": self.address}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def exchange(self, form: Mapping[str, str], authorization: str) -> dict[str, Any] | None:
        """Return the tokens of a code, once, and only to whoever began with it."""
        begun = self.codes.pop(form.get("code", ""), None)
        name, _, secret = base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")
        if begun is None or (unquote(name), unquote(secret)) != (CLIENT_ID, SECRET):
            return None
        if create_s256_code_challenge(form["code_verifier"]) != begun["code_challenge"]:
            return None
        if form["redirect_uri"] != begun["redirect_uri"]:
            return None
        return {
            "token_type": "Bearer",
            "access_token": "a",
            "id_token": self._token(begun["nonce"]),
        }

    def shown_keys(self) -> dict[str, Any]:
        """Return the keys as anybody may read them, beside one of a kind that nobody knows."""
        later = {"kty": "AKP", "kid": "later", "pub": "x"}
        return {"keys": [*KeySet(self.keys).as_dict(private=False)["keys"], later]}

    def _token(self, nonce: str) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.address,
            "aud": CLIENT_ID,
            "sub": self.subject,
            "nonce": nonce,
            "iat": now,
            "exp": now + _SECONDS,
            "email": self.email,
            "email_verified": self.is_email_verified,
        }
        claims |= _lies(now, nonce).get(self.lie, {})
        claims = {name: value for name, value in claims.items() if value is not None}
        return self._signed(claims)

    def _signed(self, claims: dict[str, Any]) -> str:
        key, header = self.keys[0], {"alg": "RS256", "kid": self.keys[0].kid}
        match self.lie:
            case "a list":
                return jwt.encode(header, claims, key).replace(".", ".W10", 1)
            case "unknown key":
                key = RSAKey.generate_key(2048)
                header["kid"] = "nobody's"
            case "foreign key under a known name":
                key = RSAKey.generate_key(2048)
            case "public key as a shared secret":
                return _signed_with(self.keys[0].as_pem(private=False), header["kid"], claims)
            case "no signature":
                return ".".join([_encoded({"alg": "none"}), _encoded(claims), ""])
            case "its own key in the header":
                key = ECKey.generate_key("P-256")
                header = {"alg": "ES256", "jwk": key.as_dict(private=False)}
            case "a kid of two megabytes":
                header["kid"] = "k" * 2_000_000
        return jwt.encode(header, claims, key, algorithms=["RS256", "ES256"])


def _lies(now: int, nonce: str) -> dict[str, dict[str, Any]]:
    return {
        "wrong nonce": {"nonce": f"{nonce}x"},
        "no nonce": {"nonce": None},
        "wrong audience": {"aud": "somebody else"},
        "among other audiences": {"aud": [CLIENT_ID, "x"], "azp": "x"},
        "wrong issuer": {"iss": "https://login.example.com"},
        "expired": {"iat": now - 2 * _SECONDS, "exp": now - _SECONDS},
        "of tomorrow": {"nbf": now + 86_400},
        "never ends": {"exp": float("inf")},
        "ends as a word": {"exp": str(now + _SECONDS)},
        "no subject": {"sub": None},
    }


@contextmanager
def running_provider() -> Iterator[OpenIdProvider]:
    """Serve one provider on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, body: str) -> None:
            parts = urlsplit(self.path)
            provider.asked.append(parts.path)
            if provider.is_down:
                self.send_error(503)
                return
            content: Any
            match parts.path:
                case "/.well-known/openid-configuration":
                    content = _description(provider.address)
                case "/keys":
                    content = provider.shown_keys()
                case "/token":
                    content = provider.exchange(_words(body), self.headers["Authorization"] or "")
                case "/authorize":
                    self.send_response(302)
                    self.send_header("Location", provider.authorize(_words(parts.query)))
                    self.end_headers()
                    return
                case _:
                    content = None
            sent = json.dumps(content or {"error": "invalid_grant"}).encode()
            self.send_response(200 if content else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = OpenIdProvider(address=f"http://127.0.0.1:{server.server_port}")
    provider.rotate()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield provider
    server.shutdown()
    thread.join()
    server.server_close()


def _description(address: str) -> dict[str, Any]:
    return {
        "issuer": address,
        "authorization_endpoint": f"{address}/authorize",
        "token_endpoint": f"{address}/token",
        "jwks_uri": f"{address}/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def _words(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text, strict_parsing=True).items()}


def _signed_with(secret: bytes, kid: str, claims: Mapping[str, Any]) -> str:
    # No library of today signs so; an attacker needs none.
    text = f"{_encoded({'alg': 'HS256', 'kid': kid})}.{_encoded(claims)}"
    mark = base64.urlsafe_b64encode(hmac.digest(secret, text.encode(), "sha256"))
    return f"{text}.{mark.decode().rstrip('=')}"


def _encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
