"""Compare the root that a site believes to have with the address that its users see."""

from __future__ import annotations

from contextlib import suppress

from scconnect_wsgi.check._browsing import shown, split
from scconnect_wsgi.check._report import Reporter
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware import Description
from scconnect_wsgi.urls import LOOPBACK, checked_root, origin


def compare_roots(site: Description, root: str, redirect_uri: str, report: Reporter) -> None:
    """Report how the site's own idea of its address differs from ``root``.

    ``redirect_uri`` is where the running site sends users back to, or an empty string if that was
    not seen; then ``base_url`` counts.
    """
    believed = site.base_url
    if redirect_uri and not _is_expected(site, redirect_uri):
        _report_other_settings(site, redirect_uri, report)
        return
    if redirect_uri and not site.relaying_url:
        believed = redirect_uri.removesuffix(site.callback_path)
    if believed is None:
        return
    if not _same(believed, root):
        _report_difference(believed, root, report)
    elif site.callback_url is None and not _is_root(believed):
        _report_odd_callback(believed, report)
    elif redirect_uri:
        report.callback(redirect_uri)


def _is_expected(site: Description, redirect_uri: str) -> bool:
    """Return whether a callback URL can be that of the settings that were checked."""
    if site.callback_url is None:
        return redirect_uri.endswith(site.callback_path)
    return redirect_uri == site.callback_url


def _same(one: str, other: str) -> bool:
    return _key(one) == _key(other)


def _key(root: str) -> tuple[str, str]:
    return origin(root), split(root).path.rstrip("/")


def _is_root(url: str) -> bool:
    """Return whether an address is a root as SCConnect writes it, and so fit to be printed.

    ``_same`` looks at the origin and the path only, and so does a browser that opens it.
    """
    with suppress(ConfigurationError):
        return checked_root(url, "") == url
    return False


def _report_odd_callback(believed: str, report: Reporter) -> None:
    report.find(
        "odd-callback",
        f"The running site sends users back below {shown(believed)}, but with something in the "
        "callback URL that does not belong there: a user name, a query, or unusual characters.",
        cause="Something other than SCConnect answers there: it refuses such a base_url.",
        mend="Look at the site's log, and at the proxy.",
    )


def _report_other_settings(site: Description, redirect_uri: str, report: Reporter) -> None:
    report.find(
        "other-settings",
        f"The running site sends users back to {shown(redirect_uri)}, and the settings that were "
        f"checked say {shown(site.callback_url or site.callback_path)}.",
        cause="The running site has other settings, or was not restarted since they changed.",
        mend="Restart the site, or check with the settings that it runs with.",
    )


def _report_difference(believed: str, root: str, report: Reporter) -> None:
    own = split(believed)
    public = split(root)
    message = f"Users see the site at {shown(root)}, and it sends them back to {shown(believed)}."
    mend = f"Set base_url to {shown(root)}, and register the callback below it with the provider."
    if own.hostname in LOOPBACK and public.hostname not in LOOPBACK:
        code = "loopback-callback"
        cause = (
            "base_url is an address of the server itself, or is not set and the proxy sends the "
            "server's own Host. After the login, the user's browser asks the user's own machine."
        )
    elif own.netloc.rpartition("@")[2] != public.netloc and own.hostname != public.hostname:
        code = "host-differs"
        cause = (
            "base_url names another host, or is made from the Host of the request and the proxy "
            "changes that. The flow's cookies stay at the first host, and it ends as flow_expired."
        )
    elif own.scheme != public.scheme:
        code = "scheme-differs"
        cause = (
            "base_url has the other scheme, or is made from the request and the proxy does not "
            "say that it ends TLS. The provider refuses a callback that is not registered."
        )
    elif own.path.rstrip("/") != public.path.rstrip("/"):
        code = "prefix-differs"
        cause = (
            "base_url lacks the prefix below which the site is, or has one that the site is not "
            "below: the callback and the page that closes the popup are then not found."
        )
    else:
        code = "port-differs"
        cause = "base_url has another port: the page never hears how the flow ended."
    report.find(code, message, cause=cause, mend=mend)
