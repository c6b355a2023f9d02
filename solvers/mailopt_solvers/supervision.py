"""Running a solver so that it can be interrupted and cannot hang past its time limit."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from mailopt_solvers.errors import MailoptError, SolverFailed, TimeLimit
from mailopt_solvers.program import LinearProgram
from mailopt_solvers.solver import Answer, Request, Solver

T = TypeVar("T")

_GRACE = 1.0  # seconds beyond its limit, and a tenth of it, that a solver may take to stop
_WINK = 0.1  # seconds between looks for Ctrl-C
_PATIENCE = 2.0  # seconds to wait for a solver that was asked to stop
QUICK = 10_000  # nonzeros up to which a program without a time limit is solved in the caller's own thread


def answered(
    solver: Solver,
    program: LinearProgram,
    request: Request,
    run: Callable[[LinearProgram, Request], Answer] | None = None,
) -> Answer:
    """Run a solver under supervision; whatever it raises that is not of this project becomes ``SolverFailed``.

    Parameters
    ----------
    solver, program, request
        Who solves what, and how.
    run
        What to call instead of ``solver.run``.

    Raises
    ------
    SolverFailed
        The solver broke down.
    TimeLimit
        The solver did not stop in time.
    """
    direct = request.time_limit is None and program.num_nonzeros <= QUICK
    if not direct:
        limit = None if request.time_limit == math.inf else request.time_limit
        request = replace(request, time_limit=limit, stop=threading.Event())

    def guarded() -> Answer:
        try:
            answer = (run or solver.run)(program, request)
        except MailoptError:
            raise
        except (Exception, SystemExit) as error:
            raise SolverFailed(f"{solver.name} broke down with {type(error).__name__}: {error}") from error
        if not isinstance(answer, Answer):
            raise SolverFailed(f"{solver.name} returned {answer!r:.80} instead of an Answer")
        return answer

    return guarded() if request.stop is None else supervised(guarded, solver.name, request.time_limit, request.stop)


def supervised(call: Callable[[], T], name: str, time_limit: float | None, stop: threading.Event) -> T:
    """Return what a call returns, or raise what it raises, from a thread of its own.

    Parameters
    ----------
    call
        The solver's run.
    name
        Whom to blame.
    time_limit
        Seconds. A call that has not returned by then, plus a tenth and a second of grace, is asked to stop and left
        behind.
    stop
        Set when the call should stop: late, or on Ctrl-C.

    Raises
    ------
    TimeLimit
        The call did not stop in time.
    KeyboardInterrupt
        Ctrl-C while waiting; the call is asked to stop first.
    """
    outcome: list[tuple[T | None, BaseException | None]] = []
    done = threading.Event()

    def work() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            outcome.append((None, error))
        done.set()

    thread = threading.Thread(target=work, name=f"solve with {name}", daemon=True)
    thread.start()
    patience = math.inf if time_limit is None else 1.1 * time_limit + _GRACE
    deadline = time.monotonic() + patience
    try:
        while not done.is_set() and time.monotonic() < deadline:
            done.wait(_WINK)  # briefly, since not every kind of Ctrl-C ends a wait
    except BaseException:
        stop.set()
        done.wait(_PATIENCE)  # not join, which takes an interrupted thread for ended
        raise
    if not outcome:
        stop.set()
        raise TimeLimit(
            f"{name} was still running {patience:g} s after it started although its limit was {time_limit:g} s; "
            f"it was left behind and its answer, if one comes, is ignored"
        )
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # no error, so there is a value
