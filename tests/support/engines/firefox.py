"""Firefox, driven by WebDriver BiDi: JSON over a WebSocket that Firefox itself answers.

https://www.w3.org/TR/webdriver-bidi/ has every command that is named here.
"""

from __future__ import annotations

import itertools
import json
import pathlib
import re
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager

import websocket

from support.engines import DEADLINE, Engine, Profile, Refused, Window, environment, program, until

KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Space": " "}
PREFERENCES = {
    # The preferences a driven Firefox gives itself switch its popup blocker off, and with it what
    # is tested here.
    "remote.prefs.recommended": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.server": "data:,",
    # Else it keeps asking the network.
    "app.update.disabledForTesting": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
}


class Connection:
    """One session of a running Firefox."""

    def __init__(self, address):
        # No origin: to Firefox, one that names an origin is a page that should not be here.
        self.socket = websocket.create_connection(
            f"{address}/session", suppress_origin=True, timeout=4 * DEADLINE
        )
        self.numbers = itertools.count(1)
        self.version = self.call("session.new", capabilities={})["capabilities"]["browserVersion"]

    def call(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            pass  # an event
        if answer["type"] == "error":
            raise Refused(f"{method}: {answer['error']}: {answer['message']}")
        return answer["result"]


class FirefoxWindow(Window):
    def _call(self, method, **parameters):
        return self.profile.connection.call(method, context=self.handle, **parameters)

    @property
    def url(self):
        [tree] = self.profile.connection.call(
            "browsingContext.getTree", root=self.handle, maxDepth=0
        )["contexts"]
        return tree["url"]

    def goto(self, url):
        self._call("browsingContext.navigate", url=url, wait="complete")

    def reload(self):
        self._call("browsingContext.reload", wait="complete")

    def back(self):
        self._call("browsingContext.traverseHistory", delta=-1)

    def close(self):
        self._call("browsingContext.close")

    def _found(self, selector):
        locator = {"type": "css", "value": selector}
        return self._call("browsingContext.locateNodes", locator=locator, maxNodeCount=1)["nodes"]

    def has(self, selector):
        return bool(self._found(selector))

    def _act(self, kind, actions, **more):
        self._call(
            "input.performActions", actions=[{"type": kind, "id": kind, "actions": actions, **more}]
        )

    def type(self, text):
        self._act(
            "key", [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        )

    def press(self, key):
        self.type(KEYS[key])

    def _click(self, selector):
        node = {"type": "element", "element": {"sharedId": self._found(selector)[0]["sharedId"]}}
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": node}
        self._act(
            "pointer",
            [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}],
        )

    def _run(self, script):
        target = {"context": self.handle}
        answer = self.profile.connection.call(
            "script.evaluate", expression=script, target=target, awaitPromise=False
        )
        if answer["type"] == "exception":
            raise Refused(answer["exceptionDetails"]["text"])
        return answer["result"].get("value")


class FirefoxProfile(Profile):
    def __init__(self, connection):
        self.connection = connection
        self.user = connection.call("browser.createUserContext")["userContext"]

    def handles(self):
        tree = self.connection.call("browsingContext.getTree", maxDepth=0)["contexts"]
        return [context["context"] for context in tree if context["userContext"] == self.user]

    def window(self, handle):
        return FirefoxWindow(self, handle)

    def new(self):
        created = self.connection.call("browsingContext.create", type="tab", userContext=self.user)
        return self.window(created["context"])


class Firefox(Engine):
    """One process for all profiles, and another for those without JavaScript.

    JavaScript is no setting of a profile.
    """

    name = "firefox"

    def __init__(self, stack):
        self.stack = stack
        self.connections = {}
        self.version = self._connection(True).version

    def _connection(self, javascript):
        if javascript not in self.connections:
            address = self.stack.enter_context(
                process({**PREFERENCES, "javascript.enabled": javascript})
            )
            self.connections[javascript] = connection = Connection(address)
            self.stack.callback(connection.socket.shutdown)
        return self.connections[javascript]

    @contextmanager
    def profile(self, *, javascript=True):
        profile = FirefoxProfile(self._connection(javascript))
        yield profile
        profile.connection.call("browser.removeUserContext", userContext=profile.user)


@contextmanager
def process(preferences):
    """Run a Firefox with an empty profile, and yield the address of its WebSocket."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        folder = pathlib.Path(home, "profile")
        log = pathlib.Path(home, "log")
        folder.mkdir()
        lines = (
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            for name, value in preferences.items()
        )
        (folder / "user.js").write_text("".join(lines))
        command = [
            program("firefox-esr", "firefox"),
            "--headless",
            "--no-remote",
            "--profile",
            str(folder),
        ]
        with log.open("wb") as written:
            # MOZ_...: without it the address of the settings server is ignored.
            firefox = subprocess.Popen(
                [*command, "--remote-debugging-port=0"],
                stdout=written,
                stderr=written,
                env=environment(home, MOZ_REMOTE_SETTINGS_DEVTOOLS="1"),
            )
        with firefox:
            try:
                ready = until(
                    lambda: re.search(r"BiDi listening on (ws://\S+)\n", log.read_text()),
                    "Firefox is ready",
                )
                yield ready[1]
            finally:
                firefox.terminate()


@contextmanager
def running():
    """Run Debian's Firefox with its popup blocker on."""
    with ExitStack() as stack:
        yield Firefox(stack)
