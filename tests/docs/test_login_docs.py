"""docs/login.md runs: what is Python in it, and the HTML, with a user who logs in.

What it says about Django, Pyramid and Mercurial runs in login/test_remote_user.py.
"""

import re
from urllib.parse import urljoin
from wsgiref.validate import validator

import pytest
import requests
from support.browser import ARRIVAL, Browser
from support.documentation import snippet, snippets
from support.flows import CLIENT
from support.logins import FORM, let_time_pass
from support.site import KEY

from scconnect_wsgi.sandbox import Sandbox, serve


@pytest.fixture
def names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return {"CLIENT_ID": CLIENT[0], "CLIENT_SECRET": CLIENT[1], "SECRET_KEY": KEY}


def run(word, names):
    exec(compile(snippet("login.md", "python", word), "docs/login.md", "exec"), names)


def test_the_snippets_do_what_the_text_says(names):
    sandbox = Sandbox()
    run("def hello(", names)
    hello = names["application"] = validator(names["hello"])

    def late(environ, start_response):  # the address must be known first
        return names["application"](environ, start_response)

    with serve(sandbox) as provider, serve(late) as server, Browser() as browser:
        url = server.url.replace("127.0.0.1", "localhost")
        browser.home = url
        names |= {"BASE_URL": url, "PROVIDER": sandbox.oauth2_provider(provider.url)}
        run("SQLStore", names)
        stranger = browser.get("/page")
        assert stranger.status_code == 401
        link = re.search('<p class="way"><a href="([^"]*)"', stranger.text)[1]
        log_in(browser, link)
        assert browser.get("/page").text == "Hello, Joe Sample: 5 tracks"

        names["user"] = names["connections"].of_user(name_of(provider))[0].user
        run("sign_out_everywhere", names)
        let_time_pass(browser, names["flow"], 61)
        assert browser.get("/page").status_code == 401

        run("def require(", names)
        names["application"] = names["connections"].login(
            hello, secret_key=KEY, base_url=url, require=names["require"]
        )
        assert browser.get("/page").text == "Hello, stranger"
        assert browser.get("/members/list").status_code == 401
        assert browser.post("/page").status_code == 401
        link = re.search('href="([^"]*)"', snippet("login.md", "html", "Log in with"))[1]
        assert log_in(browser, link) == "/members/#"
        assert browser.get("/members/list").status_code == 200

        action = re.search('action="([^"]*)"', snippet("login.md", "html", "Sign out"))[1]
        left = browser.post(action, **FORM, Origin=url)
        assert left.headers["Location"] == "/"
        assert browser.get("/page").text == "Hello, stranger"
        names["connections"]._store.close()


def name_of(provider):
    return f"{provider.url}#soundcloud:users:743372812"


def log_in(browser, link):
    """Follow a link to the provider and back, and return where it ends."""
    started = browser.get(link)
    assert isinstance(started, requests.Response)
    back = browser.decide(urljoin(browser.home, started.headers["Location"]))
    return browser.get(back, **ARRIVAL).headers["Location"]


def test_every_snippet_is_run_by_a_test():
    words = ["SQLStore", "def hello(", "def require(", "sign_out_everywhere"]
    words += ["RemoteUserMiddleware", "RemoteUserPolicy", "hgweb"]
    assert [snippet("login.md", "python", word) for word in words] == snippets("login.md", "python")
    assert len(snippets("login.md", "html")) == 2
    assert len(snippets("login.md", "ini")) == 1
