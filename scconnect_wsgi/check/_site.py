"""Look at a site through its own public address, as the browser of a user does.

The steps are those of a user: the page's script, the start of a flow, the callback of a user who
refuses, and the page that closes the popup. Each step that fails ends the walk, as it would end the
user's. No user connects, and the provider is asked for nothing but what a start asks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from scconnect_wsgi.check import _access_log
from scconnect_wsgi.check._addresses import compare_roots
from scconnect_wsgi.check._browsing import (
    FROM_THE_PROVIDER,
    TYPED,
    Page,
    UnreachableError,
    Visitor,
    shown,
    split,
)
from scconnect_wsgi.check._cookies import check_cookies, check_lifetime, sent_back
from scconnect_wsgi.check._report import Reporter
from scconnect_wsgi.middleware import CLOSE_CSP, Description
from scconnect_wsgi.urls import LOOPBACK, origin

MOST_REDIRECTS = 4
_CODE = re.compile(r"[a-z_]{1,40}")
_TEXT = re.compile(r"[ -~]{1,600}")
_OURS = b"prepareButton"  # is in every version of the script, and in pages that use it
_LOG_FORMAT = (
    "In nginx use a log_format with $uri in place of $request and $request_uri, in Apache %U in "
    "place of %r; docs/check.md has both."
)
# By status: what answers in place of SCConnect, and what to do about it
_HINTS = {
    401: ("Something in front of the site asks for a password.", "Let SCConnect's paths through."),
    403: (
        "A firewall or a rule of the proxy refuses the request.",
        "Let navigations to SCConnect's paths through.",
    ),
    404: (
        "The proxy sends this path elsewhere, or the running site has another request_token_path.",
        "Let the proxy pass every path on to the site.",
    ),
    429: ("A firewall or the proxy has seen too many requests.", "Try again later."),
    500: ("The site failed.", "Look at the site's log."),
    502: ("The proxy does not reach the site.", "Look at the site's log, and at its port."),
    503: ("The site or its proxy is out of order.", "Look at the site's log, and at its port."),
    504: ("The site did not answer the proxy in time.", "Look at the site's log."),
}


@dataclass(frozen=True, repr=False)  # it holds a state and cookies
class Start:
    """A start of a flow that led to the provider, with that query."""

    page: Page
    query: dict[str, str]
    has_cookies: bool = True

    @property
    def flow_id(self) -> str:
        """The state of OAuth 2.1, or the request token of OAuth 1.0a."""
        return self.query.get("state") or self.query.get("oauth_token", "")


class SiteCheck:
    """The walk through one site, which is at the address ``url``."""

    def __init__(self, site: Description, url: str, visitor: Visitor, report: Reporter) -> None:
        self._site = site
        self._root = url
        self._visitor = visitor
        self._report = report

    def run(self) -> None:
        """Take all steps."""
        try:
            self._walk()
        except UnreachableError as error:
            self._report.find(
                "site-unreachable",
                f"{shown(self._root)} could not be reached: {error}",
                cause="The name, the port or the scheme is wrong, nothing listens there, or a "
                "certificate is missing.",
                mend="Open the address in a browser of this machine. If its certificate is of a "
                "private authority, give that as --ca-bundle PATH.",
            )

    def _walk(self) -> None:
        if not self._check_script():
            return  # this may not be the site at all, so nothing is compared with it
        start = self._check_start()
        self._compare(start)
        if start is not None:
            self._check_caching(start)
            self._check_callback(start)
        self._check_close_page()

    def _get(self, path: str, what: str, headers: dict[str, str] = TYPED) -> Page:
        url = self._root + path
        self._report.doing(f"asking {shown(url)} for {what}")
        return self._visitor.get(url, headers)

    # The script

    def _check_script(self) -> bool:
        """Fetch the script, and move to where it is redirected. Return whether it was found."""
        path = f"{self._site.assets_path}/sc-connect.js"
        page = self._get(path, "the script")
        for _ in range(MOST_REDIRECTS):
            location = page.location
            if not location.partition("?")[0].endswith(path):
                break
            self._root = location.partition("?")[0].removesuffix(path)
            self._report.note(f"The address is redirected to {shown(self._root)}, which was tried.")
            page = self._get(path, "the script")
        self._check_scheme()
        if _is_script(page):
            if page.body != self._site.script:
                self._report.note(
                    "The script is of another version of scconnect-wsgi than this one, or a proxy "
                    "rewrites it."
                )
            return True
        self._report_missing_script(page, path)
        return False

    def _check_scheme(self) -> None:
        parts = split(self._root)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            self._report.find(
                "no-tls",
                f"{shown(self._root)} answers without TLS, and does not redirect to https.",
                cause="Everybody on the way can read the cookies and the codes of its users.",
                mend="Redirect http to https in the proxy, and set base_url to the https address.",
            )

    def _report_missing_script(self, page: Page, path: str) -> None:
        if page.location:
            what = f"is redirected to {shown(page.location)}"
        else:
            what = f"is answered by something else ({page.kind})"
        elsewhere = self._other_root(path)
        if page.status in _HINTS and page.status != 404:
            cause, mend = _HINTS[page.status]
        elif elsewhere and elsewhere == self._site.base_url:
            cause = f"The site answers below {shown(elsewhere)}, which is its base_url."
            mend = "Give that address as --url."
        elif elsewhere:
            cause = f"The site answers below {shown(elsewhere)}, so the prefix is not the same."
            mend = "Give that address as --url, and as base_url if it is the public one."
        elif split(self._root).path:
            prefix = ascii(split(self._root).path)[1:-1]
            cause = (
                f"The proxy keeps the prefix {prefix} in the path, and nothing moves it to "
                "SCRIPT_NAME, so the request passes SCConnect and ends at the site's own pages."
            )
            mend = (
                "Strip the prefix in the proxy (nginx: `proxy_pass http://127.0.0.1:8000/;`, with "
                f"the slash), or let the server move it: SCRIPT_NAME={prefix} in the environment "
                "of gunicorn and waitress's --url-prefix do that."
            )
        else:
            cause = (
                "Another site or a sign-in wall answers at this address, the proxy sends the path "
                f"{self._site.assets_path} elsewhere, or the site runs without SCConnect."
            )
            mend = (
                "Let the proxy pass every path on to the site. If the site is below a prefix, give "
                "it: --url https://host/prefix."
            )
        address = shown(self._root + path)
        self._report.find("script-missing", f"The script {address} {what}.", cause=cause, mend=mend)

    def _other_root(self, path: str) -> str:
        """Return the root below which the script is, if it is without or with the prefix."""
        here = split(self._root)
        bare = f"{here.scheme}://{here.netloc}"
        configured = split(self._site.base_url or "").path
        for root in {bare, bare + configured} - {self._root}:
            page = self._visitor.get(root + path)
            if _is_script(page):
                return root
        return ""

    # The start

    def _check_start(self) -> Start | None:
        """Start a flow. Return it if it led to the provider."""
        page = self._get(self._site.start_path, "the start of a flow")
        if page.status == 200:
            # SCConnect asks first, because a proxy removes Sec-Fetch-*: then the Referer decides
            page = self._get(self._site.start_path, "the start of a flow", self._from_own_page())
        start = self._started(page)
        if start is None:
            self._report_start(page)
            return None
        # Another deployment's registered URL says nothing about the root of this one
        seen = self._root if self._site.relaying_url else start.query.get("redirect_uri", "")
        believed = self._site.base_url or seen
        is_https = believed.startswith("https:")
        has_cookies = check_cookies(page.cookies, is_https, self._report)
        if has_cookies:
            check_lifetime(page.cookies, self._site.cookie_max_age, self._report)
        return replace(start, has_cookies=has_cookies)

    def _from_own_page(self) -> dict[str, str]:
        return {**TYPED, "Sec-Fetch-Site": "same-origin", "Referer": f"{self._root}/"}

    def _started(self, page: Page) -> Start | None:
        """Return the start that a page is, if it leads to the provider."""
        location = split(page.location)
        authorize_url = getattr(getattr(self._site.flow, "provider", None), "authorize_url", "")
        if not page.location or not authorize_url:
            return None
        provider = split(authorize_url)
        if (origin(location), location.path) != (origin(provider), provider.path):
            return None
        query = {name: values[-1] for name, values in parse_qs(location.query).items()}
        return Start(page, query)

    def _report_start(self, page: Page) -> None:
        """Report what a start is that did not lead to the provider."""
        if page.location:
            self._report_redirected_start(page)
            return
        start = shown(page.url)
        cause, mend = _HINTS.get(page.status) or (
            "Something other than SCConnect answers there.",
            "Look at the site's log, and at the proxy.",
        )
        self._report.find(
            "start-failed",
            f"The start of a flow, {start}, does not lead to the provider ({page.kind}).",
            cause=cause,
            mend=mend,
        )

    def _report_redirected_start(self, page: Page) -> None:
        start = shown(page.url)
        location = split(page.location)
        path = location.path
        site = self._site
        if path.endswith(f"{site.assets_path}/close.html"):
            self._report_failed_start(parse_qs(location.query))
        elif site.sign_in_path and path.endswith(site.sign_in_path):
            self._report.note(_NOBODY.format(what=f"led to {shown(page.location)}"))
        elif path.endswith(site.start_path):
            self._report.find(
                "start-redirected",
                f"The start of a flow, {start}, is redirected to {shown(page.location)}.",
                cause="The proxy or the site moves this address, to another host or scheme or with "
                "another slash at the end.",
                mend="Give the address that users see as --url and as base_url, and end "
                "request_token_path with a slash if the site's paths do.",
            )
        else:
            self._report.find(
                "wrong-provider",
                f"The start of a flow, {start}, leads to {shown(page.location)}, and not to the "
                "authorization page that is configured.",
                cause="The running site has other settings than those that were checked, or a "
                "sign-in wall stands in front of it.",
                mend="Check with the settings of the running site, and let the paths of SCConnect "
                "pass the wall.",
            )

    def _report_failed_start(self, query: dict[str, list[str]]) -> None:
        code = query.get("error", [""])[0]
        text = query.get("error_description", [""])[0]
        if code == "not_signed_in":
            self._report.note(_NOBODY.format(what="ended as not_signed_in"))
            return
        code = code if _CODE.fullmatch(code) else "unknown"
        self._report.find(
            "start-failed",
            f"The running site could not start a flow ({code})."
            + (f" It says: {text}" if _TEXT.fullmatch(text) else ""),
            mend="Do what it says; the site's log has more, at the same error_id.",
        )

    def _compare(self, start: Start | None) -> None:
        """Compare where the running site sends users back to with the address that was given."""
        seen = "" if start is None else start.query.get("redirect_uri", "")
        compare_roots(self._site, self._root, seen, self._report)

    # A second start

    def _check_caching(self, first: Start) -> None:
        """Start again: no two users may get the same state, or each other's cookies."""
        headers = first.page.headers
        control = headers.get("Cache-Control", "").lower()
        second = self._started(self._get(self._site.start_path, "a second start", TYPED))
        if second is not None and second.flow_id == first.flow_id:
            self._report.find(
                "start-cached",
                "Two starts got the same answer: users get each other's cookies and accounts.",
                cause="A cache in front of the site keeps the start of a flow, against its "
                "Cache-Control: no-store.",
                mend=f"Keep {self._site.start_path} and {self._site.callback_path} out of the "
                "cache (nginx: `proxy_cache off;`), and do not ignore Cache-Control and "
                "Set-Cookie there (proxy_ignore_headers).",
            )
        elif "no-store" not in control:
            self._report.find(
                "start-cacheable",
                "The start of a flow lost its Cache-Control: no-store, so caches may keep it and "
                "give one user's cookies to another.",
                cause="A proxy or CDN replaces Cache-Control.",
                mend="Let the proxy pass Cache-Control on as it is, at least for "
                f"{self._site.start_path} and {self._site.callback_path}.",
            )

    # The callback

    def _check_callback(self, start: Start) -> None:
        """Come back as a user who refused, and see whether the cookies and the query arrive."""
        logs = _access_log.server_logs()
        page = self._visitor.get(
            f"{self._root}{self._site.callback_path}?{urlencode(self._refusal(start))}",
            {**FROM_THE_PROVIDER, "Cookie": sent_back(start.page.cookies)},
        )
        if start.has_cookies:
            self._judge_callback(page)
        self._check_log(start.flow_id, logs, page.headers.get("Server", ""))

    def _refusal(self, start: Start) -> dict[str, str]:
        """Return the query with which the provider reports that the user refused."""
        if "state" not in start.query:
            return {"oauth_token": start.flow_id, "denied": start.flow_id}
        issuer = getattr(getattr(self._site.flow, "provider", None), "issuer", None)
        query = {"state": start.flow_id, "error": "access_denied"}
        return {**query, "iss": issuer} if issuer else query

    def _judge_callback(self, page: Page) -> None:
        callback = shown(page.url)
        location = split(page.location)
        code = parse_qs(location.query).get("error", [""])[0]
        if code in ("flow_expired", "flow_mismatch", "flow_finished"):
            self._report.find(
                "callback-cookies",
                f"The callback {callback} did not recognise the flow that had just begun ({code}).",
                cause="A proxy takes the Cookie header or a part of the query away, or the site "
                "runs in several processes or on several hosts that do not share one secret_key.",
                mend="Pass Cookie and query on unchanged, and give every process the same "
                "secret_key.",
            )
        elif code != "access_denied" and not self._site.answers_failures:
            self._report.find(
                "callback-failed",
                f"The callback {callback} was answered by something else than SCConnect "
                f"({page.kind}).",
                cause="The proxy sends this path elsewhere, or a firewall refuses requests that "
                "come from another site.",
                mend="Let the proxy pass this path on to the site, with its query.",
            )

    def _check_log(self, word: str, logs: set[Path], server: str) -> None:
        """Look for the query of the callback in the logs of this machine's web servers."""
        log = _access_log.log_with(word, logs)
        if log is not None:
            self._report.find(
                "log-leak",
                f"The access log {log} holds the query of the callback, which is the authorization "
                "code of a user.",
                cause="The default log format writes the whole request line.",
                mend=_LOG_FORMAT,
            )
        elif not logs or split(self._root).hostname not in LOOPBACK:
            name = server.partition("/")[0].lower()
            known = f" The server calls itself {name}." if name in _access_log.SERVERS else ""
            self._report.note(
                "Whether the web server's log holds the query of callbacks was not seen: its log "
                f"is not on this machine, or not readable.{known} {_LOG_FORMAT}"
            )

    # The page that closes the popup

    def _check_close_page(self) -> None:
        page = self._get(f"{self._site.assets_path}/close.html", "the page that closes the popup")
        if page.status != 200 or b"close.js" not in page.body:
            self._report.find(
                "close-page",
                f"The page that closes the popup, {shown(page.url)}, is answered by something else "
                f"({page.kind}).",
                cause="The proxy sends this path elsewhere.",
                mend=f"Let the proxy pass everything below {self._site.assets_path}/ on.",
            )
            return
        policies = page.headers.get("Content-Security-Policy", "").split(",")
        if any(_stops_scripts(policy) for policy in policies if policy.strip() != CLOSE_CSP):
            self._report.find(
                "close-page-csp",
                "The page that closes the popup has a Content-Security-Policy that stops its "
                "script, so that the popup stays open.",
                cause="A proxy or middleware adds the policy of the site's own pages.",
                mend="Leave the policy of the answers that have one as it is.",
            )


