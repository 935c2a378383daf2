"""Check everything that a release promises: make release-check ARGS=--tagged

tools/bootstrap.sh starts it with the Pythons that it finds. It builds the committed sources twice
and compares the two byte for byte, has twine check what was built, and installs wheel and sdist on
each Python in an environment of its own. There a scripted user connects an account in the demo,
and ``scconnect check`` looks at a site with the sandbox. If everything is right, dist/ holds what
was checked.

It asks nobody but the package index, from which pip installs the dependencies.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]
from support.packages import build, connect_in_demo, only, run, without_checkout  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]
OF_A_PYTHON = "Programming Language :: Python :: "
PATTERNS = {"wheel": "*.whl", "sdist": "*.tar.gz"}
# The second build is that of somebody else, who has nothing but the sources in common.
SOMEBODY_ELSE = {"umask": 0o077, "time_zone": "Pacific/Kiritimati"}


class Steps:
    """What was checked, and what came out."""

    def __init__(self):
        self.rows = []
        self.failures = []

    def take(self, name, step, *arguments):
        """Run a step, which returns what it found or fails with the reason."""
        print(f"release check: {name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            found = step(*arguments)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            reason = str(error).strip() or type(error).__name__
            self.failures.append(f"{name}\n\n{reason}")
            found = reason.splitlines()[-1]
            outcome = "FAILED"
        else:
            outcome = "ok"
        self.rows.append((outcome, name, f"{time.monotonic() - began:.0f} s", found))

    def table(self):
        """Return a line for each step, in columns, and below it whatever failed in full."""
        widths = [max(map(len, column)) for column in list(zip(*self.rows, strict=True))[:3]]
        lines = []
        for *cells, found in self.rows:
            columns = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
            lines.append("  ".join([*columns, found]))
        return "\n".join([*lines, *(f"\nFAILED: {failure}" for failure in self.failures)])


def main():
    """Take every step, and return 0 if all of them went well."""
    if not __debug__:  # `python -O`, or PYTHONOPTIMIZE: every check here is an assert statement
        raise SystemExit("release check: Python leaves out assertions. Unset PYTHONOPTIMIZE.")
    words = argparse.ArgumentParser(description="Check everything that a release promises.")
    words.add_argument("--tagged", action="store_true", help="the commit must have the tag, too")
    words.add_argument("pythons", nargs="*", metavar="PYTHON", help="to install on")
    chosen = words.parse_args()

    steps = Steps()
    changes = (ROOT / "CHANGES.md").read_text("utf-8")
    steps.take("CHANGES.md", check_changes, changes, VERSION)
    steps.take("git", check_git, chosen.tagged)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        built = folder / "built"
        steps.take("two builds", build_twice, folder, built, epoch(changes, VERSION))
        steps.take("twine", check_with_twine, built)
        found = {minor_version(python): python for python in chosen.pythons}
        for minor in promised_pythons():
            for kind in PATTERNS:
                name = f"Python {minor}, {kind}"
                steps.take(name, try_out, found.get(minor), kind, built, folder / name)
        if not steps.failures:
            steps.take("dist/", keep, built)
    print(f"\nscconnect-wsgi {VERSION}\n\n{steps.table()}")
    return 1 if steps.failures else 0


# The sources


def section(changes, title):
    """Return the heading and the text of a section of CHANGES.md, or two empty strings."""
    pattern = rf"^## (\[{re.escape(title)}\].*)\n((?:(?!## ).*\n?)*)"
    found = re.search(pattern, changes, re.MULTILINE)
    return (found[1], found[2].strip()) if found else ("", "")


def release_date(changes, version):
    """Return when a version was released, which its heading in CHANGES.md says."""
    heading, _ = section(changes, version)
    assert heading, f"CHANGES.md has no section [{version}]"
    found = re.fullmatch(r"\[.*\] - (\d{4}-\d\d-\d\d)", heading)
    assert found, f"the heading must be '[{version}] - ' and a date such as 2026-12-01"
    return datetime.strptime(found[1], "%Y-%m-%d").replace(tzinfo=UTC)


def check_changes(changes, version):
    """Check that this version has a section with a date, and that nothing is left above it."""
    date = release_date(changes, version)
    assert date <= datetime.now(UTC), f"{date:%Y-%m-%d} has not come yet"
    assert section(changes, version)[1], f"the section of {version} is empty"
    assert not section(changes, "Unreleased")[1], f"[Unreleased] has lines for [{version}]"
    return f"[{version}] - {date:%Y-%m-%d}, and nothing unreleased"


def git(*words):
    """Return what git says of this checkout."""
    return run("git", "-C", ROOT, *words).strip()


def check_git(must_be_tagged):
    """Check that everything is committed, and that the tag is there if it must be."""
    changed = [line.split()[-1] for line in git("status", "--porcelain").splitlines()]
    assert not changed, f"not everything is committed: {', '.join(changed)}"
    tag = f"v{VERSION}"
    tagged = tag in git("tag", "--points-at", "HEAD").split()
    assert tagged or not must_be_tagged, f"the commit has no tag {tag}"
    return f"clean, commit {git('rev-parse', '--short', 'HEAD')}, " + (
        f"tag {tag}" if tagged else f"no tag {tag} yet"
    )


def epoch(changes, version):
    """Return SOURCE_DATE_EPOCH: midnight UTC of the release, or the commit's time without one."""
    try:
        return int(release_date(changes, version).timestamp())
    except (AssertionError, ValueError):
        return int(git("log", "-1", "--format=%ct"))


