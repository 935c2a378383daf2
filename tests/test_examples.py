"""Five frameworks: the example of each, run as its reader runs it, and the middleware around a site of each."""

import pathlib
import re
import socket
import subprocess
import sys
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import frameworks
import pytest
from frameworks import SITES, Boom
from helpers import KEY, Browser, Mounted, Site, Store, flow_for, landed, opened, popup_of, query, running_site
from test_demo import environment, running

from scconnect_wsgi import HAND_OVER, SCConnect
from scconnect_wsgi.sandbox import Sandbox, serve

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
NOWHERE = "http://localhost:1"  # a provider that these tests never ask

each_framework = pytest.mark.parametrize("framework", SITES)
both_protocols = pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
mounted = pytest.mark.parametrize("prefix", ["", "/shop"], ids=["at the root", "under a prefix"])


@pytest.fixture(scope="module")
def provider():
    with serve(Sandbox()) as server:
        yield server.url


@pytest.fixture(scope="module", params=SITES)
def app(request):
    """The site of a framework."""
    return SITES[request.param]()


# The examples


@pytest.fixture
def example(framework, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running(tmp_path, EXAMPLES / framework / "app.py", port, until="Open") as example:
        yield Site(example.url, None)
        output, errors = example.stop()
    assert (example.process.returncode, output) == (0, "")
    for word in ("Traceback", "code=", "sandbox-secret"):
        assert word not in errors


@each_framework
def test_an_example_logs_its_visitor_in(example):
    with Browser() as joe, Browser() as stranger:
        assert "Logged in: nobody<" in joe.get(example.url).text
        answer = joe.connect(example)
        assert urlsplit(answer.headers["Location"]).path == "/sc-connect/close.html"
        assert query(answer.headers["Location"]) == {"username": "joe"}
        assert "Logged in: joe<" in joe.get(example.url).text
        assert "Logged in: nobody<" in stranger.get(example.url).text
        mine = [cookie for cookie in joe.session.cookies if not cookie.name.startswith("sandbox")]
        assert all(cookie.has_nonstandard_attr(name) for cookie in mine for name in ("HttpOnly", "SameSite"))


@pytest.mark.browser
@each_framework
def test_in_a_browser_the_page_says_who_is_logged_in(example, context):
    page = opened(context, example.url)
    popup = popup_of(page)
    popup.fill("#username", "joe")
    popup.fill("#password", "joe")
    popup.click("#login")
    popup.wait_for_selector("#allow")
    popup.eval_on_selector("#allow", "button => setTimeout(() => button.click())")
    page.wait_for_selector("p:text('Logged in: joe')")


@each_framework
def test_a_refusal_logs_nobody_in(example):
    with Browser() as joe:
        assert landed(joe.connect(example, "deny"))["error"] == "access_denied"
        assert "Logged in: nobody<" in joe.get(example.url).text


@each_framework
def test_a_made_up_session_is_nobodys(example):
    with Browser() as mallory:
        for name in ("session", "sessionid", "user"):
            mallory.session.cookies.set(name, "joe")
        assert "Logged in: nobody<" in mallory.get(example.url).text


@each_framework
def test_an_example_takes_its_credentials_from_the_environment(framework):
    settings = {"SCCONNECT_CLIENT_ID": "an-id", "SCCONNECT_CLIENT_SECRET": "a-secret", "SCCONNECT_SECRET_KEY": KEY}
    code = "import app; print(app.SECRET_KEY, app.flow.begin('http://localhost:8000/oauth/access_token').authorize_url)"
    options = {"capture_output": True, "text": True, "timeout": 30}
    command, folder = [sys.executable, "-c", code], EXAMPLES / framework
    done = subprocess.run(command, cwd=folder, env=environment(**settings, PYTHONDONTWRITEBYTECODE="1"), **options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{KEY} https://secure.soundcloud.com/authorize?")
    assert query(done.stdout.split()[-1])["client_id"] == "an-id"


@each_framework
def test_an_example_is_short(framework):
    assert len(text_of(framework).splitlines()) < 60


def test_the_examples_differ_in_their_frameworks_lines_alone():
    first, *others = (common_lines(framework) for framework in SITES)
    assert len(first) > 30
    assert others == [first] * len(others)


def text_of(framework):
    return (EXAMPLES / framework / "app.py").read_text("utf-8")


def common_lines(framework):
    """What is not the framework's: its imports, and what is between username() and the flow."""
    text = re.sub(framework, "FRAMEWORK", text_of(framework), flags=re.IGNORECASE)
    head, _, rest = text.partition('.json()["username"]\n')
    imports, _, constants = head.partition("from scconnect_wsgi import")
    standard = imports.partition("\nfrom html import escape\n")[0]
    return f"{standard}{constants}{rest[rest.index('flow = OAuth2(') :]}".splitlines()


# The middleware around a site of each framework


@both_protocols
@mounted
def test_the_storage_callable_is_called_and_the_page_hears(app, provider, protocol, prefix):
    store = Store()
    with (
        running_site(flow_for(protocol, provider), app=app, prefix=prefix, store_token=store) as site,
        Browser() as joe,
    ):
        assert landed(joe.connect(site)) == {"username": "joe", "oauth_token_id": "43"}
        assert len(store.tokens) == 1
        assert joe.get(f"{site.url}/me").text == "nobody"


@both_protocols
@mounted
def test_the_framework_logs_the_user_in(app, provider, protocol, prefix):
    flow = flow_for(protocol, provider)
    with running_site(flow, app=app, prefix=prefix, store_token=HAND_OVER) as site, Browser() as joe, Browser() as ann:
        answer = joe.connect(site)
        assert landed(answer) == {"username": "joe", "has_secret": str(protocol == "oauth1")}
        assert urlsplit(answer.headers["Location"]).path == f"{prefix}/sc-connect/close.html"
        names = [cookie.name for cookie in joe.session.cookies]
        assert [name for name in names if re.fullmatch("scconnect-[0-9a-f]{24}", name)] == []
        assert joe.get(f"{site.url}/me").text == "joe"
        assert ann.get(f"{site.url}/me").text == "nobody"


@both_protocols
@mounted
@pytest.mark.parametrize(
    ("path", "status"), [("/own", 200), ("/", 404), ("/oauth", 404), ("/error", 403), ("/stream", 200), ("/me", 200)]
)
def test_what_the_framework_answers_is_untouched(app, protocol, prefix, path, status):
    alone, wrapped = Called(app, prefix, path), Called(app, prefix, path, protocol)
    assert int(alone.status.split()[0]) == status
    assert (wrapped.status, wrapped.headers, wrapped.body) == (alone.status, alone.headers, alone.body)


@both_protocols
@mounted
def test_a_stream_is_the_frameworks_own_object_until_it_is_closed(app, protocol, prefix):
    frameworks.ENDED.clear()
    stream = Called(app, prefix, "/stream", protocol, read=False)
    assert stream.iterable is stream.returned
    assert next(iter(stream.iterable)) == b"one "
    assert frameworks.ENDED == []
    stream.iterable.close()
    assert frameworks.ENDED == ["closed"]


@both_protocols
@mounted
def test_an_exception_passes_through(app, protocol, prefix):
    with pytest.raises(Boom, match="of the site's own") as raised:
        Called(app, prefix, "/raise", protocol)
    assert raised.type is Boom


class Called:
    """One request to an application in this process, wrapped where a protocol is given."""

    def __init__(self, app, prefix, path, protocol=None, *, read=True):
        def recorded(environ, start_response):
            self.returned = app(environ, start_response)
            return self.returned

        wrapped = recorded
        if protocol:
            wrapped = SCConnect(recorded, flow_for(protocol, NOWHERE), secret_key=KEY, store_token=HAND_OVER)
        environ = {"PATH_INFO": prefix + path, "SCRIPT_NAME": "", "HTTP_HOST": "localhost"}
        setup_testing_defaults(environ)
        self.iterable = (Mounted(wrapped, prefix) if prefix else wrapped)(environ, self._start)
        if read:
            self.body = b"".join(self.iterable)
            getattr(self.iterable, "close", lambda: None)()

    def _start(self, status, headers, exc_info=None):
        assert exc_info is None or exc_info[1] is None
        self.status, self.headers = status, headers
