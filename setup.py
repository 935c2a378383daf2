"""What pyproject.toml cannot say: where the packages are, and how to build reproducibly.

An sdist and a wheel depend on nothing but the sources, SOURCE_DATE_EPOCH and the versions of the
build tools. The wheel has a software bill of materials (PEP 770). Everything else, the version
included, is in pyproject.toml.
"""

import gzip
import json
import os
import tarfile
import time
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.sdist import sdist

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


class ReproducibleSdist(sdist):
    """Make an sdist whose bytes depend only on the sources and EPOCH."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        name = f"{base_name}.tar.gz"
        with (
            open(name, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=EPOCH) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=self._without_its_origin)
        return name

    @staticmethod
    def _without_its_origin(member):
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = EPOCH
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member


class WheelWithSBOM(bdist_wheel):
    """Make a wheel with an SBOM, whose bytes do not depend on the umask of who builds it."""

    def egg2dist(self, egginfo_path, distinfo_path):
        super().egg2dist(egginfo_path, distinfo_path)
        sboms = Path(distinfo_path, "sboms")
        sboms.mkdir()
        text = json.dumps(bill_of_materials(Distribution.at(distinfo_path)), indent=2)
        (sboms / "scconnect-wsgi.cdx.json").write_text(text + "\n", encoding="utf-8")

    def write_wheelfile(self, wheelfile_base, *arguments):
        super().write_wheelfile(wheelfile_base, *arguments)
        for path in Path(self.bdist_dir).rglob("*"):  # next, all of these go into the archive
            path.chmod(0o755 if path.is_dir() else 0o644)


def bill_of_materials(distribution):
    """Return a CycloneDX document: a distribution, and the packages that it declares to need.

    They are not in the wheel, and which versions a site has is decided when it installs them. So
    they are external components with a range, for which CycloneDX 1.7 has words.
    """
    needed = dependencies(distribution)
    this = purl(distribution.name)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": this,
                "name": distribution.name,
                "version": distribution.version,
                "description": distribution.metadata["Summary"],
                "licenses": [{"expression": distribution.metadata["License-Expression"]}],
                "purl": f"{this}@{distribution.version}",
            }
        },
        "components": needed,
        "dependencies": [{"ref": this, "dependsOn": [each["bom-ref"] for each in needed]}],
    }


def dependencies(distribution):
    """Return a component for each package that is needed: always, or (optional) by an extra."""
    components = {}
    for requirement in map(Requirement, distribution.requires):
        name = canonicalize_name(requirement.name)
        (bound,) = requirement.specifier  # each of ours has a lower bound and nothing else
        always = requirement.marker is None
        if always or name not in components:
            components[name] = {
                "type": "library",
                "bom-ref": purl(name),
                "name": name,
                "versionRange": f"vers:pypi/{bound}",
                "isExternal": True,
                "scope": "required" if always else "optional",
                "purl": purl(name),
            }
    return [components[name] for name in sorted(components)]


def purl(name):
    """Return the address of a package in the notation of package-url."""
    return f"pkg:pypi/{name}"


setup(
    cmdclass={"sdist": ReproducibleSdist, "bdist_wheel": WheelWithSBOM},
    # The folder of the browser files is beside the package, and is installed inside it.
    packages=[
        *find_packages(include=["scconnect_wsgi", "scconnect_wsgi.*"]),
        "scconnect_wsgi.assets",
    ],
    package_dir={"scconnect_wsgi.assets": "assets"},
)
