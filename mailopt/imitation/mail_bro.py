"""MAIL-BRO: ask the expert where best responses to the learned strategies lead."""

from __future__ import annotations

import numpy as np

from mailopt.deviations import External
from mailopt.evaluation.deviating import problem_of
from mailopt.evaluation.search import search
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.peers import Opponents, PeerOptions, Strategy, imitated, strategies_of
from mailopt.imitation.results import Imitation


def mail_bro(
    game: MarkovGame,
    expert: CorrelatedPolicy,
    *,
    rounds: int = 1000,
    step_size: float | None = None,
    seed: int | np.random.Generator,
    output: str = "drawn",
    every: int | None = None,
    progress: bool = False,
) -> Imitation:
    """MAIL-BRO: imitate an equilibrium of a zero-sum game, asking where best responses to the learner lead.

    Of each of the two agents' strategies the opponent's best response is found, which needs the game's rewards. A place
    (step and state) is drawn from where the two lead, the expert is asked for one action of that agent there, and the
    strategy's row of that place takes a step of exponentiated gradient towards it:
    mu(a|s) becomes proportional to mu(a|s) exp(-eta (mu(a|s) - 1{A = a})). Both agents do so at once, from uniform
    strategies over legal actions.

    If the expert is a Nash equilibrium, what an agent can gain by deviating from the learned strategies is at most
    the sum over both agents of (1 - gamma)^-2 times their expected l1 distance from the expert's where these best
    responses lead (rewards within [-1, 1]), and that is what the steps make small. So the expert need not visit
    what deviations reach. With enough rounds an eps-Nash equilibrium is found after O(eps^-4) answers.

    Nothing is asked where it does not pay to lead an agent, nor for an agent where only its own deviations lead. Both
    count in the deviation-weighted loss of the history, which need not get small.

    Parameters
    ----------
    game
        Two agents whose rewards add up to exactly 0.
    expert
        What is imitated: a product of two strategies, to 1e-9. The guarantee wants a Nash equilibrium; that is not
        checked. The learner gets sampled actions of it only; loss and gaps in the history use all of it.
    rounds
        Number of policies K. All but the last ask the expert twice, once for each agent.
    step_size
        eta; None: sqrt(2 T S log n / K) with T the number of stages, S that of states and n the most legal actions of
        an agent in a state.
    seed
        A seed, or a generator, which is used on.
    output
        ``"drawn"``: the policy of a round drawn uniformly at random, which is what the guarantee is about, in
        expectation. ``"average"``: the average of all rounds' strategies state by state, which evens out noise but
        keeps something of the uniform start; without a guarantee, since nobody asked where best responses to the
        average lead.
    every
        A round in so many is scored for the history, and the last; None: about 20 in all. Scores play no part in
        learning.
    progress
        Show a progress bar.

    Returns
    -------
    Imitation
        ``.policy``, its exact deviation-weighted ``.loss`` against the expert for external deviations, and the history:
        policies of rounds, and for ``output="average"`` also the averages so far, with the answers that they took.

    Raises
    ------
    InvalidGame
        Not two agents, or not zero-sum.
    InvalidPolicy
        The expert does not fit the game, or is no product.
    InvalidOption
        An option does not make sense.
    NotConverged
        A discounted evaluation failed.

    Notes
    -----
    Source: Freihaut, Viano, Cevher, Geist and Ramponi, NeurIPS 2025, arXiv 2505.17610. We could not verify every detail
    against the published text. Its abstract fixes discounted zero-sum games, an expert who is queried, a best-response
    oracle and O(eps^-4) queries. The rest is as follows.

    - *Update, and places drawn from discounted occupancies*: as second-hand descriptions of the paper have them.
    - *Occupancy*: (1 - gamma) sum_t gamma^t Pr(s_t = s), from the start distribution, computed exactly.
    - *Step size*: exponential weights bound the regret by T S log(n) / eta + eta K / 2, and the default makes that
      smallest; the paper's own number may differ by a constant.
    - *Output*: the policy of a drawn round, because the argument bounds the mean over rounds of what is lost where the
      opponents of those very rounds lead.
    - *Last round*: asks nothing, since the policy that would come of it cannot be drawn.
    - *Finite horizon* (ours): strategies have a row for each step, the step is drawn uniformly, and 1 / (1 - gamma)
      becomes H.
    - *Illegal actions* (ours): have probability 0 from the start.

    Examples
    --------
    >>> import mailopt as mo
    >>> game = mo.MarkovGame.from_normal_form([[[3, -1], [-1, 1]], [[-3, 1], [1, -1]]])
    >>> expert = mo.zero_sum_equilibrium(game).policy
    >>> found = mo.mail_bro(game, expert, rounds=1000, seed=0, output="average")
    >>> round(found.history[0].regret_gap, 6), mo.regret_gap(game, found.policy, expert).value < 0.1
    (0.5, True)
    >>> found.history[-1].queries
    1998
    """
    strategies = strategies_of(game, expert)
    stages = game.num_stages(expert.num_steps)
    chosen = PeerOptions.read(game, stages, rounds, step_size, seed, output, every, progress)
    return marked(game, imitated("MAIL-BRO", game, expert, strategies, BestResponses(game), chosen, dict(vars(chosen))))


class BestResponses(Opponents):
    """The opponent maximises its own reward, exactly."""

    def __init__(self, game: MarkovGame) -> None:
        self.game = game

    def visits(self, policy: CorrelatedPolicy, strategy: Strategy, rng: np.random.Generator) -> FloatArray:
        """See :class:`Opponents`."""
        found = search(problem_of(self.game, policy, External()), [1 - strategy.agent], External())[0]
        assert found is not None
        return found.parts[0][1].visits()[:, 0]
