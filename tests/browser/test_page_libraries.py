"""A plain link in pages that fetch their links: Turbo, htmx and instant.page, from npm."""

import pytest
from support.engines.steps import allow
from support.libraries import HTMX_2, HTMX_4, INSTANT_PAGE, LINK, START, TURBO, shop

pytestmark = pytest.mark.engines

FORM = f'<form method="post" action="{START}"><button id="connect">Connect</button></form>'
PAGES = {  # name: what the page loads, and what is in it
    "turbo": (TURBO, LINK),
    "turbo, a form": (TURBO, FORM),
    "turbo, in a frame": (TURBO, f'<turbo-frame id="box">{LINK}</turbo-frame>'),
    "turbo, preloaded": (TURBO, LINK.replace("<a", "<a data-turbo-preload")),
    "htmx 2": (HTMX_2, f'<div hx-boost="true">{LINK}</div>'),
    "htmx 2, a form": (HTMX_2, f'<div hx-boost="true">{FORM}</div>'),
    "htmx 2, hx-get": (
        HTMX_2,
        f'<button id="connect" hx-get="{START}">Connect</button>',
    ),
    "htmx 4": (HTMX_4, f'<div hx-boost:inherited="true">{LINK}</div>'),
    "htmx 4, a form": (HTMX_4, f'<div hx-boost:inherited="true">{FORM}</div>'),
    "htmx 4, hx-get": (
        HTMX_4,
        f'<button id="connect" hx-get="{START}">Connect</button>',
    ),
    "instant.page": (INSTANT_PAGE, LINK),
}


EVERYWHERE = ("turbo", "htmx 2", "instant.page")  # the others differ only in their own scripts


@pytest.mark.threat(4)
@pytest.mark.parametrize(
    "library",
    [
        name if name in EVERYWHERE else pytest.param(name, marks=pytest.mark.one_engine)
        for name in PAGES
    ],
)
def test_threat_04_a_link_or_form_that_a_library_fetches_connects(
    profile, provider, bundle, library
):
    module, body = PAGES[library]
    with shop(provider, bundle(module), body) as site:
        page = profile.open(site.url)
        page.wait("Boolean(window.library)")
        page.click("#top")  # the pointer is on the page, and then moves onto the link
        page.click("#connect")
        allow(page)
        page.wait_for_url(f"{site.url}/done?username=joe&oauth_token_id=43#")
        assert len(site.store.tokens) == 1


MARKED = '<a id="connect" data-sc-connect href="/oauth/request_token">Connect</a>'
MARKED_PAGES = {
    "turbo": (TURBO, MARKED),
    "htmx 2": (HTMX_2, f'<div hx-boost="true">{MARKED}</div>'),
    "htmx 4": (HTMX_4, f'<div hx-boost:inherited="true">{MARKED}</div>'),
}


@pytest.mark.threat(4)
@pytest.mark.parametrize(
    "library", ["turbo", "htmx 2", pytest.param("htmx 4", marks=pytest.mark.one_engine)]
)
def test_threat_04_a_marked_link_opens_the_popup_only(profile, provider, bundle, library):
    module, body = MARKED_PAGES[library]
    script = '<script src="/sc-connect/sc-connect.js"></script>'
    with shop(provider, bundle(module), body + script) as site:
        page = profile.open(site.url)
        page.wait("Boolean(window.library)")
        popup = profile.popup_of(page.click, "#connect")
        allow(popup)
        popup.wait_closed()
        assert page.url.rstrip("/") == site.url
        assert len(site.store.tokens) == 1
