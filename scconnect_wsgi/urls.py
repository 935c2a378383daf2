"""Check addresses before anything is sent to them."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, urlsplit

from scconnect_wsgi.errors import ConfigurationError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_RETURN = 512  # characters; it travels in the flow's cookie, beside tokens of up to 1,500
_PLAIN = re.compile(r"[!-~]+")  # printable ASCII, no space: what a URL may consist of
_PATH = re.compile(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)+")
_DEFAULT_PORTS = {"https": 443, "http": 80}


def checked_url(url: str, name: str) -> str:
    """Return ``url`` if a secret may be sent to it, else raise ConfigurationError naming ``name``.

    That is: ``https`` (``http`` on a loopback host only, whatever environment variables say), a
    host, no user name or password, no fragment, printable ASCII.
    """
    if not isinstance(url, str) or not _PLAIN.fullmatch(url) or "\\" in url:
        raise ConfigurationError(
            name, "must be a URL in printable ASCII, without spaces or backslashes."
        )
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number or too large
    except ValueError:
        raise ConfigurationError(name, "is not a URL that can be read.") from None
    if not parts.hostname or parts.scheme not in _DEFAULT_PORTS:
        raise ConfigurationError(name, "must be a full URL, https://host/path.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ConfigurationError(
            name, "must begin with https://; http:// is for localhost, 127.0.0.1 and [::1] alone."
        )
    if parts.username is not None or parts.password is not None or "#" in url:
        raise ConfigurationError(name, "must have no user name, no password and no fragment.")
    return url


def checked_root(url: str, name: str) -> str:
    """Return ``url`` (scheme, host, maybe a prefix) without a trailing slash, or raise
    ConfigurationError.
    """
    parts = urlsplit(checked_url(url, name))
    if "?" in url:
        raise ConfigurationError(name, "must have no query: it is https://host[:port][/prefix].")
    path = parts.path.rstrip("/")
    if "//" in path or {".", ".."} & set(
        path.split("/")
    ):  # Location begins with it, where // names a host
        raise ConfigurationError(name, "must have no path segment that is empty, '.' or '..'.")
    return f"{origin(parts)}{path}"


def checked_path(path: str, name: str) -> str:
    """Return ``path`` if it stands the same in PATH_INFO and in a URL, else raise
    ConfigurationError.
    """
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise ConfigurationError(
            name, "must be a path such as /oauth/request_token: letters, digits and ._~- only."
        )
    return path


def path_of_this_origin(path: str) -> str:
    """Return ``path`` (a path with maybe a query, or nothing) encoded so that it stays on the
    origin it is read on.

    Browsers read ``//host`` and ``/\\host`` as another host's address, and drop tabs and line
    breaks before they look; here all of these but the first are percent-encoded. Raises ValueError
    for the first, for what does not begin with a slash, for a fragment (the fields go behind it)
    and for more than MAX_RETURN characters.
    """
    encoded = quote(path, safe="/?&=%!$'()*+,;:@~")
    if path and (
        not path.startswith("/")
        or path.startswith("//")
        or "#" in path
        or len(encoded) > MAX_RETURN
    ):
        raise ValueError("no path of this origin")
    return encoded


def origin(url: str | SplitResult) -> str:
    """The origin of a URL as browsers write it: lower case, without the scheme's own port.

    An empty string stands for one that cannot be read.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else url
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if not host or not parts.scheme:
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (
        "" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}"
    )
