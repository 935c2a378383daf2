"""What fetches a link ahead of the click leaves no error in the console, and the click connects."""

import pytest
from support.engines import until
from support.libraries import INSTANT_PAGE, LINK, TURBO, shop
from support.windows import log_in

pytestmark = pytest.mark.browser

SPECULATION = """<script type="speculationrules">
{"%s": [{"source": "list", "urls": ["/oauth/request_token?return_to=/done"],
  "eagerness": "immediate"}]}
</script>"""
AHEAD = {  # what fetches the link ahead: the script of the page, and what is in it
    "turbo": (TURBO, LINK),
    "instant.page": (INSTANT_PAGE, LINK),
    "a prefetch rule": ("", LINK + SPECULATION % "prefetch"),
    "a prerender rule": ("", LINK + SPECULATION % "prerender"),
}


@pytest.mark.threat(4)
@pytest.mark.parametrize("library", AHEAD)
def test_threat_04_a_link_fetched_ahead_leaves_the_console_silent(
    chromium, provider, bundle, library
):
    """Chromium only: it is the engine that prefetches in all of these ways."""
    module, body = AHEAD[library]
    said = []
    asked = []
    with shop(provider, bundle(module) if module else "", body) as site:
        context = chromium.new_context()
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url.partition("?")[0]))
        page.goto(site.url)
        if module:
            until(lambda: page.evaluate("Boolean(window.library)"), "the library")
        page.click("#top")
        page.hover("#connect")
        if module:  # a page does not see what its rules fetch
            until(lambda: page.title() and site.start in asked, "the link fetched ahead")
        assert site.store.tokens == []
        page.click("#connect")
        log_in(page)
        page.click("#allow")
        page.wait_for_url(f"{site.url}/done?username=joe&oauth_token_id=43#")
        context.close()
    assert said == []
