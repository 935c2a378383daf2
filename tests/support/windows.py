"""Pages and popups of a real browser that Playwright drives."""

from __future__ import annotations

import time

WITHIN = 60  # seconds, for a machine that does much else; it takes less than one
PAUSE = 20  # milliseconds between two looks
REST = 100  # milliseconds in which a second call of the callback would have come


def opened(context, url):
    """Open an address in a new tab."""
    page = context.new_page()
    page.goto(url)
    return page


def popup_of(page, selector="#sc-connect"):
    """Click, and return the popup that opens."""
    with page.expect_popup() as popup:
        page.click(selector)
    return popup.value


def log_in(window):
    """Log in at the sandbox as joe, up to the question whether to allow."""
    window.fill("#username", "joe")
    window.fill("#password", "joe")
    window.click("#login")
    window.wait_for_selector("#allow")


def decide(popup, choice="allow"):
    """Log in at the sandbox if it asks for that, then allow or deny."""
    popup.wait_for_selector("#login, #allow")
    if popup.query_selector("#login"):
        log_in(popup)
    press(popup, f"#{choice}")


def press(popup, button):
    """Press a button which closes its popup, without waiting for the click to end."""
    popup.eval_on_selector(button, "button => setTimeout(() => button.click())")


def heard(page, count=1, name="heard"):
    """Wait for ``count`` calls of the page's callback, and return what it was called with.

    A little longer is waited for a call too many.
    """
    # In a full-page flow the window passes through pages without such a name, and the wait goes on
    # across them. Not wait_for_function(): it calls eval(), which close.html's policy forbids.
    deadline = time.monotonic() + WITHIN
    while not _has_heard(page, count, name):
        assert time.monotonic() < deadline, f"{name} never had {count} objects in it at {page.url}"
        page.wait_for_timeout(PAUSE)
    page.wait_for_timeout(REST)
    return page.evaluate(f"{name}.map(fields => [...Object.entries(fields)])")


def _has_heard(page, count, name):
    # Imported here, as tests that need no browser import this module too
    from playwright.sync_api import Error

    try:
        return page.evaluate(f"typeof {name} !== 'undefined' && {name}.length >= {count}")
    except Error:  # the page is being left
        return False


def closed(popup):
    """Wait until the popup is closed, and return whether it was in time."""
    deadline = time.monotonic() + WITHIN
    while not popup.is_closed() and time.monotonic() < deadline:
        popup.context.pages[0].wait_for_timeout(PAUSE)
    return popup.is_closed()
