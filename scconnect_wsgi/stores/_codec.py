"""How every store writes a token: as JSON, or encrypted and bound to its connection."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData

from scconnect_wsgi.errors import KeyRemoved, Undecipherable
from scconnect_wsgi.stores._connection import Connection
from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

log: logging.Logger = logging.getLogger("scconnect_wsgi")
Row = TypeVar("Row")


class TokenCodec:
    """Encodes and decodes the tokens of one store.

    An encrypted token is bound to its connection's id, user and API, so that nobody who can write
    to the database can give it to another user or have it sent to another host.
    """

    def __init__(self, encryption: Encryption | None) -> None:
        self._sealer = encryption.sealer("stored token") if encryption else None
        self._accepts_plain = encryption is None or encryption.accept_unencrypted

    def encode(self, connection: Connection) -> str:
        """Return the token of a connection as ASCII text."""
        text = json.dumps(connection.token.to_dict())
        if self._sealer is None:
            return text
        place = (connection.id, connection.user, connection.api_url)
        return base64_encode(self._sealer.seal(text.encode("ascii"), *place)).decode("ascii")

    def decode(self, text: str, id: str, user: str, api_url: str) -> AccessToken:
        """Return the token that was encoded for this connection.

        Raises KeyRemoved and Undecipherable.
        """
        is_plain = text.startswith("{")
        if is_plain and not self._accepts_plain:
            raise Undecipherable(
                "This stored token is not encrypted. If it was stored before encryption was "
                "switched on, give Encryption(..., accept_unencrypted=True) until all such tokens "
                "have been refreshed."
            )
        data = text if is_plain else self._opened(text, id, user, api_url)
        return AccessToken.from_dict(json.loads(data))

    def _opened(self, text: str, *place: str) -> bytes:
        if self._sealer is None:
            raise KeyRemoved(
                "This stored token is encrypted, and this store was given no encryption."
            )
        try:
            sealed = base64_decode(text)
        except BadData:
            raise Undecipherable(
                "This stored token cannot be read: it was changed, or cut off."
            ) from None
        return self._sealer.open(sealed, *place)


def read_all(read: Callable[[Row], Connection], rows: Iterable[Row]) -> list[Connection]:
    """Return the connections in these rows, without those whose token cannot be decrypted.

    Such a row, damaged or with a key that is gone, is logged and does not hide the others.
    """
    connections = []
    for row in rows:
        try:
            connections.append(read(row))
        except Undecipherable as error:
            log.warning("A stored connection is left out of a list: %s", error.message)
    return connections
