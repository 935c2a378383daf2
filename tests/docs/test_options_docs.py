"""docs/options.md names every option, with its default."""

import ast
import dataclasses
import inspect
import re

import pytest
from support.documentation import DOCS

import scconnect_wsgi
from scconnect_wsgi.connections import Connections

OPTIONS = (DOCS / "options.md").read_text("utf-8")
MADE_BY_CODE = ["OAuth2", "OAuth2Provider", "OAuth1", "OAuth1Provider", "SCConnect", "Transport"]
THINGS = {name: getattr(scconnect_wsgi, name) for name in MADE_BY_CODE} | {
    "Connections": Connections
}
SCCONNECT = set(inspect.signature(scconnect_wsgi.SCConnect).parameters)
GIVEN_TO_CONNECTIONS = {"flow", "store_token", "identify"}


def section(heading):
    """Return the text below a heading, up to the next one of its kind."""
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", OPTIONS, re.S | re.M)[1]


def documented(heading):
    """Return the defaults in a section's table by the option's name; those without are absent."""
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? *\| \S", section(heading), re.MULTILINE)
    return {name: value_of(cell) if cell else inspect.Parameter.empty for name, cell in rows}


def value_of(cell):
    """Return what a default means: a literal, or a name of the package."""
    is_constant = re.fullmatch("[A-Z][A-Z_0-9]+", cell)
    return getattr(scconnect_wsgi, cell) if is_constant else ast.literal_eval(cell)


def defaults(thing):
    """Return the default of each option by its name."""
    factories = {}
    if dataclasses.is_dataclass(thing):
        factories = {
            field.name: field.default_factory()
            for field in dataclasses.fields(thing)
            if field.default_factory is not dataclasses.MISSING
        }
    parameters = inspect.signature(thing).parameters.values()
    return {each.name: factories.get(each.name, each.default) for each in parameters}


@pytest.mark.parametrize("name", THINGS)
def test_every_option_is_there_with_its_default(name):
    assert documented(name) == defaults(THINGS[name])


def left_out(heading):
    """Return the options of SCConnect that a section says it does not take."""
    (names,) = re.findall(r"but\s+for ([^:]*?)(?:,\s+which|:)", section(heading))
    return set(re.findall(r"`(\w+)`", names))


@pytest.mark.parametrize("method", [Connections.wrap, Connections.login])
def test_what_wrap_and_login_take_of_the_others_is_said(method):
    heading = f"Connections.{method.__name__}"
    parameters = inspect.signature(method).parameters
    passed_on = parameters["options"].annotation.removeprefix("Unpack[").removesuffix("]")
    passed_on = vars(inspect.getmodule(method))[passed_on].__annotations__
    taken = set(parameters) - {"self", "options"} | set(passed_on)
    assert left_out(heading) == SCCONNECT - taken
    assert set(documented(heading)) == taken - SCCONNECT


def test_the_defaults_of_login():
    parameters = inspect.signature(Connections.login).parameters
    assert documented("Connections.login") == {
        name: parameters[name].default for name in ("require", "max_age")
    }
