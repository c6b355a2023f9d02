"""Engines: other processes, workers that are killed, errors of the function, clusters that run already."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailopt_solvers.engines import Engine, EngineName
from mailopt_solvers.errors import InvalidOption, MissingDependency, WorkerLost

PATIENCE = 60.0  # seconds after which what waits for another process gives up


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def meet(folder: Path, task: int) -> int:
    """Two tasks that end when both are running, and one that ends when a result has been seen."""
    if task == 2:
        wait((folder / "seen").exists)
    else:
        (folder / f"here-{task}").touch()
        wait(lambda: all((folder / f"here-{k}").exists() for k in range(2)))
    return os.getpid()


def die(folder: Path, poison: set[int], weak: set[int], task: int) -> int:
    """Kill the worker each time, or the first time."""
    marker = folder / f"tried-{task}"
    if task in poison or (task in weak and not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * task


def fail(task: int) -> int:
    if task == 3:
        raise KeyError("three")
    return task


def nap(folder: Path, task: int) -> None:
    (folder / f"pid-{os.getpid()}").touch()
    time.sleep(0.0 if task == 0 else PATIENCE)


def threads(_task: int) -> int:
    importlib.import_module("numpy.linalg")
    pools = importlib.import_module("threadpoolctl").threadpool_info()
    return max(int(pool["num_threads"]) for pool in pools)


def alive(folder: Path) -> list[str]:
    pids = [path.name.removeprefix("pid-") for path in folder.glob("pid-*")]
    assert pids
    return [pid for pid in pids if Path("/proc", pid).exists()]


def check_meeting(engine: Engine, folder: Path) -> None:
    pids: dict[int, object] = {}
    for index, pid in engine.each(functools.partial(meet, folder), range(3)):
        (folder / "seen").touch()
        assert index not in pids
        pids[index] = pid
    assert sorted(pids) == [0, 1, 2]
    assert pids[0] != pids[1]
    assert os.getpid() not in pids.values()


def check_losses(engine: Engine, folder: Path) -> None:
    found = list(engine.each(functools.partial(die, folder, {2}, {0, 5}), range(7)))
    assert sorted(index for index, _ in found) == list(range(7))
    results = dict(found)
    lost = results.pop(2)
    assert isinstance(lost, WorkerLost)
    assert "lost each time" in str(lost)
    assert results == {task: 10 * task for task in (0, 1, 3, 4, 5, 6)}


def check_error(engine: Engine) -> None:
    with pytest.raises(KeyError, match="three") as caught:
        list(engine.each(fail, range(6)))
    assert type(caught.value) is KeyError


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[str]:
    with importlib.import_module("distributed").LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    cluster = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
    )
    yield cluster.address
    cluster.shutdown()


@pytest.mark.parametrize("name", ["loky", "dask", "ray"])
def test_tasks_run_in_processes_of_their_own_and_yield_at_once(name: EngineName, tmp_path: Path) -> None:
    check_meeting(Engine(name, 2), tmp_path)


@pytest.mark.parametrize("name", ["loky", "dask"])
def test_a_lost_worker_costs_no_result_and_a_deadly_task_is_found(name: EngineName, tmp_path: Path) -> None:
    check_losses(Engine(name, 2), tmp_path)


def test_a_single_worker_of_a_cluster_is_not_this_process(tmp_path: Path) -> None:
    [(index, lost)] = Engine("dask", 1).each(functools.partial(die, tmp_path, {0}, set()), [0])
    assert index == 0
    assert isinstance(lost, WorkerLost)


def test_a_dask_cluster_that_runs_already(dask_cluster: str, tmp_path: Path) -> None:
    check_meeting(Engine("dask", 2, dask_cluster), tmp_path)
    check_error(Engine("dask", 3, dask_cluster))  # more than it has


def test_a_ray_cluster_that_runs_already(ray_cluster: str, tmp_path: Path) -> None:
    check_meeting(Engine("ray", 2, ray_cluster), tmp_path)
    check_losses(Engine("ray", 2, ray_cluster), tmp_path)
    check_error(Engine("ray", 3, ray_cluster))


def test_an_error_of_the_function_reaches_the_caller() -> None:
    check_error(Engine("loky", 2))
    check_error(Engine())


def test_one_local_worker_is_this_process() -> None:
    assert Engine().in_process
    assert list(Engine().each(lambda _: os.getpid(), "ab")) == [(0, os.getpid()), (1, os.getpid())]
    assert list(Engine("loky", 2).each(fail, [])) == []


def test_one_thread_for_linear_algebra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    assert dict(Engine("loky", 2).each(threads, [0, 1])) == {0: 1, 1: 1}


def test_closing_early_ends_the_workers(tmp_path: Path) -> None:
    results = Engine("loky", 2).each(functools.partial(nap, tmp_path), range(4))
    assert next(results) == (0, None)
    results.close()
    wait(lambda: not alive(tmp_path))


SCRIPT = """
import functools, importlib, signal, sys
from pathlib import Path
from mailopt_solvers.engines import Engine
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nap = importlib.import_module(sys.argv[2]).nap
    for _ in Engine(sys.argv[1], 2).each(functools.partial(nap, Path(sys.argv[3])), range(4)):
        print("one is done", flush=True)
    print("it ended by itself")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("name", ["loky", "dask"])
def test_ctrl_c_ends_the_workers(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, name, __name__, str(tmp_path)]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one is done\n"
        process.send_signal(signal.SIGINT)
        try:
            said, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert "it ended by itself" not in said
    assert "KeyboardInterrupt" in errors
    wait(lambda: not alive(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "slurm"}, "loky, dask, ray"),
        ({"workers": 0}, "at least 1"),
        ({"workers": 2.0}, "at least 1"),
        ({"workers": True}, "at least 1"),
        ({"address": "tcp://127.0.0.1:8786"}, "dask and ray"),
        ({"name": "dask", "address": ""}, "dask and ray"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        Engine(**options)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("dask", "nowhere"),
        ("dask", "tcp://127.0.0.1:1"),
        ("dask", "127.0.0.1:99999"),
        ("ray", "nowhere"),
        ("ray", "ray://127.0.0.1:1"),
    ],
)
def test_no_cluster_at_the_address(name: EngineName, address: str) -> None:
    with pytest.raises(InvalidOption, match=f"{address}.*" + ("give host:port" if address == "nowhere" else "")):
        list(Engine(name, 2, address).each(fail, range(2)))


@pytest.mark.parametrize(
    ("name", "package"), [("loky", "joblib"), ("loky", "threadpoolctl"), ("dask", "distributed"), ("ray", "ray")]
)
def test_a_package_that_is_missing(name: EngineName, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependency, match=rf"{package} is not installed: pip install 'mailopt\[distributed\]'"):
        list(Engine(name, 2).each(fail, range(2)))


def test_importing_leaves_the_packages_alone() -> None:
    names = ("joblib", "dask", "distributed", "ray", "threadpoolctl")
    code = f"import mailopt, mailopt_solvers.engines, sys; print([name for name in {names} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
