"""Which module may import which, what an import of the package costs, and how long a piece may be."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

import scconnect_wsgi

PACKAGE = pathlib.Path(scconnect_wsgi.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Imports point one way: each room, and the rooms of this package that it may know. A room is a module, or a
# folder with all that is in it. A new one is entered here on purpose, or the tests fail.
CORE = {
    "errors": set(),
    "urls": {"errors"},
    "provider": {"errors", "urls"},
    "flow": {"errors"},
    "keys": {"errors"},
    "strict": set(),
    "deadline": {"strict"},
    "tls": {"errors"},
    "failures": {"errors", "tls"},
    "transport": {"deadline", "errors", "failures", "flow", "provider", "strict", "tls", "urls"},
    "oauth1": {"errors", "flow", "keys", "provider", "transport", "urls"},
    "oauth2": {"errors", "flow", "keys", "provider", "transport", "urls"},
    "encryption": {"errors", "keys"},
    "cookies": {"encryption", "errors", "flow", "keys", "urls"},  # encryption for the type checker alone
    "guard": {"errors", "flow", "urls"},
    "static": set(),
    "once": set(),
    "redaction": {"flow"},
    "responses": {"static"},
    "site": {"errors", "flow", "redaction", "responses", "urls"},
    "middleware": {"cookies", "encryption", "errors", "flow", "guard", "once", "responses", "site", "static", "urls"},
}
ALLOWED = {
    **CORE,
    "__init__": set(CORE),
    "assets": set(),
    "account": {"provider", "urls"},
    "refresh": {"errors", "flow", "oauth1", "oauth2", "stores"},
    "calls": {"errors", "oauth1", "oauth2", "refresh", "stores", "strict", "tls", "transport", "urls"},
    "session": {"account", "calls", "errors", "oauth1", "oauth2", "stores", "transport"},
    "endpoint": {"errors", "redaction", "stores", "urls"},
    "connections": {
        *("account", "calls", "endpoint", "errors", "flow", "oauth1", "oauth2"),
        *("redaction", "refresh", "session", "stores", "transport"),
    },
    "stores": {"account", "encryption", "errors", "flow", "stores"},  # encryption for the type checker alone
    "sandbox": {"errors", "provider", "sandbox", "urls"},
    "testing": {"sandbox", *CORE},
    "demo": {"__init__", "demo", "sandbox", *CORE},
    "options": {"__init__", *CORE},
    "config": {"__init__", "options", *CORE},
    "cli": {"__init__", "config", "demo", "sandbox", *CORE},
    "__main__": {"cli"},
}
# What comes from outside and is kept to a few rooms.
OUTSIDE = {
    "requests": {"calls", "session", "tls", "transport"},
    "urllib3": {"deadline", "failures", "strict", "transport"},
    "certifi": {"calls", "transport"},
    "redis": {"stores"},
    "sqlalchemy": {"stores"},
    "webob": {"connections", "demo", "endpoint", "middleware", "sandbox", "site", "testing"},
}
NOT_BY_IMPORTING_THE_PACKAGE = {
    *("scconnect_wsgi.cli", "scconnect_wsgi.config", "scconnect_wsgi.demo", "scconnect_wsgi.sandbox"),
    *("scconnect_wsgi.encryption", "scconnect_wsgi.options"),
    *("scconnect_wsgi.connections", "scconnect_wsgi.session", "scconnect_wsgi.stores"),
    "scconnect_wsgi.testing",
    *("cryptography", "jwt", "redis", "sqlalchemy", "sqlite3", "wsgiref"),
}
MODULE_LINES = 300
FUNCTION_LINES = 40


def room(path: pathlib.Path) -> str:
    """The table's name for a file: that of the module, or of the folder that it is in."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(source: str) -> set[str]:
    """Every module that a source names in an import, those for the type checker alone included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno} is a relative import")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}  # what of it is a module, `rooms` knows
    return names


def rooms(names: set[str]) -> set[str]:
    """The rooms of this package among imported names; a name of the package itself is in `__init__`."""
    known = {*ALLOWED, *map(room, MODULES)}
    inside = {name.split(".")[1] if "." in name else "" for name in names if name.split(".")[0] == "scconnect_wsgi"}
    return {name if name in known else "__init__" for name in inside}


def named(paths: list[pathlib.Path]) -> list:
    return [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in paths]


def test_every_module_has_its_line_in_the_table():
    assert {room(path) for path in MODULES} <= set(ALLOWED)


def test_the_table_points_one_way():
    known = set()
    for name, allowed in CORE.items():  # written in this order: each line uses only what stands above it
        assert allowed <= known, name
        known.add(name)


@pytest.mark.parametrize("path", named(MODULES))
def test_a_module_imports_only_what_the_table_allows(path):
    assert rooms(imported(path.read_text("utf-8"))) <= ALLOWED[room(path)]


@pytest.mark.parametrize("path", named(MODULES))
def test_a_module_keeps_out_of_what_belongs_to_others(path):
    outside = {name.partition(".")[0] for name in imported(path.read_text("utf-8"))}
    assert {name for name in outside if room(path) not in OUTSIDE.get(name, {room(path)})} == set()


@pytest.mark.parametrize("path", named(MODULES))
def test_a_module_is_one_idea_and_a_function_one_thing(path):
    source = path.read_text("utf-8")
    lines = len(source.splitlines())
    functions = [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert lines <= MODULE_LINES
    assert [(name, length) for name, length in functions if length > FUNCTION_LINES] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("from scconnect_wsgi.flow import Flow", {"flow"}, id="a name of a module"),
        pytest.param("import scconnect_wsgi.flow as f", {"flow"}, id="a module under another name"),
        pytest.param("from scconnect_wsgi import errors", {"errors"}, id="a module of the package"),
        pytest.param("from scconnect_wsgi import SCConnect", {"__init__"}, id="a public name"),
        pytest.param("import scconnect_wsgi", {"__init__"}, id="the package"),
        pytest.param("def f():\n    import scconnect_wsgi.sandbox.web", {"sandbox"}, id="inside a function"),
        pytest.param("if TYPE_CHECKING:\n    from scconnect_wsgi.cli import main", {"cli"}, id="for the type checker"),
        pytest.param("import requests.adapters, json", set(), id="another package"),
    ],
)
def test_the_reader_of_imports_sees(source, expected):
    assert rooms(imported(source)) == expected


def test_the_reader_of_imports_refuses_relative_ones():
    with pytest.raises(ValueError, match="line 1 is a relative import"):
        imported("from .flow import Flow")


def test_importing_the_package_costs_nothing_that_is_not_used():
    script = "import json, sys, scconnect_wsgi; print(json.dumps(list(sys.modules)))"
    # Started beside the package, it is this one that is imported.
    answer = subprocess.check_output([sys.executable, "-c", script], text=True, cwd=PACKAGE.parent)
    modules = set(json.loads(answer))
    assert "scconnect_wsgi.errors" in modules
    assert modules & NOT_BY_IMPORTING_THE_PACKAGE == set()
