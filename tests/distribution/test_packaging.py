"""The contents of a wheel and an sdist, and the browser files in each way of installing."""

import ast
import email
import hashlib
import json
import pathlib
import re
import shutil
import sys
import sysconfig
import tarfile
import venv
import zipfile
from datetime import UTC, datetime
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.documentation import snippet
from support.packages import build, connect_in_demo, only, run, without_checkout
from support.paths import CHECKOUT

pytestmark = [pytest.mark.package, pytest.mark.slow]


IMPORTED_AS = {"jwt": "pyjwt", "paste": "pastedeploy"}  # packages whose modules have another name
# In no fresh clone
MADE = (
    "*.egg-info",
    "*.pyc",
    "*.sqlite3*",
    ".*",
    "__pycache__",
    "build",
    "dist",
)
SBOM = "sboms/scconnect-wsgi.cdx.json"
SHOW_ASSETS = """
import json, pathlib, scconnect_wsgi
from scconnect_wsgi.middleware._files import asset_folder
assets = {path.name: path.read_bytes().hex() for path in asset_folder().iterdir() if path.is_file()}
print(json.dumps([str(pathlib.Path(scconnect_wsgi.__file__).parent.parent), assets]))
"""


def files(folder: pathlib.Path, prefix: str) -> dict[str, bytes]:
    """Return the bytes of every file in a folder, by its path there behind a prefix."""
    return {
        f"{prefix}/{p.relative_to(folder)}": p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


def metadata_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def requirements_of(wheel):
    return list(map(Requirement, metadata_of(wheel).get_all("Requires-Dist")))


def newest_release():
    """Return the version and the date of the newest release in CHANGES.md."""
    changes = (CHECKOUT / "CHANGES.md").read_text("utf-8")
    heading = r"^## \[(\d\S*)\] - (\d{4}-\d\d-\d\d)$"
    return re.search(heading, changes, re.MULTILINE).groups()


def epoch_of_the_release():
    """Return midnight UTC of its day."""
    return int(datetime.fromisoformat(newest_release()[1]).replace(tzinfo=UTC).timestamp())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout.

    Builds leave files behind, and an old ``build`` folder would get into a wheel.
    """
    target = tmp_path_factory.mktemp("source") / "scconnect-wsgi"
    shutil.copytree(CHECKOUT, target, ignore=shutil.ignore_patterns(*MADE))
    return target


@pytest.fixture(scope="module")
def package(source):
    """Every file of an installed package, and its bytes."""
    inside = files(source / "scconnect_wsgi", "scconnect_wsgi") | files(
        source / "assets", "scconnect_wsgi/assets"
    )
    return inside | {"scconnect_wsgi_pytest.py": (source / "scconnect_wsgi_pytest.py").read_bytes()}


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """The folder with an sdist, and a wheel that was built from it."""
    source = shutil.copytree(source, tmp_path_factory.mktemp("build") / "scconnect-wsgi")
    target = tmp_path_factory.mktemp("built")
    return build(source, target, epoch=epoch_of_the_release())


@pytest.fixture(scope="module")
def sdist(built):
    return only(built.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(built):
    return only(built.glob("*.whl"))


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory):
    """Everything installed here but the package, so that nothing is downloaded."""
    target = tmp_path_factory.mktemp("dependencies")
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in pathlib.Path(folder).iterdir():
            # The package, its metadata, or the finder of an editable install
            if "scconnect_wsgi" not in entry.name:
                (target / entry.name).symlink_to(entry)
    return target


@pytest.fixture
def fresh_python(dependencies, tmp_path):
    """The Python of a new virtual environment with the dependencies in it."""
    venv.create(tmp_path / "venv", symlinks=True)
    site_packages = only((tmp_path / "venv").glob("lib/python*/site-packages"))
    (site_packages / "dependencies.pth").write_text(str(dependencies))
    return tmp_path / "venv" / "bin" / "python"


def install(python, *what):
    """Without the network: the setuptools that builds is one of the dependencies."""
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, *offline, *what, env=without_checkout())


@pytest.mark.parametrize(
    "way", ["a wheel", "an sdist", "its folder", "its folder, editable", "nothing but PYTHONPATH"]
)
def test_the_browser_files_are_found_and_the_demo_connects_with_the_package_from(
    way, fresh_python, wheel, sdist, source, package, tmp_path
):
    checkout = shutil.copytree(source, tmp_path / "checkout")
    environment = without_checkout()
    if way == "nothing but PYTHONPATH":
        environment["PYTHONPATH"] = str(checkout)
    else:
        what = {"a wheel": [wheel], "an sdist": [sdist], "its folder": [checkout]}.get(
            way, ["--editable", checkout]
        )
        install(fresh_python, *what)

    place, assets = json.loads(run(fresh_python, "-c", SHOW_ASSETS, cwd=tmp_path, env=environment))

    in_the_checkout = way in ("its folder, editable", "nothing but PYTHONPATH")
    assert pathlib.Path(place).is_relative_to(checkout if in_the_checkout else tmp_path / "venv")
    assert {"sc-connect.js", "close.html", "sc-connect.png"} <= set(assets)
    assert {
        f"scconnect_wsgi/assets/{name}": bytes.fromhex(content) for name, content in assets.items()
    } == {
        name: content
        for name, content in package.items()
        if name.startswith("scconnect_wsgi/assets/")
    }
    connect_in_demo(tmp_path, "-m", "scconnect_wsgi", python=fresh_python, env=environment)


def test_pip_brings_the_declared_packages_and_what_they_need(wheel, tmp_path):
    """With the network, as for a user."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", wheel, env=without_checkout())
    inspected = json.loads(run(*pip, "inspect", "--local", env=without_checkout()))["installed"]
    needed_by: dict[str, set[str]] = {
        canonicalize_name(entry["metadata"]["name"]): {
            canonicalize_name(requirement.name)
            for requirement in map(Requirement, entry["metadata"].get("requires_dist", []))
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        }
        for entry in inspected
    }
    for tool in ("pip", "setuptools"):
        needed_by.pop(tool, None)
    core = needed_by["scconnect-wsgi"]

    assert core == {"certifi", "itsdangerous", "oauthlib", "requests", "urllib3", "webob"}
    assert {"certifi", "urllib3"} <= needed_by["requests"]
    assert set(needed_by) - {"scconnect-wsgi"} == core.union(*(needed_by[name] for name in core))


