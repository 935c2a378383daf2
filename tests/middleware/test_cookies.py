"""The flow's cookie: lines 13, 16, 17, 19 and 49 of the list of threats."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
from http.cookies import SimpleCookie
from typing import Any

import pytest
from itsdangerous import Signer, TimestampSigner, URLSafeSerializer, URLSafeTimedSerializer
from support.browser import ARRIVAL, CLICK
from support.flow_cookies import AUDIENCE, BASE, PENDING, issued, kept, named, set_cookies
from support.flows import flow_for, nobody_asked
from support.responses import landed, query
from support.site import JOE, KEY, Store, page_of_the_site, running_site
from support.windows import opened

from scconnect_wsgi import OAuth1, OAuth2, SCConnect
from scconnect_wsgi.errors import ConfigurationError, FlowExpired, FlowFinished, ProviderError
from scconnect_wsgi.middleware._cookies import MAX_FLOWS, FlowCookies
from scconnect_wsgi.sandbox import Sandbox, serve

PROTOCOLS = ("oauth1", "oauth2")
FLOW_ID = {"oauth1": "oauth_token", "oauth2": "state"}
SALT = f"scconnect_wsgi flow cookie {AUDIENCE}"
FOREIGN = [
    'x="\\377\\000"',
    "x=\xff\xfe",
    "=",
    ";;;",
    "scconnect-",
    'a="b',
    "x=\x01",
    "a b=c d",
    "__Host-scconnect-=..",
    'scconnect-finished="\\377"',
    "scconnect-finished=..\xe9..",
    "scconnect-0123456789abcdef01234567=a.b",
]


@pytest.fixture(scope="module", params=PROTOCOLS)
def protocol(request):
    return request.param


@pytest.fixture
def flow(protocol, provider):
    return flow_for(protocol, provider.url)


def under_way(header):
    return re.findall(r"scconnect-[0-9a-f]{24}(?==)", header)


def cookies(key=KEY, audience=AUDIENCE, max_age=600, clock=time.time):
    return FlowCookies(key, audience, max_age, clock=clock)


def packed(content):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signer_of(key=KEY, salt=SALT):
    return Signer(key, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)


def signed(content, key=KEY, salt=SALT, flow_id="an id"):
    """Return the Cookie header that another host, or another program with this key, would make."""
    pair = f"{named(flow_id)}={packed(content)}"
    signature = signer_of(key, salt).get_signature(pair).decode()
    return f"{pair}; {named(flow_id)}-signature={signature}"


def created(ago, flow_id="an id"):
    """Return the Cookie header of a flow that began so many seconds ago."""
    return signed([int((time.time() - ago) * 1_000_000), BASE, "", PENDING], flow_id=flow_id)


@pytest.mark.threat(16)
def test_threat_16_on_https_the_cookie_is_locked_to_the_host(browser, protocol):
    root = "https://app.example/shop"
    sandbox = Sandbox(redirect_uris=[root + "/oauth/access_token"])
    with (
        serve(sandbox) as server,
        running_site(flow_for(protocol, server.url), base_url=root) as site,
    ):
        values = set_cookies(browser.get(site.start))
    assert len(values) == 2
    for value in values:
        assert value.startswith("__Host-Http-scconnect-")
        attributes = [part.strip().lower() for part in value.split(";")[1:]]
        assert {"secure", "httponly", "samesite=lax", "path=/", "max-age=600"} <= set(attributes)
        assert not [attribute for attribute in attributes if attribute.startswith("domain")]


@pytest.mark.threat(16)
def test_threat_16_on_http_the_cookie_is_hidden_from_scripts_all_the_same(browser, flow):
    with running_site(flow) as site:
        values = set_cookies(browser.get(site.start))
    assert len(values) == 2
    for value in values:
        assert value.startswith("scconnect-")
        attributes = [part.strip().lower() for part in value.split(";")[1:]]
        assert {"httponly", "samesite=lax", "path=/", "max-age=600"} <= set(attributes)
        assert "secure" not in attributes


@pytest.mark.threat(16)
def test_threat_16_removals_carry_the_same_attributes_or_browsers_ignore_them(browser, protocol):
    root = "https://app.example"
    sandbox = Sandbox(redirect_uris=[root + "/oauth/access_token"])
    with (
        serve(sandbox) as server,
        running_site(flow_for(protocol, server.url), base_url=root) as site,
    ):
        answer = browser.get(site.start)
        back = browser.decide(answer.headers["Location"]).replace(root, site.url)
        ended = browser.get(back, **{**ARRIVAL, "Cookie": kept(set_cookies(answer))})
    assert landed(ended) == JOE
    for value in set_cookies(ended):
        (morsel,) = SimpleCookie(value).values()
        assert morsel.key.startswith("__Host-Http-scconnect-")
        assert (morsel["secure"], morsel["path"], morsel["domain"]) == (True, "/", "")
    assert sum("max-age=0" in value.lower() for value in set_cookies(ended)) == 2


@pytest.mark.threat(16)
@pytest.mark.parametrize("age", [0, -1, 901, 3600])
def test_threat_16_a_site_cannot_allow_more_than_15_minutes(age):
    with pytest.raises(ConfigurationError) as caught:
        cookies(max_age=age)
    assert caught.value.option == "cookie_max_age"


@pytest.mark.threat(16)
def test_threat_16_the_longest_tokens_of_providers_fit(browser, protocol):
    root = "https://app.example"
    sandbox = Sandbox(redirect_uris=[root + "/oauth/access_token"], misbehave=["long-tokens"])
    with (
        serve(sandbox) as server,
        running_site(flow_for(protocol, server.url), base_url=root) as site,
    ):
        header = kept(set_cookies(browser.get(site.start)))
    assert header.startswith("__Host-")
    assert len(header) < 4096


@pytest.mark.threat(16)
def test_threat_16_what_cannot_be_kept_is_an_error_at_the_start_and_no_broken_cookie():
    noise = base64.b85encode(hashlib.shake_256(b"noise").digest(8000)).decode()
    with pytest.raises(ProviderError, match="too long"):
        cookies().issue("", "an id", BASE, "", {"token": noise})


@pytest.mark.threat(17)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_threat_17_flows_in_several_tabs_finish_in_any_order(browser, flow, order):
    with running_site(flow) as site:
        backs = [browser.decide(browser.click(site)) for _ in range(3)]
        for tab in order:
            assert landed(browser.get(backs[tab], **ARRIVAL)) == JOE
        assert len(site.store.tokens) == 3
    assert [cookie.name for cookie in browser.session.cookies if under_way(cookie.name + "=")] == []


@pytest.mark.threat(17)
def test_threat_17_more_flows_than_the_limit_drop_the_oldest(browser, flow):
    with running_site(flow) as site:
        backs = [browser.decide(browser.click(site)) for _ in range(MAX_FLOWS + 2)]
        assert (
            len([cookie for cookie in browser.session.cookies if under_way(cookie.name + "=")])
            == MAX_FLOWS
        )
        errors = [landed(browser.get(back, **ARRIVAL)).get("error") for back in backs]
    assert errors == ["flow_mismatch"] * 2 + [None] * MAX_FLOWS


@pytest.mark.threat(17)
def test_threat_17_of_flows_begun_within_a_second_the_oldest_go_whatever_the_order_of_the_header():
    maker = cookies()
    header = ""
    for number in range(MAX_FLOWS + 3):
        header = issued(
            maker, f"flow {number}", "; ".join(reversed(header.split("; "))) if header else ""
        )
    assert sorted(under_way(header)) == sorted(
        named(f"flow {number}") for number in range(3, MAX_FLOWS + 3)
    )


@pytest.mark.threat(17)
@pytest.mark.parametrize(
    "how", [None, "access_denied", "provider_error"], ids=["success", "refusal", "failure"]
)
def test_threat_17_the_cookie_goes_away_however_it_ends(browser, flow, how):
    with running_site(flow) as site:
        back = browser.decide(browser.click(site), "deny" if how == "access_denied" else "allow")
        if how == "provider_error":
            back = re.sub("(oauth_verifier|code)=[^&]*", r"\1=wrong", back)
        assert (
            len([cookie for cookie in browser.session.cookies if under_way(cookie.name + "=")]) == 1
        )
        assert landed(browser.get(back, **ARRIVAL)).get("error") == how
    names = {cookie.name for cookie in browser.session.cookies}
    assert names == {"scconnect-finished", "sandbox_session"}


@pytest.mark.threat(17)
@pytest.mark.parametrize(
    "path",
    ["?state=forged&code=x", "?oauth_token=forged&oauth_verifier=x", "", "?error=access_denied"],
)
def test_threat_17_a_forged_callback_does_not_end_the_flow_under_way(browser, flow, path):
    with running_site(flow) as site:
        back = browser.decide(browser.click(site))
        assert landed(browser.get(site.callback + path, **ARRIVAL))["error"] == "flow_mismatch"
        assert landed(browser.get(back, **ARRIVAL)) == JOE


@pytest.mark.threat(17)
def test_threat_17_only_a_few_ends_are_remembered():
    maker = cookies()
    header = ""
    for number in range(MAX_FLOWS + 4):
        header = kept(maker.end(header, f"flow {number}", False), header)
    assert len(header.partition("=")[2].split(".")) == MAX_FLOWS
    with pytest.raises(FlowFinished):
        maker.read(header, f"flow {MAX_FLOWS + 3}", False)
    with pytest.raises(FlowExpired):
        maker.read(header, "flow 0", False)


@pytest.mark.threat(19)
@pytest.mark.parametrize("foreign", FOREIGN, ids=ascii)
@pytest.mark.parametrize(
    "place", ["{foreign}; {ours}", "{ours}; {foreign}", "{foreign};{ours};{foreign}"]
)
def test_threat_19_a_foreign_broken_cookie_cannot_hide_ours(foreign, place):
    header = place.format(foreign=foreign, ours=issued(cookies()))
    assert cookies().read(header, "an id", False).pending == PENDING
    assert len(cookies().issue(header, "another", BASE, "", PENDING)) == 2


@pytest.mark.threat(19)
@pytest.mark.parametrize("foreign", ['"\\377\\000"', "\xff\xfe", "a.b", "=;="], ids=ascii)
def test_threat_19_over_the_wire_a_foreign_broken_cookie_changes_nothing(browser, flow, foreign):
    with running_site(flow) as site:
        broken = f"x={foreign}".encode("latin-1")
        answer = browser.get(site.start, **{**CLICK, "Cookie": broken})
        assert answer.status_code == 303
        back = browser.decide(answer.headers["Location"])
        ours = kept(set_cookies(answer)).encode()
        assert landed(browser.get(back, **{**ARRIVAL, "Cookie": broken + b"; " + ours})) == JOE


@pytest.mark.threat(19)
def test_threat_19_a_cookie_of_the_same_name_that_is_not_ours_cannot_hide_ours():
    ours = issued(cookies())
    for tossed in ("=tossed.signature", "-signature=tossed", "=tossed", "="):
        header = f"{named('an id')}{tossed}; {ours}"
        assert cookies().read(header, "an id", False).pending == PENDING


@pytest.mark.threat(19)
def test_threat_19_a_flow_that_took_too_long_is_refused_without_a_call(
    browser, provider, protocol, flow
):
    began_61_seconds_ago = cookies(
        audience=flow.audience, max_age=60, clock=lambda: time.time() - 61
    )
    with running_site(flow, cookie_max_age=60) as site:
        back = browser.decide(browser.click(site))
        flow_id = query(back)[FLOW_ID[protocol]]
        cookie = issued(began_61_seconds_ago, flow_id, base=site.url)
        with nobody_asked(provider):
            late = browser.get(back, **{**ARRIVAL, "Cookie": cookie})
    assert landed(late)["error"] == "flow_expired"
    assert set_cookies(late) == [
        f"{named(flow_id)}{which}=; HttpOnly; Max-Age=0; Path=/; SameSite=Lax"
        for which in ("", "-signature")
    ]


@pytest.mark.threat(19)
def test_threat_19_a_flow_lives_as_long_as_max_age_says():
    now = 1_800_000_000.0
    header = issued(cookies(clock=lambda: now))
    assert cookies(clock=lambda: now + 600).read(header, "an id", False).pending == PENDING
    with pytest.raises(FlowExpired):
        cookies(clock=lambda: now + 600.001).read(header, "an id", False)


@pytest.mark.threat(19)
@pytest.mark.parametrize(
    "ago", [0, 590, -55], ids=["now", "ten minutes almost", "a clock 55 s ahead"]
)
def test_threat_19_what_another_host_began_is_finished_here(ago):
    assert cookies().read(created(ago), "an id", False).pending == PENDING


@pytest.mark.threat(19)
@pytest.mark.parametrize(
    "ago", [601, 86_400, -70, -86_400], ids=["too old", "a day", "70 s ahead", "tomorrow"]
)
def test_threat_19_what_is_too_old_or_too_far_in_the_future_is_refused(ago):
    with pytest.raises(FlowExpired):
        cookies().read(created(ago), "an id", False)


@pytest.mark.threat(19)
def test_threat_19_flows_that_are_too_old_do_not_count_against_the_limit():
    old = "; ".join(created(601, f"old {number}") for number in range(MAX_FLOWS))
    assert len(cookies().issue(old, "an id", BASE, "", PENDING)) == 2


OLDER = "older secret key, as long as a key has to be"
OLD = "old secret key, as long as a key has to be"
NEW = "new secret key, as long as a key has to be"
NEWER = "newer secret key, as long as a key has to be"


@pytest.mark.threat(19)
def test_threat_19_keys_rotate_and_a_removed_key_is_refused():
    made = issued(cookies(OLD))
    assert cookies([OLD, NEW]).read(made, "an id", False).pending == PENDING
    assert cookies([OLDER, OLD]).read(issued(cookies([OLDER, OLD])), "an id", False)
    assert cookies(NEW).read(issued(cookies([OLD, NEW])), "an id", False).pending == PENDING, (
        "the newest signs"
    )
    for keys in (NEW, [NEWER, NEW]):
        with pytest.raises(FlowExpired, match="secret_key"):
            cookies(keys).read(made, "an id", False)


@pytest.mark.threat(19)
def test_threat_19_over_the_wire_a_rotated_key_finishes_and_a_removed_one_does_not(
    browser, provider, flow
):
    with running_site(flow, secret_key=OLD, base_url=BASE) as site:
        answers = [browser.get(site.start) for _ in range(2)]
    backs = [browser.decide(answer.headers["Location"]).removeprefix(BASE) for answer in answers]
    outcomes = []
    for keys, answer, back in zip(([NEW], [OLD, NEW]), answers, backs, strict=True):
        with running_site(flow, secret_key=keys, base_url=BASE) as site:
            ended = browser.get(site.url + back, **{**ARRIVAL, "Cookie": kept(set_cookies(answer))})
            outcomes.append(landed(ended).get("error"))
    assert outcomes == ["flow_expired", None]


@pytest.mark.threat(19)
@pytest.mark.parametrize("keys", ["", b"", [], [""], [KEY, ""], [None], 5 * [3]])
def test_threat_19_a_key_that_is_none_is_refused_at_once(keys):
    with pytest.raises(ConfigurationError) as caught:
        cookies(keys)
    assert caught.value.option == "secret_key"


@pytest.mark.threat(19)
@pytest.mark.parametrize(
    "several", [lambda key: key, lambda key: [key, KEY], lambda key: (KEY, key)]
)
@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("x", "at least 32 characters"),
        (b"x", "at least 32 characters"),
        ("a key of 31 characters, no more", "at least 32 characters"),
        ("abcde" * 7, "6 different characters"),
        (b"abcde" * 7, "6 different characters"),
        ("\ud800bcdefghi" * 4, "UTF-8"),
    ],
    ids=ascii,
)
def test_threat_19_a_key_that_can_be_guessed_is_refused_at_once(key, words, several):
    with pytest.raises(ConfigurationError) as caught:
        cookies(several(key))
    assert caught.value.option == "secret_key"
    assert re.search(rf"{words}.*`scconnect secret`", caught.value.problem)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.threat(19)
@pytest.mark.parametrize(
    "key",
    [
        bytes(range(255, 128, -3)),
        os.urandom(32),
        "abcd1234-efgh5678-ijkl9012-mnop3456",
        b"abcd1234-efgh5678-ijkl9012-mnop3456",
    ],
    ids=type,
)
def test_threat_19_a_random_key_of_bytes_and_the_weakest_that_pass(key):
    assert cookies(key).read(issued(cookies([KEY, key])), "an id", False).pending == PENDING


@pytest.mark.threat(19)
@pytest.mark.parametrize("key", ["id", "secret"])
@pytest.mark.parametrize(
    "several",
    [
        lambda key: key,
        lambda key: [key, KEY],
        lambda key: (KEY, key),
        str.encode,
        lambda key: [key.encode()],
    ],
)
def test_threat_19_what_the_provider_knows_is_no_key(protocol, key, several):
    client = {
        "id": "Client0123456789abcdefghijklmnopqrst",
        "secret": "Secret0123456789abcdefghijklmnopqrst",
    }
    flow = {"oauth1": OAuth1, "oauth2": OAuth2}[protocol](client["id"], client["secret"])
    with pytest.raises(ConfigurationError) as caught:
        SCConnect(page_of_the_site, flow, secret_key=several(client[key]), store_token=Store())
    assert caught.value.option == "secret_key"
    assert re.search("must not be the client secret.* client id", caught.value.problem)
    assert client[key] not in str(caught.value)
    SCConnect(page_of_the_site, flow, secret_key=several(client[key][::-1]), store_token=Store())


class FlowOfSomebodyElse:
    """A third protocol, which has only the five names that the contract asks for."""

    name = "OAuth 3"
    audience = "oauth3 somewhere"
    begin: Any = None
    flow_id: Any = None
    finish: Any = None


@pytest.mark.threat(19)
def test_threat_19_a_flow_of_somebody_else_need_not_tell_its_secrets():
    SCConnect(page_of_the_site, FlowOfSomebodyElse(), secret_key=KEY, store_token=Store())


STRANGE = {
    "no list": b"5",
    "null": b"null",
    "too few fields": b'["a"]',
    "a list where a mapping was": b'[1, "", "", [], ""]',
    "a torn zlib stream": b"x\x9c\x00",
    "not UTF-8": b'["\xff"]',
    "nothing": b"",
}


@pytest.mark.threat(19)
@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE)
def test_threat_19_a_signed_cookie_of_another_version_is_refused_not_a_crash(content):
    with pytest.raises(FlowExpired):
        cookies().read(signed(content), "an id", False)
    assert len(cookies().issue(signed(content), "another", BASE, "", PENDING)) == 2


@pytest.mark.threat(13)
def test_threat_13_a_cookie_of_another_audience_or_purpose_is_refused():
    good = [time.time_ns() // 1000, BASE, "", PENDING]
    assert cookies().read(signed(good), "an id", False).pending == PENDING
    sessions = [signer(KEY).dumps(good) for signer in (URLSafeSerializer, URLSafeTimedSerializer)]
    sessions += [TimestampSigner(KEY).sign(json.dumps(good)).decode()]
    others = [f"{named('an id')}={session}" for session in sessions]
    others += [
        issued(cookies()) + "x",
        issued(cookies()).replace("; ", "x; "),
        issued(cookies(audience=AUDIENCE + "2")),
        signed(good, salt="x"),
        signed(good, key=KEY + "x"),
    ]
    for other in others:
        with pytest.raises(FlowExpired):
            cookies().read(other, "an id", False)


BYTES = [chr(number) for number in range(256)]
ODD = [*BYTES, *(first + second for first in BYTES for second in BYTES)]
PLACES = {"in front": "{odd}{name}={value}", "behind": "{name}{odd}={value}"}
HTTPS = "https://app.example"
SCHEMES = pytest.mark.parametrize("base", [BASE, HTTPS], ids=["http", "https"])
BESIDE = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


def odd_names(cookie, place):
    """Return a Cookie header with each cookie under many names, none of which is its own.

    Each name has one or two more bytes at one end.
    """
    pairs = [pair.partition("=") for pair in cookie.split("; ")]
    made = [
        (name, place.format(odd=odd, name=name, value=value))
        for odd in ODD
        for name, _, value in pairs
    ]
    # Some bytes only separate two cookies, or a name from its value, and change no name
    return "; ".join(pair for name, pair in made if name not in map(name_of, pair.split(";")))


def name_of(pair):
    return pair.strip(" \t").partition("=")[0]


@pytest.mark.slow
@pytest.mark.threat(49)
@SCHEMES
@BESIDE
def test_threat_49_no_other_name_is_that_of_a_flow(base, place):
    ours = issued(cookies(), base=base)
    secure = base == HTTPS
    with pytest.raises(FlowExpired):
        cookies().read(odd_names(ours, place), "an id", secure)
    assert cookies().read(f"{odd_names(ours, place)};\t {ours}", "an id", secure).pending == PENDING


@pytest.mark.slow
@pytest.mark.threat(49)
@SCHEMES
@BESIDE
def test_threat_49_no_other_name_is_that_of_the_flows_that_ended(base, place):
    secure = base == HTTPS
    ended = kept(cookies().end("", "an id", secure))
    with pytest.raises(FlowFinished):
        cookies().read(f"a=b;\t {ended}", "an id", secure)
    with pytest.raises(FlowExpired):
        cookies().read(odd_names(ended, place), "an id", secure)


@pytest.mark.slow
@pytest.mark.threat(49)
@SCHEMES
@BESIDE
def test_threat_49_no_other_name_counts_as_a_flow_under_way(base, place):
    flows = [issued(cookies(), f"flow {number}", base=base) for number in range(MAX_FLOWS)]
    # They would have too many bytes
    header = odd_names(flows[0], place)
    assert len(cookies().issue(header, "an id", base, "", PENDING)) == 2
    assert len(cookies().issue("; ".join(flows), "an id", base, "", PENDING)) == 4


@pytest.mark.threat(49)
@pytest.mark.parametrize("odd", [b"\xa0", b"\x85", b"\x1c", b"\x1d", b"\x1e", b"\x1f"], ids=ascii)
def test_threat_49_a_cookie_that_another_host_could_set_connects_nobody(browser, protocol, odd):
    sandbox = Sandbox(redirect_uris=[HTTPS + "/oauth/access_token"])
    with (
        serve(sandbox) as server,
        running_site(flow_for(protocol, server.url), base_url=HTTPS) as site,
    ):
        answer = browser.get(site.start)
        cookie = kept(set_cookies(answer)).encode()
        back = browser.decide(answer.headers["Location"]).replace(HTTPS, site.url)
        with nobody_asked(sandbox):
            for before in (b"", b"theme=dark; ", b"theme=dark;"):
                theirs = browser.get(back, **{**ARRIVAL, "Cookie": before + odd + cookie})
                assert landed(theirs)["error"] == "flow_expired"
        assert landed(browser.get(back, **{**ARRIVAL, "Cookie": cookie})) == JOE


@pytest.mark.threat(49)
@pytest.mark.browser
@pytest.mark.parametrize("odd", ["\xa0", "\x85"], ids=ascii)
def test_threat_49_what_another_host_of_the_domain_sets_in_chromium_connects_nobody(
    context, browser, odd
):
    """Chromium resolves every name below localhost to this machine, and trusts it like https."""
    hosts = {}
    store = Store()

    def app(environ, start_response):
        return hosts[environ["HTTP_HOST"].partition(":")[0]](environ, start_response)

    with (
        serve(app) as server,
        serve(Sandbox(redirect_uris=[https(server) + "/oauth/access_token"])) as provider,
    ):
        root = https(server)
        flow = flow_for("oauth2", provider.url)
        visited = root.replace("https", "http")
        site = SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=store, base_url=root)
        hosts["site.localhost"] = hosts["localhost"] = site
        started = browser.get(f"http://localhost:{server.port}/oauth/request_token")
        cookies = kept(set_cookies(started)).split("; ")
        hosts["evil.site.localhost"] = setting(
            *(f"{odd}{cookie}; Domain=site.localhost; Path=/; Secure" for cookie in cookies)
        )
        back = browser.decide(started.headers["Location"]).replace(root, visited)

        page = opened(context, f"{visited.replace('site', 'evil.site', 1)}/")
        names = tuple(cookie.partition("=")[0] for cookie in cookies)
        found = [one for one in context.cookies(visited) if one["name"].endswith(names)]
        assert [one["domain"] for one in found] == [".site.localhost"] * len(cookies)
        page.goto(back)
        assert query(page.url)["error"] == "flow_expired"
        assert store.tokens == []


def https(server):
    return f"https://site.localhost:{server.port}"


def setting(*cookies):
    """Return an application that sets cookies."""

    def app(environ, start_response):
        headers = [("Set-Cookie", cookie) for cookie in cookies]
        start_response(
            "200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4"), *headers]
        )
        return [b"evil"]

    return app


@pytest.mark.threat(16)
@pytest.mark.parametrize("secure", [True, False])
def test_threat_16_a_cookie_of_the_other_scheme_is_not_taken(secure):
    header = issued(cookies(), base="http://localhost" if secure else "https://app.example")
    with pytest.raises(FlowExpired):
        cookies().read(header, "an id", secure)
