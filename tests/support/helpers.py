"""A browser without a screen, and a site with the button, for tests over real sockets."""

from __future__ import annotations

import html
import re
import socket
import time
from contextlib import contextmanager
from urllib.parse import parse_qsl, urljoin, urlsplit
from wsgiref.validate import validator

import requests

from scconnect_wsgi import ConnectError, OAuth1, OAuth2, SCConnect, Transport
from scconnect_wsgi.sandbox import Sandbox, serve
from support.canary import met, met_cookie

CLIENT = ("sandbox-client", "sandbox-secret")
# The codes that a flow may end with; the others belong to settings, and to calls of the API.
CODES = sorted(
    {kind.code for kind in ConnectError.__subclasses__()} - {"configuration", "not_connected"}
)
CLICK = {
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
ARRIVAL = {**CLICK, "Sec-Fetch-Site": "cross-site"}
KEY = "a secret key that is long enough for a test"


def page_of_the_site(environ, start_response):
    """The wrapped application: says which address it was asked for."""
    body = f"the site's own page at {environ.get('PATH_INFO', '')!r}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Mounted:
    """Mounts an application under a prefix, as a server does: SCRIPT_NAME and PATH_INFO."""

    def __init__(self, app, prefix):
        self.app, self.prefix = app, prefix

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if not path.startswith(self.prefix + "/"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"outside"]
        environ["SCRIPT_NAME"] += self.prefix
        environ["PATH_INFO"] = path[len(self.prefix) :]
        return self.app(environ, start_response)


class Store:
    """A storage callable that remembers what it was given."""

    def __init__(self, result=None):
        self.tokens = []
        self.result = {"username": "joe", "oauth_token_id": 43} if result is None else result

    def __call__(self, token, request):
        self.tokens.append(token)
        met(token.token, token.token_secret, token.refresh_token)
        return self.result


def flow_for(protocol, root, *, transport=None, **provider):
    """The flow of a protocol against the sandbox at ``root``."""
    sandbox = Sandbox()
    if protocol == "oauth1":
        return OAuth1(
            *CLIENT, provider=sandbox.oauth1_provider(root, **provider), transport=transport
        )
    return OAuth2(*CLIENT, provider=sandbox.oauth2_provider(root, **provider), transport=transport)


@contextmanager
def running_site(flow, *, app=page_of_the_site, prefix="", store_token=None, **options):
    """A site with the button on a real socket; every answer goes through wsgiref's validator."""
    store_token = Store() if store_token is None else store_token
    options.setdefault("secret_key", KEY)
    wrapped = validator(SCConnect(app, flow, store_token=store_token, **options))
    with serve(Mounted(wrapped, prefix) if prefix else wrapped) as server:
        yield Site(server.url.replace("127.0.0.1", "localhost") + prefix, store_token)


class Site:
    """Where a running site is, and what it stored."""

    def __init__(self, url, store):
        self.url, self.store = url, store
        self.start = url + "/oauth/request_token"
        self.callback = url + "/oauth/access_token"


class Browser:
    """Keeps cookies and says what a browser says in a click; follows no redirect by itself."""

    def __init__(self):
        self.session = requests.Session()
        self.session.trust_env = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()

    def get(self, url, **headers):
        return self._sent("GET", url, headers)

    def post(self, url, data, **headers):
        return self._sent("POST", url, headers, data)

    def _sent(self, method, url, headers, data=None):
        headers = headers or CLICK
        answer = self.session.request(
            method, url, data=data, headers=headers, allow_redirects=False, timeout=30
        )
        for value in re.findall(
            r"scconnect-[0-9a-f]{24}=([^;]+)", answer.headers.get("Set-Cookie", "")
        ):
            met_cookie(value)
        return answer

    def click(self, site):
        """Press the button: the address of the provider's page."""
        answer = self.get(site.start)
        assert answer.status_code == 303, (answer.status_code, answer.text)
        return urljoin(site.start, answer.headers["Location"])

    def decide(self, authorize_url, choice="allow", user="joe"):
        """Sign in at the sandbox and allow or deny:

        the address the provider sends the browser back to.
        """
        url, answer = authorize_url, self.get(authorize_url)
        for _ in range(8):
            if answer.is_redirect:
                url = urljoin(url, answer.headers["Location"])
                if "/oauth/access_token" in url or url.split("?")[0].endswith("/callback"):
                    return url
                answer = self.get(url)
                continue
            fields = dict(hidden_fields(answer.text))
            if 'id="username"' in answer.text:
                fields |= {"username": user, "password": user}
            else:
                fields |= button(answer.text, choice)
            url = urljoin(url, form_action(answer.text, 'id="username"' not in answer.text))
            answer = self.post(url, fields)
        raise AssertionError(f"the provider never sent the browser back: {answer.text}")

    def connect(self, site, choice="allow"):
        """The whole dance: the answer of the callback."""
        return self.get(self.decide(self.click(site), choice), **ARRIVAL)


def hidden_fields(page):
    for tag in re.findall(r"<input[^>]*>", page):
        if 'type="hidden"' in tag:
            yield attribute(tag, "name"), attribute(tag, "value")


def button(page, name):
    tag = re.search(rf'<button[^>]*id="{name}"[^>]*>', page)[0]
    return {attribute(tag, "name"): attribute(tag, "value")} if 'name="' in tag else {}


def form_action(page, _consent):
    return attribute(re.search(r"<form[^>]*>", page)[0], "action")


def attribute(tag, name):
    found = re.search(rf'{name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""


def query(url):
    """The query of an address as a dict."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def landed(answer):
    """The query of close.html that an answer leads to."""
    assert answer.status_code == 303, (answer.status_code, answer.text)
    location = answer.headers["Location"]
    assert urlsplit(location).path.endswith("/sc-connect/close.html"), location
    return query(location)


def quick_transport(**options):
    """A transport that gives up soon."""
    return Transport(**{"timeout": 1.0, **options})


# A real browser, driven by Playwright


def opened(context, url):
    page = context.new_page()
    page.goto(url)
    return page


def popup_of(page, selector="#sc-connect"):
    with page.expect_popup() as popup:
        page.click(selector)
    return popup.value


def heard(page, count=1, name="heard"):
    """What the page's callback was given, once it was given `count` objects and then nothing more
    for a while.
    """
    # In a full-page flow the window passes through pages that know no such name; the wait goes on
    # over them. Not wait_for_function(), which calls eval() each time it looks, and the policy of
    # close.html forbids that.
    deadline = time.monotonic() + 5
    while not _has_heard(page, count, name):
        assert time.monotonic() < deadline, f"{name} never had {count} objects in it at {page.url}"
        page.wait_for_timeout(20)
    page.wait_for_timeout(100)
    return page.evaluate(f"{name}.map(fields => [...Object.entries(fields)])")


def _has_heard(page, count, name):
    from playwright.sync_api import Error  # late, as the tests without a browser read this file too

    try:
        return page.evaluate(f"typeof {name} !== 'undefined' && {name}.length >= {count}")
    except Error:  # the page is being left
        return False


def closed(popup):
    """True as soon as the popup is closed, False if it is still there after two seconds."""
    deadline = time.monotonic() + 2
    while not popup.is_closed() and time.monotonic() < deadline:
        popup.context.pages[0].wait_for_timeout(20)
    return popup.is_closed()


CALLBACK = "http://127.0.0.1:9/oauth/access_token"  # nobody listens there


def dance(flow, **extra):
    """Begin, sign in and allow, finish; ``extra`` is added to what comes back."""
    departure = flow.begin(CALLBACK)
    with Browser() as browser:
        back = query(browser.decide(departure.authorize_url))
    return flow.finish(CALLBACK, {**back, **extra}, departure.pending)


@contextmanager
def nobody_asked(provider):
    """Within, no request reaches the provider."""
    before = dict(provider.counts)
    yield
    assert dict(provider.counts) == before


def wait_for(port, process, log):
    """Until a server that writes into a file answers;

    where it ends instead, or 20 seconds pass, what it wrote.
    """
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())