def test_two_builds_are_the_same_byte_for_byte(source, sdist, wheel, tmp_path):
    """Anyone with the sources can check that a package was made from them."""
    # shutil.copy gives the files new times
    elsewhere = shutil.copytree(source, tmp_path / "elsewhere", copy_function=shutil.copy)
    for path in elsewhere.rglob("*"):  # as a checkout of somebody with this umask
        path.chmod(path.stat().st_mode & 0o700)
    habits = {"umask": 0o077, "time_zone": "Pacific/Kiritimati"}
    build(elsewhere, tmp_path / "built", epoch=epoch_of_the_release(), **habits)
    for first in (sdist, wheel):
        assert (tmp_path / "built" / first.name).read_bytes() == first.read_bytes()


def test_the_recipe_of_publishing_md_rebuilds_the_same_files(source, built, tmp_path):
    """With the network, as for somebody who checks a release."""
    recipe = snippet("publishing.md", "sh", "SOURCE_DATE_EPOCH")
    checkout = shutil.copytree(source, tmp_path / "checkout")
    recipe = re.sub(r"setuptools==\S+", f"setuptools=={version('setuptools')}", recipe)

    digests = run("sh", "-e", cwd=checkout, input=recipe).splitlines()[-2:]

    assert {line.split()[0] for line in digests} == {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in built.iterdir()
    }


def test_a_package_index_accepts_both(sdist, wheel):
    said = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", sdist, wheel)
    assert said.count("PASSED") == 2


