"""How a token is written down in any store: as JSON, or encrypted and bound to its connection."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData

from scconnect_wsgi.errors import KeyRemoved, Undecipherable
from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption
    from scconnect_wsgi.stores import Connection

log: logging.Logger = logging.getLogger("scconnect_wsgi")
Row = TypeVar("Row")


def readable(read: Callable[[Row], Connection], rows: Iterable[Row]) -> list[Connection]:
    """What can be read of a list:

    one row that was damaged, or whose key is gone, does not take the others along.
    """
    found = []
    for row in rows:
        try:
            found.append(read(row))
        except Undecipherable as error:
            log.warning("A stored connection is left out of a list: %s", error.message)
    return found


class TokenCodec:
    """Writes and reads the tokens of one store.

    An encrypted token is bound to the id of its connection, to the user, and to the API it is for:
    whoever can write into the database can neither give it to another user nor have it sent to
    another host.
    """

    def __init__(self, encryption: Encryption | None) -> None:
        self._sealer = encryption.sealer("stored token") if encryption else None
        self._takes_plain = encryption is None or encryption.accept_unencrypted

    def write(self, connection: Connection) -> str:
        """The token of a connection as text."""
        text = json.dumps(connection.token.to_dict())
        if self._sealer is None:
            return text
        place = (connection.id, connection.user, connection.api_url)
        return base64_encode(self._sealer.seal(text.encode("ascii"), *place)).decode("ascii")

    def read(self, text: str, id: str, user: str, api_url: str) -> AccessToken:
        """The token of such a connection. Raises KeyRemoved, Undecipherable."""
        if text.startswith("{"):
            if not self._takes_plain:
                raise Undecipherable(
                    "This stored token is not encrypted. If it was stored before encryption was switched on, give "
                    "Encryption(..., accept_unencrypted=True) until all such tokens were refreshed."
                )
            return AccessToken.from_dict(json.loads(text))
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
        return AccessToken.from_dict(json.loads(self._sealer.open(sealed, id, user, api_url)))
