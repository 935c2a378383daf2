"""What a wheel and an sdist hold, and that the browser files are found whichever way the package was installed."""

import email
import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile

import pytest
from packaging.requirements import Requirement

import scconnect_wsgi

slow = pytest.mark.slow

CHECKOUT = pathlib.Path(__file__).parent.parent
MADE = ("*.egg-info", "*.pyc", "*.sqlite3*", ".*", "__pycache__", "build", "dist")  # in no fresh clone
SHOW_ASSETS = """
import json, pathlib, scconnect_wsgi
from scconnect_wsgi.static import asset_folder
assets = {path.name: path.read_bytes().hex() for path in asset_folder().iterdir() if path.is_file()}
print(json.dumps([str(pathlib.Path(scconnect_wsgi.__file__).parent.parent), assets]))
"""


def run(*command: object, **options) -> str:
    """What a command prints; where it fails, both its outputs are in the test's failure."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def only(found) -> pathlib.Path:
    (path,) = found
    return path


def files(folder: pathlib.Path, prefix: str) -> dict[str, bytes]:
    """The bytes of every file in a folder, by its path below the folder, with something put before it."""
    return {f"{prefix}/{p.relative_to(folder)}": p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout: builds leave files behind, and an old `build` folder would get into a wheel."""
    target = tmp_path_factory.mktemp("source") / "scconnect-wsgi"
    shutil.copytree(CHECKOUT, target, ignore=shutil.ignore_patterns(*MADE))
    return target


@pytest.fixture(scope="module")
def package(source):
    """Every file that an installed package consists of, and its bytes."""
    return files(source / "scconnect_wsgi", "scconnect_wsgi") | files(source / "assets", "scconnect_wsgi/assets")


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """The folder with an sdist, and with a wheel that was built from this sdist."""
    source = shutil.copytree(source, tmp_path_factory.mktemp("build") / "scconnect-wsgi")
    target = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", target, source)
    return target


@pytest.fixture(scope="module")
def sdist(built):
    return only(built.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(built):
    return only(built.glob("*.whl"))


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory):
    """All that is installed here but the package itself, so that nothing is downloaded."""
    target = tmp_path_factory.mktemp("dependencies")
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in pathlib.Path(folder).iterdir():
            if "scconnect_wsgi" not in entry.name:  # the package, its metadata, an editable install's finder
                (target / entry.name).symlink_to(entry)
    return target


@pytest.fixture
def fresh_python(dependencies, tmp_path):
    """The Python of a new virtual environment with the dependencies in it."""
    venv.create(tmp_path / "venv", symlinks=True)
    site_packages = only((tmp_path / "venv").glob("lib/python*/site-packages"))
    (site_packages / "dependencies.pth").write_text(str(dependencies))
    return tmp_path / "venv" / "bin" / "python"


def test_the_tests_run_against_what_they_should():
    """The wheel under tox, where the checkout must be out of sight; the checkout in `make quick`."""
    expected = sysconfig.get_path("purelib") if "SCCONNECT_INSTALLED" in os.environ else CHECKOUT
    assert pathlib.Path(scconnect_wsgi.__file__).parent.parent == pathlib.Path(expected)


@slow
@pytest.mark.parametrize("way", ["a wheel", "an sdist", "its folder", "its folder, editable", "nothing but PYTHONPATH"])
def test_the_browser_files_are_found_with_the_package_installed_from(
    way, fresh_python, wheel, sdist, source, package, tmp_path
):
    checkout = shutil.copytree(source, tmp_path / "checkout")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if way == "nothing but PYTHONPATH":
        environment["PYTHONPATH"] = str(checkout)
    else:
        what = {"a wheel": [wheel], "an sdist": [sdist], "its folder": [checkout]}.get(way, ["--editable", checkout])
        # Without the network: the setuptools that builds is the one of the dependencies.
        offline = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
        run(sys.executable, "-m", "pip", "--python", fresh_python, "install", "--quiet", *offline, *what)

    place, assets = json.loads(run(fresh_python, "-c", SHOW_ASSETS, cwd=tmp_path, env=environment))

    in_the_checkout = way in ("its folder, editable", "nothing but PYTHONPATH")
    assert pathlib.Path(place).is_relative_to(checkout if in_the_checkout else tmp_path / "venv")
    assert {"sc-connect.js", "close.html", "sc-connect.png"} <= set(assets)
    assert {f"scconnect_wsgi/assets/{name}": bytes.fromhex(content) for name, content in assets.items()} == {
        name: content for name, content in package.items() if name.startswith("scconnect_wsgi/assets/")
    }


@slow
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
        "top_level.txt",
    }


@slow
def test_the_core_needs_four_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    requirements = map(Requirement, metadata.get_all("Requires-Dist"))
    core = {requirement.name for requirement in requirements if requirement.marker is None}

    assert core == {"WebOb", "oauthlib", "requests", "itsdangerous"}
    assert metadata["Requires-Python"] == ">=3.10"


@slow
def test_the_sdist_holds_what_it_takes_to_build_and_to_test(sdist, source):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {name.removeprefix("./") for name in files(source, ".")}

    assert {"Makefile", "tox.ini", "tools/bootstrap.sh", "tests/test_packaging.py"} <= wanted
    assert wanted <= names
