"""Progress of long work, on a terminal and only there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to call with how much is done, and of how much."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done, _whole: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None, visible=False)
        yield lambda done, whole: progress.update(task, completed=done, total=whole, visible=True)
