"""Every page that a user sees, on a real site with the middleware and the sandbox.

For tests/browser/test_accessibility.py, which measures them, and tools/contact_sheet.py, which
photographs them.
"""

import contextlib
import html
from types import SimpleNamespace

from scconnect_wsgi import OAuth2, SCConnect
from scconnect_wsgi.demo import start
from scconnect_wsgi.sandbox import Sandbox, serve
from support.flows import CLIENT
from support.windows import decide, log_in, popup_of

KEY = "a secret key that is long enough for a showcase"
# The strictest a site may have
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'"
LABEL = "Connect with SoundCloud"
BUSY = "Waiting for SoundCloud …"
ARABIC = "الاتصال بواسطة ساوندكلاود"
ARABIC_BUSY = "في انتظار ساوندكلاود…"
LONG = "Mit deinem bestehenden SoundCloud-Benutzerkonto verbinden"
LOOKS = ["", "sc-light", "sc-dark", "sc-auto", "sc-small", "sc-disconnect", "sc-dark sc-disconnect"]
PICTURES = [
    "sc-connect",
    "sc-connect-light",
    "sc-connect-dark",
    "sc-connect-small",
    "sc-disconnect",
]
FAILURES = [
    "access_denied",
    "flow_expired",
    "flow_mismatch",
    "flow_finished",
    "wrong_user",
    "not_signed_in",
    "provider_unavailable",
    "provider_error",
    "storage_failed",
    "start_refused",
]
STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 sans-serif; }
body { margin: 0; padding: 1rem; background: #fff; color: #1f1b18; }
h1 { margin: 0 0 1rem; font-size: 1.25rem; }
p { display: flex; flex-wrap: wrap; gap: .75rem 1rem; align-items: center; margin: 0 0 1rem; }
.narrow { width: 13rem; }
@media (prefers-color-scheme: dark) { body { background: #131211; color: #f3efec; } }
"""


def button(looks="", text=LABEL, tag="a", **attributes):
    """Return the markup of a button; an attribute's name is written with _ for -."""
    own = {"href": "/oauth/request_token"} if tag == "a" else {"type": "button"}
    words = " ".join(
        f'{name.replace("_", "-")}="{html.escape(value)}"'
        for name, value in {**own, **attributes}.items()
    )
    return f'<{tag} class="sc-connect-button {looks}" {words}>{text}</{tag}>'


def _rows():
    for looks in LOOKS:
        text = "Disconnect" if "disconnect" in looks else LABEL
        busy = "Disconnecting …" if "disconnect" in looks else BUSY
        ready = button(looks, text, role="button", data_sc_busy=busy)
        waiting = button(looks, text, role="button", data_sc_busy=busy, aria_busy="true")
        yield f'<p data-looks="{looks}">{ready}{waiting}</p>'
    connect = button("", "", aria_label=LABEL)
    disconnect = button("sc-disconnect", "", "button", aria_label="Disconnect")
    disabled = button("", LABEL, "button", disabled="disabled")
    waiting = button("", LABEL, "button", aria_busy="true")
    yield f"<p>{connect}{disconnect}{disabled}{waiting}</p>"
    ready = button("", ARABIC)
    waiting = button("sc-light", ARABIC, aria_busy="true", data_sc_busy=ARABIC_BUSY)
    yield f'<p dir="rtl" lang="ar">{ready}{waiting}</p>'
    yield f'<p class="narrow" lang="de">{button("", LONG)}</p>'


def buttons_page():
    """Return a page with every look and state of the button, as text and as pictures."""
    pictures = "".join(
        f'<img src="/sc-connect/{name}.png" srcset="/sc-connect/{name}@2x.png 2x" alt="{name}">'
        for name in PICTURES
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>The button</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/sc-connect/button.css">'
        '<link rel="stylesheet" href="/style.css"></head>'
        f"<body><main><h1>The button</h1>{''.join(_rows())}<p>{pictures}</p></main></body></html>"
    )


def site(environ, start_response):
    """The wrapped application."""
    pages = {"/": ("text/html", buttons_page()), "/style.css": ("text/css", STYLE)}
    kind, text = pages.get(environ["PATH_INFO"], ("text/plain", ""))
    headers = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Security-Policy", POLICY)]
    start_response("200 OK", headers)
    return [text.encode()]


@contextlib.contextmanager
def running():
    """Run a site, the sandbox and the demo; yield their addresses: url, sandbox and demo."""
    sandbox = Sandbox()
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(serve(sandbox)).url
        flow = OAuth2(*CLIENT, provider=sandbox.oauth2_provider(provider))
        wrapped = SCConnect(
            site, flow, secret_key=KEY, store_token=lambda token, request: {"username": "joe"}
        )
        url = stack.enter_context(serve(wrapped)).url.replace("127.0.0.1", "localhost")
        demo = stack.enter_context(start(0, ["oauth2", "oauth1"]))
        yield SimpleNamespace(url=url, sandbox=provider, demo=demo.url)


def _at(path):
    return lambda page, world: page.goto(world.url + path)


def _in_a_popup(path):
    """Show the page of a popup that the browser does not let us close."""

    def go(page, world):
        page.add_init_script("window.close = () => {}")
        page.goto(f"{world.url}/")
        page.evaluate("window.name = 'sc-connect-1'")
        page.goto(world.url + path)

    return go


def _from_another_site(page, world):
    page.goto(world.sandbox)
    page.evaluate("url => location.assign(url)", f"{world.url}/oauth/request_token")
    page.wait_for_selector("button")


def _ahead_of_a_click(page, world):
    page.set_extra_http_headers({"Purpose": "prefetch"})
    page.goto(f"{world.url}/oauth/request_token")
    page.set_extra_http_headers({})


def _posted(page, world):
    page.goto(f"{world.url}/")
    page.evaluate("document.body.append(document.createElement('form'))")
    form = "document.forms[0].method = 'post'; document.forms[0].action = '/oauth/access_token';"
    page.evaluate(f"() => {{ {form} document.forms[0].submit(); }}")
    page.wait_for_selector("h1:text('Not allowed')")


def _login(page, world):
    page.goto(f"{world.url}/oauth/request_token")
    page.wait_for_selector("#login")


def _wrong_password(page, world):
    _login(page, world)
    page.fill("#username", "joe")
    page.fill("#password", "jo")
    page.click("#login")
    page.wait_for_selector("#problem")


def _signup(page, world):
    _login(page, world)
    page.click("#signup-link")
    page.wait_for_selector("#signup")


def _consent(page, world):
    _login(page, world)
    log_in(page)


def _demo(page, world):
    page.goto(world.demo)


def _demo_connected(page, world):
    page.goto(world.demo)
    decide(popup_of(page, "#oauth2-connect"))
    page.wait_for_selector("#oauth2 .tracks li")


def _demo_on_a_bad_day(page, world):
    _demo_connected(page, world)
    page.check("[value=locked]")
    page.wait_for_selector("#oauth2 .failed")
    # For the pages that are opened later
    page.evaluate("fetch('/day?day=good', {method: 'POST'})")


CLOSE = "/sc-connect/close.html"
PAGES = {  # what it is: how to get there
    "connected": _at(f"{CLOSE}?username=joe"),
    "connected, in a popup": _in_a_popup(f"{CLOSE}?username=joe"),
    "access_denied, in a popup": _in_a_popup(f"{CLOSE}?error=access_denied"),
    "wrong_user, in a popup": _in_a_popup(f"{CLOSE}?error=wrong_user"),
    **{code: _at(f"{CLOSE}?error={code}&error_description=For+developers") for code in FAILURES},
    "another failure": _at(f"{CLOSE}?error=of_tomorrow"),
    "asked first": _from_another_site,
    "400 link": _at("/oauth/request_token?return_to=//evil.example"),
    "400 query": _at("/oauth/access_token?code=%ff"),
    "403": _ahead_of_a_click,
    "404": _at("/sc-connect/nothing"),
    "405": _posted,
    "sandbox log in": _login,
    "sandbox wrong password": _wrong_password,
    "sandbox sign up": _signup,
    "sandbox allow": _consent,
    "demo": _demo,
    "demo connected": _demo_connected,
    "demo on a bad day": _demo_on_a_bad_day,
}
