"""docs/flask.md, docs/bottle-and-wsgi.md and docs/use-cases.md run."""

import ast
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest
import webob
from support.documentation import snippets
from support.paths import CHECKOUT
from support.site import KEY, page_of_the_site

from scconnect_wsgi import SCConnect
from scconnect_wsgi.errors import ConfigurationError

pytestmark = pytest.mark.frameworks

DOCS = CHECKOUT / "docs"


class Page:
    """The Python of a page, of which the reader runs one snippet after another."""

    def __init__(self, name, names):
        self.name = name
        self.names = names
        text = (DOCS / name).read_text("utf-8")
        self.left = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    def run(self, words):
        """Run the next snippet, in which these words are."""
        snippet = self.left.pop(0)
        assert words in snippet, snippet
        exec(compile(snippet, self.name, "exec"), self.names)


@pytest.fixture
def environment(soundcloud, monkeypatch, tmp_path):
    """The reader's folder and environment variables."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**soundcloud.environ, "SCCONNECT_SECRET_KEY": KEY}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def closing():
    """A list of what has to be closed at the end."""
    opened = []
    yield opened
    for each in opened:
        each.close()


# Flask


def flask_app():
    """A site with flask-login, as the page expects one."""
    import flask
    import flask_login

    app = flask.Flask("a site", static_folder=None)
    app.secret_key = KEY
    manager = flask_login.LoginManager(app)

    @manager.user_loader
    def load(user_id):
        user = flask_login.UserMixin()
        user.id = user_id
        return user

    @app.post("/sign-in")
    def sign_in():
        flask_login.login_user(load(flask.request.form["user"]))
        flask.session["user"] = flask.request.form["user"]
        return "signed in"

    app.add_url_rule("/connect", "connect", lambda: "connect")
    app.add_url_rule("/", "home", lambda: "home")
    return SimpleNamespace(app=app, manager=manager, flask=flask, flask_login=flask_login)


class FlaskReader(Page):
    def __init__(self):
        super().__init__("flask.md", {})
        self.start_again()

    def start_again(self):
        site = flask_app()
        self.app = site.app
        self.names.update(
            app=site.app,
            flask=site.flask,
            flask_login=site.flask_login,
            login_manager=site.manager,
        )

    def client(self, user="7"):
        client = self.app.test_client()
        client.post("/sign-in", data={"user": user})
        return client

    def cookie(self, client):
        return {"Cookie": f"session={client.get_cookie('session').value}"}


def test_flask(environment, soundcloud, closing, tmp_path):
    from flask_sqlalchemy import SQLAlchemy

    reader = FlaskReader()
    names = reader.names
    reader.run("connections.wrap")
    closing.append(names["store"])
    reader.run("def tracks(id)")
    client = reader.client()
    fields = soundcloud.connect(reader.app, headers=reader.cookie(client)).fields
    tracks = client.get(f"/tracks/{fields['oauth_token_id']}").json
    assert "Night Bus (demo)" in tracks
    assert [each.user for each in names["connections"].all()] == ["7"]
    soundcloud.revoke("joe")
    for id in (fields["oauth_token_id"], "nonsense"):
        again = client.get(f"/tracks/{id}")
        assert (again.status_code, "connect it again" in again.text) == (404, True)
    soundcloud.connect(reader.app, headers=reader.cookie(client))

    stranger = webob.Request.blank("/")
    signed_in = webob.Request.blank("/", headers=reader.cookie(client))
    for _ in range(2):  # with flask-login, and without
        assert names["identify"](stranger) is None
        assert names["identify"](signed_in) == "7"
        if "flask.session.get" in reader.left[0]:
            reader.run("flask.session.get")

    reader.start_again()
    reader.app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/site.sqlite3"
    db = SQLAlchemy()
    names["db"] = db
    rows(reader, db)
    reader.run("engine=db.engine")
    assert names["store"].of_user("7") == []
    names["SCConnect"] = SCConnect
    reader.run("def store_token")
    connected = soundcloud.connect(reader.app, headers=reader.cookie(reader.client())).fields
    assert connected == {"oauth_token_id": "1"}
    with reader.app.app_context():
        row = db.session.get(names["Token"], 1)
        assert (row.user, row.data["refresh_token"]) == ("7", row.data["refresh_token"])
        db.session.remove()
        db.engine.dispose()

    reader.start_again()
    names["store"] = names["SQLStore"]("sqlite:///connections.sqlite3")
    closing.append(names["store"])
    reader.run("def require_soundcloud")
    assert reader.client().get("/").status_code == 200
    assert reader.client("8").get("/").location == "/connect"
    assert reader.client("8").get("/connect").status_code == 200
    assert reader.app.test_client().get("/").status_code == 200

    reader.start_again()
    reader.run(".login(")
    reader.run("request_loader")
    reader.app.add_url_rule("/me", "me", lambda: names["current_user"].get_id() or "nobody")
    logged_in = soundcloud.connect(reader.app).cookies
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in logged_in.items())}
    client = reader.app.test_client(use_cookies=False)
    for path in ("/whoami", "/me"):
        assert "soundcloud:users:743372812" in client.get(path, headers=header).text
        assert client.get(path).text == "nobody"

    assert "def test_a_user_connects" in reader.left.pop()  # see the test below
    assert reader.left == []


SIGN_IN = """
app = flask.Flask("a site")
app.secret_key = "a key"


