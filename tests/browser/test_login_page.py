"""The page for strangers and the page for signing out, in a browser without JavaScript."""

import pytest
from support.flows import flow_for
from support.logins import running_login
from support.windows import WITHIN

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores import MemoryStore

pytestmark = pytest.mark.browser

PHONE = {"width": 375, "height": 720}


def test_a_stranger_logs_in_comes_back_and_signs_out(chromium, root):
    connections = Connections(flow_for("oauth2", root), MemoryStore())
    with running_login(connections, require=True) as site:
        context = chromium.new_context(java_script_enabled=False, viewport=PHONE)
        context.set_default_timeout(WITHIN * 1000)  # milliseconds
        page = context.new_page()
        answer = page.goto(f"{site.url}/wiki/Page?x=1")
        assert answer.status == 401
        button = page.get_by_role("link", name="Connect with SoundCloud")
        box = button.bounding_box()
        assert box["height"] >= 44  # a finger's width
        assert 0 <= box["x"] <= box["x"] + box["width"] <= PHONE["width"]
        button.click()
        page.fill("#username", "joe")
        page.fill("#password", "joe")
        page.press("#password", "Enter")
        page.click("#allow")
        page.wait_for_url(f"{site.url}/wiki/Page?x=1#")
        assert "joe" in page.text_content("body")
        (cookie,) = [kept for kept in context.cookies() if "-login-" in kept["name"]]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")

        page.goto(f"{site.url}/sc-connect/sign-out")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{site.url}/")
        assert page.get_by_role("link", name="Connect with SoundCloud").is_visible()
        assert [kept for kept in context.cookies() if "-login-" in kept["name"]] == []
        context.close()
