"""The demo's page in a real browser: everything that a visitor can do with it."""

import pytest
from support.windows import WITHIN, closed, decide, opened, popup_of

from scconnect_wsgi.demo import start
from scconnect_wsgi.demo._days import DAYS
from scconnect_wsgi.demo._page import LOOKS, PICTURES, USE_CASES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "a secret key that is long enough for a demo"
FIRST = ["Morning on the Spree 3:00", "Night Bus (demo) private 3:01", "Kreuzberg Rain 3:02"]
BOTH = ["oauth2", "oauth1"]
both_protocols = pytest.mark.parametrize("protocol", BOTH)


@pytest.fixture
def demo():
    with start(0, BOTH) as demo:
        yield demo


@pytest.fixture
def page(context, demo):
    return opened(context, demo.url)


def connect(page, protocol="oauth2", choice="allow"):
    popup = popup_of(page, f"#{protocol}-connect")
    decide(popup, choice)
    assert closed(popup)


def shows(page, text, selector="body"):
    page.wait_for_selector(f"{selector}:has-text({text!r})")


def shown_tracks(page, protocol="oauth2"):
    page.wait_for_selector(f"#{protocol} .tracks li")
    return page.locator(f"#{protocol} .tracks li").all_inner_texts()


def choose(page, day):
    page.check(f"[value={day}]")
    page.wait_for_selector(".verdict:not([aria-busy])")


@both_protocols
def test_a_visitor_denies_allows_reads_tracks_and_disconnects(page, protocol):
    card = f"#{protocol}"
    connect(page, protocol, "deny")
    shows(page, "You did not allow it", f"{card} .status")
    shows(page, '"error": "access_denied"', f"{card} pre")

    connect(page, protocol)
    assert [" ".join(text.split()) for text in shown_tracks(page, protocol)] == FIRST
    shows(page, "Connected as joe.", f"{card} .status")
    shows(page, '"username": "joe"', f"{card} pre")
    assert page.inner_text(f"{card} .full-name") == "Joe Sample"
    assert page.inner_text(f"{card} .permalink") == "soundcloud.com/joe"
    assert page.locator(f"{card} .avatar").evaluate(
        "picture => picture.decode().then(() => picture.naturalWidth > 0)"
    )
    page.click(f"{card} .more")
    shows(page, "Loops 1 to 9", f"{card} .tracks")
    assert not page.is_visible(f"{card} .more")

    page.reload()
    assert len(shown_tracks(page, protocol)) == 3
    page.click(f"{card} .disconnect")
    shows(page, "Disconnected", f"{card} .status")
    assert page.locator(":focus").get_attribute("id") == f"{protocol}-connect"
    assert page.locator(f"{card} .account").count() == 0
    page.reload()
    page.wait_for_selector(f"{card} .steps")


def test_one_browser_shows_several_accounts(page):
    connect(page)
    shown_tracks(page)
    popup = popup_of(page, "#oauth2-connect")
    popup.click("#logout")
    popup.fill("#username", "ann")
    popup.fill("#password", "ann")
    popup.click("#login")
    decide(popup)
    shows(page, "Ann Example", "#oauth2 .accounts")
    shows(page, "Sketch", "#oauth2 .tracks")
    names = page.locator("#oauth2 .full-name").all_inner_texts()
    assert sorted(names) == ["Ann Example", "Joe Sample"]


def test_each_bad_day_can_be_watched_to_end_well(page):
    shows(page, "Connect an account, and watch it on a bad day.", ".verdict")
    for protocol in BOTH:
        connect(page, protocol)
        shown_tracks(page, protocol)
    shows(page, DAYS[0].site, ".verdict")
    for day in DAYS[1:]:
        choose(page, day.name)
        shows(page, day.site, ".verdict")
        answered = {"slow", "expired"}
        for protocol in BOTH:
            failed = page.locator(f"#{protocol} .account.failed").count()
            assert (day.name, failed) == (day.name, int(day.name not in answered))
            if failed:
                told = page.inner_text(f"#{protocol} .said")
                # Shown if the window is too narrow for both
                assert f"Joe Sample reads: “{told}”" in page.text_content(".evidence")
        if day.name == "withdrawn":
            continue
        choose(page, "good")
        assert page.locator(".said").all_inner_texts() == ["", ""], day.name
        assert page.inner_text(".verdict p") == "All is well: every connection works."
        assert page.locator(".account.failed").count() == 0
    choose(page, "good")
    shows(page, "a permission is gone", ".verdict")
    for protocol in BOTH:
        connect(page, protocol)
        shown_tracks(page, protocol)
    assert page.locator(".account.failed").count() == 0


