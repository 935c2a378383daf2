"""Sections of an ini file that use another one.

Of two options that mean the same, the one in the nearer section wins.
"""

import os
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest
from paste.deploy import loadapp
from support.canary import met
from support.flows import CLIENT
from support.site import page_of_the_site
from webob import Request

from scconnect_wsgi.config import filter_app_factory
from scconnect_wsgi.errors import ConfigurationError, FlowExpired
from scconnect_wsgi.middleware._cookies import FlowCookies

KEY = "CAMOR1ri-a_random_key_0123456789_of_43_chars"
OTHER_KEY = KEY[::-1]
BASE = f"""
[DEFAULT]
sandbox = http://127.0.0.1:1

[filter:connect]
use = egg:scconnect-wsgi
client_id = {CLIENT[0]}
client_secret = {CLIENT[1]}
store_token = support.configured:store_token
api_url = %(sandbox)s
"""
SITE = """
[pipeline:main]
pipeline = {name} site

[app:site]
paste.app_factory = support.configured:app_factory
"""


@pytest.fixture(autouse=True)
def _keys_are_secrets():
    met(KEY)
    met(OTHER_KEY)


def load(folder, base="", *sections, name="prod"):
    """Return the application of an ini file.

    Its first section has the options of BASE and ``base``; the others are text.
    """
    (folder / "key").write_text(KEY + "\n")
    (folder / "other").write_text(OTHER_KEY + "\n")
    text = "\n".join([BASE, base, *sections, SITE.format(name=name)])
    (folder / "site.ini").write_text(text, "utf-8")
    return loadapp(f"config:{folder / 'site.ini'}")


