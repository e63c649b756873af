# Sourced by the other scripts, in the root of the repository. Gives pip and npm a home folder where there is none;
# a user's own settings stay in force wherever there is an account.
if [ -z "${HOME:-}" ]; then
    HOME=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6 || true)
    # A user id that no account belongs to, or an account whose home is not its own to write.
    [ -n "$HOME" ] && [ -w "$HOME" ] || HOME=$PWD/.venv/home
    export HOME
fi
