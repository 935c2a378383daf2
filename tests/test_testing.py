"""The pytest plugin, as a user of the package has it: in a folder of their own, without ours."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from support.paths import CHECKOUT

from scconnect_wsgi import HAND_OVER, SCConnect
from scconnect_wsgi.testing import SoundCloud, StoreContract

SNIPPETS = re.findall(
    r"^```python\n(.*?)^```$",
    (CHECKOUT / "docs" / "testing.md").read_text("utf-8"),
    re.DOTALL | re.MULTILINE,
)
KEY = "a secret key of a site that is under test"


def run_pytest(folder, *options):
    """Run pytest in a folder, with every warning an error and without our own settings."""
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("PYTEST_", "TESTS_"))
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:requests_mock",  # a plugin that imports requests
        "-W",
        "error",
        *options,
    ]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
def test_the_tests_of_the_documentation_pass(tmp_path):
    site, *tests = SNIPPETS
    (tmp_path / "mysite.py").write_text(site)
    for number, test in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(test)
    done = run_pytest(tmp_path, "-W", "ignore:'cgi' is deprecated:DeprecationWarning")
    assert done.returncode == 0, done.stdout + done.stderr
    rules = sum(name.startswith("test_") for name in dir(StoreContract))
    assert f"{14 + rules} passed" in done.stdout


def test_a_flow_may_have_a_provider_that_differs_in_something(soundcloud):
    for flow, own in (
        (soundcloud.oauth2, soundcloud.provider),
        (soundcloud.oauth1, soundcloud.oauth1_provider),
    ):
        provider = replace(own, account_path="")
        assert flow().provider == own
        assert flow(provider=provider).provider == provider


@pytest.mark.slow
def test_without_a_use_of_the_fixture_nothing_of_the_package_is_imported(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import sys\n\n\ndef test_it():\n"
        "    names = {'scconnect_wsgi', 'scconnect_wsgi_pytest', 'requests', 'oauthlib', 'webob'}\n"
        "    assert names & set(sys.modules) == {'scconnect_wsgi_pytest'}\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def page(environ, start_response):
    """Answer with the token that was handed over, and with the cookies."""
    start_response(
        "200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "session=joe; Path=/")]
    )
    return [f"{environ.get('scconnect.token')!r} {environ.get('HTTP_COOKIE')}".encode()]


def site(flow, **options):
    return SCConnect(
        page,
        flow,
        **{"secret_key": KEY, "store_token": lambda token, request: {"a": "b"}, **options},
    )


@pytest.fixture(params=["oauth1", "oauth2"])
def flow(request, soundcloud):
    return getattr(soundcloud, request.param)()


def test_a_flow_is_one_call(soundcloud, flow):
    connected = soundcloud.connect(site(flow))
    assert connected.fields == {"a": "b"}
    assert connected.location == "http://localhost/sc-connect/close.html?a=b"
    assert list(connected.cookies) == ["scconnect-finished"]
    assert connected.response.status_code == 303


@pytest.mark.parametrize("user", ["ann", "somebody new", "<b>&\"'"])
def test_whoever_it_is(soundcloud, flow, user):
    assert soundcloud.connect(site(flow), user).fields == {"a": "b"}
    assert soundcloud.connect(site(flow), user).fields == {"a": "b"}, "and again"


def test_on_https_with_the_settings_of_production(soundcloud, flow):
    connected = soundcloud.connect(site(flow, base_url="https://app.example"))
    assert connected.location == "https://app.example/sc-connect/close.html?a=b"
    assert list(connected.cookies) == ["__Host-Http-scconnect-finished"]


def test_below_a_prefix_and_at_paths_of_its_own(soundcloud, flow):
    paths = {
        "request_token_path": "/login",
        "access_token_path": "/logged-in",
        "base_url": "https://app.example/shop",
    }
    assert soundcloud.connect(site(flow, **paths), start="/login", mount="/shop").fields == {
        "a": "b"
    }


def test_the_sites_own_session_comes_along(soundcloud, flow):
    seen = []

    def identify(request):
        seen.append((request.cookies.get("id"), request.remote_user))
        return request.remote_user

    app = site(flow, identify=identify)
    soundcloud.connect(app, headers={"Cookie": "id=43; other=1"}, environ={"REMOTE_USER": "joe"})
    assert seen == [("43", "joe")] * 2


def test_a_site_that_answers_itself(soundcloud, flow):
    connected = soundcloud.connect(site(flow, store_token=HAND_OVER))
    assert connected.response.text.startswith("AccessToken(token=***")
    assert (connected.fields, connected.location, connected.cookies["session"]) == ({}, "", "joe")


def test_each_failure_is_one_call(soundcloud, flow):
    app = site(flow)
    assert soundcloud.refuse(app).fields["error"] == "access_denied"
    assert soundcloud.come_late(app).fields["error"] == "flow_expired"
    assert soundcloud.fail(app).fields["error"] == "provider_unavailable"
    assert soundcloud.fail(app, how="429=7").fields["retry_after"] == "7"
    assert soundcloud.fail(app, how="garbage").fields["error"] == "provider_error"
    assert soundcloud.connect(app).fields == {"a": "b"}, "a fault ends with its block"


def test_revoked_and_misbehaving(soundcloud):
    flow = soundcloud.oauth2()
    tokens = []
    soundcloud.connect(site(flow, store_token=lambda token, request: tokens.append(token)))
    call = {"headers": {"Authorization": f"OAuth {tokens[0].token}"}}
    assert asked(soundcloud, **call) == 200
    with soundcloud.misbehaving("status=503"):
        assert asked(soundcloud, **call) == 503
    soundcloud.revoke("ann")
    assert asked(soundcloud, **call) == 200
    soundcloud.revoke("joe")
    assert asked(soundcloud, **call) == 401


def asked(soundcloud, **call):
    import requests

    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{soundcloud.url}/me", timeout=10, **call).status_code


@pytest.mark.parametrize("when", ["start", "exchange"])
def test_oauth1_asks_twice_and_either_may_fail(soundcloud, when):
    app = site(soundcloud.oauth1())
    if when == "exchange":
        assert soundcloud.fail(app).fields["error"] == "provider_unavailable"
    else:
        with soundcloud.misbehaving("down"):
            assert soundcloud.connect(app).fields["error"] == "provider_unavailable"


def test_what_is_wrong_with_a_site_is_said(soundcloud, flow):
    with pytest.raises(AssertionError, match="answered 200 OK and not with a redirect"):
        soundcloud.connect(site(flow), start="/elsewhere")
    with (
        SoundCloud() as other,
        pytest.raises(AssertionError, match=r"build it with soundcloud\.oauth2"),
    ):
        other.connect(site(soundcloud.oauth2()))
    with pytest.raises(ValueError, match="No fault"):
        soundcloud.fail(site(flow), how="rain")
    assert soundcloud.connect(site(flow)).fields == {"a": "b"}


@pytest.mark.slow
def test_the_contract_of_a_store_runs_without_pytest(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import sys, unittest\n"
        "from scconnect_wsgi.stores import MemoryStore\n"
        "from scconnect_wsgi.testing import StoreContract\n\n\n"
        "class MyStore(StoreContract, unittest.TestCase):\n"
        "    def store(self):\n"
        "        assert 'pytest' not in sys.modules\n"
        "        return MemoryStore()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "test_it"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rules = sum(name.startswith("test_") for name in dir(StoreContract))
    assert f"Ran {rules} tests" in done.stderr
