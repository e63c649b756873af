"""`vaultd import`: the run, its progress on a terminal, and its report."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from vaultd.app.importing import Importing, open_importing
from vaultd.cli.output import outside, say, write_json
from vaultd.errors import ConfigurationError, TemporarilyUnavailable
from vaultd.importing import Checked, Mistake, Stage, Verdict
from vaultd.importing.recipe import Changed, Tell
from vaultd.importing.trial import Tried
from vaultd.settings import Settings


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    dry_run: bool
    ask_provider: bool
    test_refresh: bool
    rate: int


@dataclass(slots=True)
class Report:
    """What came of it."""

    dry_run: bool
    lines: int = 0
    imported: int = 0
    unnamed: int = 0
    mistakes: Sequence[Mistake] = field(default_factory=list)
    tried: Tried | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.mistakes and (self.tried is None or not self.tried.findings)


async def run(settings: Settings, path: Path, wish: Wish) -> Report:
    """Check, store and try, as far as was asked for.

    Raises:
        VaultdError: the configuration, the database or the file cannot be used.
    """
    report = Report(dry_run=wish.dry_run)
    with ExitStack() as stack:
        file = _opened(path, stack)
        tell = stack.enter_context(_progress())
        async with open_importing(settings, rate=wish.rate) as parts:
            checked = await _check(parts, file, stack, wish, tell)
            report.lines, report.unnamed, report.mistakes = checked.lines, checked.unnamed, checked.mistakes
            if checked.mistakes or wish.dry_run:
                return report
            await _store(report, parts, checked, wish, tell)
    return report


async def _check(parts: Importing, file: BinaryIO, stack: ExitStack, wish: Wish, tell: Tell) -> Checked:
    accounts = parts.accounts if wish.ask_provider else None
    try:
        return await parts.importer.check(file, stack=stack, tell=tell, accounts=accounts)
    except OSError as error:
        raise ConfigurationError(
            f"The file, or the temporary folder {tempfile.gettempdir()}, cannot be used ({error.strerror})."
        ) from error


async def _store(report: Report, parts: Importing, checked: Checked, wish: Wish, tell: Tell) -> None:
    try:
        stored = await parts.importer.store(checked, tell=tell)
    except Changed as changed:
        report.mistakes = changed.mistakes
        return
    except TemporarilyUnavailable as error:
        raise ConfigurationError(
            f"The database was lost or refused the work ({error.detail}). All was stored, or nothing:"
            " `vaultd import --dry-run` with the same file tells which."
        ) from error
    report.imported = len(stored)
    if wish.test_refresh:
        report.tried = await parts.trial.run(stored, tell=lambda done: tell(Stage.TRYING, done))


def _opened(path: Path, stack: ExitStack) -> BinaryIO:
    if str(path) == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(path.open("rb"))
    except OSError as error:
        raise ConfigurationError(f"{path}: the file cannot be read ({error.strerror}).") from None


@contextmanager
def _progress() -> Iterator[Tell]:
    """On a terminal, and only there."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _stage, _done: None
        return
    columns = (TextColumn("{task.description}"), TextColumn("{task.completed:.0f} lines"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[Stage, Any] = {}

        def tell(stage: Stage, done: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=None)
            progress.update(tasks[stage], completed=done)

        yield tell


def write(report: Report, *, as_json: bool) -> None:
    """Write the report to standard output."""
    if as_json:
        write_json(_document(report))
        return
    for mistake in report.mistakes:
        say(f"line {mistake.line}: {outside(mistake.text)}")
    say(_verdict(report))
    if report.unnamed and not report.mistakes:
        say(f"Without an account's id: {report.unnamed}. Each takes the account of its user's next consent.")
    if report.tried is not None:
        for finding in report.tried.findings:
            say(f"line {finding.line}: {outside(finding.text)}")
        counted = ", ".join(f"{verdict.replace('_', ' ')} {report.tried.counts[verdict]}" for verdict in Verdict)
        say(f"Refresh tokens: {counted}.")


def _verdict(report: Report) -> str:
    if report.mistakes:
        bad = len({mistake.line for mistake in report.mistakes})
        return f"Lines: {report.lines}, with mistakes: {bad}. Nothing was stored."
    if report.dry_run:
        return f"Lines: {report.lines}, all of them right. Nothing was stored, since this was a dry run."
    return f"Lines: {report.lines}. Connections imported: {report.imported}."


def _document(report: Report) -> dict[str, Any]:
    document: dict[str, Any] = {
        "ok": report.ok,
        "dry_run": report.dry_run,
        "lines": report.lines,
        "imported": report.imported,
        "without_account_id": report.unnamed,
        "mistakes": _rows(report.mistakes),
    }
    if report.tried is not None:
        counts = {str(verdict): report.tried.counts[verdict] for verdict in Verdict}
        document["test_refresh"] = {**counts, "findings": _rows(report.tried.findings)}
    return document


def _rows(mistakes: Sequence[Mistake]) -> list[dict[str, Any]]:
    return [{"line": mistake.line, "text": outside(mistake.text)} for mistake in mistakes]
