"""`scconnect check module:application` sees through the application of every framework."""

import pytest
from support.commands import run
from support.site import KEY

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]
BEFORE = f"""
from scconnect_wsgi import OAuth2, SCConnect
flow = OAuth2("the-client-id", "the-client-secret")
options = dict(secret_key={KEY!r}, store_token=print, base_url="https://app.example")
"""
CONNECTIONS = """
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores import MemoryStore
"""
DJANGO = """
import os
from django.conf import settings
from django.core.wsgi import get_wsgi_application
settings.configure(SECRET_KEY="x" * 50, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
urlpatterns = []
application = SCConnect(get_wsgi_application(), flow, **options)
"""
SITES = {
    "flask": "from flask import Flask\napplication = Flask(__name__)\n"
    "application.wsgi_app = SCConnect(application.wsgi_app, flow, **options)",
    "bottle": "import bottle\napplication = SCConnect(bottle.Bottle(), flow, **options)",
    "falcon": "import falcon\napplication = SCConnect(falcon.App(), flow, **options)",
    "pyramid": "from pyramid.config import Configurator\n"
    "application = SCConnect(Configurator().make_wsgi_app(), flow, **options)",
    "django": DJANGO,
    "flask, with wrap": f"{CONNECTIONS}\nfrom flask import Flask\napplication = Flask(__name__)\n"
    "connections = Connections(flow, MemoryStore(), identify=lambda request: None)\n"
    "options.pop('store_token')\n"
    "application.wsgi_app = connections.wrap(application.wsgi_app, **options)",
    "bottle, with login": f"{CONNECTIONS}\nimport bottle\noptions.pop('store_token')\n"
    "application = Connections(flow, MemoryStore()).login(bottle.Bottle(), **options)",
}


@pytest.mark.parametrize("name", SITES)
def test_a_site_of_a_framework_is_seen_through(tmp_path, name):
    (tmp_path / "mysite.py").write_text(f"{BEFORE}\n{SITES[name]}\n")
    done = run("check", "mysite:application", folder=tmp_path)
    assert done.stdout == (
        "The settings for OAuth 2.1 are fine.\n"
        "Register this callback URL with the provider, byte for byte: "
        "https://app.example/oauth/access_token\n"
    )
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["flask", "django"])
def test_a_site_of_a_framework_without_the_button_is_found(tmp_path, name):
    bare = f"def SCConnect(app, flow, **options):\n    return app\n{SITES[name]}"
    (tmp_path / "mysite.py").write_text(f"{BEFORE}\n{bare}\n")
    done = run("check", "mysite:application", folder=tmp_path)
    assert "has no SCConnect in it" in done.stdout
    assert done.returncode == 1
