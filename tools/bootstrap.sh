#!/bin/sh
# Set up what a command needs, then run it: tools/bootstrap.sh demo|test|quick|lint|bench [ARGUMENT...]
#
# Asks for Python 3.10 or newer and nothing else. All that it makes is in .venv and .tox; `make clean`
# removes both. It is for /bin/sh, whichever shell that is.
set -eu
cd "$(dirname "$0")/.."
VENV=.venv

say() {
    printf '%s\n' "bootstrap: $*" >&2
}

die() {
    say "$@"
    exit 1
}

# Install Debian packages where that is possible: as root, on a system that has apt-get.
apt_install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        return 1
    fi
    say "apt-get install $*"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" </dev/null
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

can_make_venvs() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# Each name is run, not only looked up: version managers put names on PATH that then refuse to start.
find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    die "Python 3.10 or newer is needed, and no python3, python3.14 ... python3.10 on PATH is one."
}

make_venv() {
    if new_enough "$VENV/bin/python" && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(find_python)
    # Debian and Ubuntu keep these two modules of the standard library in a package of their own.
    if ! can_make_venvs "$python"; then
        apt_install "$python-venv" && can_make_venvs "$python" ||
            die "$python cannot make virtual environments. On Debian or Ubuntu: sudo apt-get install $python-venv"
    fi
    say "making $VENV with $("$python" --version)"
    "$python" -m venv --clear "$VENV"
    pip_install --upgrade 'pip>=25.1' # the first with --group
}

# Twice quiet: of pip's warnings none is for who wants to see a demo. Errors are printed still.
pip_install() {
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check "$@"
}

# install_once NAME PIP-ARGUMENT...: nothing to do until a file changes that says what to install.
install_once() {
    stamp=$VENV/$1.installed
    shift
    if [ -x "$VENV/bin/python" ] && [ -f "$stamp" ] &&
        [ -z "$(find setup.py pyproject.toml tools/bootstrap.sh benchmarks/requirements.txt -newer "$stamp")" ]; then
        return
    fi
    make_venv
    say "pip install $*"
    pip_install "$@"
    touch "$stamp"
}

# Every Python that the table in tox.ini has a row for: on PATH, or among pyenv's versions, whose shims on
# PATH answer for the chosen version alone. A path a line.
find_pythons() {
    for minor in 10 11 12 13 14; do
        for candidate in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python; do
            if "$candidate" -c "import sys; sys.exit(sys.version_info[:2] != (3, $minor))" >/dev/null 2>&1 &&
                can_make_venvs "$candidate"; then
                "$candidate" -c 'import sys; print(sys.executable)'
                break
            fi
        done
    done
}

has_chromium() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
} >/dev/null

has_firefox() {
    command -v firefox-esr || command -v firefox
} >/dev/null

# It has no headless mode: Xvfb is its screen.
has_webkit() {
    command -v WebKitWebDriver && command -v Xvfb
} >/dev/null

# The packages of the servers that the tests start and do not find; tests/support/databases.py knows where to look.
missing_servers() {
    (cd tests && "../$VENV/bin/python" -c 'from support import databases; print(*databases.missing().values())')
}

install_servers() {
    # shellcheck disable=SC2046 # one word a package
    apt_install --no-install-recommends $(missing_servers) && [ -z "$(missing_servers)" ]
}

# What is not there and cannot be installed is left out on a developer's machine, loudly, and never in CI.
run_tests() {
    without=
    warnings=
    if ! { has_chromium && has_firefox && has_webkit; }; then
        apt_install chromium firefox-esr webkit2gtk-driver xvfb xauth || say "the browsers could not be installed"
    fi
    if [ -n "$(missing_servers)" ] && ! install_servers; then
        leave_out "NO SERVERS FOUND: THE TESTS OF THE STORES DO NOT RUN" "$(missing_servers)" stores
    fi
    TESTS_ENGINES=
    for engine in chromium firefox webkit; do
        if "has_$engine"; then
            TESTS_ENGINES="$TESTS_ENGINES $engine"
        fi
    done
    export TESTS_ENGINES
    has_chromium || leave_out "NO CHROMIUM FOUND: THE BROWSER TESTS DO NOT RUN" chromium browser
    has_firefox || leave_out "NO FIREFOX FOUND: ITS TESTS DO NOT RUN" firefox-esr
    has_webkit || leave_out "NO WEBKIT FOUND: ITS TESTS DO NOT RUN" "webkit2gtk-driver xvfb xauth"
    [ -n "$TESTS_ENGINES" ] || without="$without|engines"
    pythons=$(find_pythons)
    for python in $pythons; do
        say "found $("$python" --version 2>&1): $python"
    done
    rm -rf build # setuptools' copy of the last build: a file that is gone since would be in the wheel again
    status=0
    # shellcheck disable=SC2086 # one word a path
    "$VENV/bin/python" -m tox run-parallel ${pythons:+--discover $pythons} ${without:+--skip-env "$without"} \
        --parallel auto "$@" || status=$?
    if [ -n "$warnings" ]; then
        warn # again, where it is read: below the results
    fi
    return "$status"
}

# leave_out WHY PACKAGES [ENVIRONMENT]
leave_out() {
    if [ "${CI:-}" = true ]; then
        die "$1, and it could not be installed: $2"
    fi
    without="$without${without:+${3:+|}}${3:-}" # tox takes an expression
    warnings="$warnings$1. Install: sudo apt-get install $2
"
    warn
}

warn() {
    say "**********************************************************************"
    printf '%s' "$warnings" | while read -r line; do
        say "$line"
    done
    say "**********************************************************************"
}

command=${1:-}
[ "$#" = 0 ] || shift
case $command in
demo)
    install_once package --editable .
    exec "$VENV/bin/python" -m scconnect_wsgi demo "$@" # exec: Ctrl-C meets the demo and no shell around it
    ;;
quick)
    install_once quick --editable . --group quick
    # More processes than cores: much of the time is waiting, for deadlines that the tests are about.
    exec "$VENV/bin/python" -m pytest --numprocesses 4 --dist worksteal \
        -m "not browser and not engines and not slow and not stores" "$@"
    ;;
lint)
    install_once tox tox
    exec "$VENV/bin/python" -m tox run -e lint "$@"
    ;;
bench)
    install_once bench --editable . -r benchmarks/requirements.txt
    exec "$VENV/bin/python" benchmarks/run.py "$@"
    ;;
test)
    install_once tox tox
    run_tests "$@"
    ;;
*)
    die "usage: tools/bootstrap.sh demo|test|quick|lint|bench [ARGUMENT...]"
    ;;
esac
