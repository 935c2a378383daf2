"""The README shows code that runs, and links that work wherever it is shown.

Its site is examples/readme/app.py, which examples/test_use_cases.py serves, and its button is that
of docs/browser.md, which browser/test_browser_docs.py presses.
"""

import ast
import re
from typing import Any

from support.documentation import broken_links_to_the_site, snippets
from support.paths import CHECKOUT
from support.site import KEY, page_of_the_site

from scconnect_wsgi.config import flow_from_env, options_from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores import MemoryStore

README = (CHECKOUT / "README.md").read_text("utf-8")


def block(language):
    """Return the README's only block in a language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return text


def test_the_site_is_the_example():
    example = (CHECKOUT / "examples" / "readme" / "app.py").read_text("utf-8")
    docstring = ast.get_docstring(ast.parse(example), clean=False)
    assert block("python").strip() == example.replace(f'"""{docstring}"""', "").strip()


def test_a_site_with_users_of_its_own(soundcloud, monkeypatch):
    for name, value in {**soundcloud.environ, "SCCONNECT_SECRET_KEY": KEY}.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {
        "Connections": Connections,
        "flow_from_env": flow_from_env,
        "options_from_env": options_from_env,
        "store": MemoryStore(),
        "site": page_of_the_site,
    }
    exec(compile(block("py"), "README.md", "exec"), names)
    soundcloud.connect(names["application"], environ={"REMOTE_USER": "pat"})
    assert [each.account.username for each in names["connections"].of_user("pat")] == ["joe"]


def test_the_button_is_that_of_the_manual():
    assert block("html") == snippets("browser.md", "html")[0]
    assert block("html") == snippets("button.md", "html")[0]


def test_every_link_works_where_a_package_index_shows_it():
    assert re.findall(r"\]\((?!https://)[^)]+\)", README) == []
    assert broken_links_to_the_site(README) == []
