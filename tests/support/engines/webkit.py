"""WebKitGTK, Safari's engine, driven by Selenium.

It has no headless mode and gets a screen of its own.
"""

from __future__ import annotations

import glob
import logging
import os
import subprocess
import tempfile
from contextlib import contextmanager

from selenium import webdriver
from selenium.common import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection

from support.engines import Engine, Profile, Refused, Window, environment, program

# Seconds. Without a limit Selenium waits for ever if the browser dies at its start.
ANSWER_WITHIN = 60
KEYS = {"Tab": Keys.TAB, "Enter": Keys.ENTER, "Space": Keys.SPACE}


@contextmanager
def refusing():
    try:
        yield
    except WebDriverException as error:
        raise Refused(error.msg) from None


class WebKitWindow(Window):
    @contextmanager
    def _at(self):
        """Return the driver with this window as its current one, of which WebDriver has one."""
        with refusing():
            driver = self.profile.driver
            driver.switch_to.window(self.handle)
            yield driver

    @property
    def url(self):
        with self._at() as driver:
            return driver.current_url

    def goto(self, url):
        with self._at() as driver:
            driver.get(url)

    def reload(self):
        with self._at() as driver:
            driver.refresh()

    def back(self):
        with self._at() as driver:
            driver.back()

    def close(self):
        with self._at() as driver:
            driver.close()

    def has(self, selector):
        with self._at() as driver:
            return bool(driver.find_elements(By.CSS_SELECTOR, selector))

    def type(self, text):
        with self._at() as driver:
            ActionChains(driver).send_keys(text).perform()

    def press(self, key):
        self.type(KEYS[key])

    def _click(self, selector):
        with self._at() as driver:
            driver.find_element(By.CSS_SELECTOR, selector).click()

    def _run(self, script):
        with self._at() as driver:
            return driver.execute_script(f"return {script}")


class WebKitProfile(Profile):
    def __init__(self, driver):
        self.driver = driver
        self.unused = list(driver.window_handles)  # the window it starts with

    def handles(self):
        with refusing():
            return self.driver.window_handles

    def window(self, handle):
        return WebKitWindow(self, handle)

    def new(self):
        if self.unused:
            return self.window(self.unused.pop())
        # Not a tab: clicks do not reach one that another hides
        self.driver.switch_to.new_window("window")
        return self.window(self.driver.current_window_handle)


class WebKit(Engine):
    """One session of the driver: one browser process, whose profile is nowhere on disk."""

    name = "webkit"

    def __init__(self, address):
        self.address = address
        with self.profile() as profile:
            self.version = profile.driver.capabilities["browserVersion"]

    @contextmanager
    def profile(self, *, javascript=True):
        options = webdriver.WebKitGTKOptions()
        options.binary_location = mini_browser()
        options.add_argument("--automation")
        options.add_argument(f"--enable-javascript={str(javascript).lower()}")
        direct = Proxy({"proxyType": ProxyType.DIRECT})  # whatever proxy the environment names
        config = ClientConfig(self.address, proxy=direct, timeout=ANSWER_WITHIN)
        driver = webdriver.Remote(RemoteConnection(client_config=config), options=options)
        try:
            yield WebKitProfile(driver)
        finally:
            driver.quit()


def mini_browser():
    """Return the path of the driver's browser, which Debian keeps among the libraries."""
    found = sorted(glob.glob("/usr/lib*/*/webkit*/MiniBrowser"))
    assert found, (
        "The engine tests need WebKitGTK's MiniBrowser, of Debian's package webkit2gtk-driver"
    )
    return found[0]


@contextmanager
def screen():
    """Run an invisible screen, and yield the value of DISPLAY."""
    reading, writing = os.pipe()
    command = [
        program("Xvfb"),
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        "1280x1024x24",
        "-nolisten",
        "tcp",
    ]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as number:
                yield f":{number.readline().strip()}"
        finally:
            server.terminate()


@contextmanager
def running():
    """Run WebKitGTK with its popup blocker on."""
    # At DEBUG it logs addresses, and the secrets in them
    logging.getLogger("selenium").setLevel(logging.INFO)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, screen() as display:
        service = webdriver.WebKitGTKService(
            program("WebKitWebDriver"), env=environment(home, DISPLAY=display)
        )
        service.start()
        try:
            yield WebKit(service.service_url)
        finally:
            service.stop()
