"""Ask the provider: does it accept the client, what time does it have, does its API answer?

Its authorization page is looked at as well, without following a redirect.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from scconnect_wsgi.check._browsing import Page, UnreachableError, Visitor, shown, split
from scconnect_wsgi.check._report import Finding, Reporter
from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.flow import ClientProbe, ClientVerdict
from scconnect_wsgi.middleware import Description
from scconnect_wsgi.transport import HTTPRequest, HTTPResponse, deadline

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow

PATIENCE = 7  # seconds for one question, which may take two requests
# Seconds. Another host's cookies may be a minute off (middleware._cookies), and OAuth 1.0a's
# providers take five minutes at most.
MOST_SKEW = 60
_CODE = re.compile(r"[a-z_]{1,40}")
EXAMPLE_CALLBACK = "https://app.example/oauth/access_token"  # if the site's own is not known
REGISTERED = "Compare it byte for byte with what is registered there: scheme, host, path, slash."


def check_providers(sites: Sequence[Description], report: Reporter) -> None:
    """Ask the provider of each flow, and report what is wrong."""
    asked = set()
    for site in sites:
        if site.flow.audience in asked:
            continue
        asked.add(site.flow.audience)
        flow = _api_flow(site.flow)
        if flow is None:
            report.note("The provider was not asked: this flow has no probe_client.")
            continue
        _ProviderCheck(flow, site.callback_url or EXAMPLE_CALLBACK, report).run()


def _api_flow(flow: object) -> ApiFlow | None:
    """Return the flow if it can ask for more than tokens, as those of this package can."""
    names = ("probe_client", "provider", "transport")
    return flow if all(hasattr(flow, name) for name in names) else None  # type: ignore[return-value]


class _ProviderCheck:
    """The questions to one provider."""

    def __init__(self, flow: ApiFlow, callback_url: str, report: Reporter) -> None:
        self._flow = flow
        self._callback_url = callback_url
        self._report = report
        provider = flow.provider
        # OAuth 2.1 has the one, OAuth 1.0a the other
        url = getattr(provider, "token_url", "") or getattr(provider, "request_token_url", "")
        self._token_url = shown(url)  # a query may hold a key
        self._host = urlsplit(url).netloc
        self._found_skew = False
        self._is_amiss = False  # whether the token endpoint is not there, or not one

    def run(self) -> None:
        """Ask for a token, for the API, and for the page on which users allow the connection."""
        date = self._check_client()
        api_date = self._check_api()
        self._check_authorization_page()
        if not date and not api_date:
            self._report.note(
                "This machine's clock was not compared: no answer of the provider had a Date."
            )

    def _check_client(self) -> bool:
        """Ask for a token. Return whether the answer had the time."""
        self._report.doing(f"asking {self._token_url} for a token")
        began = time.time()
        try:
            with deadline(PATIENCE):
                probe = self._flow.probe_client(self._callback_url)
        except ConnectError as error:
            self._is_amiss = True
            self._report.find(
                "token-endpoint-unreachable",
                f"{self._token_url} was asked for a token in vain: {error.message}",
                cause="No user can connect until this machine gets an answer from there.",
                mend="Look at the address, the name server, the proxy and the firewall of this "
                "machine; if all are right, the provider is out of order.",
            )
            return False
        self._is_amiss = probe.verdict is ClientVerdict.FOREIGN
        has_date = self._check_clock(probe.date, began, self._host)
        self._report_verdict(probe)
        return has_date

    def _report_verdict(self, probe: ClientProbe) -> None:
        said = f"status {probe.status}" + (f", {probe.error}" if probe.error else "")
        finding = _FINDINGS.get(probe.verdict)
        if finding is not None:
            message = finding.message.format(
                host=self._host, url=self._token_url, callback=self._callback_url
            )
            self._report.find(
                finding.code, f"{message} ({said}).", cause=finding.cause, mend=finding.mend
            )
        elif probe.verdict is ClientVerdict.ACCEPTED:
            self._report.note(f"{self._host} accepts the client id and the secret.")
        elif probe.verdict is ClientVerdict.NOT_VERIFIED:
            self._report.note(
                f"{self._host} knows nothing against the client id, but answers the same to a "
                "wrong secret: whether yours is right is not known."
            )
        else:
            self._report.note(
                f"{self._host} answered with an error that says nothing about the client id and "
                f"the secret ({said}): whether they are right is not known."
            )

    def _check_clock(self, date: str, began: float, host: str) -> bool:
        """Compare the clocks. Return whether there was a time to compare with."""
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError, OverflowError):
            return False
        # The answer was made between two readings of this machine's clock
        behind = theirs - time.time()
        ahead = began - theirs
        skew = max(ahead, behind)
        if skew > MOST_SKEW and not self._found_skew:
            self._found_skew = True
            direction = "ahead of" if ahead > behind else "behind"
            self._report.find(
                "clock",
                f"This machine's clock is {_duration(skew)} {direction} that of {host}.",
                cause="The clock of this machine is not synchronised. Flows then seem to be too "
                "old, tokens to be expired or not yet, and OAuth 1.0a's signatures are refused.",
                mend="Synchronise it: `timedatectl set-ntp true`, or chrony or systemd-timesyncd; "
                "a container has the clock of its host.",
            )
        return True

    def _check_api(self) -> bool:
        """Ask the API without a token. Return whether the answer had the time."""
        provider = self._flow.provider
        if provider.api_url is None:
            self._report.note("No api_url is known, so no API was asked.")
            return False
        url = provider.api_url.rstrip("/") + provider.account_path
        host = urlsplit(url).netloc
        address = shown(url)
        self._report.doing(f"asking {address}")
        began = time.time()
        try:
            with deadline(PATIENCE):
                response = self._get(url)
        except ConnectError as error:
            self._report.find(
                "api-unreachable",
                f"The API at {address} was asked in vain: {error.message}",
                cause="Users can connect, but nothing can be done with their tokens.",
                mend="Look at api_url and account_path, and at the name server, the proxy and the "
                "firewall of this machine; if all are right, the API is out of order.",
            )
            return False
        if response.status == 404:
            self._report.note(
                f"{address} answers 404 to a request without a token: look at api_url and "
                "account_path if calls of the API fail."
            )
        else:
            self._report.note(f"The API at {address} answers (status {response.status}).")
        return self._check_clock(response.headers.get("Date", ""), began, host)

    def _check_authorization_page(self) -> None:
        """Look at the page to which users are led. Nobody logs in, and nothing is allowed."""
        url = self._flow.provider.authorize_url
        if self._is_amiss and urlsplit(url).netloc == self._host:
            return  # one mistake in the provider's address is reported once
        if self._flow.transport.proxy:
            self._report.note(
                f"The authorization page {shown(url)} was not asked for: browsers ask for it, "
                "without the proxy of this site."
            )
            return
        self._report.doing(f"asking {shown(url)} for the authorization page")
        if getattr(self._flow.provider, "token_url", ""):  # OAuth 1.0a needs a request token first
            url = self._flow.begin(self._callback_url).authorize_url
        try:
            page = Visitor(self._flow.transport.ca_bundle).get(url)
        except UnreachableError as error:
            self._report_unreachable_page(shown(url), str(error))
            return
        self._judge_page(page)

    def _judge_page(self, page: Page) -> None:
        address = shown(page.url)
        code = parse_qs(split(page.location).query).get("error", [""])[0]
        if page.status >= 500:
            self._report_unreachable_page(address, f"It answers with status {page.status}.")
        elif page.status in (404, 410) and "?" in page.url:
            self._report.find(
                "authorize-missing",
                f"There is no authorization page at {address} (status {page.status}).",
                cause="authorize_url is wrong: no user can allow the connection there.",
                mend="Compare authorize_url with the provider's documentation.",
            )
        elif page.location.startswith(f"{self._callback_url}?") and _CODE.fullmatch(code):
            self._report.find(
                "authorize-refused",
                f"The authorization page {address} refuses the flow before anybody logs in "
                f"({code}).",
                cause="The provider does not let this client begin a flow, or does not know the "
                "scope.",
                mend="Compare scope and authorize_params with the provider's documentation, and "
                "with what the application may use there.",
            )
        elif page.status >= 400:
            self._report.note(
                f"The authorization page {address} answers with status {page.status}. Press the "
                "button: the page itself says what it misses, such as the registered callback URL."
            )
        else:
            self._report.note(f"The authorization page {address} answers (status {page.status}).")

    def _report_unreachable_page(self, address: str, why: str) -> None:
        self._report.find(
            "authorize-unreachable",
            f"The authorization page {address} was asked for in vain: {why}",
            cause="No user can connect until browsers get an answer from there. If only this "
            "machine may not reach it, nothing is wrong with it.",
            mend="Open the address in a browser, and look at authorize_url.",
        )

    def _get(self, url: str) -> HTTPResponse:
        headers = {**self._flow.provider.headers, "Accept": "application/json"}
        request = HTTPRequest("GET", url, headers)
        return self._flow.transport.send(lambda: request)


# The verdicts that are findings. What is in braces is filled in.
_FINDINGS = {
    ClientVerdict.REFUSED: Finding(
        "client-refused",
        "{host} does not accept the client id or the client secret",
        "One of the two is mistyped, cut short, of another application, or was renewed at the "
        "provider. If both are right, the provider wants them in another place or signed in "
        "another way (token_endpoint_auth, signature_method).",
        "Copy both again from the page of your application at the provider.",
    ),
    ClientVerdict.NOT_ALLOWED: Finding(
        "client-not-allowed",
        "{host} does not let this client use authorization codes",
        "The application is registered at the provider for another kind of use.",
        "Allow the authorization code grant on the page of your application at the provider.",
    ),
    ClientVerdict.CALLBACK_REFUSED: Finding(
        "callback-not-registered",
        "{host} says that the callback URL {callback} is not registered",
        "Another one is registered, or base_url is not the public address of the site.",
        REGISTERED,
    ),
    ClientVerdict.CLOCK_REFUSED: Finding(
        "clock",
        "{host} refuses the time of this machine",
        "The clock of this machine is not synchronised.",
        "Synchronise it: `timedatectl set-ntp true`, or chrony or systemd-timesyncd.",
    ),
    ClientVerdict.UNEXPLAINED: Finding(
        "client-refused",
        "{host} refuses to begin a flow, and does not say why",
        "The consumer key, the consumer secret, the signature method, the callback URL or the "
        "clock may be wrong.",
        "Copy key and secret again from the page of your application at the provider, and "
        "compare the callback URL with what is registered there.",
    ),
    ClientVerdict.FOREIGN: Finding(
        "token-endpoint-unexpected",
        "{url} answered, but not as the address where tokens are asked for answers",
        "The address is wrong, a firewall or proxy answered in its place, or the provider says "
        "unknown client ids in this way, as GitHub does with 404.",
        "Compare the address with the provider's documentation, and the client id with the page "
        "of your application there.",
    ),
}


def _duration(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 120:
        return f"{round(seconds, -1):.0f} seconds"
    if seconds < 2 * 3600:
        return f"{round(seconds / 60)} minutes"
    if seconds < 48 * 3600:
        return f"{round(seconds / 3600)} hours"
    return f"{round(seconds / 86_400)} days"
