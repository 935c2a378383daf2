"""The file to copy for each WSGI server, started as its first lines say, and a whole flow."""

import pytest
import requests
from support.browser import ARRIVAL, CLICK, Browser
from support.example_servers import NAMES, ROOTS, SERVERS, running, settings_for
from support.responses import landed, query
from support.secure import Authority, serving_over_tls

from scconnect_wsgi.sandbox import Sandbox

pytestmark = [pytest.mark.servers, pytest.mark.slow]

LOGS = set(NAMES) - {"waitress_serve.py"}  # waitress has no access log


@pytest.fixture(params=ROOTS)
def protocol(request):
    return request.param


@pytest.mark.parametrize("name", NAMES)
def test_a_copied_file_starts_a_server_that_connects(name, protocol, provider, tmp_path):
    settings = settings_for(protocol, provider.url)
    with running(name, tmp_path, settings) as (site, process, log), Browser() as joe:
        for number in range(2):
            # Nearly the 4096 bytes that a browser keeps of a cookie
            joe.session.cookies.set(f"site{number}", "x" * 3800)
        # As many flows as a browser can have under way: their cookies go with every request
        for _ in range(5):
            assert joe.get(site.start, **CLICK).status_code == 303
        back = joe.decide(joe.click(site))
        fields = landed(joe.get(back, **ARRIVAL))
        assert "error" not in fields, fields
        one_thread = name in ("gunicorn_sync.py", "wsgiref_serve.py")
        assert fields["worker_threads"] == ("false" if one_thread else "true")
        assert landed(joe.connect(site, "deny"))["error"] == "access_denied"
        assert landed(joe.get(back, **ARRIVAL))["error"] == "flow_finished"
        the_files_arrive(site)
        assert 'id="sc-connect"' in joe.get(f"{site.url}/").text
    assert process.returncode == 0
    said = log.read_text()
    assert ("/oauth/access_token" in said) == (name in LOGS), said
    secrets = [
        *query(back).values(),
        settings["SCCONNECT_CLIENT_SECRET"],
        settings["SCCONNECT_SECRET_KEY"],
    ]
    assert [word for word in ["Traceback", "code=", "?", *secrets] if word in said] == [], said


@pytest.mark.threat(57)
def test_threat_57_a_preloaded_site_with_gevent_reaches_a_provider_over_tls(protocol, tmp_path):
    authority = Authority()
    bundle = authority.write(tmp_path)
    name = "gunicorn_gthread.py"
    # Otherwise gunicorn gives a worker 30 seconds, which one under gevent sometimes needs
    options = ["--worker-class", "gevent", "--preload", "--graceful-timeout", "3"]
    with serving_over_tls(Sandbox(), authority.tls) as root:
        settings = {**settings_for(protocol, root), "SCCONNECT_CA_BUNDLE": bundle}
        with running(name, tmp_path, settings, *options) as (site, _, log), Browser() as joe:
            joe.session.verify = bundle
            for _ in range(2):
                fields = landed(joe.connect(site))
                assert "error" not in fields, fields
    assert "Traceback" not in log.read_text()


def the_files_arrive(site):
    script = f"{site.url}/sc-connect/sc-connect.js"
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(script, timeout=10)
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "prepareButton" in answer.text
        same = session.get(script, headers={"If-None-Match": answer.headers["ETag"]}, timeout=10)
        assert (same.status_code, same.content) == (304, b"")
        head = session.head(script, timeout=10)
        assert (head.status_code, head.content) == (200, b"")
        assert session.get(f"{site.url}/sc-connect/nothing.js", timeout=10).status_code == 404


def test_every_file_of_the_folder_is_started_here():
    assert {path.name for path in SERVERS.iterdir() if path.is_file()} == {
        "mysite.py",
        "sandbox.env",
        *NAMES,
    }
