"""examples/asgi under uvicorn: SCConnect mounted in an ASGI site, and around one."""

import re
import subprocess
import sys
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.browser import ARRIVAL, CLICK, Browser
from support.commands import environment
from support.example_servers import settings_for
from support.front_servers import Nginx
from support.paths import CHECKOUT
from support.ports import free_port, wait_for
from support.responses import landed
from support.secure import Authority
from support.site import Site
from webob import Request

from scconnect_wsgi.sandbox import serve

pytestmark = [pytest.mark.servers, pytest.mark.slow]

ASGI = CHECKOUT / "examples" / "asgi"
DOCS = (CHECKOUT / "docs" / "asgi.md").read_text("utf-8")
HERE = {"Sec-Fetch-Site": "same-origin"}  # what a script of the page sends
KEY = "a-key-of-the-asgi-site-that-is-long-enough"
STOP_WITHIN = 20  # seconds


@pytest.fixture(params=["oauth2", "oauth1"])
def protocol(request):
    return request.param


@contextmanager
def running(name, folder, port, root, settings, *options):
    """Run an example at a port of uvicorn; ``root`` is where the browser finds it."""
    settings = {name: text for name, text in settings.items() if name != "SCCONNECT_STORE_TOKEN"}
    mount = "/soundcloud" if name == "mounted" else ""
    settings |= {"SCCONNECT_BASE_URL": f"{root}{mount}", "SCCONNECT_SECRET_KEY": KEY}
    env = environment(**settings)
    log = folder / "log"
    command = [sys.executable, "-m", "uvicorn", f"{name}:app", "--app-dir", str(ASGI)]
    command += ["--host", "localhost", "--port", str(port), "--no-access-log", *options]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)
    try:
        wait_for(port, process, log)
        yield
    finally:
        process.terminate()
        process.wait(STOP_WITHIN)
    said = log.read_text()
    assert "Traceback" not in said, said
    assert "code=" not in said, said


def files_and_page(browser, root, place):
    """Return the page, after its script and the list of connections have been found."""
    page = browser.get(f"{root}/", **CLICK).text
    script = re.search(r'<script src="([^"]*)"', page)[1]
    assert script == f"{place}sc-connect/sc-connect.js"
    response = browser.get(f"{root}/{script}", **CLICK)
    assert "prepareButton" in response.text
    tag = {"If-None-Match": response.headers["ETag"]}
    same = browser.get(f"{root}/{script}", **tag)
    assert (same.status_code, same.content) == (304, b"")
    assert browser.session.head(f"{root}/{script}").content == b""
    return page


def test_a_mounted_button_connects_the_user_of_the_session(protocol, provider, tmp_path):
    port = free_port("localhost")
    root = f"http://localhost:{port}"
    settings = settings_for(protocol, provider.url)
    with running("mounted", tmp_path, port, root, settings), Browser() as joe:
        connected_through_the_mount(joe, root)


def test_a_mounted_button_below_a_prefix_that_nginx_strips(protocol, provider, tmp_path):
    authority = Authority()
    port = free_port("localhost")
    settings = settings_for(protocol, provider.url)
    with Nginx("prefix_stripped.conf", authority, port) as front, Browser() as joe:
        joe.session.verify = authority.write(tmp_path)
        root = f"{front.url}/shop"
        with running("mounted", tmp_path, port, root, settings, "--root-path", "/shop"):
            connected_through_the_mount(joe, root)


def connected_through_the_mount(joe, root):
    """Connect a visitor of examples/asgi/mounted.py, and look at everything that it has."""
    mount = f"{root}/soundcloud"
    assert "no account yet" in files_and_page(joe, root, "soundcloud/")
    site = Site(mount)
    back = joe.decide(joe.click(site))
    assert back.startswith(f"{mount}/oauth/access_token?")
    response = joe.get(back, **ARRIVAL)
    path = urlsplit(mount).path
    assert response.headers["Location"].startswith(f"{path}/sc-connect/close.html?")
    assert landed(response)["username"] == "joe"
    assert "Connected: joe." in files_and_page(joe, root, "soundcloud/")
    assert joe.get(f"{root}/tracks").json()["joe"] != []
    listed = joe.get(f"{mount}/sc-connect/connections.json", **HERE).json()
    assert [one["username"] for one in listed["connections"]] == ["joe"]
    home = joe.get(f"{mount}/", **CLICK)
    assert (home.status_code, home.headers["Location"]) == (303, f"{root}/")
    back = joe.decide(joe.click(site))
    joe.session.cookies.set("session", None)
    files_and_page(joe, root, "soundcloud/")  # another visitor in the same browser
    assert landed(joe.get(back, **ARRIVAL))["error"] == "wrong_user"


def test_a_whole_asgi_site_behind_it_logs_users_in(protocol, provider, tmp_path):
    port = free_port("localhost")
    root = f"http://localhost:{port}"
    settings = settings_for(protocol, provider.url)
    with running("behind", tmp_path, port, root, settings), Browser() as joe:
        assert "Logged in: nobody" in files_and_page(joe, root, "")
        assert landed(joe.connect(Site(root))) == {"username": "joe"}
        assert "Logged in: joe" in files_and_page(joe, root, "")
        assert landed(joe.connect(Site(root), "deny"))["error"] == "access_denied"
        assert joe.get(f"{root}/nothing", **CLICK).status_code == 404


def test_the_recipe_reads_the_session_of_a_site_behind_it():
    """It must read what SessionMiddleware writes, and nothing that is forged or damaged."""
    # Imported here: other environments of tox.ini read this module and do not have them
    from a2wsgi import ASGIMiddleware
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def sign_in(request):
        request.session["user"] = "joe"
        return PlainTextResponse("")

    site = Starlette(
        routes=[Route("/", sign_in)],
        middleware=[Middleware(SessionMiddleware, secret_key=KEY)],
    )
    (recipe,) = re.findall(r"^```py\n(import base64.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"SECRET_KEY": KEY}
    exec(compile(recipe, "docs/asgi.md", "exec"), names)
    with serve(ASGIMiddleware(site)) as server, Browser() as joe:
        joe.get(f"{server.url}/")
        cookie = joe.session.cookies["session"]
    expected = {cookie: "joe", cookie[1:]: None, "": None, "e30=.abc": None}
    for value, user in expected.items():
        request = Request.blank("/", headers={"Cookie": f"session={value}"})
        assert names["identify"](request) == user


def test_the_page_shows_both_files():
    for path in ASGI.glob("*.py"):
        assert f"../examples/asgi/{path.name}" in DOCS
