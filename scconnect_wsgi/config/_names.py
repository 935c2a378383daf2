"""Tell a misspelt option from a name that is somebody else's."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping

from scconnect_wsgi.config._options import OPTIONS

log: logging.Logger = logging.getLogger("scconnect_wsgi")

NEAR = 0.82  # of 1.0 for the same name: one letter of eight may differ, or a short word be missing
# What other packages and people call our options
_OTHER_NAMES = {
    "database": "store",
    "database_uri": "store",
    "database_url": "store",
    "db_url": "store",
    "redis_url": "store",
    "store_url": "store",
    "storage": "store",
    "callback": "callback_url",
    "redirect_uri": "callback_url",
    "redirect_url": "callback_url",
    "public_url": "base_url",
    "root_url": "base_url",
    "site_url": "base_url",
    "url": "base_url",
    "cookie_key": "secret_key",
    "cookie_secret": "secret_key",
    "key": "secret_key",
    "session_secret": "secret_key",
    "app_id": "client_id",
    "app_secret": "client_secret",
    "client_key": "client_id",
    "consumer_id": "consumer_key",
    "auth_url": "authorize_url",
    "authorization_endpoint": "authorize_url",
    "authorization_url": "authorize_url",
    "token_endpoint": "token_url",
    "login_url": "sign_in_url",
}
# What Kubernetes (and Docker's links) set in every container for a service that is called scconnect
# or scconnect-SOMETHING, such as SCCONNECT_PORT=tcp://10.0.0.7:80 or SCCONNECT_WEB_SERVICE_HOST
_OF_A_SERVICE = re.compile(
    r"([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|"
    r"PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def nearest_option(name: str) -> str | None:
    """Return the option that a name was probably meant to be, if there is one."""
    lowered = name.lower()
    if lowered in _OTHER_NAMES:
        return _OTHER_NAMES[lowered]
    close = difflib.get_close_matches(lowered, OPTIONS, 1, cutoff=NEAR)
    return close[0] if close else None


def ignore_foreign(given: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the variables that are options, or were probably meant to be.

    The others are ignored: those of a service without a word, and any other with a warning.
    """
    ours = {}
    for variable, text in given.items():
        name = variable.removeprefix(prefix)
        if _OF_A_SERVICE.fullmatch(name):
            continue
        if nearest_option(name) is None:
            log.warning("%s is not an option of scconnect-wsgi, and is ignored.", variable)
            continue
        ours[variable] = text
    return ours
