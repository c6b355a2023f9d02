"""How learned policies are scored for the history: their loss, and gaps against an expert that is wholly known."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property

from mailopt.deviations import Budget, DeviationClass
from mailopt.evaluation.loss import gap_bound
from mailopt.evaluation.recoverability import Kept
from mailopt.evaluation.regret import Regret, regret
from mailopt.games.game import MarkovGame
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.imitation.dynamics import Assessment
from mailopt.imitation.results import Round
from mailopt_solvers import QuadraticSolution, Solution


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores of policies; no gaps if the expert or the game is not known. Time counts from when it is made."""

    game: MarkovGame | None
    expert: CorrelatedPolicy | None
    deviations: DeviationClass
    started: float = field(default_factory=time.perf_counter)
    _kept: Kept = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate."""
        if self.game is not None and self.expert is not None:
            check_policy(self.game, self.expert)

    @cached_property
    def _regret(self) -> Regret:
        assert self.game is not None
        assert self.expert is not None
        return regret(self.game, self.expert, self.deviations)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def round(
        self,
        index: int,
        policy: CorrelatedPolicy,
        found: Assessment,
        objective: float | None = None,
        solution: Solution | QuadraticSolution | None = None,
        *,
        kind: str = "iterate",
        bounds: tuple[float | None, float | None] = (None, None),
        surrogate: float | None = None,
        queries: int = 0,
    ) -> Round:
        """Score a policy, given its assessment and the program that made it."""
        program = None if solution is None else solution.program
        return Round(
            index=index,
            kind=kind,
            loss=found.value,
            loss_lower=found.lower,
            loss_upper=found.upper,
            surrogate=surrogate,
            objective=objective,
            objective_lower=bounds[0],
            objective_upper=bounds[1],
            rows=0 if program is None else program.num_rows,
            columns=0 if program is None else program.num_variables,
            nonzeros=0 if program is None else program.matrix.nnz,
            iterations=None if solution is None else solution.iterations,
            solve_time=0.0 if solution is None else solution.solve_time,
            elapsed=self.elapsed,
            queries=queries,
            **self.gaps(policy),
        )

    def gaps(self, policy: CorrelatedPolicy) -> dict[str, float | None]:
        """Return gaps, the bound and the loss against the expert, by the names of :class:`Round`."""
        if self.game is None or self.expert is None:
            return {}
        ours = regret(self.game, policy, self.deviations)
        bound = None
        if not isinstance(self.deviations, Budget):
            bound = gap_bound(self.game, policy, self.expert, self.deviations, self._kept)
        return {
            "regret_gap": ours.value - self._regret.value,
            "value_gap": float((self._regret.obedience.value - ours.obedience.value).max()),
            "gap_bound": None if bound is None else bound.value,
            "expert_loss": None if bound is None else bound.loss,
        }
