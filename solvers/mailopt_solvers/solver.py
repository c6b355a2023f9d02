"""What a solver is: an object with a method and options that turns a program into an unchecked answer."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import ClassVar

from mailopt_solvers.basis import Basis
from mailopt_solvers.errors import InvalidOption
from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.solution import Termination


class Capability(Enum):
    """What a solver can do beyond returning a point and its row duals, which every solver must."""

    BASIS = "returns its final basis"
    START = "starts from a given basis"
    TIME_LIMIT = "stops by itself when its time is over"
    INTERRUPT = "stops when asked to, as by Ctrl-C"


@dataclass(frozen=True, eq=False)
class Answer:
    """What a solver claims. Nothing in it is believed before it is checked.

    Attributes
    ----------
    termination
        The claim. ``FAILED`` with a point and duals that pass the check becomes ``OPTIMAL``.
    version, detail
        The software's version and its own words for how it ended.
    options
        The options in force, read back from the solver where it can be asked. Those of the solver object and the time
        limit must be among them.
    x, row_duals
        Point and row duals in the sign convention of :class:`Solution`, where there are any.
    primal_ray, dual_ray
        Rays, if the solver returns any; otherwise they are computed with a second program.
    basis, iterations
        If the solver tells.
    build_time, solve_time
        Seconds to hand the program over, and in the solver.
    """

    termination: Termination
    version: str
    detail: str
    options: Mapping[str, object]
    x: FloatArray | None = None
    row_duals: FloatArray | None = None
    primal_ray: FloatArray | None = None
    dual_ray: FloatArray | None = None
    basis: Basis | None = None
    iterations: int | None = None
    build_time: float = 0.0
    solve_time: float = 0.0


@dataclass(frozen=True)
class Request:
    """How to run a solver this time.

    Attributes
    ----------
    time_limit
        Seconds of wall clock, or None.
    start
        Basis to start from; given only to solvers that have :attr:`Capability.START`.
    stop
        Set when the caller wants the solver to stop; to be watched by solvers that have :attr:`Capability.INTERRUPT`.
        None if the solver runs in the caller's own thread.
    """

    time_limit: float | None = None
    start: Basis | None = None
    stop: threading.Event | None = None


class Solver(ABC):
    """A solver with its method and options.

    Parameters
    ----------
    method
        One of :attr:`methods`; the first if not given.
    options
        The solver's own options under its own names. Unknown names and values are errors, never ignored.

    Raises
    ------
    InvalidOption
        Unknown method; unknown options as soon as the solver can tell, at the latest when it runs.
    """

    backend: ClassVar[str]
    """The name that users type, as ``backend`` or ``backend-method``."""
    methods: ClassVar[tuple[str, ...]]
    """What the backend can be asked for; the first is what its bare name means."""
    modules: ClassVar[tuple[str, ...]] = ()
    """What it imports when it runs, to be loaded beforehand where many runs are to start quickly."""

    def __init__(self, method: str | None = None, /, **options: object) -> None:
        self.method = self.methods[0] if method is None else method
        if self.method not in self.methods:
            raise InvalidOption(
                f"{self.backend} has no method {method!r}; there are {', '.join(map(repr, self.methods))}"
            )
        self.options: Mapping[str, object] = MappingProxyType(dict(options))

    @property
    def name(self) -> str:
        """``backend`` for the first method, else ``backend-method``."""
        return self.backend if self.method == self.methods[0] else f"{self.backend}-{self.method}"

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""

    @property
    @abstractmethod
    def tolerance(self) -> float:
        """Largest residual or gap, relative to the terms involved, at which its answers are accepted as optimal."""

    @abstractmethod
    def missing(self) -> str | None:
        """Why it cannot be used here and what to do about it, or None if it can. Cheap: imports nothing heavy."""

    @abstractmethod
    def run(self, program: LinearProgram, request: Request) -> Answer:
        """Solve a program and return what the software claims, unchecked.

        Raises
        ------
        InvalidOption
            An option that the software does not know.
        SolverFailed
            The software refused the program or has no answer.
        """

    def fallbacks(self) -> tuple[Solver, ...]:
        """Solvers to turn to, in this order, when this one has no answer or a wrong one; none unless overridden."""
        return ()

    def __eq__(self, other: object) -> bool:
        """Compare backend, method and options."""
        return type(self) is type(other) and isinstance(other, Solver) and self._key() == other._key()

    def __hash__(self) -> int:
        """Consistent with equality."""
        return hash((type(self), self.method))

    def _key(self) -> tuple[str, dict[str, object]]:
        return self.method, dict(self.options)

    def __reduce__(self) -> tuple[Callable[..., Solver], tuple[type[Solver], str, dict[str, object]]]:
        """Pickle as the call that makes it."""
        return _made, (type(self), *self._key())

    def __repr__(self) -> str:
        """Show the call that makes it."""
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({self.method!r}{options})"


def _made(kind: type[Solver], method: str, options: dict[str, object]) -> Solver:
    return kind(method, **options)
