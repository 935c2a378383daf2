"""The package and, from the folder beside it, the browser files that it serves."""

import pathlib

from setuptools import setup

HERE = pathlib.Path(__file__).parent

setup(
    name="scconnect-wsgi",
    version="1.0.0",
    description='Wrap any WSGI application and it has a working "Connect with SoundCloud" button.',
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
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
    packages=["scconnect_wsgi", "scconnect_wsgi.sandbox", "scconnect_wsgi.demo", "scconnect_wsgi.assets"],
    package_dir={"scconnect_wsgi.assets": "assets"},
    package_data={
        "scconnect_wsgi": ["py.typed"],
        "scconnect_wsgi.assets": ["*.js", "*.html", "*.css", "*.png", "*.svg"],
        "scconnect_wsgi.sandbox": ["*.html", "*.css"],
        "scconnect_wsgi.demo": ["*.html", "*.css", "*.js"],
    },
    install_requires=["WebOb>=1.8.8", "oauthlib>=3.2.2", "requests>=2.32.3", "itsdangerous>=2.1.2"],
    extras_require={"rsa": ["oauthlib[signedtoken]>=3.2.2"], "paste": ["PasteDeploy>=3.0"]},
    entry_points={
        "console_scripts": ["scconnect = scconnect_wsgi.cli:main"],
        "paste.filter_app_factory": ["main = scconnect_wsgi.config:filter_app_factory"],
    },
)
