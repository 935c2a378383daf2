"""Which room of the package may import which, and what an import of the package costs."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import pytest

import scconnect_wsgi

PACKAGE = pathlib.Path(scconnect_wsgi.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room is a module, or a folder with all that is in it. Each line says exactly which other rooms
# it imports, those for the type checker included, and names only rooms above it: so imports point
# one way. The assets are the folder of the browser files, which is a package to be installed, and
# imports nothing.
ROOMS = {
    "assets": set(),
    "documentation": set(),
    "errors": {"documentation"},
    "numeric": set(),
    "redaction": set(),
    "events": {"redaction"},
    "token": {"numeric", "redaction"},
    "keys": {"errors"},
    "urls": {"errors"},
    "query": set(),
    "users": set(),
    "callables": {"errors"},
    "nesting": set(),
    "provider": {"errors", "redaction", "urls"},
    "account": set(),
    "encryption": {"errors", "keys", "redaction"},
    "transport": {"errors", "numeric", "redaction", "urls"},
    "flow": {"provider", "token", "transport"},  # the latter for the type checker only
    "protocols": {
        "errors",
        "flow",
        "keys",
        "nesting",
        "numeric",
        "provider",
        "query",
        "redaction",
        "token",
        "transport",
    },
    "middleware": {
        "documentation",
        "callables",
        "encryption",
        "errors",
        "events",
        "flow",
        "keys",
        "numeric",
        "provider",
        "query",
        "redaction",
        "token",
        "urls",
        "users",
    },
    "login": {
        "account",
        "encryption",  # for the type checker only
        "errors",
        "middleware",
        "numeric",
        "query",
        "redaction",
        "urls",
    },
    "__init__": {"errors", "middleware", "protocols", "provider", "token", "transport"},
    "stores": {"account", "encryption", "errors", "keys", "nesting", "redaction", "token"},
    "django": {"encryption", "errors", "middleware", "redaction", "stores"},
    "connections": {
        "account",
        "callables",
        "encryption",  # for the type checker only
        "errors",
        "events",
        "flow",
        "keys",
        "login",
        "middleware",
        "numeric",
        "provider",
        "query",
        "redaction",
        "stores",
        "token",
        "transport",
        "urls",
        "users",
    },
    "config": {
        "connections",
        "encryption",
        "errors",
        "keys",
        "middleware",
        "protocols",
        "provider",
        "redaction",
        "stores",
        "transport",
        "urls",
    },
    "sandbox": {"errors", "provider", "query", "urls"},
    "testing": {"account", "errors", "protocols", "provider", "sandbox", "stores", "token"},
    "demo": {"__init__", "connections", "errors", "flow", "sandbox", "stores"},
    "check": {"documentation", "config", "errors", "flow", "middleware", "transport", "urls"},
    "cli": {"check", "config", "demo", "errors", "sandbox", "stores", "urls"},
    "__main__": {"cli"},
}
# What comes from outside and is kept to a few rooms.
OUTSIDE = {
    "django": {"django"},
    "requests": {"check", "connections", "demo", "transport"},
    "urllib3": {"transport"},
    "certifi": {"transport"},
    "redis": {"stores"},
    "sqlalchemy": {"stores"},
    "webob": {"connections", "demo", "django", "login", "middleware", "sandbox", "testing"},
}
NOT_BY_IMPORTING_THE_PACKAGE = {
    "scconnect_wsgi.check",
    "scconnect_wsgi.cli",
    "scconnect_wsgi.config",
    "scconnect_wsgi.connections",
    "scconnect_wsgi.demo",
    "scconnect_wsgi.django",
    "scconnect_wsgi.encryption",
    "scconnect_wsgi.login",
    "scconnect_wsgi.sandbox",
    "scconnect_wsgi.stores",
    "scconnect_wsgi.testing",
    "cryptography",
    "django",
    "jwt",
    "redis",
    "sqlalchemy",
    "sqlite3",
    "wsgiref",
}


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
            names |= {
                f"{node.module}.{alias.name}" for alias in node.names
            }  # what of it is a module, `rooms` knows
    return names


def rooms(names: set[str]) -> set[str]:
    """Return the rooms of this package among imported names.

    A name of the package itself is in `__init__`.
    """
    known = {*ROOMS, *map(room, MODULES)}
    inside = {
        name.split(".")[1] if "." in name else ""
        for name in names
        if name.split(".")[0] == "scconnect_wsgi"
    }
    return {name if name in known else "__init__" for name in inside}


def test_every_module_is_in_a_room_of_the_table():
    assert {room(path) for path in MODULES} | {"assets"} == set(ROOMS)


def test_the_table_points_one_way():
    above = set()
    for name, imports in ROOMS.items():
        assert imports <= above, name
        above.add(name)


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_exactly_what_the_table_says(name):
    sources = [path.read_text("utf-8") for path in MODULES if room(path) == name]
    imports = set().union(*(rooms(imported(source)) for source in sources))
    assert imports - {name} == ROOMS[name]


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in MODULES]
)
def test_a_module_takes_from_other_rooms_only_what_they_export(path):
    parts = [name.split(".") for name in imported(path.read_text("utf-8"))]
    private = {
        ".".join(words)
        for words in parts
        if words[0] == "scconnect_wsgi"
        and any(word.startswith("_") and not word.startswith("__") for word in words[2:])
    }
    assert {name for name in private if name.split(".")[1] != room(path)} == set()


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in MODULES]
)
def test_a_module_keeps_out_of_what_belongs_to_others(path):
    outside = {name.partition(".")[0] for name in imported(path.read_text("utf-8"))}
    assert {name for name in outside if room(path) not in OUTSIDE.get(name, {room(path)})} == set()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("from scconnect_wsgi.flow import Flow", {"flow"}, id="a name of a module"),
        pytest.param("import scconnect_wsgi.flow as f", {"flow"}, id="a module under another name"),
        pytest.param("from scconnect_wsgi import errors", {"errors"}, id="a module of the package"),
        pytest.param("from scconnect_wsgi import SCConnect", {"__init__"}, id="a public name"),
        pytest.param("import scconnect_wsgi", {"__init__"}, id="the package"),
        pytest.param(
            "def f():\n    import scconnect_wsgi.sandbox.web", {"sandbox"}, id="inside a function"
        ),
        pytest.param(
            "if TYPE_CHECKING:\n    from scconnect_wsgi.cli import main",
            {"cli"},
            id="for the type checker",
        ),
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
    unmeasured = {n: value for n, value in os.environ.items() if not n.startswith("COVERAGE_")}
    # Started beside the package, it is this one that is imported.
    answer = subprocess.check_output(
        [sys.executable, "-c", script], text=True, cwd=PACKAGE.parent, env=unmeasured
    )
    modules = set(json.loads(answer))
    assert "scconnect_wsgi.errors" in modules
    assert modules & NOT_BY_IMPORTING_THE_PACKAGE == set()
