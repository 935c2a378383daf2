"""Applications that only know ``REMOTE_USER`` have a login, unmodified."""

import html
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin

import pytest
from support.browser import ARRIVAL, Browser
from support.documentation import snippet
from support.flows import flow_for
from support.logins import FORM, log_in, running_login
from support.paths import CHECKOUT

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores import MemoryStore

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]


JOE = "soundcloud:users:743372812"
IN_A_PROCESS: dict[str, Any] = {
    "cwd": CHECKOUT / "tests",
    "env": {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HGRCPATH": "",  # nothing of whoever runs the tests
    },
}


@contextmanager
def mercurial(provider, folder, allowed):
    """Run Mercurial's own site, hgweb, with a new repository that only one user may read."""
    command = [sys.executable, "-m", "support.mercurial_login", provider.url, str(folder), allowed]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **IN_A_PROCESS
    ) as process:
        url = process.stdout.readline().strip()
        assert url, "hgweb has not started: see stderr"
        yield SimpleNamespace(url=url, start=f"{url}/oauth/request_token")
        process.communicate(timeout=30)


if sys.version_info < (3, 15):  # and not a skip: there are no wheels yet

    def test_mercurial_shows_a_repository_to_the_user_whom_it_names(provider, tmp_path):
        user = f"{provider.url}#{JOE}"
        with mercurial(provider, tmp_path, user) as site, Browser() as joe, Browser() as ann:
            stranger = joe.get(f"{site.url}/log?rev=tip", **{"Remote-User": user})
            assert stranger.status_code == 401
            link = html.unescape(re.search('<p class="way"><a href="([^"]*)"', stranger.text)[1])
            started = joe.get(urljoin(site.url, link))
            ended = joe.get(joe.decide(started.headers["Location"]), **ARRIVAL)
            assert ended.headers["Location"] == "/log?rev=tip#"
            shown = joe.get(f"{site.url}/log?rev=tip")
            assert (shown.status_code, "not authorized" in shown.text) == (200, False)
            assert "night-bus" in shown.text

            log_in(ann, site, "ann")
            refused = ann.get(f"{site.url}/log", **{"Remote-User": user})
            assert (refused.status_code, "not authorized" in refused.text) == (401, True)
            assert "Connect with SoundCloud" not in refused.text  # it is Mercurial that refuses

            joe.post(f"{site.url}/sc-connect/sign-out", **FORM, Origin=site.url)
            assert "Connect with SoundCloud" in joe.get(f"{site.url}/log").text


def test_djangos_remote_user_takes_it_from_there():
    answer = subprocess.check_output(
        [sys.executable, "-m", "support.django_remote_user"],
        text=True,
        timeout=120,
        **IN_A_PROCESS,
    )
    told = json.loads(answer)
    assert told["stranger"] == {"user": "", "signed in": False}
    assert told["joe"] == {"user": told["name"], "signed in": True}
    assert told["after the sign-out"] == told["stranger"]
    assert told["users"] == [told["name"]]


def documented_policy():
    names = {}
    exec(snippet("login.md", "python", "RemoteUserPolicy"), names)
    return names["RemoteUserPolicy"]()


def older_policy():
    """Return Pyramid's own policy of before 2.0, as its documentation says to use it now."""
    from pyramid.authentication import RemoteUserAuthenticationPolicy
    from pyramid.authorization import ACLHelper, Authenticated, Everyone

    class Policy:
        def __init__(self):
            self.helper = RemoteUserAuthenticationPolicy()

        def authenticated_userid(self, request):
            return self.helper.unauthenticated_userid(request)

        def permits(self, request, context, permission):
            known = [Authenticated] if self.authenticated_userid(request) else []
            return ACLHelper().permits(context, [Everyone, *known], permission)

    return Policy()


class Root:
    """The context of Pyramid's views: for everybody who is logged in."""

    def __init__(self, request):
        from pyramid.authorization import Allow, Authenticated

        self.__acl__ = [(Allow, Authenticated, "view")]


@pytest.mark.parametrize("make_policy", [documented_policy, older_policy])
def test_pyramids_security_policies_take_it_from_there(provider, browser, make_policy):
    from pyramid.config import Configurator

    connections = Connections(flow_for("oauth2", provider.url), MemoryStore())
    with Configurator(root_factory=Root) as config:
        config.set_security_policy(make_policy())
        config.add_route("page", "/page")
        config.add_view(
            lambda request: {"user": request.authenticated_userid},
            route_name="page",
            permission="view",
            renderer="json",
        )
        app = config.make_wsgi_app()
    with running_login(connections, app) as site:
        assert browser.get(f"{site.url}/page").status_code == 403
        log_in(browser, site)
        assert browser.get(f"{site.url}/page").json() == {"user": f"{provider.url}#{JOE}"}
