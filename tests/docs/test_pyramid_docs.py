"""docs/pyramid.md makes a site: its files are written into a folder, and used."""

import ast
import configparser
import os
import re
import subprocess
import sys

import pytest
import webob
from support.commands import environment
from support.paths import CHECKOUT
from support.site import KEY

from scconnect_wsgi.stores import MemoryStore

pytestmark = pytest.mark.frameworks

PAGE = (CHECKOUT / "docs" / "pyramid.md").read_text("utf-8")
SNIPPETS = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
INI = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def snippet(name):
    """Return the names that a snippet defines which needs no other one."""
    names = {}
    exec(compile(SNIPPETS[name], name, "exec"), names)
    return names


@pytest.fixture
def folder(tmp_path):
    """The reader's folder, with a file for each snippet, and both ini files."""
    (tmp_path / "mysite").mkdir()
    for name, text in SNIPPETS.items():
        (tmp_path / name).write_text(text, "utf-8")
    for name, text in zip(("development.ini", "filter.ini"), INI, strict=True):
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def run(folder, *words, **settings):
    env = environment(**settings)
    env["PYTHONPATH"] += os.pathsep + str(folder)
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_login_of_the_page_keeps_its_test(folder):
    assert "1 passed" in run(folder, "-m", "pytest", "-q", "-c", os.devnull, "test_mysite.py")


LOAD = """
import plaster, webob
loader = plaster.get_loader("development.ini", protocols=["wsgi"])
print(webob.Request.blank("/").get_response(loader.get_wsgi_app()).text)
"""
LOAD_FILTER = """
import plaster, webob
loader = plaster.get_loader("filter.ini", protocols=["wsgi"])
environ = {"REMOTE_USER": "pat", "HTTP_SEC_FETCH_SITE": "same-origin"}
request = webob.Request.blank("/oauth/request_token", environ=environ)
print(request.get_response(loader.get_wsgi_app()).location)
"""


@pytest.mark.slow
def test_the_ini_files_of_the_page_are_loaded(folder, soundcloud):
    assert run(folder, "-c", LOAD, **soundcloud.environ) == "Please log in.\n"
    (folder / "secrets").mkdir()
    (folder / "secrets" / "client_secret").write_text("a-secret")
    (folder / "secrets" / "secret_key").write_text("a-key-of-43-letters-which-is-for-tests-only")
    file = folder / "filter.ini"
    store = "store = sqlite:///%(here)s/connections.sqlite3\n"
    app = "[app:site]\npaste.app_factory = support.configured:app_factory\n"
    text = file.read_text("utf-8").partition("[app:site]")[0]
    assert store in text
    file.write_text(text + app, "utf-8")
    env = {"PYTHONPATH": f"{environment()['PYTHONPATH']}:{CHECKOUT / 'tests'}"}
    assert "https://secure.soundcloud.com/authorize?" in run(folder, "-c", LOAD_FILTER, **env)


def test_the_flow_is_in_the_file(soundcloud):
    prefixed = {
        f"scconnect.{name.removeprefix('SCCONNECT_').lower()}": value
        for name, value in soundcloud.environ.items()
    }
    flow = snippet("mysite/ini.py")["flow"](prefixed)
    assert flow.provider == soundcloud.provider


def site_with_users():
    """A Pyramid site whose users are in its session, and whose policy uses a request method."""
    from pyramid.authentication import SessionAuthenticationHelper
    from pyramid.config import Configurator
    from pyramid.response import Response
    from pyramid.security import remember
    from pyramid.session import SignedCookieSessionFactory

    class Policy:
        helper = SessionAuthenticationHelper()

        def authenticated_userid(self, request):
            return request.known_user(self.helper.authenticated_userid(request))

        def remember(self, request, userid, **options):
            return self.helper.remember(request, userid, **options)

    def sign_in(request):
        remember(request, request.GET["user"])
        return Response("signed in")

    def accounts(request):
        return Response(json_body=snippet("mysite/settings_page.py")["my_accounts"](request))

    config = Configurator(session_factory=SignedCookieSessionFactory(KEY))
    config.set_security_policy(Policy())
    known = {"pat": "pat", "ann": "ann"}
    config.add_request_method(lambda request, userid: known.get(userid), "known_user")
    for name, view in {"sign-in": sign_in, "accounts": accounts}.items():
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name)
    return config


@pytest.mark.parametrize("mount", ["", "/shop"], ids=["at the root", "under a prefix"])
def test_the_policy_of_the_site_names_the_user(soundcloud, mount):
    make_application = snippet("mysite/optional.py")["make_application"]
    application = make_application(site_with_users(), soundcloud.oauth2(), MemoryStore(), KEY)

    def cookie(user):
        answer = webob.Request.blank(f"/sign-in?user={user}").get_response(application)
        return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}

    def accounts(user):
        request = webob.Request.blank("/accounts", headers=cookie(user))
        return request.get_response(application).json

    for user in ("pat", "ann"):
        fields = soundcloud.connect(application, headers=cookie(user), mount=mount).fields
        assert fields["username"] == "joe"
        assert accounts(user) == ["joe"]
    for user in ("mallory", ""):
        fields = soundcloud.connect(application, headers=cookie(user), mount=mount).fields
        assert fields["error"] == "not_signed_in"


def test_a_response_of_pyramid_ends_the_flow(soundcloud):
    names = snippet("mysite/tokens.py")
    config = site_with_users()
    application = names["make_application"](config.make_wsgi_app(), soundcloud.oauth2(), KEY)
    connected = soundcloud.connect(application, environ={"REMOTE_USER": "pat"}, mount="/shop")
    assert connected.location == "http://localhost/shop/welcome"
    assert names["TOKENS"]["pat"]["refresh_token"]


def test_every_snippet_is_run():
    languages = re.findall(r"^```(\w+)$", PAGE, re.MULTILINE)
    assert languages.count("python") == len(SNIPPETS)
    assert languages.count("ini") == len(INI)
    assert set(languages) == {"python", "html", "ini"}
    for text in SNIPPETS.values():
        ast.parse(text)


def test_the_example_has_the_same_development_file():
    example = configparser.RawConfigParser()
    example.read(CHECKOUT / "examples" / "login" / "pyramid" / "development.ini", "utf-8")
    page = configparser.RawConfigParser()
    page.read_string(INI[0])
    assert example == page
