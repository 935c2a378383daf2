"""OAuth 1.0a (RFC 5849): the questions oauthlib's server side asks, answered from the state."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from oauthlib import oauth1
from oauthlib.common import Request, generate_token

from scconnect_wsgi.sandbox.clients import Client
from scconnect_wsgi.sandbox.state import NONCE_WINDOW, Access, Grant, RequestToken, State

METHODS = ("HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT")
LONGEST_TOKEN = 4096  # characters; more does not come back in a URL


class Validator(oauth1.RequestValidator):
    """Answers oauthlib's questions from the state.

    Every ``dummy_*`` stands in for an unknown name, so that a refusal takes as long as a success.
    """

    def __init__(self, state: State, client: Client, rsa_public_key: str | None) -> None:
        super().__init__()
        self._state = state
        self._client = client
        self._rsa_public_key = rsa_public_key

    # oauthlib insists on https unless told otherwise; this server runs on the loopback interface,
    # and the signature is over the URL as it really is.
    enforce_ssl = False
    timestamp_lifetime = NONCE_WINDOW
    dummy_client = "no-such-client"
    dummy_request_token = "no-such-request-token"  # noqa: S105
    dummy_access_token = "no-such-access-token"  # noqa: S105

    @property
    def allowed_signature_methods(self) -> tuple[str, ...]:
        """RSA-SHA1 only where there is a key to verify it with."""
        return (*METHODS, "RSA-SHA1") if self._rsa_public_key else METHODS

    # oauthlib wants keys, nonces and tokens of 20 to 30 letters and digits; RFC 5849 has no such
    # rule, and clients send nonces of 8 characters, of 32, and with hyphens in them.
    def check_client_key(self, client_key: str) -> bool:
        """Any key may ask; whether it is known is checked later."""
        return 0 < len(client_key) < 256

    def check_nonce(self, nonce: str) -> bool:
        """Any nonce may come, once."""
        return 0 < len(nonce) < 256

    def check_request_token(self, request_token: str) -> bool:
        """Any token may be asked for."""
        return 0 < len(request_token) <= LONGEST_TOKEN

    def check_access_token(self, request_token: str) -> bool:
        """Any token may be asked for."""
        return 0 < len(request_token) <= LONGEST_TOKEN

    def check_verifier(self, verifier: str) -> bool:
        """Any verifier may be tried."""
        return 0 < len(verifier) < 256

    def check_realms(self, realms: list[str]) -> bool:
        """A realm is a name for people; every one is welcome."""
        return True

    def get_default_realms(self, client_key: str, request: Request) -> list[str]:
        """None."""
        return []

    def validate_requested_realms(
        self, client_key: str, realms: list[str], request: Request
    ) -> bool:
        """See check_realms."""
        return True

    def validate_realms(
        self,
        client_key: str,
        token: str,
        request: Request,
        uri: str | None = None,
        realms: list[str] | None = None,
    ) -> bool:
        """See check_realms."""
        return True

    def verify_realms(self, token: str, realms: list[str], request: Request) -> bool:
        """See check_realms."""
        return True

    def get_realms(self, token: str, request: Request) -> list[str]:
        """Those asked for with the request token."""
        found = self._state.request_token(token)
        return found.realms if found else []

    # Secrets: the one of an unknown name matches nothing.
    def get_client_secret(self, client_key: str, request: Request) -> str:
        """The consumer secret."""
        return self._client.secret if client_key == self._client.id else generate_token()

    def get_request_token_secret(self, client_key: str, token: str, request: Request) -> str:
        """The secret of temporary credentials."""
        found = self._state.request_token(token)
        return found.secret if found else generate_token()

    def get_access_token_secret(self, client_key: str, token: str, request: Request) -> str:
        """The secret of an access token."""
        found = self._state.access.get(token)
        return (found and found.secret) or generate_token()

    def get_rsa_key(self, client_key: str, request: Request) -> str:
        """The public key of the application."""
        return self._rsa_public_key or ""

    # Checks.
    def validate_client_key(self, client_key: str, request: Request) -> bool:
        """Whether we know the application."""
        return client_key == self._client.id

    def validate_timestamp_and_nonce(
        self,
        client_key: str,
        timestamp: str,
        nonce: str,
        request: Request,
        request_token: str | None = None,
        access_token: str | None = None,
    ) -> bool:
        """Whether this nonce is new; oauthlib has looked at the timestamp by now."""
        return self._state.first_use(
            client_key, timestamp, nonce, request_token or access_token or ""
        )

    def validate_redirect_uri(self, client_key: str, redirect_uri: str, request: Request) -> bool:
        """Whether the callback is registered."""
        return self._client.may_return_to(redirect_uri)

    def validate_request_token(self, client_key: str, token: str, request: Request) -> bool:
        """Whether these temporary credentials are still good."""
        return self._state.request_token(token) is not None

    def validate_verifier(
        self, client_key: str, token: str, verifier: str, request: Request
    ) -> bool:
        """Whether the user's own browser brought this verifier."""
        found = self._state.request_token(token)
        expected = (found and found.verifier) or generate_token()
        return hmac.compare_digest(expected.encode(), verifier.encode())

    def validate_access_token(self, client_key: str, token: str, request: Request) -> bool:
        """Whether the token was given out by this protocol and still works."""
        found = self._state.access.get(token)
        return found is not None and found.secret is not None and found.alive()

    def verify_request_token(self, token: str, request: Request) -> bool:
        """Whether a user may be asked about this token."""
        return self._state.request_token(token) is not None

    def get_redirect_uri(self, token: str, request: Request) -> str:
        """Where the user goes back to."""
        found = self._state.request_token(token)
        return found.callback if found else ""

    # Keeping. oauthlib's stubs call these dictionaries strings.
    def save_request_token(self, token: Mapping[str, str], request: Request) -> None:  # type: ignore[override]
        """New temporary credentials."""
        held = RequestToken(
            token["oauth_token_secret"], str(request.redirect_uri), list(request.realms or ())
        )
        self._state.remember(self._state.request_tokens, token["oauth_token"], held)
        self._state.on_secret(token["oauth_token"])
        self._state.on_secret(token["oauth_token_secret"])

    def save_verifier(self, token: str, verifier: Mapping[str, str], request: Request) -> None:
        """The user said yes."""
        self._state.request_tokens[token].verifier = verifier["oauth_verifier"]
        self._state.on_secret(verifier["oauth_verifier"])

    def save_access_token(self, token: Mapping[str, str], request: Request) -> None:  # type: ignore[override]
        """The exchange: who said yes is written in the request token."""
        found = self._state.request_tokens[str(request.resource_owner_key)]
        access = Access(Grant(str(found.username)), token["oauth_token_secret"])
        self._state.remember(self._state.access, token["oauth_token"], access)
        self._state.on_secret(token["oauth_token"])
        self._state.on_secret(token["oauth_token_secret"])

    def invalidate_request_token(
        self, client_key: str, request_token: str, request: Request
    ) -> None:
        """A request token is good for one exchange."""
        self._state.request_tokens.pop(request_token, None)
