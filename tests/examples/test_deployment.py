"""The files of examples/deployment and of docs/deployment.md: each is started, and connects a user.

Places and ports are all that differs from the files that are copied.
"""

import configparser
import json
import os
import re
import shlex
import subprocess
from typing import Any

import pytest
from support.browser import ARRIVAL, CLICK, Browser
from support.commands import environment, run
from support.databases import find
from support.example_servers import (
    NAMES,
    copy_of,
    running,
    running_command,
    settings_for,
    settings_of,
    with_replaced,
)
from support.front_servers import DEPLOYMENT, Apache, Nginx
from support.paths import CHECKOUT
from support.ports import free_port
from support.responses import landed, query
from support.secure import Authority
from support.site import Site

pytestmark = [pytest.mark.servers, pytest.mark.slow]

DOCS = (CHECKOUT / "docs" / "deployment.md").read_text("utf-8")
# The lines of docs/deployment.md that tell each server the prefix: options, or a change to its file
PREFIXED: dict[str, Any] = {
    "gunicorn_sync.py": ["--env", "SCRIPT_NAME=/shop"],
    "gunicorn_gthread.py": ["--env", "SCRIPT_NAME=/shop"],
    "gunicorn_gevent.py": ["--env", "SCRIPT_NAME=/shop"],
    "uwsgi.ini": {
        "module = mysite:application": "mount = /shop=mysite:application\nmanage-script-name = true"
    },
    "granian.sh": ["--url-path-prefix", "/shop"],
    "waitress_serve.py": {"    ident=None,": '    url_prefix="/shop",\n    ident=None,'},
}


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def bundle(authority, tmp_path):
    return authority.write(tmp_path)


@pytest.fixture(params=["oauth2", "oauth1"])
def protocol(request):
    return request.param


def connected_through(front, root, bundle):
    """Connect a user at the public root of a site, and return the callback's address."""
    site = Site(root)
    with Browser() as joe:
        joe.session.verify = bundle
        for number in range(2):
            # Nearly the 4096 bytes that a browser keeps of a cookie
            joe.session.cookies.set(f"site{number}", "x" * 3800)
        for _ in range(4):
            assert joe.get(site.start, **CLICK).status_code == 303
        start = joe.get(site.start, **CLICK)
        cookies = start.headers["Set-Cookie"]
        names = re.findall(r"(?:^|, )([^=;, ]+)=", cookies)
        assert names
        assert {name for name in names if not name.startswith("__Host-")} == set()
        assert cookies.count("; Secure") == len(names), cookies
        back = joe.decide(start.headers["Location"])
        assert back.startswith(f"{root}/oauth/access_token?")
        fields = landed(joe.get(back, **ARRIVAL))
        assert "error" not in fields, fields
        assert landed(joe.get(back, **ARRIVAL))["error"] == "flow_finished"
        page = joe.get(f"{root}/")
        assert 'id="sc-connect"' in page.text
        script = re.search(r'<script src="([^"]*)"', page.text)[1]
        assert "prepareButton" in joe.get(f"{root}/{script}").text
    said = front.access_log() + front.error_log()
    assert "/oauth/access_token" in front.access_log()
    assert [word for word in ["code=", "?", *query(back).values()] if word in said] == [], said
    return back


def is_silent_when_the_site_is_down(front, back, bundle):
    """Come back to a site whose server has stopped: the logs must not have the code either."""
    with Browser() as joe:
        joe.session.verify = bundle
        assert joe.get(back, **ARRIVAL).status_code == 502
        assert joe.get(f"{front.url}/shop/", **CLICK).status_code == 502
    said = front.access_log() + front.error_log()
    assert "Connection refused" in said
    assert [word for word in query(back).values() if word in said] == [], said


def test_nginx_ends_tls_for_the_service_of_the_systemd_unit(
    protocol, provider, authority, bundle, tmp_path
):
    site = copy_of(tmp_path)
    command, settings = unit(tmp_path)
    port = free_port("localhost")
    with Nginx("mysite.conf", authority, port) as front:
        settings |= {**settings_for(protocol, provider.url), "SCCONNECT_BASE_URL": front.url}
        del settings["SCCONNECT_CLIENT_SECRET"], settings["SCCONNECT_SECRET_KEY"]
        command += ["--bind", f"localhost:{port}"]
        with running_command(command, port, site, settings) as (process, _):
            back = connected_through(front, front.url, bundle)
        assert process.returncode == 0
        is_silent_when_the_site_is_down(front, back, bundle)
        with Browser() as joe:
            plain = joe.get(f"{front.plain_url}/account?page=2")
            assert plain.headers["Location"] == "https://localhost/account?page=2"


def unit(folder):
    """Return the command of the systemd unit, and its settings, with the secrets in a folder."""
    parser = configparser.RawConfigParser(strict=False)
    text = (DEPLOYMENT / "systemd" / "mysite.service").read_text("utf-8")
    # Names that come several times are one line each for systemd, and too much for the parser
    settings = settings_of("\n".join(re.findall(r"^Environment=(.*)$", text, re.MULTILINE)))
    parser.read_string(text)
    secrets = settings_for("oauth2", "")
    for name in re.findall(r"^LoadCredential=(\w+):/etc/mysite/\1$", text, re.MULTILINE):
        (folder / name).write_text(secrets[f"SCCONNECT_{name.upper()}"] + "\n", "utf-8")
    assert len(settings) == 2
    settings = {name: path.replace("%d", str(folder)) for name, path in settings.items()}
    command = shlex.split(parser["Service"]["ExecStart"])
    command[0] = command[0].removeprefix("/srv/mysite/venv/bin/")
    return command, settings


