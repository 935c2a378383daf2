"""docs/quickstart.md: its site runs, and its reader ends with a list of joe's tracks."""

import pytest
from support.documentation import snippets
from support.site import KEY
from webob import Request

pytestmark = pytest.mark.frameworks


def test_the_site_lists_the_tracks_of_who_logs_in(soundcloud, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in {**soundcloud.environ, "SCCONNECT_SECRET_KEY": KEY}.items():
        monkeypatch.setenv(name, value)
    (site,) = snippets("quickstart.md", "python")
    names: dict = {"__name__": "app"}
    exec(compile(site, "docs/quickstart.md", "exec"), names)

    stranger = Request.blank("/", accept="text/html").get_response(names["app"])
    assert stranger.status_code == 401
    assert 'href="/oauth/request_token?return_to=' in stranger.text
    cookies = soundcloud.connect(names["app"], "joe").cookies
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    page = Request.blank("/", headers={"Cookie": header}).get_response(names["app"])
    assert page.json["user"] == "joe"
    assert len(page.json["tracks"]) == 5
    soundcloud.revoke("joe")
    page = Request.blank("/", headers={"Cookie": header}).get_response(names["app"])
    assert page.status_code == 401
    assert 'href="/oauth/request_token?return_to=/"' in page.text
    names["connections"]._store.close()