def test_a_failed_question_can_be_asked_again(page):
    connect(page)
    shown_tracks(page)
    choose(page, "down")
    shows(page, "SoundCloud does not answer", "#oauth2 .said")
    # As if another tab had chosen the good day
    page.evaluate("fetch('/day?day=good', {method: 'POST'})")
    page.click("#oauth2 .again")
    assert len(shown_tracks(page)) == 3


def test_a_demo_that_has_stopped_is_said(context):
    with start(0, ["oauth2"]) as demo:
        page = opened(context, demo.url)
        connect(page)
        shown_tracks(page)
    choose(page, "slow")
    shows(page, "The demo does not answer", ".verdict")


def test_every_piece_of_code_can_be_copied(chromium, demo):
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(WITHIN * 1000)
    page = opened(context, demo.url)
    pieces = [look.markup for look in LOOKS] + [picture.markup for picture in PICTURES]
    for case in USE_CASES:
        pieces += [case.code("python"), case.code("html")]
    buttons = page.locator(".copy").all()
    assert len(buttons) == len(pieces)
    is_copied = "code => navigator.clipboard.readText().then(text => text === code)"
    for button, piece in zip(buttons, pieces, strict=True):
        button.click()
        page.wait_for_function(is_copied, arg=piece)
    shows(page, "Copied", ".copy")
    context.close()


def test_where_nothing_can_be_copied_the_button_says_so(page):
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    page.locator(".copy").first.click()
    shows(page, "Not allowed", ".copy")


def test_a_look_shows_how_it_waits(page):
    look = page.locator(".stage .sc-connect-button").first
    assert look.evaluate("look => { look.click(); return look.ariaBusy; }") == "true"
    page.wait_for_function("look => look.ariaBusy === 'false'", arg=look.element_handle())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_narrow_phone_the_text_of_the_button_needs_one_line(chromium, demo, scheme):
    """Chromium's system-ui is DejaVu Sans here, about the widest font there is."""
    phone = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}
    context = chromium.new_context(**phone, color_scheme=scheme)
    page = opened(context, demo.url)
    button = page.locator("#oauth2-connect")
    assert page.evaluate("matchMedia('(pointer: coarse)').matches")
    for busy in ("false", "true"):
        button.evaluate("(e, busy) => e.setAttribute('aria-busy', busy)", busy)
        assert button.bounding_box()["height"] == 44
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    context.close()


@pytest.mark.parametrize("width", [375, 768, 1280, 1920])
def test_the_text_of_every_look_needs_one_line(chromium, demo, width):
    context = chromium.new_context(viewport={"width": width, "height": 900})
    page = opened(context, demo.url)
    heights = page.locator(".stage .sc-connect-button").evaluate_all(
        "looks => looks.map((look) => look.getBoundingClientRect().height)"
    )
    assert len(heights) == len(LOOKS)
    assert max(heights) <= 31
    context.close()


def test_nothing_moves_when_the_page_has_asked_for_its_accounts(context, demo):
    page = opened(context, demo.url)
    # Where the cards stand one below the other, so that one that grows moves the rest
    page.set_viewport_size({"width": 375, "height": 1600})
    for protocol in BOTH:
        connect(page, protocol)
        shown_tracks(page, protocol)
    page.add_init_script(
        """window.shift = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) window.shift += entry.value;
        }).observe({ type: 'layout-shift', buffered: true });"""
    )
    page.reload()
    for protocol in BOTH:
        shown_tracks(page, protocol)
    page.wait_for_timeout(300)
    assert page.evaluate("window.shift") < 0.01
