"""The one scripted user of the tests: a browser without a screen, over real sockets."""

from __future__ import annotations

import html
import re
from urllib.parse import urljoin, urlsplit

import requests

from scconnect_wsgi.sandbox._sessions import COOKIE as SESSION
from support.canary import met, met_cookie

# What a browser says of a click on the site's own page, and of an arrival from the provider's.
CLICK = {
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
ARRIVAL = {**CLICK, "Sec-Fetch-Site": "cross-site"}
# Cookies of people who are logged in, by the host and port of the sandbox and the name. A browser
# begins with those of the one before, since a login takes a third of a dance.
_logged_in = {}
MOST_PAGES = 8  # between the button and the way back; there are three
TIMEOUT = 30  # seconds


class Browser:
    """Keep cookies, send what a browser sends in a click, and follow redirects only by hand.

    Addresses may be relative to ``home``.
    """

    def __init__(self, home=""):
        self.home = home
        self.session = requests.Session()
        self.session.trust_env = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()

    def get(self, url, **headers):
        return self._send("GET", url, headers)

    def post(self, url, data=None, **headers):
        return self._send("POST", url, headers, data)

    def _send(self, method, url, headers, data=None):
        response = self.session.request(
            method,
            urljoin(self.home, url),
            data=data,
            headers=headers or CLICK,
            allow_redirects=False,
            timeout=TIMEOUT,
        )
        set_cookie = response.headers.get("Set-Cookie", "")
        for value in re.findall(r"scconnect-[0-9a-f]{24}(?:-signature)?=([^;]+)", set_cookie):
            met_cookie(value)
            # The flow's id, which is not in its cookies
            met(*re.findall(r"[?&](?:state|oauth_token)=([^&]+)", response.headers["Location"]))
        return response

    def click(self, site):
        """Press the button, and return the address of the provider's page."""
        response = self.get(site.start)
        assert response.status_code == 303, (response.status_code, response.text)
        return urljoin(site.start, response.headers["Location"])

    def decide(self, authorize_url, choice="allow", user="joe"):
        """Log in at the sandbox and allow or deny.

        Return the address that the provider sends the browser back to.
        """
        provider = urlsplit(authorize_url).netloc
        known = _logged_in.get((provider, user))
        if known is not None and self._session_cookie() is None:
            self.session.cookies.set_cookie(known)
        url = authorize_url
        response = self.get(url)
        for _ in range(MOST_PAGES):
            if response.is_redirect:
                url = urljoin(url, response.headers["Location"])
                if urlsplit(url).netloc != provider:
                    return url
                response = self.get(url)
            else:
                url, fields = self._filled_in(url, response.text, choice, user)
                response = self.post(url, fields)
                if "username" in fields:
                    _logged_in[provider, user] = self._session_cookie()
        raise AssertionError(f"the provider never sent the browser back: {response.text}")

    def _session_cookie(self):
        """Return the sandbox's cookie of this browser, or None."""
        return next((cookie for cookie in self.session.cookies if cookie.name == SESSION), None)

    def _filled_in(self, url, page, choice, user):
        """Return where the form of a page goes, and its fields with a login or a decision."""
        fields = hidden_fields(page)
        if 'id="username"' in page:
            fields |= {"username": user, "password": user}
        else:
            fields |= button(page, choice)
        return urljoin(url, form_action(page)), fields

    def sign_up(self, provider, name):
        """Make an account at the sandbox, with the name as its password, and log in."""
        url = f"{provider}/signup"
        fields = hidden_fields(self.get(url).text)
        response = self.post(url, {**fields, "username": name, "password": name})
        assert response.status_code == 303, response.text

    def come_back(self, url):
        """Arrive at the callback, and once more if it answers with the page that opens it again."""
        response = self.get(url, **ARRIVAL)
        again = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', response.text)
        return self.get(urljoin(url, html.unescape(again[1])), **CLICK) if again else response

    def connect(self, site, choice="allow"):
        """Press the button, decide, and return the callback's response."""
        return self.get(self.decide(self.click(site), choice), **ARRIVAL)


def hidden_fields(page):
    """Return the hidden fields of a page's forms."""
    tags = re.findall(r'<input[^>]*type="hidden"[^>]*>', page)
    return {attribute(tag, "name"): attribute(tag, "value") for tag in tags}


def button(page, name):
    """Return the field that a button adds to its form, if it has a name."""
    tag = re.search(rf'<button[^>]*id="{name}"[^>]*>', page)[0]
    return {attribute(tag, "name"): attribute(tag, "value")} if 'name="' in tag else {}


def form_action(page):
    """Return where the first form of a page is sent to."""
    return attribute(re.search(r"<form[^>]*>", page)[0], "action")


def attribute(tag, name):
    """Return an attribute of a tag, or the empty string."""
    found = re.search(rf'{name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""
