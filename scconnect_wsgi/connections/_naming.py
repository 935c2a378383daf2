"""Keys that must not collide: of an account, of a user who logs in with it, of a connection.

``soundcloud:users:5`` names a user of SoundCloud, and only SoundCloud's own API may say so. Another
provider could claim the same urn, so its users are named by the origin of its API as well.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping

from scconnect_wsgi.account import Account
from scconnect_wsgi.numeric import is_whole
from scconnect_wsgi.provider import SOUNDCLOUD
from scconnect_wsgi.urls import origin
from scconnect_wsgi.users import UserNameError, user_name

ID_BYTES = 24  # of a digest or of random bytes; 32 characters in an id
# Ids are numbers today; 0, "None" and "null" name nobody.
SOUNDCLOUD_URN = re.compile(r"soundcloud:users:(?!0+$|None$|null$)[A-Za-z0-9_-]+")


def account_key(me: Mapping[str, object], api_url: str) -> str:
    """Return the key of the account in an answer to ``/me``, or an empty string if it has none.

    SoundCloud has deprecated ``id``, which may be missing; if ``urn`` is missing, it is made from
    ``id``. The key of another provider is its ``urn`` as it stands, or else its ``id``: a positive
    number (some APIs call an unknown user number 0) or a text.
    """
    urn = usable_key(me.get("urn"), api_url)
    id = me.get("id")
    number = _number_key(id)
    if is_soundcloud(api_url):
        return urn or (f"soundcloud:users:{number}" if number else "")
    return urn or number or _text_key(id)


def usable_key(urn: object, api_url: str) -> str:
    """Return the urn of an account at the API at ``api_url``, or an empty string if it names none.

    SoundCloud's own accounts have urns of its own form.
    """
    key = _text_key(urn)
    if is_soundcloud(api_url) and not SOUNDCLOUD_URN.fullmatch(key):
        return ""
    return key


def user_at(account: Account, api_url: str) -> str:
    """Return the name of a site's user who logs in with an account of the API at ``api_url``.

    For SoundCloud's own API it is the account's ``urn``; for every other API its origin comes first
    (``https://api.example#5``), so that no provider can name the user of another one, whatever
    ``urn`` it claims. Empty if the provider does not say whose account it is.
    """
    if not account.urn or is_soundcloud(api_url):
        return account.urn
    return f"{origin(api_url)}#{account.urn}"


def login_id(user: str, api_url: str) -> str:
    """Return the id of the connection that a user, named as by ``user_at``, has logged in with."""
    urn = user if is_soundcloud(api_url) else user.removeprefix(f"{origin(api_url)}#")
    return connection_id(user, api_url, urn)


def connection_id(user: str, api_url: str, urn: str) -> str:
    """Return the id of a user's connection with an account.

    It is the same each time, so that connecting again replaces the connection, two clicks at once
    make one, and an id that a site has written down stays valid. It is no secret: a caller must
    also name the user, and that is compared. For an unknown account (an empty ``urn``) it is a new
    random id.
    """
    if not urn:
        return secrets.token_urlsafe(ID_BYTES)
    digest = hashlib.sha256(json.dumps([user, api_url, urn]).encode("ascii")).digest()
    return urlsafe_b64encode(digest[:ID_BYTES]).decode("ascii")


def is_soundcloud(api_url: str) -> bool:
    """Return whether this is SoundCloud's own API."""
    return origin(api_url) == origin(str(SOUNDCLOUD.api_url))


def _number_key(id: object) -> str:
    if is_whole(id) and id > 0:
        return str(id)
    return ""


def _text_key(value: object) -> str:
    """Return a text that names somebody; blank texts and "None" do not."""
    try:
        return (user_name(value) or "") if isinstance(value, str) else ""
    except UserNameError:
        return ""
