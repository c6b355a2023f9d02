"""Where independent tasks run: in this process, in others on this machine, or on a Dask or Ray cluster.

All but the first goes through joblib. Nothing of it is imported before it is used.
"""

from __future__ import annotations

import importlib
import logging
import re
import socket
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any, Generic, Literal, TypeVar, get_args

from mailopt_solvers.errors import InvalidOption, MissingDependency, WorkerLost
from mailopt_solvers.orphans import end_with_parent

T = TypeVar("T")
R = TypeVar("R")
EngineName = Literal["loky", "dask", "ray"]

_CHANCES = 2  # runs beside others that may end with a lost worker, before a task runs alone


@dataclass(frozen=True)
class Engine:
    """Where independent tasks run.

    Parameters
    ----------
    name
        ``"loky"``: processes on this machine. ``"dask"``, ``"ray"``: workers of a cluster of that kind.
    workers
        How many tasks run at once; each has a process of its own, with one thread for linear algebra. A cluster that
        has fewer lets the others wait. With 1 and ``"loky"`` tasks run in this process, one after the other.
    address
        The cluster to connect to, which is left running: a Dask scheduler (``"tcp://host:8786"``), or a Ray head node
        (``"host:6379"``, ``"ray://host:10001"``, ``"auto"``). None: start one on this machine for as long as the tasks
        run. A process that is connected to Ray already stays where it is.

    Raises
    ------
    InvalidOption
        An unknown name, less than one worker, or an address for ``"loky"``.

    Examples
    --------
    >>> from mailopt_solvers.engines import Engine
    >>> dict(Engine().each(abs, [-1, 2, -3]))
    {0: 1, 1: 2, 2: 3}
    """

    name: EngineName = "loky"
    workers: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if self.name not in get_args(EngineName):
            raise InvalidOption(f"the engine is {self.name!r}; it must be one of {', '.join(get_args(EngineName))}")
        if type(self.workers) is not int or self.workers < 1:
            raise InvalidOption(f"workers is {self.workers!r}; it must be an integer of at least 1")
        if self.address is not None and (self.name == "loky" or not self.address):
            raise InvalidOption(f"address is {self.address!r}; it is that of a cluster, for the engines dask and ray")

    @property
    def in_process(self) -> bool:
        """Whether tasks run in the process of the caller."""
        return self.name == "loky" and self.workers == 1

    def each(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[tuple[int, R | WorkerLost], None, None]:
        """Call a function with each task, and yield the index of a task and its result as they come in, in any order.

        A worker that is lost (killed, out of memory, its machine gone) takes no result with it: its tasks run again.
        Those that were running when it happened a second time run once more, each with no other beside it; one that
        loses its worker even so has a :class:`WorkerLost` for its result. Every task yields once.

        Parameters
        ----------
        function
            Called in the workers, perhaps more than once for a task; it and the tasks must be picklable, and what they
            need installed there.
        tasks
            Its arguments.

        Raises
        ------
        MissingDependency
            joblib, Dask or Ray is not installed.
        InvalidOption
            Nothing answers at the address.
        WorkerLost
            The Dask scheduler is gone.
        Exception
            What the function raises; no further task is started then. To end early, close the iterator.
        """
        if self.in_process:
            for index, task in enumerate(tasks):
                yield index, function(task)
            return
        left = {index: _Job(index, task) for index, task in enumerate(tasks)}
        if not left:
            return
        for name in ("joblib", "threadpoolctl"):
            _needed(name)
        with _OPENED[self.name](self, function) as backend:
            losses = 0
            while left:
                lost = []
                with closing(self._results(backend, function, list(left.values()))) as results:
                    for index, result in results:
                        if isinstance(result, WorkerLost):
                            lost.append(index)
                        else:
                            del left[index]
                            yield index, result
                losses += bool(lost)
                if losses == _CHANCES:
                    losses = 0
                    for index in lost:
                        with closing(self._results(backend, function, [left.pop(index)])) as results:
                            yield from results

    def _results(
        self, backend: Any, function: Callable[[T], R], jobs: list[_Job[T]]
    ) -> Generator[tuple[int, R | WorkerLost], None, None]:
        """Run jobs once; those that were running when loky lost a worker, which ends all, or whose worker is lost."""
        joblib = _needed("joblib")
        begun: set[int] = set()

        def calls() -> Iterator[Any]:
            for job in jobs:
                begun.add(job.index)
                yield joblib.delayed(_run if backend != "loky" else _run_as_child)(function, job)

        with joblib.parallel_config(backend=backend, n_jobs=max(2, self.workers)):  # with one, it would run here
            parallel = joblib.Parallel(batch_size=1, pre_dispatch=self.workers, return_as="generator_unordered")
        results = parallel(calls())
        try:
            for index, result in results:
                begun.discard(index)
                yield index, result
        except joblib.externals.loky.process_executor.TerminatedWorkerError as error:
            yield from [(index, _lost(error)) for index in sorted(begun)]
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # tasks without a result, if this is closed early
                results.close()


@dataclass(frozen=True)
class _Job(Generic[T]):
    """A task and its index; no tuple, in which Dask would look for tasks of its own."""

    index: int
    task: T


def _run(function: Callable[[T], R], job: _Job[T]) -> tuple[int, R]:
    """Run a job, in a worker."""
    with importlib.import_module("threadpoolctl").threadpool_limits(1):
        return job.index, function(job.task)


def _run_as_child(function: Callable[[T], R], job: _Job[T]) -> tuple[int, R]:
    """Run a job in a worker of loky, which would wait for minutes for the next one after its parent was killed."""
    end_with_parent()
    return _run(function, job)


def _needed(name: str) -> Any:
    """Import a package of the extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(f"{name} is not installed: pip install 'mailopt[distributed]'") from error


def _reach(address: str) -> None:
    """Raise unless something listens at an address; Ray would try for minutes, and Dask leave a half-made client."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        raise InvalidOption(f"address is {address!r}; give host:port")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise InvalidOption(f"no cluster answers at {address}: {error}") from None


def _lost(error: BaseException) -> WorkerLost:
    """Say how a worker was lost."""
    code = re.search(r"\w+\(-?\d+\)", str(error))  # such as SIGKILL(-9), which loky knows
    how = ", ".join([type(error).__name__, *([code[0]] if code else [])])
    return WorkerLost(
        f"the process that ran it was lost each time, even with no other task beside it ({how}): killed, out of "
        "memory, crashed, or its machine is gone"
    )


@contextmanager
def _loky(_engine: Engine, _function: Callable[[Any], Any]) -> Iterator[Any]:
    yield "loky"


@contextmanager
def _dask(engine: Engine, function: Callable[[Any], Any]) -> Iterator[Any]:
    dask, distributed = _needed("dask"), _needed("distributed")
    with ExitStack() as stack:
        cluster: Any = engine.address
        if cluster is None:
            with dask.config.set({"distributed.scheduler.allowed-failures": 0}):  # it has three by itself
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=engine.workers,
                        threads_per_worker=1,
                        processes=True,
                        dashboard_address=":0",  # any free port
                        silence_logs=logging.CRITICAL,
                    )
                )
        else:
            _reach(cluster)
        client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        shared = client.submit(_same, function, pure=False)  # sent once; a worker that joins later can have it, too

        def start(job: _Job[Any]) -> tuple[Any, Any]:
            future = client.submit(_run, shared, job, pure=False)
            return future, future

        def result(future: Any) -> Any:
            try:
                return future.result()
            except distributed.KilledWorker as error:
                return _lost(error)
            except distributed.CancelledError:
                raise WorkerLost(
                    f"the scheduler {client.scheduler.address} is gone, or its tasks were cancelled"
                ) from None

        yield _backend(start, result, lambda futures: client.cancel(futures, force=True))