def key_of(application):
    """Return the key that signs the application's cookies."""
    click = Request.blank("/oauth/request_token", base_url="http://localhost")
    click.headers.update({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"})
    started = click.send(application)
    cookies = "; ".join(each.partition(";")[0] for each in started.headers.getall("Set-Cookie"))
    state = parse_qs(urlsplit(started.location).query)["state"][0]
    for key in (KEY, OTHER_KEY):
        with suppress(FlowExpired):
            FlowCookies(key, application._flow.audience, 600).read(cookies, state, False)
            return key
    raise AssertionError("another key")


IN_TEXT = f"secret_key = {KEY}"
IN_FILE = "secret_key_file = %(here)s/other"


@pytest.mark.parametrize(
    ("far", "near", "expected"),
    [
        (IN_TEXT, IN_FILE, OTHER_KEY),
        (IN_FILE, IN_TEXT, KEY),
        (IN_TEXT, f"secret_key = {OTHER_KEY}", OTHER_KEY),
        ("secret_key_file = %(here)s/key", IN_FILE, OTHER_KEY),
        (IN_FILE, "", OTHER_KEY),
    ],
    ids=["a file over a text", "a text over a file", "text", "file", "nothing over a file"],
)
def test_the_nearer_of_secret_key_and_secret_key_file_wins(tmp_path, far, near, expected):
    assert key_of(load(tmp_path, far, "[filter:prod]\nuse = connect", near)) == expected


@pytest.mark.parametrize("inner", [IN_TEXT, IN_FILE], ids=["text", "file"])
@pytest.mark.parametrize("outer", [IN_TEXT, IN_FILE], ids=["text", "file"])
def test_the_nearest_of_three_wins(tmp_path, inner, outer):
    other = {IN_TEXT: IN_FILE, IN_FILE: IN_TEXT}
    middle = ["[filter:middle]\nuse = connect", other[outer]]
    app = load(tmp_path, inner, *middle, "[filter:prod]\nuse = middle", outer)
    assert key_of(app) == (KEY if outer == IN_TEXT else OTHER_KEY)


def test_an_empty_option_does_not_replace(tmp_path):
    app = load(tmp_path, IN_FILE, "[filter:prod]\nuse = connect\nsecret_key =")
    assert key_of(app) == OTHER_KEY


def test_a_filter_app_section_replaces_as_well(tmp_path):
    section = f"[filter-app:prod]\nuse = connect\nnext = site\n{IN_TEXT}"
    (tmp_path / "other").write_text(OTHER_KEY)
    text = f"{BASE}{IN_FILE}\n{section}{SITE.format(name='unused')}"
    (tmp_path / "site.ini").write_text(text)
    assert key_of(loadapp(f"config:{tmp_path / 'site.ini'}#prod")) == KEY


@pytest.mark.parametrize(
    "name",
    [
        "sub/base.ini#connect",
        "sub/base.ini",
        "%(here)s/sub/base.ini#connect",
        "%(folder)s/base.ini",
    ],
)
def test_a_section_of_another_file_is_farther(tmp_path, name):
    (tmp_path / "sub").mkdir()
    section = "connect" if "#" in name else "main"
    base = BASE.replace("filter:connect", f"filter: {section}")
    (tmp_path / "sub" / "base.ini").write_text(f"{base}{IN_TEXT}")
    (tmp_path / "other").write_text(OTHER_KEY)
    near = f"[DEFAULT]\nfolder = sub\n[filter:prod]\nuse = config:{name}\n{IN_FILE}"
    (tmp_path / "site.ini").write_text(near + SITE.format(name="prod"))
    assert key_of(loadapp(f"config:{tmp_path / 'site.ini'}")) == OTHER_KEY


def test_the_farthest_section_may_name_the_factory(tmp_path):
    factory = "paste.filter_app_factory = scconnect_wsgi.config:filter_app_factory"
    base = BASE.replace("use = egg:scconnect-wsgi", factory)
    near = f"[filter:prod]\nuse = connect\n{IN_FILE}"
    (tmp_path / "other").write_text(OTHER_KEY)
    (tmp_path / "site.ini").write_text(f"{base}{IN_TEXT}\n{near}{SITE.format(name='prod')}")
    assert key_of(loadapp(f"config:{tmp_path / 'site.ini'}")) == OTHER_KEY


def test_a_percent_sign_that_stands_for_nothing_is_no_section(tmp_path):
    (tmp_path / "site.ini").write_text("[filter:prod]\nuse = config:%(nowhere)s\nsecret_key = 1\n")
    options = {"secret_key": KEY, "secret_key_file": "/nowhere"}
    with pytest.raises(ConfigurationError, match="give only one of them"):
        filter_app_factory(
            page_of_the_site, {"__file__": os.fspath(tmp_path / "site.ini")}, **options
        )


def test_a_global_can_be_the_nearer_one(tmp_path):
    near = "[filter:prod]\nuse = connect\nset other = %(here)s/other\nget secret_key_file = path"
    base = BASE.replace("[DEFAULT]", f"[DEFAULT]\npath = {tmp_path / 'other'}")
    (tmp_path / "other").write_text(OTHER_KEY)
    (tmp_path / "site.ini").write_text(f"{base}{IN_TEXT}\n{near}{SITE.format(name='prod')}")
    assert key_of(loadapp(f"config:{tmp_path / 'site.ini'}")) == OTHER_KEY


def test_a_client_secret_in_a_file_replaces_the_one_in_the_text(tmp_path):
    (tmp_path / "secret").write_text("another-secret")
    near = "[filter:prod]\nuse = connect\nclient_secret_file = %(here)s/secret"
    app = load(tmp_path, IN_TEXT, near)
    assert app._flow.is_credential(b"another-secret")
    assert not app._flow.is_credential(CLIENT[1].encode())


@pytest.mark.parametrize("section", ["connect", "prod"])
def test_both_in_one_section_are_an_error(tmp_path, section):
    both = f"{IN_TEXT}\n{IN_FILE}"
    far, near = (both, "") if section == "connect" else ("", both)
    with pytest.raises(ConfigurationError, match="give only one of them") as caught:
        load(tmp_path, far, "[filter:prod]\nuse = connect", near)
    assert caught.value.option == "secret_key_file"


@pytest.mark.parametrize("name", ["connect", "prod"])
def test_the_section_that_is_used_counts_and_not_its_neighbour(tmp_path, name):
    near = f"[filter:prod]\nuse = connect\n{IN_FILE}"
    app = load(tmp_path, IN_TEXT, near, name=name)
    assert key_of(app) == (KEY if name == "connect" else OTHER_KEY)


@pytest.mark.parametrize(
    "content", [None, "no ini", "[filter:a]\nuse = b\n[filter:b]\nuse = a\n", "\xff"]
)
def test_without_a_readable_file_both_are_an_error(tmp_path, content):
    path = tmp_path / "site.ini"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    conf = {"__file__": os.fspath(path), "here": os.fspath(tmp_path)}
    options = {
        "client_id": CLIENT[0],
        "client_secret": CLIENT[1],
        "store_token": "HAND_OVER",
        "secret_key": KEY,
        "secret_key_file": "/nowhere",
    }
    with pytest.raises(ConfigurationError, match="give only one of them"):
        filter_app_factory(page_of_the_site, conf, **options)