def test_the_metadata_of_the_wheel(wheel):
    metadata = metadata_of(wheel)
    classifiers = metadata.get_all("Classifier")
    assert (metadata["Name"], metadata["License-Expression"]) == ("scconnect-wsgi", "MIT")
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"Typing :: Typed", "Topic :: Internet :: WWW/HTTP :: WSGI :: Middleware"} <= set(
        classifiers
    )
    assert {
        f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14, 15)
    } <= set(classifiers)
    import trove_classifiers  # only where this test runs

    assert set(classifiers) <= trove_classifiers.classifiers
    assert [url.partition(", ")[0] for url in metadata.get_all("Project-URL")] == [
        "Documentation",
        "Changelog",
    ]
    assert set(metadata.get_all("Provides-Extra")) == {
        "rsa",
        "paste",
        "sql",
        "redis",
        "django",
        "encryption",
    }
    assert metadata["Description-Content-Type"] == "text/markdown"
    readme = metadata.get_payload()
    assert "pip install 'scconnect-wsgi" in readme
    # A package index shows it without the files beside it
    assert re.findall(r"\]\((?!https://|#)[^)]+\)", readme) == []


def test_the_oldest_versions_are_the_lower_bounds(wheel):
    """The environment ``oldest`` of tox.ini tests the versions that pyproject.toml promises."""
    text = (
        (CHECKOUT / "tox.ini")
        .read_text("utf-8")
        .partition("[testenv:oldest]")[2]
        .partition("[testenv:")[0]
    )
    oldest = dict(re.findall(r"^    ([\w.-]+)==([\w.]+)$", text, re.MULTILINE))
    bounds = {
        requirement.name: str(requirement.specifier) for requirement in requirements_of(wheel)
    }
    assert {name: f">={version}" for name, version in oldest.items()} == bounds


@pytest.mark.threat(47)
def test_threat_47_the_package_declares_everything_it_imports(wheel):
    declared = {canonicalize_name(requirement.name) for requirement in requirements_of(wheel)}
    imported = set()
    for path in (CHECKOUT / "scconnect_wsgi").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.partition(".")[0])
    foreign = imported - sys.stdlib_module_names - {"_typeshed", "scconnect_wsgi"}

    assert {IMPORTED_AS.get(name, name) for name in foreign} <= declared


def test_the_newest_release_of_the_changes_is_this_version(wheel):
    assert newest_release()[0] == metadata_of(wheel)["Version"]


def test_a_console_script_has_the_name_of_the_distribution(fresh_python, wheel, tmp_path):
    """``uvx scconnect-wsgi`` and ``pipx run`` start the script of that name."""
    install(fresh_python, wheel)
    for name in ("scconnect", "scconnect-wsgi"):
        said = run(fresh_python.parent / name, "--version", env=without_checkout(), cwd=tmp_path)
        assert said.startswith(f"scconnect-wsgi {metadata_of(wheel)['Version']} (Python ")


def test_the_sbom_is_valid_and_names_what_the_metadata_declares(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(SBOM))
        text = archive.read(name).decode()
    metadata = metadata_of(wheel)
    declared: dict[str, set[str]] = {}
    for requirement in requirements_of(wheel):
        scope = "optional" if requirement.marker else "required"
        declared.setdefault(canonicalize_name(requirement.name), set()).add(scope)
    ranges = {
        (canonicalize_name(requirement.name), f"vers:pypi/{requirement.specifier}")
        for requirement in requirements_of(wheel)
    }

    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    document = json.loads(text)
    this = document["metadata"]["component"]
    assert this["purl"] == f"pkg:pypi/scconnect-wsgi@{metadata['Version']}"
    assert {(each["name"], each["versionRange"]) for each in document["components"]} == ranges
    assert {each["name"]: each["scope"] for each in document["components"]} == {
        name: "required" if "required" in scopes else "optional"
        for name, scopes in declared.items()
    }
    (root,) = document["dependencies"]
    assert root["ref"] == this["bom-ref"]
    assert root["dependsOn"] == [each["bom-ref"] for each in document["components"]]


def test_the_wheel_holds_the_package_and_its_licence_and_nothing_else(wheel, package):
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    metadata = {name.partition("/")[2] for name in content if ".dist-info/" in name}

    assert {name: data for name, data in content.items() if ".dist-info/" not in name} == package
    assert "scconnect_wsgi/py.typed" in content
    assert metadata == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        SBOM,
        "top_level.txt",
    }


def test_the_sdist_holds_what_it_takes_to_build_and_to_test(sdist, source):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {name.removeprefix("./") for name in files(source, ".")}

    assert {
        "Makefile",
        "tox.ini",
        "tools/bootstrap.sh",
        "tests/distribution/test_packaging.py",
    } <= wanted
    assert wanted <= names
