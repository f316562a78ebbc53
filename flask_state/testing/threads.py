"""Threads whose errors are those of the test."""

from __future__ import annotations

import threading
import typing as t


def run_threads(jobs: t.Sequence[tuple[t.Callable[[int], None], int]]) -> None:
    """Run each job in a thread of its own, and raise here what one of them raised."""
    errors: list[BaseException] = []

    def run(work: t.Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
