"""docs/django.md makes a site: its files are added to a new project, which is then tested."""

import ast
import re
import subprocess
import sys

import pytest
from support.commands import environment
from support.paths import CHECKOUT

from scconnect_wsgi.testing import SoundCloud

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

PAGE = (CHECKOUT / "docs" / "django.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```python\n# ([\w./]+)(.*?)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
WARNINGS = ["-W", "error", "-W", "ignore:'cgi':DeprecationWarning"]  # WebOb 1.8 imports it

# What the reader does not see: who else is tested, and how
MORE_TESTS = '''
import webob
from django.conf import settings
from django.contrib.auth.models import User
from django.core.wsgi import get_wsgi_application
from django.template import engines
from django.test import RequestFactory, TransactionTestCase

from mysite import atomic_views, reports, tokens, users, wsgi
from scconnect_wsgi.config import flow_from_env
from scconnect_wsgi.testing import SoundCloud

BUTTON = """%s"""


class MoreTests(TransactionTestCase):
    def setUp(self):
        self.soundcloud = self.enterContext(SoundCloud())
        self.user = User.objects.create_user("joe")
        self.client.force_login(self.user)
        self.cookie = {"Cookie": f"sessionid={self.client.cookies['sessionid'].value}"}

    def test_the_button_is_below_the_prefix(self):
        request = RequestFactory().get("/tracks", SCRIPT_NAME="/shop")
        page = engines["django"].from_string(BUTTON).render({"request": request}, request)
        self.assertIn('href="/shop/oauth/request_token?return_to=/shop/tracks"', page)
        self.assertIn('src="/shop/sc-connect/sc-connect.js"', page)

    def test_a_function_of_ones_own_names_the_user(self):
        for headers, name in ((self.cookie, "joe"), ({}, None), ({"Cookie": "sessionid=x"}, None)):
            request = webob.Request.blank("/", headers=headers)
            self.assertEqual(users.current_name(request), name)

    def test_tokens_are_kept_in_tables_of_ones_own(self):
        site = tokens.make_application(
            get_wsgi_application(), self.soundcloud.oauth2(), settings.SECRET_KEY
        )
        fields = self.soundcloud.connect(site, headers=self.cookie).fields
        self.assertEqual(fields, {"username": "joe"})
        self.assertTrue(tokens.TOKENS[self.user.pk]["refresh_token"])

    def test_a_worker_and_a_view_outside_of_transactions(self):
        self.assertEqual(reports.usernames(), [])
        request = RequestFactory().get("/tracks")
        request.user = self.user
        request.environ["scconnect.connections"] = wsgi.connections
        self.assertContains(atomic_views.tracks_outside(request), "Please connect")
        self.assertTrue(atomic_views.tracks_outside._non_atomic_requests)
'''

LOGIN_TESTS = """
import webob
from django.http import HttpResponse
from django.test import TransactionTestCase, override_settings
from django.urls import path

from mysite import urls, wsgi
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.django import DjangoStore
from scconnect_wsgi.testing import SoundCloud

urls.urlpatterns.append(path("who", lambda request: HttpResponse(request.user.username)))


@override_settings(ALLOWED_HOSTS=["localhost"])
class LoginTests(TransactionTestCase):
    def test_django_knows_the_user(self):
        soundcloud = self.enterContext(SoundCloud())
        connections = Connections(soundcloud.oauth2(), DjangoStore())
        key = "a-key-of-43-letters-which-is-for-tests-only"
        site = connections.login(wsgi.django, secret_key=key)
        cookies = soundcloud.connect(site).cookies
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        for headers, name in (({"Cookie": cookie}, "soundcloud:users:743372812"), ({}, "")):
            request = webob.Request.blank("/who", headers=headers)
            # The sandbox is not SoundCloud, so the key of its account begins with its address
            self.assertEqual(request.get_response(site).text.rpartition("#")[2], name)
"""


def run(folder, *words, **settings):
    done = subprocess.run(
        [sys.executable, *WARNINGS, *words],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def add(project, snippets):
    """Write the snippets into their files: settings grow, every other file is replaced."""
    for name, variant, text in snippets:
        file = project / name
        goes_on = file.name == "settings.py" or variant
        file.write_text((file.read_text("utf-8") if goes_on else "") + text, "utf-8")


@pytest.fixture
def project(tmp_path):
    run(tmp_path, "-m", "django", "startproject", "mysite", ".")
    return tmp_path


@pytest.fixture
def variables():
    """What `scconnect sandbox --` sets, of a sandbox that nobody asks."""
    with SoundCloud() as soundcloud:
        return soundcloud.environ


def test_the_site_of_the_page_keeps_its_tests(project, variables):
    add(project, [snippet for snippet in SNIPPETS if not snippet[1]])
    (button,) = re.findall(r"^```html\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (project / "mysite" / "test_more.py").write_text(MORE_TESTS % button, "utf-8")
    assert "Ran 5 tests" in run(project, "manage.py", "test", **variables)


def test_the_login_of_the_page_tells_django_who_it_is(project, variables):
    add(project, SNIPPETS)
    (project / "mysite" / "test_login.py").write_text(LOGIN_TESTS, "utf-8")
    assert "Ran 1 test" in run(project, "manage.py", "test", "mysite.test_login", **variables)


def test_every_snippet_is_run():
    languages = re.findall(r"^```(\w+)$", PAGE, re.MULTILINE)
    assert languages.count("python") == len(SNIPPETS)
    assert set(languages) == {"python", "html"}
    for _, _, text in SNIPPETS:
        ast.parse(text)
