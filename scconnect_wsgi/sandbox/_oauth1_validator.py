"""Answer the questions that oauthlib asks about OAuth 1.0a (RFC 5849)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from oauthlib import oauth1
from oauthlib.common import Request, generate_token

from scconnect_wsgi.sandbox._clients import Client
from scconnect_wsgi.sandbox._records import Access, Grant, RequestToken
from scconnect_wsgi.sandbox._state import NONCE_WINDOW, State

METHODS = ("HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT")
LONGEST_TOKEN = 4096  # characters; a longer one does not fit into a URL


class Validator(oauth1.RequestValidator):
    """Answers oauthlib's questions from the state.

    The ``dummy_*`` names replace unknown ones, so that a refusal takes as long as a success.
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
        """Return the methods; RSA-SHA1 is one of them if there is a key to verify it with."""
        return (*METHODS, "RSA-SHA1") if self._rsa_public_key else METHODS

    # oauthlib wants keys, nonces and tokens of 20 to 30 letters and digits; RFC 5849 has no such
    # rule, and clients send nonces of 8 characters, of 32, and with hyphens in them.
    def check_client_key(self, client_key: str) -> bool:
        """Return whether a key may be looked up."""
        return 0 < len(client_key) < 256

    def check_nonce(self, nonce: str) -> bool:
        """Return whether a nonce may be looked up."""
        return 0 < len(nonce) < 256

    def check_request_token(self, request_token: str) -> bool:
        """Return whether a request token may be looked up."""
        return 0 < len(request_token) <= LONGEST_TOKEN

    def check_access_token(self, request_token: str) -> bool:
        """Return whether an access token may be looked up."""
        return 0 < len(request_token) <= LONGEST_TOKEN

    def check_verifier(self, verifier: str) -> bool:
        """Return whether a verifier may be looked up."""
        return 0 < len(verifier) < 256

    def check_realms(self, realms: list[str]) -> bool:
        """Accept every realm."""
        return True

    def get_default_realms(self, client_key: str, request: Request) -> list[str]:
        """Return no realms."""
        return []

    def validate_requested_realms(
        self, client_key: str, realms: list[str], request: Request
    ) -> bool:
        """Accept every realm."""
        return True

    def validate_realms(
        self,
        client_key: str,
        token: str,
        request: Request,
        uri: str | None = None,
        realms: list[str] | None = None,
    ) -> bool:
        """Accept every realm."""
        return True

    def verify_realms(self, token: str, realms: list[str], request: Request) -> bool:
        """Accept every realm."""
        return True

    def get_realms(self, token: str, request: Request) -> list[str]:
        """Return the realms requested with a request token."""
        found = self._state.request_token(token)
        return found.realms if found else []

    # The secret of an unknown name is a new one, which matches nothing.
    def get_client_secret(self, client_key: str, request: Request) -> str:
        """Return the consumer secret."""
        return self._client.secret if client_key == self._client.id else generate_token()

    def get_request_token_secret(self, client_key: str, token: str, request: Request) -> str:
        """Return the secret of temporary credentials."""
        found = self._state.request_token(token)
        return found.secret if found else generate_token()

    def get_access_token_secret(self, client_key: str, token: str, request: Request) -> str:
        """Return the secret of an access token."""
        found = self._state.access.get(token)
        return (found and found.secret) or generate_token()

    def get_rsa_key(self, client_key: str, request: Request) -> str:
        """Return the public key of the application."""
        return self._rsa_public_key or ""

    def validate_client_key(self, client_key: str, request: Request) -> bool:
        """Return whether the application is registered."""
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
        """Return whether the nonce is new; oauthlib has checked the timestamp already."""
        return self._state.first_use(
            client_key, timestamp, nonce, request_token or access_token or ""
        )

    def validate_redirect_uri(self, client_key: str, redirect_uri: str, request: Request) -> bool:
        """Return whether the callback is registered, whatever its query is.

        RFC 5849 knows no registered callbacks. Providers that have them compare no query, because
        sites of OAuth 1.0a keep a state of their own there.
        """
        without_query = redirect_uri.partition("?")[0]
        return any(map(self._client.may_return_to, (redirect_uri, without_query)))

    def validate_request_token(self, client_key: str, token: str, request: Request) -> bool:
        """Return whether a request token is known and not too old."""
        return self._state.request_token(token) is not None

    def validate_verifier(
        self, client_key: str, token: str, verifier: str, request: Request
    ) -> bool:
        """Return whether this is the verifier that the user was sent back with."""
        found = self._state.request_token(token)
        expected = (found and found.verifier) or generate_token()
        return hmac.compare_digest(expected.encode(), verifier.encode())

    def validate_access_token(self, client_key: str, token: str, request: Request) -> bool:
        """Return whether an access token is one of OAuth 1.0a and still accepted."""
        found = self._state.access.get(token)
        return found is not None and found.secret is not None and self._is_alive(found)

    def verify_request_token(self, token: str, request: Request) -> bool:
        """Return whether a user may allow a request token."""
        return self._state.request_token(token) is not None

    def get_redirect_uri(self, token: str, request: Request) -> str:
        """Return the callback that was given with a request token."""
        found = self._state.request_token(token)
        return found.callback if found else ""

    # oauthlib's stubs say that the tokens below are strings; they are dictionaries.
    def save_request_token(self, token: Mapping[str, str], request: Request) -> None:  # type: ignore[override]
        """Keep temporary credentials that are handed out."""
        record = RequestToken(
            token["oauth_token_secret"],
            str(request.redirect_uri),
            list(request.realms or ()),
            created_at=self._state.clock(),
        )
        self._state.issue(self._state.request_tokens, token["oauth_token"], record)

    def save_verifier(self, token: str, verifier: Mapping[str, str], request: Request) -> None:
        """Keep the verifier that the user is sent back with."""
        self._state.request_tokens[token].verifier = verifier["oauth_verifier"]

    def save_access_token(self, token: Mapping[str, str], request: Request) -> None:  # type: ignore[override]
        """Keep token credentials that are handed out for a request token."""
        found = self._state.request_tokens[str(request.resource_owner_key)]
        access = Access(Grant(str(found.username)), token["oauth_token_secret"])
        self._state.issue(self._state.access, token["oauth_token"], access)

    def invalidate_request_token(
        self, client_key: str, request_token: str, request: Request
    ) -> None:
        """Drop a request token after its exchange."""
        self._state.request_tokens.pop(request_token, None)

    def _is_alive(self, access: Access) -> bool:
        return access.is_alive(self._state.clock())
