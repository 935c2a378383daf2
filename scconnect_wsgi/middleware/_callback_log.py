"""Write the callback URL to the log, once.

If the callback URL or the client id is not the registered one, SoundCloud shows a blank page and
never sends the user back, so this site hears of no failure. What it sent is then in its log.
"""

from __future__ import annotations

import logging

log: logging.Logger = logging.getLogger("scconnect_wsgi")

MOST = 100  # callback URLs; a base_url callable may make one for each of thousands of hosts


class CallbackLog:
    """Logs each callback URL at the first start for it in this process.

    ``client_id`` is the client's public name at the provider, if it is known. ``is_derived`` says
    that the root of the URL comes from the request, because no ``base_url`` was given.
    """

    def __init__(self, client_id: str | None, is_derived: bool) -> None:
        self._client = "" if client_id is None else f" The client id is {client_id!r}."
        self._origin = (
            " base_url is not set, so the URL comes from the Host header of this request."
            if is_derived
            else ""
        )
        self._logged: dict[str, object] = {}

    def log(self, callback_url: str) -> None:
        """Log the URL, if it was not logged before."""
        if len(self._logged) >= MOST:
            return
        mine = object()
        # One step, so that two threads do not both log it
        if self._logged.setdefault(callback_url, mine) is mine:
            log.info(
                "The callback URL is %s.%s%s If the provider shows a blank page or an error "
                "instead of its login page, compare them byte for byte with what is registered "
                "there.",
                callback_url,
                self._client,
                self._origin,
            )
