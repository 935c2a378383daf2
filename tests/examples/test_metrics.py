"""examples/metrics: flows are driven, and Prometheus would read these numbers."""

import runpy
import shutil
from dataclasses import replace

import pytest
from support.browser import ARRIVAL, Browser
from support.example_servers import running_command
from support.flows import CLIENT
from support.paths import CHECKOUT
from support.ports import free_port
from support.responses import landed
from support.site import KEY, Site

from scconnect_wsgi.sandbox import Sandbox, serve

pytestmark = pytest.mark.frameworks

EXAMPLE = CHECKOUT / "examples" / "metrics" / "app.py"


@pytest.fixture
def settings():
    """Run a sandbox, and return the settings of a site that uses it."""
    with serve(Sandbox()) as provider:
        settings = {
            "CLIENT_ID": CLIENT[0],
            "CLIENT_SECRET": CLIENT[1],
            "AUTHORIZE_URL": f"{provider.url}/authorize",
            "TOKEN_URL": f"{provider.url}/oauth/token",
            "API_URL": provider.url,
            "SECRET_KEY": KEY,
        }
        yield {f"SCCONNECT_{name}": value for name, value in settings.items()}


def numbers(browser, site):
    """Return the lines of /metrics that are about events, as a mapping."""
    lines = browser.get(f"{site.url}/metrics").text.splitlines()
    counted = [line.rpartition(" ") for line in lines if line.startswith("scconnect_events_total{")]
    return {name.removeprefix("scconnect_events_total"): float(n) for name, _, n in counted}


def test_what_users_do_is_counted(settings, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    names = runpy.run_path(str(EXAMPLE))
    with serve(names["application"]) as server, Browser() as browser:
        site = Site(server.url.replace("127.0.0.1", "localhost"))
        assert numbers(browser, site) == {}
        fields = landed(browser.connect(site))
        browser.connect(site, "deny")
        browser.get(f"{site.callback}?state=unknown&code=1", **ARRIVAL)
        assert numbers(browser, site) == {
            '{error="",event="flow_started"}': 2,
            '{error="",event="connected"}': 1,
            '{error="access_denied",event="failed"}': 1,
            '{error="flow_expired",event="failed"}': 1,
        }

        id = fields["oauth_token_id"]
        stored = names["store"].load(id)
        names["store"].save(replace(stored, token=replace(stored.token, expires_at=1)))
        with names["connections"].session(id, user="the only user") as session:
            session.me()
        names["connections"].disconnect(id, user="the only user")
        after = numbers(browser, site)
        assert after['{error="",event="token_refreshed"}'] == 1
        assert after['{error="",event="disconnected"}'] == 1
        seconds = browser.get(f"{site.url}/metrics").text
        assert 'scconnect_seconds_count{event="connected"} 1.0' in seconds


@pytest.mark.slow
def test_each_of_two_workers_answers_for_both(settings, tmp_path):
    site_folder, numbers_folder = tmp_path / "site", tmp_path / "numbers"
    site_folder.mkdir()
    numbers_folder.mkdir()
    shutil.copy(EXAMPLE, site_folder)
    port = free_port("localhost")
    command = ["gunicorn", "-w", "2", "-b", f"localhost:{port}", "app:application"]
    settings["PROMETHEUS_MULTIPROC_DIR"] = str(numbers_folder)
    with running_command(command, port, site_folder, settings):
        site = Site(f"http://localhost:{port}")
        denied = 0
        # Either worker may take a request, so go on until both have counted something
        while len(list(numbers_folder.glob("counter_*.db"))) < 2 or denied < 8:
            with Browser() as browser:
                browser.connect(site, "deny")
            denied += 1
        for _ in range(8):
            with Browser() as browser:
                assert numbers(browser, site)['{error="access_denied",event="failed"}'] == denied
