"""Our cookies on the wire (RFC 6265): read a Cookie header, write Set-Cookie values.

The rest of the package calls a cookie by a short key. Its name begins with ``scconnect-``, and on
https with ``__Host-`` before that, so that browsers insist on Secure, Path=/ and no Domain
(RFC 6265bis section 4.1.3.2). Both are added and removed here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator

PREFIX = "scconnect-"
HOST_PREFIX = "__Host-"
# The only characters that may surround a cookie (RFC 6265 sections 4.2.1 and 5.2)
WHITE_SPACE = " \t"


class CookieHeader:
    """The cookies of one request that have a name of ours.

    ``header`` is the request's Cookie header. ``secure`` says whether the site is on https: the
    cookies of the other scheme have other names, and are not seen.
    """

    def __init__(self, header: str, secure: bool) -> None:
        self.secure = secure
        self.pairs = list(_own_pairs(header, wire_name("", secure)))

    def values(self, key: str) -> list[str]:
        """Return the value of every cookie with this key; a browser may send several."""
        return [value for other, value in self.pairs if other == key]


def plain_name(key: str) -> str:
    """Return the name of a cookie without ``__Host-``."""
    return f"{PREFIX}{key}"


def wire_name(key: str, secure: bool) -> str:
    """Return the name of a cookie as browsers see it."""
    return f"{HOST_PREFIX}{plain_name(key)}" if secure else plain_name(key)


def set_cookie(key: str, value: str, max_age: int, secure: bool) -> str:
    """Return a Set-Cookie value.

    ``max_age`` is in seconds. Key and value must consist of letters, digits and ``-_.``.
    """
    attributes = f"HttpOnly; Max-Age={max_age}; Path=/; SameSite=Lax"
    if secure:
        attributes += "; Secure"
    return f"{wire_name(key, secure)}={value}; {attributes}"


def remove_cookie(key: str, secure: bool) -> str:
    """Return the Set-Cookie value that removes a cookie.

    It has the same attributes, or browsers would ignore it.
    """
    return set_cookie(key, "", 0, secure)


def _own_pairs(header: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the key and value of each of our cookies. A malformed cookie cannot hide the others.

    Every character other than white space is part of a name. str.strip() would remove ten more, a
    no-break space among them. Another host of the domain may set a cookie whose name begins with a
    no-break space: browsers do not see ``__Host-`` at the front of that name, so they allow it.
    """
    for pair in header.split(";"):
        name, _, value = pair.strip(WHITE_SPACE).partition("=")
        if name.startswith(prefix):
            yield name.removeprefix(prefix), value.strip('"')
