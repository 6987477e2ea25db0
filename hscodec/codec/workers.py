"""Threads that code side by side: one for each core, and each operation of theirs in that thread alone.

Matrices of a few hundred segments are too small for several threads of torch to share: two take longer than one.
Whole slices side by side have nothing to share.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

ItemT = TypeVar("ItemT")

MAX_WORKERS = 8
"""What can be put to use: Python's own part of the work is done by one thread at a time."""


def default_workers() -> int:
    """Return how many threads to use: as many as torch would use, which `torch.set_num_threads` decides."""
    return min(torch.get_num_threads(), MAX_WORKERS)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one thread in what is done by the calling thread.

    The last bits of a matrix product may depend on the number of threads, and those of a sound may not.
    """
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def worker_pool(num_workers: int) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads in which torch uses one thread each; what has not begun when it is left is not done.

    Args:
        num_workers: How many threads.
    """
    pool = open_pool(num_workers)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def open_pool(num_workers: int) -> ThreadPoolExecutor:
    """Return a pool of threads in which torch uses one thread each."""
    before = torch.get_num_threads()
    if before == 1:
        return ThreadPoolExecutor(num_workers, thread_name_prefix="hscodec")
    # The number is each thread's own, but setting it also sets what threads of others will begin with. So all of the
    # pool's threads start now, and then that is put right again.
    have_started = threading.Barrier(num_workers + 1)

    def start() -> None:
        torch.get_num_threads()  # the first call of a thread takes over the number of all; what is set before is lost
        torch.set_num_threads(1)
        have_started.wait()

    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="hscodec", initializer=start)
    for _ in range(num_workers):
        pool.submit(int)
    have_started.wait()
    torch.set_num_threads(before)
    return pool


def ahead(items: Iterable[ItemT], count: int) -> Iterator[ItemT]:
    """Yield items in order, and take up to `count` more of them before each is handed out."""
    taken: deque[ItemT] = deque()
    for item in items:
        taken.append(item)
        if len(taken) > count:
            yield taken.popleft()
    yield from taken
