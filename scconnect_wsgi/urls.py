"""Check URLs and paths before anything is sent to them."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, quote, urlsplit

from scconnect_wsgi.errors import ConfigurationError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_RETURN = 512  # characters; it shares the flow's cookie with tokens of up to 1,500
_PLAIN = re.compile(r"[!-~]+")  # printable ASCII without the space
_PATH = re.compile(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)+")
# The last label of a host that browsers read as an IPv4 address: 127.1, 0x7f.1 and 2130706433 too
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)
_DEFAULT_PORTS = {"https": 443, "http": 80}


def checked_url(url: str, option: str) -> str:
    """Return ``url`` if a secret may be sent to it, else raise ConfigurationError for ``option``.

    The URL must be printable ASCII and have a host, and neither user name, password nor fragment.
    Its scheme must be ``https``; ``http`` is only for loopback hosts, and no environment variable
    changes that.
    """
    if not isinstance(url, str) or not _PLAIN.fullmatch(url) or "\\" in url:
        raise ConfigurationError(
            option, "must be a URL in printable ASCII, without spaces or backslashes."
        )
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is not a number or too large
    except ValueError:
        raise ConfigurationError(option, "is not a URL that can be read.") from None
    if not parts.hostname or parts.scheme not in _DEFAULT_PORTS:
        raise ConfigurationError(option, "must be a full URL, https://host/path.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ConfigurationError(
            option, "must begin with https://; http:// is only for localhost, 127.0.0.1 and [::1]."
        )
    if parts.username is not None or parts.password is not None or "#" in url:
        raise ConfigurationError(option, "must have no user name, no password and no fragment.")
    return url


def checked_root(url: str, option: str) -> str:
    """Return the root URL of an application, ``https://host[:port][/prefix]``.

    Scheme and host come back in lower case, without a default port or a trailing slash. Raises
    ConfigurationError for ``option``, as ``checked_url`` does, and for a query, or a host or path
    that browsers would rewrite.
    """
    parts = urlsplit(checked_url(url, option))
    if "?" in url:
        raise ConfigurationError(option, "must have no query: it is https://host[:port][/prefix].")
    if _is_rewritten(parts.hostname or ""):
        raise ConfigurationError(
            option,
            "must name the host as browsers do: no %, and all four numbers of an address.",
        )
    path = parts.path.rstrip("/")
    segments = path.split("/")
    # A Location header may begin with this path, and there // would name a host.
    if "//" in path or "." in segments or ".." in segments:
        raise ConfigurationError(option, "must have no path segment that is empty, '.' or '..'.")
    return f"{origin(parts)}{path}"


def checked_path(path: str, option: str) -> str:
    """Return ``path`` if it is written alike in PATH_INFO and in a URL.

    Raises ConfigurationError for ``option`` otherwise.
    """
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise ConfigurationError(
            option, "must be a path that begins with a slash: letters, digits, / and ._~- only."
        )
    return path


def checked_endpoint(path: str, option: str) -> str:
    """Return the path of an endpoint: as ``checked_path`` does, and it may end with a slash.

    Frameworks that end every path with a slash, such as Django, have registered such callbacks. The
    root path alone is refused, because it is the site's first page.
    """
    checked_path(path.removesuffix("/") if isinstance(path, str) else path, option)
    return path


def sandbox_problem(base_url: str, authorize_url: str) -> str:
    """Return why a public site cannot use this provider, or an empty string.

    The sandbox answers on a loopback host. So does no real provider.
    """
    site = urlsplit(base_url).hostname
    if site is None or site in LOOPBACK or urlsplit(authorize_url).hostname not in LOOPBACK:
        return ""
    return (
        f"is public ({origin(base_url)}), but its provider is on a loopback host "
        f"({origin(authorize_url)}), as the sandbox is: the browsers of the site's users would ask "
        "their own machines, and whoever runs a sandbox there could log in as anybody."
    )


def path_of_this_origin(path: str) -> str:
    """Return a path, with or without a query, percent-encoded so that it cannot leave its origin.

    Browsers read ``//host`` and ``/\\host`` as the address of another host, and drop tabs and line
    breaks first. Backslashes, tabs and line breaks are encoded. Raises ValueError for a path that
    begins with ``//`` or not with a slash, for a fragment (fields are appended to the path), and
    for more than MAX_RETURN characters. The empty path stays empty.
    """
    encoded = quote(path, safe="/?&=%!$'()*+,;:@~")
    if path and (
        not path.startswith("/")
        or path.startswith("//")
        or "#" in path
        or len(encoded) > MAX_RETURN
    ):
        raise ValueError("not a path of this origin")
    return encoded


def checked_page(path: str, option: str) -> str:
    """Return the path of a page of the site, with or without a query, as browsers send it.

    Raises ConfigurationError for ``option`` if it could lead to another site.
    """
    problem = "must be the path of a page of this site, such as /login."
    if not isinstance(path, str) or not path:
        raise ConfigurationError(option, problem)
    try:
        return path_of_this_origin(path)
    except ValueError:
        raise ConfigurationError(option, problem) from None


def origin(url: str | SplitResult) -> str:
    """Return the origin of a URL as browsers write it: lower case, without the default port.

    Returns an empty string for a URL that has none or cannot be read.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else url
        host = parts.hostname
        port = parts.port
    except ValueError:
        return ""
    if not host or not parts.scheme:
        return ""
    if ":" in host:
        host = f"[{_ipv6(host)}]"
    if port is None or port == _DEFAULT_PORTS.get(parts.scheme):
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def _ipv6(host: str) -> str:
    """Return an IPv6 address in its shortest form, or any other text as it is."""
    try:
        return IPv6Address(host).compressed
    except ValueError:
        return host


def _is_rewritten(host: str) -> bool:
    """Return whether browsers write a host in another way: 127.1, or app%2eexample.

    An IPv6 address is never one: ``origin`` writes it as browsers do.
    """
    if "%" in host:
        return True
    if not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return False
    try:
        return str(IPv4Address(host)) != host
    except ValueError:
        return True
