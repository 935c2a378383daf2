"""Make sure that somebody is signed in: at the start of a flow, and when the user comes back.

At the start a user who is not signed in is sent to the site's own sign-in page, which sends them
back to the start.

The callback is reached from the provider, and a session cookie with SameSite=Strict is not sent
with a request that another site caused. So a callback without a session may belong to a user who is
signed in. It is answered with a page that opens the same address again: that request comes from the
site itself, and has the session. Both ways back carry a mark, so that neither goes in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping

from scconnect_wsgi.errors import NotSignedIn, WrongUser
from scconnect_wsgi.middleware._pages import Notice
from scconnect_wsgi.query import with_query

RETURNED = "scconnect_returned"  # the mark in the callback's query
SIGNED_IN = "scconnect_signed_in"  # the mark in the start's query


def sign_in_address(sign_in: str, start: str, query: Mapping[str, str]) -> str:
    """Return the address of the site's sign-in page, which leads back to ``start``.

    ``sign_in`` and ``start`` are addresses on the site, ``query`` is that of the start. The way
    back is in the field ``next``. Raises NotSignedIn if ``sign_in`` is empty, because the site has
    named no page, and if the user has just been there: they would go in a circle.
    """
    if not sign_in:
        raise NotSignedIn(
            "Nobody is signed in on this site, so there is nobody whom the account could be "
            "connected to. Show the button to signed-in users only, or give SCConnect the page "
            'where users sign in: sign_in_url="/login". If somebody is signed in, identify does '
            "not see them: Flask's current_user, for example, is nobody outside of a request "
            "context."
        )
    if SIGNED_IN in query:
        raise NotSignedIn(
            "The user came back from sign_in_url, and identify still names nobody. Likely causes: "
            "the sign-in did not succeed, the browser does not keep the session's cookie, or "
            "identify does not read the session that the sign-in page writes."
        )
    return with_query(sign_in, {"next": with_query(start, {SIGNED_IN: "1"})})


def return_page(query: Mapping[str, str]) -> Notice:
    """Return the page that opens the callback again, from the site itself."""
    return Notice(
        "200 OK",
        "Almost done",
        "You are being taken back to the site. If nothing happens, press the button.",
        button="Continue",
        fields={**query, RETURNED: "1"},
        headers=[("Referrer-Policy", "no-referrer")],  # the address holds the code
    )


def check_user(started_by: str, user: str) -> None:
    """Raise NotSignedIn or WrongUser unless the user who started a flow is the one who came back.

    Both are marks of users, as ``user_mark`` makes them: empty for nobody.
    """
    if started_by and not user:
        raise NotSignedIn(
            "The user who started this connection is not signed in any more. Likely causes: they "
            "signed out meanwhile, the session expired, or its cookie belongs to another host name "
            "than that of base_url."
        )
    if started_by != user:
        raise WrongUser("Another user of this site started this connection. Start again.")
