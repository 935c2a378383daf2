"""What pyproject.toml cannot say: where the packages are, and how a reproducible sdist is made.

Everything else, the version included, is in pyproject.toml.
"""

import gzip
import os
import tarfile
import time

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


class ReproducibleSdist(sdist):
    """Make an sdist whose bytes depend only on the sources and EPOCH, as a wheel's do."""

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


setup(
    cmdclass={"sdist": ReproducibleSdist},
    # The folder of the browser files is beside the package, and is installed inside it.
    packages=[
        *find_packages(include=["scconnect_wsgi", "scconnect_wsgi.*"]),
        "scconnect_wsgi.assets",
    ],
    package_dir={"scconnect_wsgi.assets": "assets"},
)
