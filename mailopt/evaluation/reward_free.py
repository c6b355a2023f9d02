"""Gaps for the worst of all rewards: what matching an expert is worth when nobody knows what agents want."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from mailopt.deviations import Budget, DeviationClass, Finite, Swap, check_deviations
from mailopt.deviations.base import Recursive
from mailopt.errors import InvalidDeviation, InvalidOption
from mailopt.evaluation.deviating import problem_of
from mailopt.evaluation.loss import distances
from mailopt.evaluation.reach import occupancy_error
from mailopt.evaluation.recursion import occupancy_of
from mailopt.evaluation.regret import RegretGap, regret_gap
from mailopt.evaluation.rounding import Enclosure, gamma, highest
from mailopt.evaluation.rules import Follow, Obey, Problem, Rule
from mailopt.evaluation.search import Found, search
from mailopt.evaluation.values import values_of
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.programs import deviation as deviation_program
from mailopt_solvers import LinearProgram, ProgramBuilder, solve

_CLIMB = 1e-9  # relative: less is no improvement
_CUTS = 100  # deviations under the expert that are taken into account; the gap found is evaluated in any case


@dataclass(frozen=True, eq=False, repr=False)
class RewardFreeValueGap:
    """The largest value gap over all rewards in the unit box.

    Attributes
    ----------
    value
        sup over rewards with |r_{i,h}(s, a)| <= 1 of the value gap: the L1 distance of the occupancies.
    lower, upper
        lower <= true value <= upper.
    rewards
        A reward that attains it, for every agent: the sign of mu_E - mu, (H, S, A); discounted (S, A).
    """

    value: float
    lower: float
    upper: float
    rewards: FloatArray

    def __repr__(self) -> str:
        """Gap in one line."""
        return f"RewardFreeValueGap({self.value:.6g})"


@dataclass(frozen=True, eq=False, repr=False)
class RewardFreeRegretGap:
    """Bounds on the largest regret gap over all rewards in the unit box.

    Attributes
    ----------
    lower
        The regret gap for ``rewards``, proved.
    upper
        What the deviation-weighted loss allows, or what such rewards allow at all if that is less.
    rewards
        The worst rewards that were found, (H, m, S, A); discounted (m, S, A).
    gap
        The regret gap for them.
    """

    lower: float
    upper: float
    rewards: FloatArray
    gap: RegretGap

    def __repr__(self) -> str:
        """Both bounds in one line."""
        return f"RewardFreeRegretGap({self.lower:.6g} to {self.upper:.6g})"


def reward_free_value_gap(game: MarkovGame, policy: CorrelatedPolicy, expert: CorrelatedPolicy) -> RewardFreeValueGap:
    """Largest value gap over all rewards with |r| <= 1: sum over h, s, a of |mu_{E,h}(s, a) - mu_h(s, a)|.

    It is the same for every agent. Discounted, with rewards that do not depend on time, the L1 distance of the
    normalised occupancies divided by 1 - gamma. The game's own rewards play no part.

    Parameters
    ----------
    game, policy, expert
        The game, and the two policies to compare.

    Raises
    ------
    InvalidPolicy, NotConverged
        As for :func:`mailopt.occupancy`.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> mo.reward_free_value_gap(chain.game, chain.learner, chain.expert).value
    0.0
    """
    check_policy(game, policy)
    check_policy(game, expert)
    sides = [Problem(game, expert), Problem(game, policy)]
    obey = Obey(range(game.num_agents))
    theirs, ours = (total_occupancy(side, obey) for side in sides)
    difference = theirs - ours
    value = float(np.abs(difference).sum()) / game.occupancy_mass
    off = sum(occupancy_error(side, obey) for side in sides)
    rounding = gamma(8 * difference[0].size + 16) * 2 * (game.horizon or 1)
    enclosure = Enclosure.around(value, (off + rounding) / game.occupancy_mass * (1 + 2.0**-30))
    rewards = np.sign(difference)
    return marked(
        game,
        RewardFreeValueGap(
            value, enclosure.lower, enclosure.upper, rewards if game.horizon is not None else rewards[0]
        ),
    )


def reward_free_regret_gap(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    expert: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    rounds: int = 20,
) -> RewardFreeRegretGap:
    """Bounds on the largest regret gap over all rewards with |r_{i,h}(s, a)| <= 1.

    For one deviation phi of one agent the worst reward is a linear program: maximise <r, mu of phi∘sigma - mu of
    sigma> - t, where t is at least what each deviation gains under the expert; its dual is the L1 distance from what
    phi adds to the occupancy to all that deviations under the expert can add. For a Finite list this is done for
    every member, and the lower bound is exact up to the solver's tolerance. Otherwise reward and best deviation
    alternate, which climbs to a local maximum: a lower bound. The upper bound is sum_h E over s ~ d_h of phi∘sigma of
    2 (H - h) TV(s), at its worst phi, and the same for obedience: 2 (H - h) is the largest range of action values
    that such rewards allow, discounted 2 / (1 - gamma).

    Parameters
    ----------
    game, policy, expert
        The game, and the two policies to compare. Its own rewards play no part.
    deviations
        The class of deviations; not Budget.
    rounds
        Most alternations for each agent.

    Raises
    ------
    InvalidPolicy, InvalidDeviation, InvalidOption, NotConverged, SolverError
        As for :func:`mailopt.regret`; ``rounds`` is not at least 1.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> found = mo.reward_free_regret_gap(chain.game, chain.learner, chain.expert)
    >>> round(found.lower, 6), found.lower <= found.upper
    (6.0, True)
    """
    check_policy(game, policy)
    check_policy(game, expert)
    check_deviations(deviations, game)
    if isinstance(deviations, Budget):
        raise InvalidDeviation(
            f"{deviations!r} holds different deviations under the policy and under the expert; use Swap() or Limited(k)"
        )
    if not isinstance(rounds, int | np.integer) or rounds < 1:
        raise InvalidOption(f"rounds is {rounds!r}; it must be an integer of at least 1")
    losses = distances(game, policy, expert, deviations)
    bounded = _scaled_by_range(losses)
    agents = range(game.num_agents)
    obeyed = values_of(bounded).enclosure(0)
    farthest = search(bounded, agents, deviations)
    loss = (highest([obeyed, *(f.enclosure for f in farthest if f is not None)]) + obeyed).upper
    range_ = 2.0 * (game.horizon or 1.0) / game.occupancy_mass * (1.0 + 2.0**-50)  # no gain can be larger
    upper = min(loss, range_ if deviations.contains_obedience else 2.0 * range_)
    sides = _Side(game, policy, expert, deviations)
    starts = {i: found for i, found in enumerate(farthest) if found is not None}
    mildest = {i: sides.mildest(i) for i in starts}
    gaps = []
    for agent, start in starts.items():
        rewards = np.zeros((game.horizon or 1, game.num_agents, game.num_states, game.num_joint_actions))
        floor = -np.inf
        for other in starts.keys() - {agent}:
            gain, rewards[:, other] = mildest[other]
            floor = max(floor, gain)
        for phi in sides.starts(agent, start):
            rewards[:, agent] = sides.climb(phi, agent, floor, rounds)
            changed = game.with_rewards(rewards if game.horizon is not None else rewards[0])
            gaps.append((regret_gap(changed, policy, expert, deviations), changed.rewards))
    gap, found = max(gaps, key=lambda pair: pair[0].lower)
    return marked(game, RewardFreeRegretGap(gap.lower, upper, found, gap))


def _scaled_by_range(losses: Problem) -> Problem:
    """Charge the distance times the largest range that action values can have with rewards in the unit box."""
    assert losses.rewards is not None
    game = losses.game
    left = np.arange(losses.stages, 0, -1) if game.horizon is not None else np.ones(losses.stages) / game.occupancy_mass
    distance = np.stack([losses.rewards[min(h, len(losses.rewards) - 1)] for h in range(losses.stages)])
    error = 2.0 * float(left.max()) * (losses.rewards_error + gamma(8))
    return replace(losses, rewards=2.0 * left[:, None, None, None] * distance, rewards_error=error)


class _Side:
    """What deviations add to the occupancies of the policy and of the expert, and the rewards that tell them apart."""

    def __init__(
        self, game: MarkovGame, policy: CorrelatedPolicy, expert: CorrelatedPolicy, deviations: DeviationClass
    ) -> None:
        self.game, self.deviations = game, deviations
        self.ours, self.theirs = problem_of(game, policy, deviations), problem_of(game, expert, deviations)
        obey = Obey(range(game.num_agents))
        self.obeying = {id(side): self._total(side, obey) for side in (self.ours, self.theirs)}

    def _total(self, side: Problem, rule: Rule) -> FloatArray:
        """Occupancy in units in which values are inner products with rewards, (H, S, A) or (1, S, A)."""
        return total_occupancy(side, rule) / self.game.occupancy_mass

    def added(self, side: Problem, rule: Rule) -> FloatArray:
        """Tell what a deviation adds to the occupancy of obeying."""
        return self._total(side, rule) - self.obeying[id(side)]

    def best(self, side: Problem, agent: int, rewards: FloatArray) -> tuple[float, FloatArray]:
        """Best gain of an agent with some rewards (H, S, A), and what its deviation adds."""
        rewarded = replace(side, rewards=rewards[:, None], rewards_error=0.0)
        found = search(rewarded, [agent], self.deviations)[0]
        assert found is not None
        extra = self.added(side, found.parts[0][1].rule)
        return float((extra * rewards).sum()), extra

    def starts(self, agent: int, found: Found) -> list[FloatArray]:
        """Begin with what these add to the policy's occupancy: all of a list, else the deviation that strays most."""
        if isinstance(self.deviations, Finite):
            return [self.added(self.ours, Follow(phi)) for phi in self.deviations.of(agent)]
        return [self.added(self.ours, found.parts[0][1].rule)]

    def climb(self, extra: FloatArray, agent: int, floor: float, rounds: int) -> FloatArray:
        """Alternate between the worst rewards for a deviation and the best deviation for the rewards."""
        value, rewards = self.worst(extra, agent, floor)
        for _ in range(0 if isinstance(self.deviations, Finite) else rounds):
            _, extra = self.best(self.ours, agent, rewards)
            higher, found = self.worst(extra, agent, floor)
            if higher <= value + _CLIMB * max(1.0, abs(value)):
                break
            value, rewards = higher, found
        return rewards

    def mildest(self, agent: int) -> tuple[float, FloatArray]:
        """Rewards for which an agent's best gain under the expert is least, and that gain; 0 unless all is listed."""
        nothing = np.zeros(self.obeying[id(self.ours)].shape)
        if not isinstance(self.deviations, Finite):
            return 0.0, nothing
        value, rewards = self.worst(nothing, agent, -np.inf)
        return -value, rewards

    def worst(self, extra: FloatArray, agent: int, floor: float) -> tuple[float, FloatArray]:
        """Maximise <r, extra> - t over |r| <= 1 with t >= floor and t >= what any deviation gains under the expert."""
        if isinstance(self.deviations, Finite):
            listed = [self.added(self.theirs, Follow(phi)) for phi in self.deviations.of(agent)]
            return self._solved(extra, listed, floor)
        if isinstance(self.deviations, Recursive):
            return self._farthest(extra, agent)
        value, least, rewards = np.inf, -np.inf, np.sign(extra)
        cuts: list[FloatArray] = []
        while len(cuts) < _CUTS:
            gain, cut = self.best(self.theirs, agent, rewards)
            if gain <= least + _CLIMB * max(1.0, abs(gain)):
                break
            cuts.append(cut)
            value, rewards = self._solved(extra, cuts, floor)
            least = float((rewards * extra).sum()) - value
        return value, rewards

    def _farthest(self, extra: FloatArray, agent: int) -> tuple[float, FloatArray]:
        """Do the same for all deviations of the class at once.

        By duality it is the L1 distance from ``extra`` to what deviations under the expert, mixed at will, can add:
        minimise sum (e+ + e-) over deviation occupancies y with y - mu_E + e+ - e- = extra, and r is the dual.
        """
        expert = self.theirs.policy
        program = deviation_program(self.game, expert, agent, self.deviations, formulation="linked")
        y, size = program.variables["y"], extra.size
        pick = np.arange(y.size) % self.game.num_joint_actions
        state = np.arange(y.size) // self.game.num_joint_actions % self.game.num_states
        step = np.arange(y.size) // (y.size // y.shape[0]) if self.game.horizon is not None else 0 * pick
        place = (step * self.game.num_states + state) * self.game.num_joint_actions + pick
        columns = y.slice.start + np.arange(y.size)
        weights = np.full(y.size, 1.0 / self.game.occupancy_mass)
        arriving = sparse.csc_array((weights, (place, columns)), shape=(size, program.num_variables))
        eye = sparse.eye_array(size)
        matrix = sparse.block_array([[program.matrix, None, None], [arriving, eye, -eye]], format="csc")
        goal = (extra + self.obeying[id(self.theirs)]).ravel()
        distance = LinearProgram(
            costs=np.concatenate((np.zeros(program.num_variables), np.ones(2 * size))),
            matrix=matrix,
            row_lower=np.concatenate((program.row_lower, goal)),
            row_upper=np.concatenate((program.row_upper, goal)),
            lower=np.concatenate((program.lower, np.zeros(2 * size))),
            upper=np.concatenate((program.upper, np.full(2 * size, np.inf))),
        )
        solution = solve(distance).require_optimal()
        return solution.objective, np.clip(solution.row_duals[-size:], -1.0, 1.0).reshape(extra.shape)

    def _solved(self, extra: FloatArray, cuts: list[FloatArray], floor: float) -> tuple[float, FloatArray]:
        rewards = np.zeros(extra.shape)
        matter = np.any([extra != 0, *(cut != 0 for cut in cuts)], axis=0)
        builder = ProgramBuilder("max")
        r = builder.add_variables("r", (int(matter.sum()),), lower=-1.0, upper=1.0, costs=extra[matter])
        t = builder.add_variables("t", (1,), lower=floor, costs=-1.0)
        rows = sparse.csr_array(np.stack([-cut[matter] for cut in cuts]))
        builder.add_rows("gains", (len(cuts),), {r: rows, t: np.ones((len(cuts), 1))}, lower=0.0)
        solution = solve(builder.build()).require_optimal()
        rewards[matter] = np.clip(solution["r"], -1.0, 1.0)
        return solution.objective, rewards


def total_occupancy(problem: Problem, rule: Rule) -> FloatArray:
    """Occupancy of a rule by step, (H, S, A); discounted in all, (1, S, A)."""
    mu = occupancy_of(problem, rule)
    return mu if problem.game.horizon is not None else mu.sum(axis=0, keepdims=True)
