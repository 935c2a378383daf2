"""The languages of our own pages, a site's own sentences, and the mark of another provider."""

import ast
import json
import re

import pytest
import requests
from support.flows import CLIENT, flow_for
from support.paths import CHECKOUT
from support.site import KEY, Store, page_of_the_site, running_site

from scconnect_wsgi import OAuth2, OAuth2Provider, SCConnect
from scconnect_wsgi.config import from_env
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware import asset_folder, sentences
from scconnect_wsgi.middleware._translations import MAX_HEADER, Translations
from scconnect_wsgi.provider import provider_name

PACKAGE = CHECKOUT / "scconnect_wsgi"
LANGUAGES = {"de", "fr", "es", "pt", "ja"}
NOT_FOUND = {
    "en": "Not found",
    "de": "Nicht gefunden",
    "fr": "Page introuvable",
    "es": "No encontrado",
    "pt": "Não encontrado",
    "ja": "見つかりません",
}
CHOICES = [
    (None, "en"),
    ("", "en"),
    ("de", "de"),
    ("DE-at", "de"),
    ("pt-BR,pt;q=0.9,en-US;q=0.8,en;q=0.7", "pt"),
    ("zh-Hant-TW, ja;q=0.4", "ja"),
    ("en-US,en;q=0.9,de;q=0.8", "en"),
    ("nl,en;q=0.8,de;q=0.7", "en"),
    ("nl, de;q=0.7, en;q=0.1", "de"),
    ("fr;q=0.5, es;q=0.9", "es"),
    ("de;q=0, fr;q=0.1", "fr"),
    ("de;q=0", "en"),
    ("*", "en"),
    ("*;q=0.9, fr;q=0.1", "fr"),
    ("tlh", "en"),
    ("de;q=high", "en"),
    ("\xff\xfe", "en"),
    ("; ,, q=1", "en"),
    (", ".join(["fr"] * MAX_HEADER), "en"),
]


def page(site, language=None, path="/sc-connect/nothing", **headers):
    if language is not None:
        headers["Accept-Language"] = language
    with requests.Session() as session:
        session.trust_env = False
        session.headers.pop("Accept-Language", None)
        return session.get(f"{site.url}{path}", headers=headers, timeout=10)


@pytest.fixture(scope="module")
def site(provider):
    with running_site(flow_for("oauth2", provider.url)) as site:
        yield site


def texts_of(name):
    text = (asset_folder() / name).read_text("utf-8")
    return json.loads(re.search("data-texts='([^']*)'", text)[1] if "data-texts" in text else text)


@pytest.mark.parametrize(("header", "expected"), CHOICES, ids=lambda value: ascii(value)[:30])
def test_the_language_is_the_best_that_the_header_accepts(header, expected):
    assert Translations().language(header).tag == expected


@pytest.mark.parametrize("language", NOT_FOUND)
def test_a_page_is_in_the_language_of_its_user(site, language):
    response = page(site, f"{language}-XX, en;q=0.5")
    assert response.headers["Content-Language"] == language
    assert response.headers["Vary"] == "*"
    text = response.content.decode("utf-8")
    assert f'<html lang="{language}" dir="ltr">' in text
    assert f"<h1>{NOT_FOUND[language]}</h1>" in text


def test_what_is_for_the_developer_stays_english(site):
    response = page(site, "de", "/oauth/request_token?return_to=//evil")
    text = response.content.decode("utf-8")
    assert "Dieser Link ist beschädigt" in text
    assert re.search('<p lang="en" dir="ltr">For the developer of the link: return_to .*</p>', text)
    assert re.search("den Fehler <a .*><code>[0-9a-f]{8}</code></a> an", text)
    english = page(site, "en", "/oauth/request_token?return_to=//evil").text
    assert "<p>Nothing was changed. For the developer of the link: return_to" in english


