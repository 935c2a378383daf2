"""How every store writes a token and the outcome of a flow: in plain text, or encrypted.

A failed refresh is written with the token that it did not replace, and so is the login key.

What is encrypted is bound to its place: a token to its connection, an outcome to its claim.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData

from scconnect_wsgi.encryption import is_sealed
from scconnect_wsgi.errors import KeyRemoved, StorageFailed, Undecipherable
from scconnect_wsgi.keys import checked_encryption
from scconnect_wsgi.nesting import MAX_DEPTH, is_too_deep
from scconnect_wsgi.stores._connection import Connection, FailedRefresh
from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption


class TokenCodec:
    """Encodes and decodes the tokens of one store.

    An encrypted token is bound to its connection's id, user and API, so that nobody who can write
    to the database can give it to another user or have it sent to another host.
    """

    def __init__(self, encryption: Encryption | None) -> None:
        checked_encryption(encryption)
        self._sealer = encryption.sealer("stored token") if encryption else None
        self._accepts_plain = encryption is None or encryption.accept_unencrypted

    def encode(self, connection: Connection) -> str:
        """Return the token of a connection, its failed refresh and its login key, as ASCII text.

        Raises StorageFailed for a token that JSON cannot hold.
        """
        text = _to_json(connection)
        if self._sealer is None:
            return text
        place = (connection.id, connection.user, connection.api_url)
        return base64_encode(self._sealer.seal(text.encode("ascii"), *place)).decode("ascii")

    def decode(
        self, text: str, id: str, user: str, api_url: str
    ) -> tuple[AccessToken, FailedRefresh | None, str]:
        """Return the token, the failed refresh and the login key that were encoded for this
        connection.

        Raises KeyRemoved and Undecipherable, and ValueError for a token that was damaged.
        """
        is_plain = text.startswith("{")
        if is_plain and not self._accepts_plain:
            raise Undecipherable(
                "This stored token is not encrypted. If it was stored before encryption was "
                "switched on, give Encryption(..., accept_unencrypted=True) until all such tokens "
                "have been refreshed."
            )
        data = text if is_plain else self._opened(text, id, user, api_url)
        fields = json.loads(data)
        failed = fields.pop("failed_refresh", None)
        login_key = fields.pop("login_key", "")
        token = AccessToken.from_dict(fields)
        if is_too_deep(token.extra):
            raise ValueError(f"values are nested more than {MAX_DEPTH} deep")
        return token, FailedRefresh.from_dict(failed) if failed else None, login_key

    def _opened(self, text: str, *place: str) -> bytes:
        try:
            sealed = base64_decode(text)
        except BadData:
            raise ValueError("neither JSON nor Base64") from None
        if self._sealer is None and is_sealed(sealed):
            raise KeyRemoved(
                "This stored token is encrypted, and this store was given no encryption."
            )
        if self._sealer is None:
            raise ValueError("neither JSON nor encrypted")
        return self._sealer.open(sealed, *place)


class OutcomeCodec:
    """Encodes and decodes the outcomes of flows that one store keeps.

    They live for minutes, so ``accept_unencrypted`` does not apply to them.
    """

    def __init__(self, encryption: Encryption | None) -> None:
        self._sealer = encryption.sealer("outcome of a flow") if encryption else None

    def encode(self, name: str, outcome: str) -> str:
        """Return the outcome that is kept with the claim ``name`` as text."""
        if self._sealer is None:
            return outcome
        sealed = self._sealer.seal(outcome.encode("utf-8"), name)
        return base64_encode(sealed).decode("ascii")

    def decode(self, name: str, text: str) -> str | None:
        """Return the outcome that was encoded for this claim, or None if it cannot be read."""
        if self._sealer is None:
            return text
        try:
            return self._sealer.open(base64_decode(text), name).decode("utf-8")
        except (BadData, Undecipherable):
            return None


def _to_json(connection: Connection) -> str:
    token = connection.token
    failed = connection.failed_refresh
    try:
        if not is_too_deep(token.extra):
            more: dict[str, object] = {"failed_refresh": asdict(failed)} if failed else {}
            if connection.login_key:
                more["login_key"] = connection.login_key
            return json.dumps({**token.to_dict(), **more})
    except (TypeError, ValueError):  # a date, perhaps, or a dict that contains itself
        pass
    raise StorageFailed(
        "This token cannot be stored: a field of it is not JSON, or is nested more than "
        f"{MAX_DEPTH} deep."
    )
