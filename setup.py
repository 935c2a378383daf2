"""The package and, from the folder beside it, the browser files that it serves."""

import gzip
import os
import pathlib
import tarfile
import time

from setuptools import setup
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).parent
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


class ReproducibleSdist(sdist):
    """The same bytes from the same sources, as wheels have been for long:

    no owner, no umask, no time but EPOCH.
    """

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
    name="scconnect-wsgi",
    version="1.0.0",
    description='Wrap any WSGI application and it has a working "Connect with SoundCloud" button.',
    long_description=(HERE / "README.md").read_text(encoding="utf-8")
    if (HERE / "README.md").exists()
    else "",
    long_description_content_type="text/markdown",
    license_expression="MIT",
    license_files=["LICENSE"],
    author="The scconnect-wsgi authors",
    keywords="soundcloud oauth wsgi middleware connect login pkce",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: WSGI :: Middleware",
        "Topic :: Security",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=[
        "scconnect_wsgi",
        "scconnect_wsgi.assets",
        "scconnect_wsgi.config",
        "scconnect_wsgi.connections",
        "scconnect_wsgi.demo",
        "scconnect_wsgi.middleware",
        "scconnect_wsgi.protocols",
        "scconnect_wsgi.sandbox",
        "scconnect_wsgi.stores",
        "scconnect_wsgi.transport",
    ],
    py_modules=[
        "scconnect_wsgi_pytest"
    ],  # outside of the package: pytest imports it at every start
    package_dir={"scconnect_wsgi.assets": "assets"},
    package_data={
        "scconnect_wsgi": ["py.typed"],
        "scconnect_wsgi.assets": ["*.js", "*.html", "*.css", "*.png", "*.svg", "*.ts"],
        "scconnect_wsgi.sandbox": ["*.html", "*.css"],
        "scconnect_wsgi.demo": ["*.html", "*.css", "*.js"],
    },
    install_requires=["WebOb>=1.8.8", "oauthlib>=3.2.2", "requests>=2.32.3", "itsdangerous>=2.1.2"],
    extras_require={
        "rsa": ["oauthlib[signedtoken]>=3.2.2"],
        "paste": ["PasteDeploy>=3.0.1"],
        "sql": ["SQLAlchemy>=2.0.36"],
        "redis": ["redis>=5.2.0"],
        "encryption": ["cryptography>=43.0.0"],
    },
    entry_points={
        "console_scripts": ["scconnect = scconnect_wsgi.cli:main"],
        "pytest11": ["scconnect = scconnect_wsgi_pytest"],
        "paste.filter_app_factory": ["main = scconnect_wsgi.config:filter_app_factory"],
    },
)
