"""Chromium, driven by Playwright."""

from __future__ import annotations

from contextlib import contextmanager

from playwright.sync_api import Error, sync_playwright

from support.engines import DEADLINE, Engine, Profile, Refused, Window, program

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    # The first two draw the list under the address bar as a web page: a renderer more for each
    # window, and half of all the CPU time. This overrides Playwright's own list, of which the
    # others are what would ask the network.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,"
    "MediaRouter,NetworkTimeServiceQuerying,OptimizationHints,PreconnectToSearch",
]


@contextmanager
def refusing():
    try:
        yield
    except Error as error:
        raise Refused(error.message) from None


class ChromiumWindow(Window):
    @property
    def url(self):
        self.profile.handles()  # as there: Playwright learns of a new address while it waits
        return self.handle.url

    def goto(self, url):
        self.handle.goto(url)

    def reload(self):
        self.handle.reload()

    def back(self):
        with refusing():
            self.handle.go_back(wait_until="commit")

    def close(self):
        self.handle.close()

    def has(self, selector):
        with refusing():
            return self.handle.query_selector(selector) is not None

    def type(self, text):
        with refusing():
            self.handle.keyboard.type(text)

    def press(self, key):
        with refusing():
            self.handle.keyboard.press(key)

    def _click(self, selector):
        with refusing():
            self.handle.click(selector)

    def _run(self, script):
        with refusing():
            return self.handle.evaluate(script)


class ChromiumProfile(Profile):
    def __init__(self, context):
        self.context = context

    def handles(self):
        with refusing():
            # Playwright learns of windows while it waits for an answer, whatever the question
            self.context.cookies()
        return self.context.pages

    def window(self, handle):
        return ChromiumWindow(self, handle)

    def new(self):
        return self.window(self.context.new_page())


class Chromium(Engine):
    name = "chromium"

    def __init__(self, browser):
        self.browser = browser
        self.version = browser.version

    @contextmanager
    def profile(self, *, javascript=True):
        context = self.browser.new_context(java_script_enabled=javascript)
        context.set_default_timeout(1000 * DEADLINE)
        yield ChromiumProfile(context)
        context.close()


@contextmanager
def running():
    """Run Debian's Chromium with its popup blocker on."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program("chromium", "chromium-browser", "google-chrome"),
            args=FLAGS,
            ignore_default_args=["--disable-popup-blocking"],
        )
        yield Chromium(browser)
        browser.close()
