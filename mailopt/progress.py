"""Progress bars for long work, shown only if asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int], None]


@contextmanager
def shown(progress: bool, title: str, total: int | None) -> Iterator[Progress]:
    """Show a progress bar if asked to; call what it yields with the number of units that were done."""
    if not progress:
        yield lambda _: None
        return
    from rich.progress import Progress as Bar  # noqa: PLC0415 - only if there is something to show

    with Bar() as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)