# What is built of them


def build_twice(folder, built, seconds):
    """Build from two clones, as two people would, and check that the outcome is the same."""
    commit = git("rev-parse", "HEAD")
    again = folder / "again"
    for target, habits in ((built, {}), (again, SOMEBODY_ELSE)):
        source = folder / f"sources of {target.name}" / "scconnect-wsgi"
        umask = habits.get("umask", -1)
        run("git", "clone", "--quiet", "--no-checkout", ROOT, source, umask=umask)
        run("git", "-C", source, "checkout", "--quiet", "--detach", commit, umask=umask)
        build(source, target, epoch=seconds, **habits)
    for pattern in PATTERNS.values():
        one = only(built.glob(pattern))
        assert one.read_bytes() == (again / one.name).read_bytes(), f"{one.name} differs"
    return f"the same byte for byte, SOURCE_DATE_EPOCH={seconds}"


def check_with_twine(built):
    """Check that a package index accepts both."""
    files = [only(built.glob(pattern)) for pattern in PATTERNS.values()]
    said = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files)
    assert said.count("PASSED") == len(files), said
    return "PASSED for both"


# What a user gets


def promised_pythons():
    """Return each Python that the classifiers name, such as 3.14."""
    names = [each.removeprefix(OF_A_PYTHON) for each in PROJECT["classifiers"]]
    return [name for name in names if re.fullmatch(r"3\.\d+", name)]


def minor_version(python):
    """Return which Python an interpreter is, such as 3.14."""
    return run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()


def try_out(python, kind, built, home):
    """Install a wheel or an sdist in a new environment, and use it as somebody new would."""
    assert python, "not found; make pythons fetches the newest ones"
    run(python, "-m", "venv", home / "venv")
    scripts = home / "venv" / "bin"
    environment = without_checkout(SCCONNECT_BASE_URL="http://localhost:8000")
    here = {"env": environment, "cwd": home}
    pip = (scripts / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, only(built.glob(PATTERNS[kind])), **here)

    said = run(scripts / "scconnect-wsgi", "--version", **here)
    assert said.startswith(f"scconnect-wsgi {VERSION} "), said
    connect_in_demo(home, scripts / "scconnect-wsgi", python=scripts / "python", env=environment)
    scconnect = scripts / "scconnect"
    said = run(scconnect, "sandbox", "--port", "0", "--", scconnect, "check", "--online", **here)
    assert "http://localhost:8000/oauth/access_token" in said, said
    return "installed, connected in the demo with both protocols, scconnect check is content"


def keep(built):
    """Keep what was checked in dist/, and return the digests."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    shutil.copytree(built, dist)
    return "".join(
        f"\n        sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
        for path in sorted(dist.iterdir())
    )


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
