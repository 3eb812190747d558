# shellcheck shell=sh
# The virtual environment of all scripts, .venv: made where it is missing, mended where it is out of date.
#
# Sourced by the other scripts, which then call one of
#   environment run     what fanin needs to run
#   environment dev     that, and what tests, checks and benches need
# Needs python3 (3.11 or newer; PYTHON names another one) with venv and pip, or uv in their place.
# Versions and hashes come from the lock files; nothing but the package registry is reached.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root" || exit 1

die() {
    printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
    exit 1
}

say() {
    printf '%s\n' "$*" >&2
}

environment() {
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null 2>&1 || die "$python is not on the PATH: install Python 3.11 or newer"
    found=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])') || die "$python does not run"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "fanin needs Python 3.11 or newer, and $python is $found: set PYTHON to a newer one"
    installer=pip
    if command -v uv >/dev/null 2>&1; then installer=uv; fi

    made="$installer $found $root" # an environment that was moved, or made by another Python, is made anew
    if [ "$(cat .venv/made-for 2>/dev/null)" != "$made" ]; then
        say "Making .venv (Python $found, $installer) ..."
        make_venv
        printf '%s\n' "$made" >.venv/made-for
    fi

    lock=requirements.lock
    if [ "$1" = dev ]; then lock=requirements-dev.lock; fi
    wanted=$(cat pyproject.toml "$lock" | cksum)
    if [ "$(cat ".venv/has-$1" 2>/dev/null)" != "$wanted" ]; then
        say "Installing from $lock ..."
        install --require-hashes -r "$lock"
        install --no-deps --no-build-isolation --editable .
        printf '%s\n' "$wanted" >".venv/has-$1"
    fi
}

make_venv() {
    rm -rf .venv
    if [ "$installer" = uv ]; then
        "$python" -m venv --without-pip .venv || die "$python -m venv fails (see above)"
    else
        "$python" -m venv .venv >&2 || die "$python -m venv fails (on Debian: apt install python3-venv)"
    fi
}

install() {
    if [ "$installer" = uv ]; then
        uv pip install --quiet --python .venv/bin/python "$@" >&2
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@" >&2
    fi
}
