"""Look at a flow's cookies as a browser receives them, and find what a proxy did to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from scconnect_wsgi.check._report import Reporter

# The two cookies of a flow; what stands before is the prefix (middleware._cookie_header)
_NAME = re.compile(r"(?P<prefix>.*?)scconnect-(?P<key>[0-9a-f]{24})(?P<signature>-signature)?")
_SECURE_PREFIX = "__Host-Http-"
_PROXY = "A proxy, CDN or middleware in front of the site changes cookies"
_MEND = (
    "Let it pass the cookies whose names hold scconnect- on as they are. In nginx look for "
    "proxy_cookie_flags, proxy_cookie_path, proxy_cookie_domain and proxy_hide_header; in Apache "
    "for `Header edit Set-Cookie`; in the application for middlewares that edit every cookie."
)


@dataclass(frozen=True, repr=False)  # the value is a secret
class Cookie:
    """A Set-Cookie header, taken apart. The names of attributes are in lower case."""

    name: str
    value: str
    attributes: dict[str, str]


def parse_cookie(header: str) -> Cookie:
    """Return the parts of a Set-Cookie value (RFC 6265 section 5.2)."""
    pair, *rest = header.split(";")
    name, _, value = pair.strip().partition("=")
    attributes = {}
    for part in rest:
        key, _, text = part.strip().partition("=")
        attributes[key.lower()] = text
    return Cookie(name.strip(), value.strip(), attributes)


def sent_back(headers: Sequence[str]) -> str:
    """Return the Cookie header with which a browser would send these cookies back."""
    cookies = map(parse_cookie, headers)
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)


def check_cookies(headers: Sequence[str], is_https: bool, report: Reporter) -> bool:
    """Report what is wrong with the cookies that begin a flow. Return whether both are there.

    ``is_https`` says whether the site believes to be on https.
    """
    states = _begun(headers)
    if len(states) < 2:
        report.find(
            "cookie-lost",
            "The start of a flow came without its cookies, so that no flow can be finished."
            if not states
            else "The start of a flow came with one of its two cookies only, so that no flow can "
            "be finished.",
            cause=f"{_PROXY}, or takes them away, or renames them.",
            mend=_MEND,
        )
        return False
    for cookie in states:
        _check_cookie(cookie, is_https, report)
    return True


def check_lifetime(headers: Sequence[str], max_age: int, report: Reporter) -> None:
    """Report a Max-Age of the cookies that begin a flow which is not the one the site gives.

    ``max_age`` is the one of the site, in seconds.
    """
    found = {cookie.attributes.get("max-age", "") for cookie in _begun(headers)}
    if found == {str(max_age)}:
        return
    report.find(
        "cookie-lifetime",
        f"The Max-Age of the flow's cookies was changed or taken away: it should be {max_age}, as "
        "cookie_max_age says. With a shorter one a flow ends as flow_expired while its user is "
        "still at the provider; with none, or a longer one, old cookies pile up in the browser.",
        cause=f"{_PROXY}, or the running site has another cookie_max_age than was checked.",
        mend=_MEND,
    )


def _begun(headers: Sequence[str]) -> list[Cookie]:
    """Return the cookies of a flow that are set; those of others and removed ones are left out."""
    cookies = [cookie for cookie in map(parse_cookie, headers) if _NAME.fullmatch(cookie.name)]
    return [cookie for cookie in cookies if cookie.attributes.get("max-age") != "0"]


def _check_cookie(cookie: Cookie, is_https: bool, report: Reporter) -> None:
    same_site = cookie.attributes.get("samesite", "")
    if same_site.lower() != "lax":
        _report_same_site(same_site, report)
    if "httponly" not in cookie.attributes:
        report.find(
            "cookie-httponly",
            "The flow's cookies lost their HttpOnly: every script of the site can read them.",
            cause=f"{_PROXY}.",
            mend=_MEND,
        )
    if "domain" in cookie.attributes:
        report.find(
            "cookie-domain",
            "The flow's cookies got a Domain. "
            + (
                "Browsers refuse that with their name, so no flow can be finished."
                if is_https
                else "Every host below it can read them, and overwrite them."
            ),
            cause=f"{_PROXY}.",
            mend=_MEND,
        )
    if cookie.attributes.get("path") != "/":
        report.find(
            "cookie-path",
            "The Path of the flow's cookies is no longer /. "
            + (
                "Browsers refuse that with their name, so no flow can be finished."
                if is_https
                else "They may not be sent to the callback."
            ),
            cause=f"{_PROXY}.",
            mend=_MEND,
        )
    _check_security(cookie, is_https, report)


def _report_same_site(same_site: str, report: Reporter) -> None:
    said = {
        "strict": "Strict: the browser does not send them when the provider sends the user back, "
        "and every flow ends as flow_expired.",
        "none": "None: requests of other sites carry them.",
    }
    became = said.get(same_site.lower(), "missing: what that means differs between browsers.")
    report.find(
        "cookie-samesite",
        f"The SameSite of the flow's cookies should be Lax, and is {became}",
        cause=f"{_PROXY}.",
        mend=_MEND,
    )


def _check_security(cookie: Cookie, is_https: bool, report: Reporter) -> None:
    name = _NAME.fullmatch(cookie.name)
    prefix = name["prefix"] if name else ""
    if prefix != (_SECURE_PREFIX if is_https else ""):
        report.find(
            "cookie-name",
            "The names of the flow's cookies were changed: they do not begin as the site wrote "
            f"them ({_SECURE_PREFIX if is_https else ''}scconnect-...).",
            cause=f"{_PROXY}.",
            mend=_MEND,
        )
    if is_https and "secure" not in cookie.attributes:
        report.find(
            "cookie-secure",
            "The flow's cookies lost their Secure. Browsers refuse that with their name, so no "
            "flow can be finished.",
            cause=f"{_PROXY}.",
            mend=_MEND,
        )
