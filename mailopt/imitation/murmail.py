"""MURMAIL: ask the expert where an opponent leads who seeks distance from the expert."""

from __future__ import annotations

import math

import numpy as np

from mailopt.deviations import External
from mailopt.errors import InvalidOption
from mailopt.evaluation.loss import charged
from mailopt.evaluation.recursion import visits_of
from mailopt.evaluation.rules import Play, Problem
from mailopt.evaluation.search import Found, search
from mailopt.games.game import MarkovGame, flatten_joint
from mailopt.games.marks import marked
from mailopt.games.numbers import BoolArray, FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.games.sampling import RowSampler, read_count
from mailopt.imitation.peers import Opponents, PeerOptions, Strategy, imitated, strategies_of
from mailopt.imitation.results import Imitation

_STEPS = 200  # of an inner loop
_RANGE = 3.0  # of the two-sample reward: from -1 to 2
_TIED = 1e-9  # action values that are closer are the same
_SETTLED = 1e-3  # of the largest reward: sweeps that change values by less are the last


def murmail(
    game: MarkovGame,
    expert: CorrelatedPolicy,
    *,
    rounds: int = 1000,
    step_size: float | None = None,
    seed: int | np.random.Generator,
    inner: str = "ucbvi",
    inner_steps: int | None = None,
    output: str = "drawn",
    every: int | None = None,
    progress: bool = False,
) -> Imitation:
    """MURMAIL: imitate an equilibrium of a zero-sum game without knowing its rewards, by maximum uncertainty response.

    As :func:`mailopt.mail_bro`, but the opponent who decides where an agent's strategy mu is corrected maximises
    E |mu(.|s) - mu_E(.|s)|^2 where the two lead, instead of its own reward. No best response leads to more of it, so
    the guarantee stays, now for every zero-sum reward of which the expert is an equilibrium, and neither rewards nor an
    oracle are needed. The opponent is found by UCB-VI: optimistic planning on sampled transitions, with a reward
    estimated from two answers A and A' of the expert in each state that is visited, 1{A = A'} - 2 mu(A|s) +
    |mu(.|s)|^2, whose expectation is the squared distance. With enough rounds an eps-Nash equilibrium is found after
    O(eps^-8) answers.

    The deviation-weighted loss in the history also counts an agent's own row where only its own deviations lead, which
    matters for no opponent, so it need not get as small.

    Parameters
    ----------
    game
        Two agents whose rewards add up to exactly 0.
    expert
        What is imitated: a product of two strategies, to 1e-9. The guarantee wants a Nash equilibrium; that is not
        checked. The learner gets sampled actions of it only, unless ``inner="exact"``; loss and gaps in the history
        use all of it.
    rounds
        Number of policies K. All but the last ask the expert 2 (2 inner_steps + 1) times; 2 times with
        ``inner="exact"``.
    step_size, seed, output, every, progress
        As for :func:`mailopt.mail_bro`.
    inner
        ``"ucbvi"``; or ``"exact"`` to find the opponents exactly from the transitions and the expert's
        probabilities, for comparison: what infinitely many inner steps would find.
    inner_steps
        Transitions sampled for one agent's opponent in one round, by default 200. Of a round's answers 4 times as many
        are for the opponents.

    Returns
    -------
    Imitation
        As for :func:`mailopt.mail_bro`.

    Raises
    ------
    InvalidGame, InvalidPolicy, InvalidOption, NotConverged
        As for :func:`mailopt.mail_bro`.

    Notes
    -----
    Source: Freihaut, Viano, Cevher, Geist and Ramponi, NeurIPS 2025, arXiv 2505.17610. We could not verify every detail
    against the published text. Its abstract fixes discounted zero-sum games, an expert who is queried, no best-response
    oracle and O(eps^-8) queries. Beyond what is said at :func:`mailopt.mail_bro`:

    - *The opponent's goal, UCB-VI and the two-sample reward*: as second-hand descriptions of the paper have them.
    - *Inner steps*: one transition and two answers each, so that the count of answers is fixed. Discounted episodes
      begin anew with probability 1 - gamma after each step, so that visits are distributed as the occupancy; those of a
      finite horizon have H steps.
    - *Fresh loops*: every agent's loop of every round forgets what earlier ones saw, because transitions and reward
      depend on mu, which has changed.
    - *Planning*: anew for 1, 2, 4, .. episodes (discounted: as many times 1 / (1 - gamma) steps) side by side, because
      plans change little in between and many episodes are sampled at once. Of several best actions one is drawn.
    - *Bonuses*: Hoeffding's, range times sqrt(log(2 n) / (2 N)) for n inner steps and N visits. The range is 3 for
      rewards, and for what follows a transition the largest distance times the steps that are left. Values are kept
      below the most that mu allows, max over a of |mu(.|s) - 1{a}|^2, which the learner knows.
    - *Result of a loop*: greedy on what was counted, without bonuses and with 0 for what was never tried. Bonuses are
      for exploring; with few steps they would still decide. A guarantee with constants would want one of the loop's
      plans drawn at random.
    - *Places* are drawn from the exact occupancy of mu and the opponent: the distribution of the last state of a
      roll-out that stops with probability 1 - gamma after each step.

    Examples
    --------
    >>> import mailopt as mo
    >>> game = mo.MarkovGame.from_normal_form([[[3, -1], [-1, 1]], [[-3, 1], [1, -1]]])
    >>> expert = mo.zero_sum_equilibrium(game).policy
    >>> found = mo.murmail(game, expert, rounds=1000, inner="exact", seed=0, output="average")
    >>> mo.regret_gap(game, found.policy, expert).value < 0.1
    True
    >>> murmail(game, expert, rounds=11, inner_steps=20, seed=0).history[-1].queries
    820
    """
    strategies = strategies_of(game, expert)
    stages = game.num_stages(expert.num_steps)
    chosen = PeerOptions.read(game, stages, rounds, step_size, seed, output, every, progress)
    if inner not in ("ucbvi", "exact"):
        raise InvalidOption(f"inner is {inner!r}; it must be 'ucbvi' or 'exact'")
    opponents: Opponents
    if inner == "exact":
        if inner_steps is not None:
            raise InvalidOption(f"inner_steps is {inner_steps!r}, but inner='exact' samples nothing; leave it out")
        opponents = ExactOpponents(game)
    else:
        inner_steps = _STEPS if inner_steps is None else read_count(inner_steps, "inner_steps")
        opponents = SampledOpponents(game, inner_steps)
    options = {**vars(chosen), "inner": inner, "inner_steps": inner_steps}
    return marked(game, imitated("MURMAIL", game, expert, strategies, opponents, chosen, options))


