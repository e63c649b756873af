# Sourced by the other scripts, in the root of the repository.

# pip and npm want a home folder; a user's own settings stay in force wherever there is an account.
if [ -z "${HOME:-}" ]; then
    HOME=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6 || true)
    # A user id that no account belongs to, or an account whose home is not its own to write.
    [ -n "$HOME" ] && [ -w "$HOME" ] || HOME=$PWD/.venv/home
    export HOME
fi

# Debian and Ubuntu keep `ensurepip` in a package apart from Python; asking for the version reads its wheel.
can_make_venv() {
    "$1" -c 'import ensurepip, venv; ensurepip.version()' 2>/dev/null
}

# Installs Debian's packages where that is allowed; says how to do it by hand otherwise.
# usage: apt_install "what is missing, in a sentence" package...
apt_install() {
    missing=$1
    shift
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "$missing On Debian and Ubuntu install it with: sudo apt-get install $*" >&2
        return 1
    fi
    echo "Installing $*. $missing"
    # dpkg looks for programs in the system folders, which a cleared environment may lack.
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    export PATH DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || echo "apt-get update failed; going on with the package lists there are." >&2
    if ! apt-get install -y -qq --no-install-recommends "$@" >/dev/null; then
        echo "apt-get could not install $*. Install it by hand, then run make again." >&2
        return 1
    fi
}