def test_nginx_strips_the_prefix_for_the_command_of_the_dockerfile(
    protocol, provider, authority, bundle, tmp_path
):
    site = copy_of(tmp_path)
    port = free_port("localhost")
    dockerfile = (DEPLOYMENT / "docker" / "Dockerfile").read_text("utf-8")
    command = json.loads(re.search(r"^CMD (.*)$", dockerfile, re.MULTILINE)[1])
    command = [word.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for word in command]
    with Nginx("prefix_stripped.conf", authority, port) as front:
        root = f"{front.url}/shop"
        settings = {**settings_for(protocol, provider.url), "SCCONNECT_BASE_URL": root}
        with running_command(command, port, site, settings):
            back = connected_through(front, root, bundle)
        is_silent_when_the_site_is_down(front, back, bundle)


def test_each_secret_is_mounted_by_itself_for_the_user_of_the_image():
    dockerfile = (DEPLOYMENT / "docker" / "Dockerfile").read_text("utf-8")
    files = re.findall(r"^#.*--env SCCONNECT_\w+_FILE=(\S+)", dockerfile, re.MULTILINE)
    mounts = re.findall(r"source=(/etc/mysite/\w+),target=(\S+),readonly", dockerfile)
    assert len(files) == 2
    assert [target for _, target in mounts] == files
    assert "--volume" not in dockerfile
    (user,) = re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)
    assert f"chown {user} {' '.join(source for source, _ in mounts)}" in dockerfile
    installed = re.findall(r"install -m 400 -o (\d+) /dev/stdin (\S+)", DOCS)
    assert sorted(installed) == sorted((user, source) for source, _ in mounts)


@pytest.mark.parametrize("name", PREFIXED)
def test_nginx_keeps_the_prefix_for_every_server(name, provider, authority, bundle, tmp_path):
    told = PREFIXED[name]
    options = told if isinstance(told, list) else []
    replacements = None if isinstance(told, list) else told
    protocol = "oauth1" if name == "gunicorn_gthread.py" else "oauth2"
    port = free_port("localhost")
    with Nginx("prefix_kept.conf", authority, port) as front:
        root = f"{front.url}/shop"
        settings = {**settings_for(protocol, provider.url), "SCCONNECT_BASE_URL": root}
        with running(name, tmp_path, settings, *options, port=port, replacements=replacements):
            connected_through(front, root, bundle)


@pytest.mark.parametrize(("protocol", "prefix"), [("oauth2", ""), ("oauth1", "/shop")])
def test_apache_runs_the_site_in_mod_wsgi(protocol, prefix, provider, authority, bundle):
    replacements = {"WSGIScriptAlias / ": f"WSGIScriptAlias {prefix or '/'} "}
    with Apache(authority, replacements) as front:
        root = front.url + prefix
        front.run_site({**settings_for(protocol, provider.url), "SCCONNECT_BASE_URL": root})
        connected_through(front, root, bundle)
        with Browser() as joe:
            plain = joe.get(f"{front.plain_url}/account?page=2")
            assert plain.headers["Location"] == "https://localhost/account?page=2"


def test_the_docs_tell_every_server_the_prefix():
    rows = re.findall(r"^\| .*examples/servers/(\S+)\).*\| (.*) \|$", DOCS, re.MULTILINE)
    told = dict(rows)
    assert set(told) == set(NAMES) - {"wsgiref_serve.py"} == set(PREFIXED)
    for name, line in told.items():
        words = PREFIXED[name]
        given = " ".join(words if isinstance(words, list) else [*words, *words.values()])
        assert [word for word in re.findall(r"`([^`]+)`", line) if word not in given] == []


def test_systemd_accepts_the_unit(tmp_path):
    gunicorn = tmp_path / "gunicorn"
    gunicorn.touch(mode=0o755)
    text = (DEPLOYMENT / "systemd" / "mysite.service").read_text("utf-8")
    copy = tmp_path / "mysite.service"
    copy.write_text(with_replaced(text, {"/srv/mysite/venv/bin/gunicorn": str(gunicorn)}), "utf-8")
    done = subprocess.run(
        [find("systemd-analyze"), "verify", "--man=no", copy], capture_output=True, text=True
    )
    about_it = [line for line in done.stderr.splitlines() if "mysite" in line]
    assert (done.returncode, about_it) == (0, [])


def test_the_settings_are_what_the_command_check_accepts(tmp_path):
    copy_of(tmp_path)
    settings = settings_of((DEPLOYMENT / "connect.env").read_text("utf-8"))
    settings["SCCONNECT_CLIENT_ID"] = "4f1ea3bd99"
    secrets = {
        "CLIENT_SECRET": "a client secret",
        "SECRET_KEY": settings_for("oauth2", "")["SCCONNECT_SECRET_KEY"],
    }
    for name, secret in secrets.items():
        (tmp_path / name).write_text(secret)
        settings[f"SCCONNECT_{name}_FILE"] = str(tmp_path / name)
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path / "site")])
    done = run("check", **settings, PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "https://app.example/oauth/access_token" in done.stdout


def test_every_file_of_the_folder_is_used_here():
    paths = (path for path in DEPLOYMENT.rglob("*") if path.is_file())
    assert {str(path.relative_to(DEPLOYMENT)) for path in paths if path.suffix != ".pyc"} == {
        "apache/mysite.conf",
        "apache/wsgi.py",
        "connect.env",
        "docker/Dockerfile",
        "docker/requirements.txt",
        "nginx/mysite.conf",
        "nginx/prefix_kept.conf",
        "nginx/prefix_stripped.conf",
        "systemd/mysite.service",
    }