def test_values_in_a_sentence_are_escaped(provider):
    flow = flow_for("oauth2", provider.url)
    own_page = {"Sec-Fetch-Site": "same-origin", "Origin": "http://a&b", "Host": "a&b"}
    with running_site(flow, base_url="http://localhost:9") as site:
        response = page(site, "de", "/oauth/request_token", **own_page)
    assert "Sie kommen von http://a&amp;b, aber" in response.content.decode("utf-8")
    answer = re.search('name="sc-connect" content="([^"]*)"', response.text)[1]
    assert "error_description=You+came+from" in answer


@pytest.mark.parametrize("name", ["page.json", "close.html"])
def test_every_language_has_every_sentence_with_its_placeholders(name):
    texts = texts_of(name)
    assert set(texts) == LANGUAGES
    for language, translated in texts.items():
        assert set(translated) == set(texts["de"]), language
        for sentence, text in translated.items():
            assert text.strip() == text
            placeholders = re.findall(r"\{\w+\}", sentence)
            assert sorted(set(re.findall(r"\{\w+\}", text))) == sorted(set(placeholders)), text


def sentences_in(call):
    """Return the constant texts that a call shows to users."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    shown = {"Notice": call.args[1:3], "QuietNotice": call.args[1:3], "Message": call.args[:1]}
    shown |= {"LinkNotice": call.args[1:3], "failure": call.args[2:4], "translate": call.args[:1]}
    nodes = shown.get(name, [])
    nodes = [*nodes, *(key.value for key in call.keywords if name in shown and key.arg == "button")]
    return [node.value for node in nodes if isinstance(node, ast.Constant) and node.value]


@pytest.mark.parametrize("room", ["middleware", "login"])
def test_no_page_has_a_sentence_that_is_not_translated(room):
    found = set()
    for path in (PACKAGE / room).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                found |= set(sentences_in(node))
    assert len(found) > 5
    assert found - set(texts_of("page.json")["de"]) == set()


def test_a_site_gives_its_own_sentences_and_languages(provider):
    texts = {
        "en": {"Not found": "Nothing <here>", "Back to the site": "Back for $1 & $title"},
        "de": {"Not found": "Weg", "You are connected": "Läuft"},
        "nl-BE": {"Not found": "Niets gevonden", "You are connected": "'t Is gelukt & klaar"},
        "ar": {"Back to the site": "العودة"},
    }
    with running_site(flow_for("oauth2", provider.url), texts=texts) as site:
        assert "<h1>Nothing &lt;here&gt;</h1>" in page(site, "tlh").text
        assert ">Back for $1 &amp; $title</a>" in page(site, "tlh").text
        assert "<h1>Weg</h1>" in page(site, "de").text
        assert "Unter dieser Adresse gibt es nichts." in page(site, "de").text
        dutch = page(site, "nl-BE, en;q=0.1")
        assert '<html lang="nl-be" dir="ltr">' in dutch.text
        assert "<h1>Niets gevonden</h1>" in dutch.text
        assert "There is nothing at this address." in dutch.text
        assert '<html lang="ar" dir="rtl">' in page(site, "ar").text
        close = page(site, "de", "/sc-connect/close.html")
        assert close.headers["Vary"] == "Accept-Encoding"
        assert "&#x27;t Is gelukt &amp; klaar" in close.text
        assert "Läuft" in close.content.decode("utf-8")
        assert "Fermez cette fenêtre" in close.content.decode("utf-8")


def no_script(text):
    """Return what close.html says without a script, by language."""
    element = re.search(r"<noscript>(.*?)</noscript>", text, re.DOTALL)[1]
    lines = re.findall(r'<p lang="(.*?)" dir="(.*?)">(.*?) <a href="../">(.*?)</a></p>', element)
    assert len(lines) == element.count("<p")
    return {language: tuple(rest) for language, *rest in lines}


def test_without_a_script_the_last_page_speaks_every_language(provider):
    own = {
        "en": {"Back to the site": "Back & on"},
        "de": {"The site shows whether you are connected.": "Sieh nach."},
        "he": {"The site shows whether you are connected.": "א", "Back to the site": "ב"},
        "nl": {"Back to the site": "Terug"},  # half of it would be English
    }
    shown = "The site shows whether you are connected."
    ours = {
        language: ("ltr", texts[shown], texts["Back to the site"])
        for language, texts in texts_of("close.html").items()
    }
    ours["en"] = ("ltr", shown, "Back to the site")
    assert no_script((asset_folder() / "close.html").read_text("utf-8")) == ours
    with running_site(flow_for("oauth2", provider.url), texts=own) as site:
        answer = page(site, path="/sc-connect/close.html")
    assert no_script(answer.content.decode("utf-8")) == {
        **ours,
        "en": ("ltr", shown, "Back &amp; on"),
        "de": ("ltr", "Sieh nach.", "Zurück zur Website"),
        "he": ("rtl", "א", "ב"),
    }


@pytest.mark.parametrize(
    "texts",
    [
        "de",
        ["de"],
        {"de": "Nicht gefunden"},
        {1: {}},
        {"a language": {}},
        {"de": {"No such sentence": "x"}},
        {"de": {"Not found": ""}},
        {"de": {"Not found": 5}},
        {"de": {"Error {id}": "Fehler {code}"}},
    ],
    ids=str,
)
def test_texts_that_cannot_be_used_are_refused(texts):
    flow = flow_for("oauth2", "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError) as refused:
        SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=Store(), texts=texts)
    assert refused.value.option == "texts"


def test_the_texts_can_come_from_a_file(tmp_path):
    path = tmp_path / "texts.json"
    settings = {
        "SCCONNECT_CLIENT_ID": CLIENT[0],
        "SCCONNECT_CLIENT_SECRET": CLIENT[1],
        "SCCONNECT_SECRET_KEY": "a-key-that-is-long-enough-for-a-test-of-texts",
        "SCCONNECT_STORE_TOKEN": "HAND_OVER",
        "SCCONNECT_BASE_URL": "https://app.example",
        "SCCONNECT_TEXTS_FILE": str(path),
    }
    path.write_text(json.dumps({"nl": dict.fromkeys(sentences()[:3], "x")}))
    from_env(page_of_the_site, settings)
    for text in ("{", '{"nl": {"Niets": "x"}}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ConfigurationError) as refused:
            from_env(page_of_the_site, settings)
        assert refused.value.option == "SCCONNECT_TEXTS_FILE"


PROVIDERS = [
    ("https://secure.soundcloud.com", "", "SoundCloud"),
    ("http://127.0.0.1:9", "", "SoundCloud"),
    ("https://provider.example", "", ""),
    ("https://soundcloud.com.example", "", ""),
    ("https://provider.example", "Beispiel & Söhne", "Beispiel & Söhne"),
]


@pytest.mark.parametrize(("root", "name", "expected"), PROVIDERS)
def test_only_soundcloud_has_its_cloud(root, name, expected, browser):
    other = OAuth2Provider(f"{root}/authorize", f"{root}/token", name=name)
    assert provider_name(other) == expected
    with running_site(OAuth2(*CLIENT, provider=other)) as site:
        for path in ("/sc-connect/nothing", "/sc-connect/close.html"):
            text = page(site, "en", path).text
            is_soundcloud = expected == "SoundCloud"
            assert ('class="cloud"' in text) == is_soundcloud
            assert ('class="chain"' in text) != is_soundcloud
            assert "SoundCloud" not in text


@pytest.mark.parametrize("name", ["x" * 61, "two\nlines", None], ids=ascii)
def test_a_name_that_no_page_could_show_is_refused(name):
    with pytest.raises(ConfigurationError) as refused:
        OAuth2Provider("https://a.example/a", "https://a.example/t", name=name)
    assert refused.value.option == "name"
