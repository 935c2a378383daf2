"""Log users in with their account, for any WSGI application that knows ``REMOTE_USER``.

``Connections.login`` makes a LoginApplication. Inside, ``_application`` has its addresses, and puts
together what answers the others:

* ``_session``: who is logged in, as a signed cookie that works by itself on every host;
* ``_sessions``: whether the session of a request is still good, for which the store is asked when
  nobody has asked it for a minute;
* ``_signed_in``: what the wrapped application finds in its environ, and the cookie in its response;
* ``_require``: the page for strangers, where the site wants everybody to log in;
* ``_sign_out``: the end of this browser's session;
* ``_answers``: answers for people, and for scripts.

This room asks nobody but its ``Logins``, which the connections provide: it knows neither stores nor
providers.
"""

from scconnect_wsgi.login._application import SIGN_OUT, LoginApplication, LoginParts
from scconnect_wsgi.login._require import Require
from scconnect_wsgi.login._session import Session, SessionCookie, to_note
from scconnect_wsgi.login._sessions import Logins
from scconnect_wsgi.login._signed_in import DISCONNECTED, SESSION

__all__ = [
    "DISCONNECTED",
    "SESSION",
    "SIGN_OUT",
    "LoginApplication",
    "LoginParts",
    "Logins",
    "Require",
    "Session",
    "SessionCookie",
    "to_note",
]
