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