def two_sample_reward(rows: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    """Estimate |mu - mu_E|^2 from two answers: 1{A = A'} - 2 mu(A) + |mu|^2, (N, n), (N,) and (N,) to (N,)."""
    likely = rows[np.arange(len(rows)), first]
    return np.asarray((first == second) - 2.0 * likely + (rows**2).sum(axis=1))


class ExactOpponents(Opponents):
    """The opponent maximises the squared distance exactly."""

    def __init__(self, game: MarkovGame) -> None:
        self.game = game

    def find(self, policy: CorrelatedPolicy, strategy: Strategy) -> Found:
        """Find the opponent of one agent's strategy, and the sum of squared distances that it leads to."""
        distance = strategy.distance().reshape(-1, self.game.num_states)
        problem = charged(self.game, policy, distance, policy.support, External())
        found = search(problem, [1 - strategy.agent], External())[0]
        assert found is not None
        return found

    def visits(self, policy: CorrelatedPolicy, strategy: Strategy, rng: np.random.Generator) -> FloatArray:
        """See :class:`Opponents`."""
        return self.find(policy, strategy).parts[0][1].visits()[:, 0]


class SampledOpponents(Opponents):
    """The opponent is found by UCB-VI."""

    def __init__(self, game: MarkovGame, steps: int) -> None:
        self.game, self.steps, self.queries = game, steps, 2 * steps

    def visits(self, policy: CorrelatedPolicy, strategy: Strategy, rng: np.random.Generator) -> FloatArray:
        """See :class:`Opponents`."""
        opponent = 1 - strategy.agent
        choices = explored(self.game, strategy, self.steps, rng)
        played = np.repeat(choices[:, None, :, None], self.game.actions[opponent], axis=3)
        return visits_of(Problem(self.game, policy, steps=len(choices)), Play(opponent, played))[:, 0]


def explored(game: MarkovGame, strategy: Strategy, steps: int, rng: np.random.Generator) -> IntArray:
    """Find by UCB-VI what the opponent of a strategy is to play, (T, S), from so many sampled transitions."""
    model = _Model(game, strategy, steps)
    walk = _Walk(game, strategy, rng)
    width, left = 1, steps
    while left > 0:
        seen = walk.on(model.plan(optimistic=True), min(width, -(-left // walk.length)), left)
        model.add(seen, strategy, rng)
        left -= len(seen[0])
        width *= 2
    return np.asarray(model.plan(optimistic=False).argmax(axis=1).reshape(-1, game.num_states))


Seen = tuple[IntArray, IntArray, IntArray]
"""Place, action of the opponent and following place (-1: none) of each transition."""


class _Walk:
    """Episodes against a strategy, side by side."""

    def __init__(self, game: MarkovGame, strategy: Strategy, rng: np.random.Generator) -> None:
        self.game, self.agent, self.rng = game, strategy.agent, rng
        self.stages = len(strategy.rows) // game.num_states
        self.length = game.horizon or math.ceil(1.0 / game.occupancy_mass)
        self._strategy = RowSampler.dense(strategy.rows)
        self._starts = RowSampler.dense(game.initial_distribution[None])
        self._places = np.zeros(0, dtype=np.int64)

    def on(self, best: BoolArray, width: int, most: int) -> Seen:
        """Walk on by so many episodes, whole ones or discounted by their mean length, and at most so many steps.

        The opponent plays any of the actions that are best (T S, n), each time drawn afresh.
        """
        opponent = RowSampler.dense(best.astype(np.float64))
        size, horizon = self.game.num_states, self.game.horizon
        going = self._places[: width if horizon is None else 0]
        places = np.concatenate((going, self._start(width - len(going))))
        seen: list[Seen] = []
        for tick in range(self.length):
            places = places[:most]
            most -= len(places)
            stage, state = places // size, places % size
            action = opponent.draw(places, self.rng.random(len(places)))
            mine = self._strategy.draw(places, self.rng.random(len(places)))
            joint = flatten_joint((mine, action) if self.agent == 0 else (action, mine), self.game.actions)
            kernel = self.game.kernel(0 if horizon is None else tick)
            following = kernel.sample(state, joint, self.rng.random(len(places)))
            if horizon is None:
                following += np.minimum(stage + 1, self.stages - 1) * size
                over = self.rng.random(len(places)) < self.game.occupancy_mass
                seen.append((places, action, following))
                places = np.where(over, self._start(len(places)), following)
            else:
                following += (tick + 1) * size
                seen.append((places, action, following if tick + 1 < horizon else np.full(len(places), -1)))
                places = following
            if not most:
                break
        self._places = places
        place, action, following = (np.concatenate(parts) for parts in zip(*seen, strict=True))
        return place, action, following

    def _start(self, count: int) -> IntArray:
        return self._starts.draw(np.zeros(count, dtype=np.int64), self.rng.random(count))


class _Model:
    """What was counted of transitions and rewards, and plans made of it."""

    def __init__(self, game: MarkovGame, strategy: Strategy, steps: int) -> None:
        n, legal = game.actions[1 - strategy.agent], game.legal[1 - strategy.agent]
        self.discount, self.places = 1.0 if game.discount is None else game.discount, len(strategy.rows)
        self.legal = np.tile(legal, (self.places // len(legal), 1))
        self.level = math.log(2.0 * steps) / 2.0
        lowest = np.where(strategy.allowed, strategy.rows, np.inf).min(axis=1)
        self.most = 1.0 - 2.0 * lowest + (strategy.rows**2).sum(axis=1)  # the largest distance that can be
        if game.horizon is None:
            left = np.full(self.places, 1.0 / game.occupancy_mass)
        else:
            left = np.repeat(np.arange(game.horizon - 1.0, -1.0, -1.0), game.num_states)
        self.later = self.most.max() * left[:, None]  # the most that can come after a transition
        self.tried = np.zeros((self.places, n))
        self.rewards = np.zeros(self.places)
        self._rows = np.zeros(0, dtype=np.int64)
        self._following = np.zeros(0, dtype=np.int64)

    def add(self, seen: Seen, strategy: Strategy, rng: np.random.Generator) -> None:
        """Count transitions, and ask the expert twice at each place."""
        places, actions, following = seen
        first, second = strategy.ask(places, rng), strategy.ask(places, rng)
        rewards = two_sample_reward(strategy.rows[places], first, second)
        self.rewards += np.bincount(places, weights=rewards, minlength=self.places)
        rows = places * self.tried.shape[1] + actions
        self.tried += np.bincount(rows, minlength=self.tried.size).reshape(self.tried.shape)
        goes_on = following >= 0
        self._rows = np.concatenate((self._rows, rows[goes_on]))
        self._following = np.concatenate((self._following, following[goes_on]))

    def plan(self, *, optimistic: bool) -> BoolArray:
        """Find the best actions at each place, (T S, n), by value iteration."""
        tried, visited = self.tried, self.tried.sum(axis=1)
        counts = np.maximum(tried, 1.0)
        rewards = self.rewards / np.maximum(visited, 1.0)
        bonus = np.zeros_like(tried)
        if optimistic:
            hoped = np.clip(rewards + _RANGE * np.sqrt(self.level / np.maximum(visited, 1.0)), 0.0, self.most)
            rewards = np.where(visited > 0, hoped, self.most)
            bonus = self.later * np.where(tried > 0, np.sqrt(self.level / counts), 1.0)
        weights, enough = 1.0 / counts.ravel()[self._rows], _SETTLED * self.most.max()
        values = self.later[:, 0] if optimistic else np.zeros(self.places)
        change = np.inf
        while change > enough:
            ahead = np.bincount(self._rows, weights=weights * values[self._following], minlength=tried.size)
            later = ahead.reshape(tried.shape) + bonus
            if optimistic:
                later = np.minimum(later, self.later)
            action_values = np.where(self.legal, rewards[:, None] + self.discount * later, -np.inf)
            before, values = values, action_values.max(axis=1)
            change = np.abs(values - before).max()
        return np.asarray(action_values >= values[:, None] - _TIED)