@flask_login.LoginManager(app).user_loader
def load(user_id):
    user = flask_login.UserMixin()
    user.id = user_id
    return user


@app.post("/sign-in")
def sign_in():
    flask_login.login_user(load(flask.request.form["user"]))
    return "signed in"
"""


def test_the_test_of_the_flask_page_passes_for_the_site_of_the_page(tmp_path):
    python = snippets("flask.md", "python")
    body = textwrap.indent("\n".join([SIGN_IN, *python[:2], "return app"]), "    ")
    site = f"import flask, flask_login\n\n\ndef create_app():\n{body}"
    (tmp_path / "app.py").write_text(site, "utf-8")
    (tmp_path / "test_app.py").write_text(python[-1], "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "1 passed" in run.stdout, run.stdout


@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_the_button_of_the_flask_page_leads_back_to_its_page(prefix):
    import flask

    (button,) = snippets("flask.md", "html")
    app = flask.Flask("a site")
    app.add_url_rule("/account", "account", lambda: flask.render_template_string(button))
    page = webob.Request.blank("/account", environ={"SCRIPT_NAME": prefix}).get_response(app)
    assert f'href="{prefix}/oauth/request_token?return_to={prefix}/account"' in page.text
    assert f'src="{prefix}/sc-connect/sc-connect.js"' in page.text
    assert 'role="alert"' not in page.text
    failed = webob.Request.blank("/account?error=access_denied").get_response(app)
    assert 'role="alert"' in failed.text


def rows(reader, db):
    """Make the table of the reader's own tokens."""

    base: Any = db.Model

    class Token(base):
        id = db.Column(db.Integer, primary_key=True)
        user = db.Column(db.String(255))
        data = db.Column(db.JSON)

    reader.names["Token"] = Token
    db.init_app(reader.app)
    with reader.app.app_context():
        db.create_all()


def test_every_mistake_of_the_flask_page_is_explained(environment, soundcloud, caplog):
    import flask
    import flask_login

    from scconnect_wsgi.connections import Connections
    from scconnect_wsgi.stores import MemoryStore

    site = flask_app()
    recipe = "with app.request_context(request.environ)"
    proxies: list[Any] = [
        flask_login.current_user,
        flask.request,
        flask.session,
        flask.current_app,
    ]
    for given in proxies:
        with pytest.raises(ConfigurationError) as raised:
            Connections(soundcloud.oauth2(), MemoryStore(), identify=given)
        assert recipe in raised.value.message

    def no_user(request):
        return flask_login.current_user.get_id()

    def no_request(request):
        return flask.session.get("user")

    def number(request):
        return 7

    def proxy(request):
        with site.app.request_context(request.environ):
            return flask_login.current_user

    said: dict[Any, str] = {
        no_user: recipe,
        no_request: recipe,
        number: "identify must return a string, not int",
        proxy: "identify must return a string, not LocalProxy",
    }
    for identify, words in said.items():
        connections = Connections(soundcloud.oauth2(), MemoryStore(), identify=identify)
        application = connections.wrap(site.app.wsgi_app, secret_key=KEY)
        fields = soundcloud.connect(application).fields
        assert fields["error"] == "start_refused"
        assert words in fields["error_description"]
        assert words in caplog.text


def test_a_flask_storage_without_a_context_is_explained(soundcloud):
    from flask_sqlalchemy import SQLAlchemy

    db = SQLAlchemy()

    def store_token(token, request):
        db.session.execute(db.text("SELECT 1"))

    application = SCConnect(
        page_of_the_site, soundcloud.oauth2(), secret_key=KEY, store_token=store_token
    )
    fields = soundcloud.connect(application).fields
    assert fields["error"] == "storage_failed"
    assert "app.request_context" in fields["error_description"]


# Bottle and plain WSGI


