"""Let people sign in by a provider of OpenID Connect: authorization code with PKCE, state and nonce.

Pattern: on request. Vendor calls: what the provider says of itself, its keys, and one exchange of a code.
Nobody is made by it: who comes is somebody whom an administrator has bound, with the roles they have here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import structlog
from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, import_key

from tieline.governance import Person, find_person_of_identity, use_state
from tieline.kernel.errors import AskPerson, Refused, TryAgain, UserMistake
from tieline.runtime.database import Database
from tieline.sdk import Connection
from tieline.sdk.http import HttpClient
from tieline.sdk.slices import NotJson, decode_exact
from tieline.settings import Provider, Settings

BACK_PATH = "/sign-in/back"
MINUTES_MAX = 10
# What a provider signs with; "none" and what is shared with it are not among them.
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
_KEY_KINDS = ("RSA", "EC", "OKP")
_TIMES = ("exp", "iat", "nbf")
_SCOPE = "openid email"
_LEEWAY_SECONDS = 30
_KNOWN_SECONDS = 3600
_KEYS_ANEW_SECONDS = 30
_REPLY_BYTES_MAX = 256 * 1024
_TOKEN_CHARACTERS_MAX = 16_384
_TIMEOUT_SECONDS = 5
_WORD_CHARACTERS = 48
_log = structlog.get_logger("tieline.sign_in")


class SignInRefused(UserMistake):
    """A sign-in that lets nobody in; the sentence is for whoever tried, the reason for the log."""

    def __init__(self, sentence: str, *, reason: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where the browser goes, and what it must bring back with it."""

    address: str
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Who came in, and to which page they wanted."""

    person: Person
    back: str


@dataclass(slots=True, kw_only=True)
class SignIn:
    """Send people to their provider and understand what they come back with."""

    settings: Settings
    provider: Provider
    database: Database
    pepper: bytes = field(repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _described: tuple[float, dict[str, Any]] | None = field(default=None, repr=False)
    _keys: tuple[float, KeySet] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Return what the provider is called on a page: its host."""
        return urlsplit(self.provider.issuer).hostname or self.provider.issuer

    def begin(self, *, back: str) -> Begun:
        """Make the words of one sign-in.

        :raises TielineError: the provider does not answer.
        """
        described = self._description()
        words = {name: generate_token(_WORD_CHARACTERS) for name in ("state", "nonce", "verifier")}
        address = prepare_grant_uri(
            self._endpoint(described, "authorization_endpoint"),
            client_id=self.provider.client_id,
            response_type="code",
            redirect_uri=self._back_to(),
            scope=_SCOPE,
            state=words["state"],
            nonce=words["nonce"],
            code_challenge=create_s256_code_challenge(words["verifier"]),
            code_challenge_method="S256",
        )
        facts = {**words, "back": back, "at": int(self._seconds())}
        return Begun(address=address, cookie=self._sealed(facts))

    def finish(self, *, cookie: str, answer: Mapping[str, str], now: datetime) -> SignedIn:
        """Say who came back.

        :raises SignInRefused: nobody who may come in.
        :raises TielineError: the provider does not answer.
        """
        begun = self._opened(cookie)
        self._check_answer(begun, answer)
        claims = self._claims(begun, self._id_token(begun, answer["code"]))
        email = claims.get("email") if claims.get("email_verified") is True else None
        with self.database.transaction() as connection:
            person = find_person_of_identity(
                connection,
                issuer=self.provider.issuer,
                subject=claims["sub"],
                verified_email=email if isinstance(email, str) and email else None,
                pepper=self.pepper,
                now=now,
            )
        if person is None:
            raise _refused(
                "You are known to your provider and may not come in here:"
                " an administrator of Tieline lets people in.",
                "nobody_bound",
            )
        return SignedIn(person=person, back=str(begun["back"]))

    def look(self) -> None:
        """Ask the provider for its description and keys, as a sign-in would.

        :raises TielineError: it does not answer, or not as a provider does.
        """
        self._described = self._keys = None
        self._key_set(self._description())

    def _check_answer(self, begun: Mapping[str, Any], answer: Mapping[str, str]) -> None:
        if not hmac.compare_digest(answer.get("state", "").encode(), str(begun["state"]).encode()):
            raise _refused(_AGAIN, "state_differs")
        if answer.get("iss", self.provider.issuer) != self.provider.issuer:
            raise _refused(_AGAIN, "issuer_differs")
        with self.database.transaction() as connection:
            is_fresh = use_state(connection, state=str(begun["state"]))
        if not is_fresh:
            raise _refused(_AGAIN, "state_used")
        if "error" in answer or not answer.get("code"):
            raise _refused("Your provider did not sign you in.", "provider_refused")

    def _id_token(self, begun: Mapping[str, Any], code: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back_to(),
            "code_verifier": begun["verifier"],
        }
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        secret = self._secret()
        if secret is None:
            form["client_id"] = self.provider.client_id
        else:
            # RFC 6749, 2.3.1: both are encoded as a form is before they are joined.
            pair = f"{quote(self.provider.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        endpoint = self._endpoint(self._description(), "token_endpoint")
        try:
            answer = self._ask(endpoint, content=urlencode(form).encode(), headers=headers)
        except Refused as error:
            raise _refused(_AGAIN, "code_refused") from error
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > _TOKEN_CHARACTERS_MAX:
            raise _refused(_NOT_BELIEVED, "token_missing")
        return token

    def _claims(self, begun: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        described = self._description()
        try:
            read = self._verified(described, token)
            if any(type(read.claims.get(name, 0)) is not int for name in _TIMES):
                raise ValueError("a time is no whole number")
            claims = CodeIDToken(
                read.claims,
                read.header,
                {
                    "iss": {"essential": True, "value": self.provider.issuer},
                    "aud": {"essential": True, "value": self.provider.client_id},
                    "sub": {"essential": True},
                    "nonce": {"essential": True, "value": begun["nonce"]},
                },
                {"nonce": begun["nonce"], "client_id": self.provider.client_id},
            )
            # Its times are real ones, whatever the business clock of a rehearsal says.
            claims.validate(now=int(self._seconds()), leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError) as error:
            raise _refused(_NOT_BELIEVED, type(error).__name__) from error
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise _refused(_NOT_BELIEVED, "subject_missing")
        verified: Mapping[str, Any] = claims
        return verified

    def _verified(self, described: Mapping[str, Any], token: str) -> jwt.Token:
        try:
            return jwt.decode(token, self._key_set(described), algorithms=list(ALGORITHMS))
        except (InvalidKeyIdError, ValueError) as error:
            # The provider may have new keys; whoever makes up names of keys has us ask only now and then.
            if not self._forget_keys():
                raise
            _log.info("sign_in.keys_read_again", because=type(error).__name__)
            return jwt.decode(token, self._key_set(described), algorithms=list(ALGORITHMS))

    def _description(self) -> dict[str, Any]:
        with self._lock:
            known = self._described
        if known is not None and known[0] > time.monotonic():
            return known[1]
        issuer = self.provider.issuer
        described = self._ask(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if described.get("issuer") != issuer:
            raise AskPerson(f"{issuer} calls itself otherwise: write the issuer as it does")
        with self._lock:
            self._described = (time.monotonic() + _KNOWN_SECONDS, described)
        return described

    def _key_set(self, described: Mapping[str, Any]) -> KeySet:
        with self._lock:
            known = self._keys
        if known is not None and known[0] > time.monotonic():
            return known[1]
        content = self._ask(self._endpoint(described, "jwks_uri"))
        keys = KeySet(_usable(content))
        if not keys.keys:
            raise TryAgain(f"{self.name} shows no key that it signs with")
        with self._lock:
            self._keys = (time.monotonic() + _KNOWN_SECONDS, keys)
        return keys

    def _forget_keys(self) -> bool:
        with self._lock:
            known = self._keys
            if known is None or known[0] - time.monotonic() > _KNOWN_SECONDS - _KEYS_ANEW_SECONDS:
                return False
            self._keys = None
        return True

    def _ask(
        self,
        address: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        parts = urlsplit(address)
        issuer = urlsplit(self.provider.issuer)
        because = self.settings.environment.why_no_call(address=address, hosts=())
        if because is not None:
            raise AskPerson(f"sign-in: {because}")
        client = HttpClient(
            connection=Connection(
                connection_key="sign-in",
                base_url=f"{parts.scheme}://{parts.netloc}",
                config={},
                secrets={},
                allowed_hosts=frozenset({issuer.netloc.lower(), *self.provider.hosts}),
                timeout_seconds=_TIMEOUT_SECONDS,
            ),
            headers={"Accept": "application/json"},
            reply_bytes_max=_REPLY_BYTES_MAX,
        )
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            reply = client.read(
                path=path,
                method="GET" if content is None else "POST",
                content=content,
                headers=headers,
            )
            answer = decode_exact(reply.body)
        except NotJson as error:
            raise TryAgain(f"{self.name} answered something that cannot be read") from error
        finally:
            client.close()
        if not isinstance(answer, dict):
            raise TryAgain(f"{self.name} answered something that cannot be read")
        return answer

    def _endpoint(self, described: Mapping[str, Any], name: str) -> str:
        address = described.get(name)
        if not isinstance(address, str) or not address.startswith(("https://", "http://")):
            raise AskPerson(f"{self.name} does not say its {name}")
        if address.startswith("http://") and self.provider.issuer.startswith("https://"):
            raise AskPerson(f"{self.name} wants its {name} asked over http")
        return address

    def _back_to(self) -> str:
        return self.settings.web_url + BACK_PATH

    def _secret(self) -> str | None:
        file = self.provider.secret_file
        if file is None:
            return None
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AskPerson(f"the secret of the sign-in cannot be read: {file}") from error

    def _seconds(self) -> float:
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT extract(epoch FROM clock_timestamp())::bigint AS now"
            ).fetchone()
        assert row is not None
        return float(row["now"])

    def _sealed(self, facts: Mapping[str, Any]) -> str:
        body = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode()
        return f"{body}.{self._mark(body)}"

    def _opened(self, cookie: str) -> dict[str, Any]:
        body, _, mark = cookie.partition(".")
        if not body.isascii() or not hmac.compare_digest(mark.encode(), self._mark(body).encode()):
            raise _refused(_AGAIN, "cookie_missing")
        facts: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
        if self._seconds() - facts["at"] > MINUTES_MAX * 60:
            raise _refused(_AGAIN, "too_late")
        return facts

    def _mark(self, body: str) -> str:
        return hmac.new(self.pepper, b"sign-in:" + body.encode(), hashlib.sha256).hexdigest()


_AGAIN = "That sign-in cannot be gone on with: begin it again."
_NOT_BELIEVED = "What your provider said of you cannot be believed: tell your administrator."


def _usable(content: Mapping[str, Any]) -> list[Any]:
    """Keep keys that sign; a provider may show others, and of kinds that we do not know."""
    shown = content.get("keys")
    usable = []
    for key in shown if isinstance(shown, list) else ():
        if not isinstance(key, dict) or key.get("kty") not in _KEY_KINDS:
            continue
        if key.get("use", "sig") != "sig":
            continue
        try:
            usable.append(import_key(key))
        except (JoseError, ValueError, TypeError, KeyError):
            _log.info("sign_in.key_unknown", kind=key["kty"])
    return usable


def _refused(sentence: str, reason: str) -> SignInRefused:
    _log.warning("sign_in.refused", reason=reason)
    return SignInRefused(sentence, reason=reason)


def sign_in_of(settings: Settings, *, database: Database, pepper: bytes) -> SignIn | None:
    """Return how people sign in by a provider, None where none is named."""
    if settings.provider is None:
        return None
    return SignIn(settings=settings, provider=settings.provider, database=database, pepper=pepper)