_NOBODY = (
    "A flow starts for signed-in users only, and this check is nobody: the start {what}. So the "
    "redirect to the provider, the cookies and the callback were not looked at."
)


def check_sites(
    sites: list[Description], url: str, ca_bundle: str | None, report: Reporter
) -> None:
    """Look at each site at its public address; ``url`` is the root of the only or outermost one."""
    visitor = Visitor(ca_bundle)
    for site in sites:
        base_url = site.base_url or ""
        is_below = len(sites) > 1 and base_url.startswith(f"{url}/")
        SiteCheck(site, base_url if is_below else url, visitor, report).run()


def _is_script(page: Page) -> bool:
    """Return whether it is the script, and not HTML that uses it: some sites answer any path."""
    return page.status == 200 and _OURS in page.body and not page.body.lstrip().startswith(b"<")


def _stops_scripts(policy: str) -> bool:
    """Return whether a Content-Security-Policy forbids scripts of the page's own origin."""
    directives: dict[str, list[str]] = {}
    for directive in policy.split(";"):
        name, _, sources = directive.strip().partition(" ")
        directives.setdefault(name.lower(), sources.split())
    if "sandbox" in directives and "allow-scripts" not in directives["sandbox"]:
        return True
    for name in ("script-src-elem", "script-src", "default-src"):
        if name in directives:
            return not any(_may_be_the_site(source) for source in directives[name])
    return False


def _may_be_the_site(source: str) -> bool:
    return source in ("'self'", "*", "https:", "http:") or "://" in source or "." in source