@contextmanager
def _ray(engine: Engine, function: Callable[[Any], Any]) -> Iterator[Any]:
    ray = _needed("ray")
    options: dict[str, Any] = {"address": engine.address}
    if engine.address is None:
        options = {"address": "local", "num_cpus": engine.workers, "include_dashboard": False}
    ours = not ray.is_initialized()
    if ours:
        if engine.address is not None and engine.address != "auto":
            _reach(engine.address)
        try:
            ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError) as error:
            raise InvalidOption(f"no Ray cluster answers at {engine.address}: {error}") from None
    try:
        remote = ray.remote(max_retries=0)(_run)
        shared = ray.put(function)

        def start(job: _Job[Any]) -> tuple[Any, Any]:
            reference = remote.remote(shared, job)
            return reference, reference.future()

        def result(future: Any) -> Any:
            try:
                return future.result()
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                return _lost(error)

        def cancel(references: list[Any]) -> None:
            for reference in references:
                ray.cancel(reference, force=True)

        yield _backend(start, result, cancel)
    finally:
        if ours:
            ray.shutdown()


_OPENED: dict[str, Callable[[Engine, Callable[[Any], Any]], AbstractContextManager[Any]]] = {
    "loky": _loky,
    "dask": _dask,
    "ray": _ray,
}


def _same(value: T) -> T:
    return value


def _backend(
    start: Callable[[_Job[Any]], tuple[Any, Any]],
    result: Callable[[Any], Any],
    cancel: Callable[[list[Any]], None],
) -> Any:
    """Return a joblib backend for a cluster.

    joblib's own for Dask waits forever for a task whose worker was killed (joblib 1.6), and Ray's returns nothing
    before everything is done.

    Parameters
    ----------
    start
        Begins a job; returns what ``cancel`` takes and a future.
    result
        Index and result of a future that is done, or a WorkerLost.
    cancel
        Ends jobs.
    """

    class Backend(_needed("joblib").parallel.ParallelBackendBase):  # type: ignore[misc]
        supports_retrieve_callback = True

        def __init__(self) -> None:
            super().__init__(nesting_level=0)
            self.running: dict[int, Any] = {}

        def effective_n_jobs(self, n_jobs: int) -> int:
            return n_jobs

        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            ((_, (_, job), _),) = func.items  # the function is with the workers already
            self.running[job.index], future = start(job)
            # in a thread of its own, since the callback starts the next job, which Ray's client cannot do in its thread
            future.add_done_callback(
                lambda done: Thread(target=callback, args=[(job.index, done)], daemon=True).start()
            )
            return future

        apply_async = submit  # its name before joblib 1.5

        def retrieve_result_callback(self, out: tuple[int, Any]) -> list[tuple[int, Any]]:
            index, future = out
            self.running.pop(index, None)
            found = result(future)
            return [(index, found) if isinstance(found, WorkerLost) else found]

        def abort_everything(self, ensure_ready: bool = True) -> None:
            cancel(list(self.running.values()))
            self.running.clear()

    return Backend()
