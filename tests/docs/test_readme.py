"""The README shows code that runs: its Python and HTML are those of examples/readme/app.py."""

import ast
import re

import pytest
from support.flows import CODES
from support.paths import CHECKOUT

README = (CHECKOUT / "README.md").read_text("utf-8")
EXAMPLE = (CHECKOUT / "examples" / "readme" / "app.py").read_text("utf-8")


def block(language):
    """Return the README's only block in a language. Python that is not run is marked `py`."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return text


def page():
    """Return the page that the example serves."""
    assignments = [node for node in ast.parse(EXAMPLE).body if isinstance(node, ast.Assign)]
    (value,) = (node.value for node in assignments if getattr(node.targets[0], "id", "") == "HTML")
    return ast.literal_eval(value).decode()


def test_the_python_is_that_of_the_example():
    (region,) = re.findall(
        r"^# README: begin\n(.*?)^# README: end$", EXAMPLE, re.DOTALL | re.MULTILINE
    )
    assert block("python").strip() == region.strip()


def test_the_html_is_that_of_the_page_the_example_serves():
    assert block("html") in page()


def test_every_failure_is_in_the_table():
    assert set(re.findall(r"^\| `(\w+)` \| [A-Z]", README, re.MULTILINE)) - {"secret_key"} >= set(
        CODES
    )


@pytest.mark.parametrize(
    "snippet", re.findall(r"^```py\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
)
def test_the_other_snippets_are_python(snippet):
    ast.parse(snippet)


def test_what_the_readme_links_to_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert "assets/sc-connect.svg" in links
    assert [link for link in links if not (CHECKOUT / link).is_file()] == []
