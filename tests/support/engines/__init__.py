"""Three browsers behind one small interface: Chromium, Firefox, and Safari's engine, WebKitGTK.

An engine is a process that lives as long as the test run. A profile is a person who has visited no
site yet. A window is one of that person's tabs or popups. As far as a browser can tell, clicks and
keys are a user's.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

DEADLINE = 60  # seconds; two busy cores take a few for a page that is there at once elsewhere
PAUSE = 0.03  # seconds between two looks


class Refused(Exception):  # noqa: N818  # it says what happened, as the errors of the package do
    """The browser could not do it: the window is closed, or is going to another page."""


def until(question: Callable[[], Any], what: str) -> Any:
    """Ask until the answer is true, and return it; a browser that refuses is asked again."""
    deadline = time.monotonic() + DEADLINE
    while True:
        refusal: Refused | None = None
        try:
            answer = question()
            if answer:
                return answer
        except Refused as error:
            refusal = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE} seconds: {what}") from refusal
        time.sleep(PAUSE)


class Window(ABC):
    """A tab or a popup. ``handle`` is the driver's name for it."""

    profile: Any  # each engine's own
    handle: Any

    def __init__(self, profile: Profile, handle: object) -> None:
        self.profile = profile
        self.handle = handle

    @property
    def closed(self) -> bool:
        return self.handle not in self.profile.handles()

    def evaluate(self, expression: str) -> object:
        """Return the value of an expression in the page, as JSON can carry it."""
        text = self._run(f"JSON.stringify({expression})")
        return None if text is None else json.loads(text)

    def wait(self, expression: str) -> object:
        return until(lambda: self.evaluate(expression), expression)

    def wait_for(self, selector: str) -> None:
        until(lambda: self.has(selector), f"{selector} in the page")

    def wait_for_url(self, *urls: str) -> None:
        until(lambda: self.url in urls, f"at {' or '.join(urls)}")

    def wait_closed(self) -> None:
        until(lambda: self.closed, "closed")

    def click(self, selector: str) -> None:
        self.wait_for(selector)
        # A style that arrives moves what is to be clicked
        self.wait("document.readyState === 'complete'")
        self._click(selector)

    def fill(self, selector: str, text: str) -> None:
        self.click(selector)
        self.type(text)

    def click_away(self, selector: str) -> None:
        """Click an element that closes this window, which a driver may miss during the click."""
        self._away(lambda: self.click(selector))

    def press_away(self, key: str) -> None:
        self._away(lambda: self.press(key))

    def _away(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Refused:
            self.wait_closed()

    # What each engine does its own way; whatever fails because the window is gone or going raises
    # Refused.

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def goto(self, url: str) -> None: ...

    @abstractmethod
    def reload(self) -> None: ...

    @abstractmethod
    def back(self) -> None:
        """Go back, without waiting for the page."""

    @abstractmethod
    def close(self) -> None:
        """Close the window, as a user does."""

    @abstractmethod
    def has(self, selector: str) -> bool:
        """Return whether the page has such an element; works without JavaScript."""

    @abstractmethod
    def type(self, text: str) -> None: ...

    @abstractmethod
    def press(self, key: str) -> None:
        """Press Tab, Enter or Space."""

    @abstractmethod
    def _click(self, selector: str) -> None: ...

    @abstractmethod
    def _run(self, script: str) -> str | None: ...


class Profile(ABC):
    """Cookies, storage and windows that no other profile sees."""

    @abstractmethod
    def handles(self) -> list[object]:
        """Return the driver's names of the windows that are open now."""

    @abstractmethod
    def window(self, handle: object) -> Window: ...

    @abstractmethod
    def new(self) -> Window:
        """Open an empty tab."""

    def open(self, url: str) -> Window:
        window = self.new()
        window.goto(url)
        return window

    def popup_of(self, action: Callable[..., None], *arguments: str) -> Window:
        """Do something that opens a popup, and return the popup."""
        before = self.handles()
        action(*arguments)
        new = until(
            lambda: [handle for handle in self.handles() if handle not in before], "a popup"
        )
        return self.window(new[0])


class Engine(ABC):
    """A running browser, with a name, a version, and fresh profiles one after the other."""

    name: str
    version: str

    @abstractmethod
    def profile(self, *, javascript: bool = True) -> AbstractContextManager[Profile]: ...


def program(*names: str) -> str:
    """Return the path of the first of these programs. Without any, the test fails."""
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"The engine tests need one of {', '.join(names)} on the PATH"
    return found


def environment(home: str, **more: str) -> dict[str, str]:
    """Return the environment of a browser: a home folder of its own, and no proxy."""
    kept = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    return {**kept, "HOME": home, "NO_AT_BRIDGE": "1", **more}