def test_bottle_and_plain_wsgi(environment, soundcloud, closing):
    import bottle

    names: dict[str, Any] = {
        "BASE_URL": None,
        "SECRET_KEY": KEY,
        "BEAKER": {
            "session.encrypt_key": KEY,
            "session.validate_key": KEY,
            "session.crypto_type": "cryptography",
        },
        "SCConnect": SCConnect,
        "application": page_of_the_site,
        "rows": {},
        "webob": webob,
        "identify": lambda request: None,
    }
    page = Page("bottle-and-wsgi.md", names)
    page.run("connections.wrap")
    closing.append(names["store"])

    page.run("URLSafeTimedSerializer")
    identify = names["identify"]
    cookie = {"Cookie": f"session={names['sessions'].dumps('pat')}"}
    assert identify(webob.Request.blank("/", headers=cookie)) == "pat"
    assert identify(bottle.Request(webob.Request.blank("/", headers=cookie).environ)) == "pat"
    for forged in ({}, {"Cookie": "session=pat"}):
        assert identify(webob.Request.blank("/", headers=forged)) is None

    names["application"] = sign_in_with_beaker
    page.run("SessionMiddleware")
    application = names["application"]
    answer = webob.Request.blank("/sign-in?user=pat").get_response(application)
    session = answer.headers["Set-Cookie"].partition(";")[0]
    fields = soundcloud.connect(application, headers={"Cookie": session}).fields
    assert fields["username"] == "joe"
    assert [each.user for each in names["connections"].all()] == ["pat"]
    assert soundcloud_error(application) == "not_signed_in"

    page.run("request.remote_user")
    environ = webob.Request.blank("/").environ
    environ["REMOTE_USER"] = "pat"
    environ["scconnect.connections"] = names["connections"]
    assert names["identify"](webob.Request(environ)) == "pat"
    page.run("def titles")
    assert "Night Bus (demo)" in names["titles"](environ, fields["oauth_token_id"])

    names["application"] = page_of_the_site
    page.run("def store_token")
    pat = {"REMOTE_USER": "pat"}
    assert soundcloud.connect(names["application"], environ=pat).fields == {"username": "pat"}
    assert names["rows"]["pat"]["refresh_token"]

    names["application"] = who_is_it
    page.run(".login(")
    cookies = soundcloud.connect(names["application"]).cookies
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    request = webob.Request.blank("/", headers={"Cookie": header})
    assert "soundcloud:users:743372812" in request.get_response(names["application"]).text
    assert page.left == []


def sign_in_with_beaker(environ, start_response):
    session = environ["beaker.session"]
    session["user"] = webob.Request(environ).GET.get("user")
    session.save()
    return page_of_the_site(environ, start_response)


def who_is_it(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("REMOTE_USER", "nobody").encode()]


def soundcloud_error(application):
    request = webob.Request.blank("/oauth/request_token")
    request.headers.update({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"})
    return webob.Request.blank(request.get_response(application).location).GET["error"]


def test_bottles_own_request_is_that_of_the_one_before():
    """As the page says: in a thread that has answered a request, it is not the one that is asked
    about.
    """
    import bottle

    app = bottle.Bottle()
    app.get("/")(lambda: bottle.request.get_cookie("user"))
    first = webob.Request.blank("/", headers={"Cookie": "user=ann"})
    assert first.get_response(app).text == "ann"
    assert bottle.request.get_cookie("user") == "ann"


# The three ways


def test_use_cases(environment, soundcloud, closing):
    from scconnect_wsgi.config import flow_from_env, options_from_env
    from scconnect_wsgi.connections import Connections
    from scconnect_wsgi.stores.sql import SQLStore

    names: dict[str, Any] = {
        "Connections": Connections,
        "flow_from_env": flow_from_env,
        "options_from_env": options_from_env,
        "store": SQLStore("sqlite:///connections.sqlite3"),
        "identify": lambda request: request.remote_user,
        "application": page_of_the_site,
    }
    closing.append(names["store"])
    page = Page("use-cases.md", names)
    page.run("connections.wrap")
    page.run("def may_enter")
    assert not names["may_enter"]("pat")
    soundcloud.connect(names["application"], environ={"REMOTE_USER": "pat"})
    assert names["may_enter"]("pat")
    names["application"] = who_is_it
    page.run("connections.login")
    assert soundcloud.connect(names["application"]).fields["username"] == "joe"
    assert page.left == []


@pytest.mark.parametrize("name", ["flask.md", "bottle-and-wsgi.md", "use-cases.md"])
def test_every_snippet_is_run(name):
    languages = re.findall(r"^```(\w+)$", (DOCS / name).read_text("utf-8"), re.MULTILINE)
    assert set(languages) <= {"python", "html"}
    for snippet in Page(name, {}).left:
        ast.parse(snippet)
