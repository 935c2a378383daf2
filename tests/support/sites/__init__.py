"""The same small site in each framework, written as that framework's users write it.

Each is a module with a site(). /own is a page, /error a 403 that the framework makes, /raise lets
Boom out, /stream two chunks of a generator, /me says who is logged in, and /oauth/access_token logs
joe in with the token that the middleware hands over.
"""

OWN = "the framework's own page"
ENDED = []  # what /stream says when it is closed


class Boom(Exception):  # noqa: N818
    """The exception that /raise raises."""


def chunks():
    try:
        yield b"one "
        yield b"two"
    finally:
        ENDED.append("closed")


def boom():
    raise Boom("of the site's own")


def connected(environ):
    """Return who is logged in from now on, and the address for the popup."""
    token = environ["scconnect.token"]
    assert token.token
    return "joe", environ["scconnect.close_url"](
        {"username": "joe", "has_secret": bool(token.token_secret)}
    )
