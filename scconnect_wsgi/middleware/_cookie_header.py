"""Our cookies on the wire (RFC 6265): read a Cookie header, write Set-Cookie values.

The rest of the package calls a cookie by a short key. Its name begins with ``scconnect-``, and on
https with ``__Host-Http-`` before that (RFC 10017): browsers then insist on Secure, Path=/ and no
Domain, and no script can write the cookie. Browsers that do not know this prefix see ``__Host-`` at
the front of it, and insist on everything but the last.

The names of a Cookie header are not quite what the browser vouches for. Another host of the domain
may set a cookie whose name is ours with a no-break space in front; browsers see no prefix there.
Such a byte is part of the name, and is kept here, but some servers (wsgiref, gevent's pywsgi)
remove it from both ends of the whole header. So **the first cookie of a header may be anybody's**;
all others are what their names say. Nothing may be believed because of a single cookie.
"""

from __future__ import annotations

PREFIX = "scconnect-"
HOST_PREFIX = "__Host-Http-"
# What the prefix was before __Host-Http-. Flows that began then may still be finished.
OLD_HOST_PREFIX = "__Host-"
# The only characters that may surround a cookie (RFC 6265 sections 4.2.1 and 5.2)
WHITE_SPACE = " \t"
# Cookies of one name that are looked at, as each costs time. On https a browser sends two at most:
# ours, and the first one.
MOST_OF_A_NAME = 4


class CookieHeader:
    """The cookies of one request that have a name of ours.

    ``header`` is the request's Cookie header. ``secure`` says whether the site is on https: the
    cookies of the other scheme have other names, and are not seen. A malformed cookie cannot hide
    the others.
    """

    def __init__(self, header: str, secure: bool) -> None:
        self.secure = secure
        self._values: dict[str, list[str]] = {}
        prefixes = tuple(own_names("", secure))
        for pair in header.split(";"):
            # str.strip() would also remove a no-break space, which is part of a name
            name, _, value = pair.strip(WHITE_SPACE).partition("=")
            if name.startswith(prefixes):
                self._values.setdefault(name, []).append(value.strip('"'))

    def values(self, name: str) -> list[str]:
        """Return the values of the cookies with this name; a browser may send several."""
        return self._values.get(name, [])[:MOST_OF_A_NAME]

    def sizes(self) -> dict[str, int]:
        """Return the bytes that the cookies of each name take up in the header."""
        return {
            name: sum(size_in_header(name, value) for value in values)
            for name, values in self._values.items()
        }


def wire_name(key: str, secure: bool) -> str:
    """Return the name of a cookie as browsers see it."""
    return f"{HOST_PREFIX}{PREFIX}{key}" if secure else f"{PREFIX}{key}"


def old_wire_name(key: str, secure: bool) -> str:
    """Return the name that a cookie had before there was ``__Host-Http-``."""
    return f"{OLD_HOST_PREFIX}{PREFIX}{key}" if secure else f"{PREFIX}{key}"


def own_names(key: str, secure: bool) -> list[str]:
    """Return every name under which a browser may have a cookie, the current one first."""
    return list(dict.fromkeys([wire_name(key, secure), old_wire_name(key, secure)]))


def key_of(name: str) -> str:
    """Return the key of a cookie by its name, whichever prefix that has."""
    return name.partition(PREFIX)[2]


def size_in_header(name: str, value: str) -> int:
    """Return the bytes that a cookie takes up in a Cookie header, with what separates it."""
    return len(f"{name}={value}; ")


def set_cookie(name: str, value: str, max_age: int) -> str:
    """Return a Set-Cookie value.

    ``max_age`` is in seconds. Name and value must consist of letters, digits and ``-_.``.
    """
    attributes = f"HttpOnly; Max-Age={max_age}; Path=/; SameSite=Lax"
    if name.startswith(OLD_HOST_PREFIX):  # both prefixes begin with it
        attributes += "; Secure"
    return f"{name}={value}; {attributes}"


def remove_cookie(name: str) -> str:
    """Return the Set-Cookie value that removes a cookie.

    It has the same attributes, or browsers would ignore it.
    """
    return set_cookie(name, "", 0)
