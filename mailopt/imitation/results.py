"""What learners return: the policy, what is proved of it, and every round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from mailopt.evaluation.loss import DeviationWeightedLoss
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt_solvers import LinearProgram, QuadraticSolution, Solution

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Round:
    """One policy that a learner tried.

    Attributes
    ----------
    index
        Number of the round, from 0.
    kind
        ``"iterate"``, or ``"average"`` for the running average of a no-regret rule.
    loss, loss_lower, loss_upper
        Deviation-weighted loss of the policy against the data, and its bounds (without a simulator). Where the data
        say nothing the distance counts as 1, so that it is an upper bound on the loss against the expert.
    surrogate
        The loss under deviations from the expert, which the rule ``expert_occupancy`` minimises.
    objective
        Optimum of the program that made the policy.
    objective_lower, objective_upper
        Of J-BC and J-IRL: no policy of the class has a smaller distance than the one, and the policy's is at most the
        other; proved, rounding included. Where the class has linear constraints, which solvers satisfy up to a
        tolerance, the upper one is of the policy as it is. None where nothing is claimed.
    expert_loss
        Upper end of the deviation-weighted loss against the expert, obedience among the deviations, if a whole one was
        given; ``loss`` is against the data.
    regret_gap, value_gap, gap_bound
        Against the expert, if a whole one was given: R(sigma) - R(sigma_E), max_i J_i(sigma_E) - J_i(sigma), and
        the bound of :func:`mailopt.regret_gap_bound`.
    rows, columns, nonzeros
        Size of the program; 0 without one.
    iterations
        Of the solver.
    solve_time, elapsed
        Seconds in the solver for this round, and since the start.
    queries
        Answers of the expert so far.
    """

    index: int
    kind: str = "iterate"
    loss: float
    loss_lower: float
    loss_upper: float
    surrogate: float | None = None
    objective: float | None = None
    objective_lower: float | None = None
    objective_upper: float | None = None
    expert_loss: float | None = None
    regret_gap: float | None = None
    value_gap: float | None = None
    gap_bound: float | None = None
    rows: int = 0
    columns: int = 0
    nonzeros: int = 0
    iterations: int | None = None
    solve_time: float = 0.0
    elapsed: float = 0.0
    queries: int = 0


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Imitation:
    """A policy learned from an expert.

    Attributes
    ----------
    algorithm
        Which learner.
    policy
        The learned policy.
    loss
        Its deviation-weighted loss against the data, exact, with bounds (in which the rounding of the data's own sums
        is included) and the deviation that attains it; where the
        data say nothing the distance counts as 1. Data from few episodes may be far from the expert: see
        :attr:`Round.expert_loss`. None if only roll-outs are known.
    estimate
        The same loss as roll-outs have it; None if the loss is exact.
    completed
        True where no data reached the policy's row, so that the completion rule decided, (T, S).
    history
        Every policy that was tried.
    stopped
        Why the learner stopped.
    rounding
        Largest change that made distributions of the solver's points.
    minimax
        For the rule ``expert_occupancy``: proved bounds, rounding included; no policy of the class has a smaller loss
        under deviations from the expert than the one, and the policy's is at most the other. None otherwise.
    solver, version, solve_time
        Provenance of the programs; empty if none was needed.
    program
        The last linear program that was solved, as data; None if there was none.
    elapsed
        Seconds in all.
    options
        What was asked for.
    """

    algorithm: str
    policy: CorrelatedPolicy
    loss: DeviationWeightedLoss | None
    completed: BoolArray
    history: tuple[Round, ...]
    stopped: str
    options: Mapping[str, object]
    estimate: float | None = None
    rounding: float = 0.0
    minimax: tuple[float, float] | None = None
    solver: str = ""
    version: str = ""
    solve_time: float = 0.0
    program: LinearProgram | None = None
    elapsed: float = 0.0

    def __repr__(self) -> str:
        """Algorithm, loss and rounds in one line."""
        loss = f"loss about {self.estimate:.3g} in roll-outs" if self.loss is None else f"loss {self.loss.value:.6g}"
        rounds = self.history[-1].index + 1
        return f"{type(self).__name__}({self.algorithm}, {loss}; {rounds} round{'s' * (rounds > 1)}, {self.stopped})"

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw loss, bound and gap against rounds, or queries; see :func:`mailopt.plotting.learning_curve`."""
        from mailopt.plotting import learning_curve  # noqa: PLC0415 - matplotlib is optional

        return learning_curve(self, path)


class Provenance(TypedDict):
    """Which solver answered, how long it took, and the last linear program."""

    solver: str
    version: str
    solve_time: float
    program: LinearProgram | None


def provenance(*solutions: Solution | QuadraticSolution | None) -> Provenance:
    """Gather the provenance of answers; the last one tells the solver."""
    found = [solution for solution in solutions if solution is not None]
    if not found:
        return {"solver": "", "version": "", "solve_time": 0.0, "program": None}
    total = sum(solution.solve_time for solution in found)
    programs = [solution.program for solution in found if isinstance(solution, Solution)]
    return {
        "solver": found[-1].solver,
        "version": found[-1].version,
        "solve_time": total,
        "program": programs[-1] if programs else None,
    }


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MomentMatching(Imitation):
    """A policy whose occupancy matches the expert's.

    Attributes
    ----------
    occupancy
        mu of the policy, (T, S, A); discounted (S, A).
    worst_reward
        The reward f of the class under which the expert is ahead most, of the same shape.
    distance
        max_f <f, mu_E - mu> of the policy, mu_E that of the demonstrations.
    distance_lower, distance_upper
        Proved bounds, with all rounding: no occupancy of the class has a smaller distance than the one, and the
        policy's is at most the other. So the least distance is between them, unless there are linear constraints on
        mu: these the policy satisfies within the solver's tolerance, and the least distance may exceed the upper bound
        by what that is worth. Features and coefficients of constraints are the doubles that they are stored as.
    """

    occupancy: FloatArray
    worst_reward: FloatArray
    distance: float
    distance_lower: float
    distance_upper: float

    def __repr__(self) -> str:
        """Distance and loss in one line."""
        loss = "" if self.loss is None else f", loss {self.loss.value:.6g}"
        return f"MomentMatching({self.algorithm}, distance {self.distance:.6g}{loss})"


@dataclass(frozen=True)
class Answer:
    """What the expert recommends at a step and state; step None: at all steps."""

    step: int | None
    state: int
    row: tuple[float, ...]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Blades(Imitation):
    """A policy learned by asking the expert where deviations go.

    Attributes
    ----------
    answers
        All answers, in the order in which they were needed.
    bound
        Certified upper bound on the deviation-weighted loss against the expert, rounding included: what was never asked
        counts as 1.
        An estimate if only roll-outs are known.
    exact
        Whether the bound is that loss itself: no deviation from the policy reaches a place that was not asked for.
    reachable
        Number of places (step, state) that deviations from the policy reach; None if only roll-outs are known.
    """

    answers: tuple[Answer, ...]
    bound: float
    exact: bool
    reachable: int | None

    @property
    def queries(self) -> int:
        """Number of answers."""
        return len(self.answers)

    def __repr__(self) -> str:
        """Bound and queries in one line."""
        meaning = f"loss <= {self.bound:.6g}"
        if self.loss is None:
            meaning = f"loss about {self.bound:.3g} in roll-outs"
        elif self.exact:
            meaning = f"loss = {self.loss.value:.6g}"
        count = self.queries
        return f"Blades({meaning} after {count} quer{'y' if count == 1 else 'ies'}; {self.stopped})"
