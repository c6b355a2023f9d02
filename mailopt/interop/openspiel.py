"""OpenSpiel games as Markov games, and OpenSpiel policies as correlated policies.

A game of perfect information, simultaneous or turn-based, is unrolled breadth first. Its decision nodes become
states, identified by their printed form and the player to move; chance is expanded into the initial distribution
and the transition probabilities; one absorbing state stands for all ends of the game. The reward of a joint action
is the expected difference of ``returns()`` between a decision node and the next node.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mailopt.errors import (
    ImpossibleTransition,
    InvalidPolicy,
    PolicyShape,
    UnsupportedGame,
)
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, IntArray, Number
from mailopt.games.policy import CorrelatedPolicy
from mailopt.games.sampling import RowSampler, random_generator, read_count, read_steps
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.interop.enumeration import Time, enumerate_game
from mailopt.interop.openspiel_policies import ask, ask_joint, exported, is_joint
from mailopt.interop.openspiel_world import SpielWorld, decisions_before, load

if TYPE_CHECKING:
    import pyspiel

_TOLERANCE = 1e-9
_LOST = (
    ", which unrolling did not find there: the key merges different states, or a move limit was met. Give key=, raise "
    "the limit, or play fewer steps"
)
_Choose = Callable[[int, int, Any], int]  # of step, state and node


@dataclass(frozen=True, eq=False)
class UnrolledGame:
    """An OpenSpiel game as a Markov game; made by :func:`unroll`.

    Attributes
    ----------
    game
        The Markov game. Agents are OpenSpiel's players, actions are OpenSpiel's action numbers; an agent who is not
        to move has the single legal action 0. The last state is the terminal one.
    states
        For each state one decision node that it stands for (the first found), None for the terminal state.
    spec
        The OpenSpiel game with its parameters, as a string.
    """

    game: MarkovGame
    states: tuple[pyspiel.State | None, ...] = field(repr=False)
    spec: str
    _alternatives: tuple[pyspiel.State | None, ...] = field(repr=False)
    _world: SpielWorld = field(repr=False)
    _index: Mapping[tuple[Hashable, int, int], int] = field(repr=False)  # of (key, player to move, depth)

    def tabulate(self, policy: Any) -> CorrelatedPolicy:
        """Tabulate a policy; stationary.

        Independent players give the product sigma(a|s) = prod_i pi_i(a_i | states[s]); a policy with joint
        probabilities gives sigma(a|s) itself. Players without a choice, and everybody in the terminal state, play
        action 0.

        The table holds what the policy does at ``states[s]``. A policy that depends on more of the history than the
        state does is not reproduced by it. That is detected only in part: where a state was reached along several
        histories, the policy is asked at two of them and must give the same probabilities to within 1e-9.

        Parameters
        ----------
        policy
            An ``open_spiel.python.policy.Policy`` (anything with ``action_probabilities(state, player)``, such as a
            ``JointRLAgentPolicy`` of networks), a ``pyspiel.Policy``, or a list of these, one for each player. Or
            anything with ``joint_action_probabilities(state)``, which gives pairs of joint action and probability.

        Raises
        ------
        InvalidPolicy
            The policy knows nothing of a state, or depends on more of the history than the state does.
        PolicyShape, PolicyNumber, PolicyDistribution, IllegalAction
            All of them :class:`~mailopt.errors.InvalidPolicy`: not one policy for each player, or probabilities that
            are no numbers, do not sum to one within 1e-9 (numbers of single precision: 1e-5, and the sum is divided
            out), or fall on illegal actions. The message names the state.
        """
        if is_joint(policy):
            rows = np.zeros((self.game.num_states, self.game.num_joint_actions))
            rows[-1, 0] = 1.0
            for s, nodes in self._decisions():
                rows[s] = self._agreed(f"policy, {self._named(s)}", nodes, self._asking(policy, s, None))
            return CorrelatedPolicy(rows)
        players = self._players(policy)
        factors = [np.zeros((self.game.num_states, n)) for n in self.game.actions]
        for agent, player in enumerate(players):
            factors[agent][-1, 0] = 1.0
            for s, nodes in self._decisions():
                if nodes[0].legal_actions(agent):
                    asking = self._asking(player, s, agent)
                    factors[agent][s] = self._agreed(self._where(s, agent), nodes, asking)
                else:
                    factors[agent][s, 0] = 1.0
        return CorrelatedPolicy.product(factors)

    def tabulate_device(self, device: Iterable[tuple[float, Any]]) -> tuple[list[CorrelatedPolicy], list[float]]:
        """Tabulate a correlation device: joint policies, one of which is drawn for a whole play.

        Parameters
        ----------
        device
            Pairs of weight and policy, as OpenSpiel's ``pyspiel.cce_dist`` takes them and its JPSRO makes them.

        Returns
        -------
        policies, weights
            What :func:`mailopt.mixture_regret` takes.

        Raises
        ------
        InvalidPolicy
            As for :meth:`tabulate`.
        """
        weights, policies = zip(*device, strict=True)
        return [self.tabulate(policy) for policy in policies], [float(weight) for weight in weights]

    def export(self, policy: CorrelatedPolicy) -> Any:
        """Turn a policy of the Markov game into an ``open_spiel.python.policy.Policy``.

        It is asked at any node of the OpenSpiel game that is no chance node, and gives the row of that node's state at
        that node's step. ``action_probabilities`` needs recommendations that are independent in that state, else it is
        an error; ``joint_action_probabilities(node)`` gives pairs of joint action and probability in any case.
        ``to_tabular(players=[0])`` makes OpenSpiel's own table of it, for all players or some;
        ``python_policy_to_pyspiel_policy`` makes one for C++ of that.

        Raises
        ------
        InvalidPolicy
            The policy does not fit the game.

        Examples
        --------
        >>> import mailopt as mo
        >>> from mailopt.interop.openspiel import unroll
        >>> game = unroll("matrix_pd()")
        >>> exported = game.export(mo.correlated_equilibrium(game.game).policy)
        >>> exported.action_probabilities(game.states[0], 0)
        {0: 0.0, 1: 1.0}
        """
        policy.check(self.game)
        root = self.states[0]
        assert root is not None
        return exported(root.get_game(), self.game, policy, self._locate)

    def play_outs(
        self, policy: Any, episodes: int, *, seed: int | np.random.Generator, steps: int | None = None
    ) -> Demonstrations:
        """Play the OpenSpiel game itself and record it in the states of the Markov game.

        Chance is sampled. An episode that ends early stays in the terminal state, with joint action 0.

        Parameters
        ----------
        policy
            A policy as for :meth:`tabulate`, asked at every node that is met; or a
            :class:`~mailopt.CorrelatedPolicy` of the Markov game, whose recommendations all players obey. Tabulating a
            policy first is faster and, where the policy is a function of the state, no different.
        episodes
            How many.
        seed
            An integer, or a generator to draw from.
        steps
            Length of an episode if the game was unrolled with a discount, which is cut off there.

        Raises
        ------
        InvalidPolicy
            The policy does not fit the game; for independent players as :meth:`tabulate` says.
        InvalidOption
            ``episodes`` or ``seed`` is no such thing; ``steps`` is missing, or given without a discount.
        UnsupportedGame
            A play reached what unrolling did not: its key merges different states, or, with a discount, a move limit.

        Examples
        --------
        >>> import mailopt as mo
        >>> from mailopt.interop.openspiel import unroll
        >>> goofspiel = unroll("goofspiel(num_cards=3,imp_info=False,points_order=descending)")
        >>> goofspiel.play_outs(mo.CorrelatedPolicy.uniform(goofspiel.game), 100, seed=0)
        Demonstrations(100 episodes, 10 of 22 (step, state) pairs seen)
        """
        rng, count = random_generator(seed), read_count(episodes, "episodes")
        length = read_steps(self.game.horizon, steps)
        choose = self._chooser(policy, rng)
        states = np.full((count, length), self.game.num_states - 1)
        joint = np.zeros_like(states)
        for episode in range(count):
            self._play_out(states[episode], joint[episode], choose, rng, f"episode {episode}")
        try:
            return Demonstrations(self.game, states, joint)
        except ImpossibleTransition as error:
            raise UnsupportedGame(f"{error}{_LOST}") from error

    def _play_out(
        self, states: IntArray, joint: IntArray, choose: _Choose, rng: np.random.Generator, episode: str
    ) -> None:
        """Play one episode and record it in place."""
        root = self.states[0]
        assert root is not None
        node, terminal = root.get_game().new_initial_state(), self.game.num_states - 1
        for step in range(len(states)):
            while node.is_chance_node():
                outcomes, shares = zip(*node.chance_outcomes(), strict=True)
                node.apply_action(outcomes[_draw(np.array(shares), rng)])
            state = terminal if node.is_terminal() else self._state_of(node, step)
            if state < 0:
                raise UnsupportedGame(f"{episode}, step {step}: the play reaches {str(node)!r}{_LOST}")
            if state == terminal:
                return
            states[step], joint[step] = state, choose(step, state, node)
            actions = self.game.joint_action(joint[step])
            if node.is_simultaneous_node():
                node.apply_actions(list(actions))
            else:
                node.apply_action(actions[node.current_player()])

    def _locate(self, node: pyspiel.State) -> tuple[int, int]:
        """Step and state of a decision node."""
        step = decisions_before(node)
        state = self._state_of(node, step)
        if state < 0:
            raise UnsupportedGame(f"step {step}: {str(node)!r}{_LOST}")
        return step, state

    def _state_of(self, node: pyspiel.State, step: int) -> int:
        """State of a decision node, -1 if unrolling did not find it."""
        depth = step if self.game.discount is None else 0
        return self._index.get((self._world.key(node), node.current_player(), depth), -1)

    def _chooser(self, policy: Any, rng: np.random.Generator) -> _Choose:
        """Return a function of (step, state, node) that draws a joint action."""
        if isinstance(policy, CorrelatedPolicy):
            policy.check(self.game)
            return lambda step, state, node: int(policy.sample(step, np.array([state]), rng.random(1))[0])
        if is_joint(policy):
            return lambda step, state, node: _draw(self._asking(policy, state, None)(node), rng)
        players = self._players(policy)

        def independent(step: int, state: int, node: pyspiel.State) -> int:
            actions = [
                _draw(self._asking(player, state, agent)(node), rng) if node.legal_actions(agent) else 0
                for agent, player in enumerate(players)
            ]
            return self.game.joint_index(actions)

        return independent

    def _players(self, policy: Any) -> list[Any]:
        players = list(policy) if isinstance(policy, list | tuple) else [policy] * self.game.num_agents
        if len(players) != self.game.num_agents:
            raise PolicyShape(f"{len(players)} policies are given for {self.game.num_agents} players")
        return players

    def _decisions(self) -> Iterator[tuple[int, list[pyspiel.State]]]:
        """For each state but the last the nodes at which a policy is asked."""
        for s, nodes in enumerate(zip(self.states, self._alternatives, strict=True)):
            if nodes[0] is not None:
                yield s, [node for node in nodes if node is not None]

    def _asking(self, policy: Any, state: int, agent: int | None) -> Callable[[pyspiel.State], FloatArray]:
        """Return the function of a node that asks a policy there, for an agent or all of them."""
        if agent is None:
            return lambda node: ask_joint(policy, node, self.game, state, f"policy, {self._named(state)}")
        return lambda node: ask(policy, node, agent, self.game.legal[agent][state], self._where(state, agent))

    def _agreed(
        self, where: str, nodes: list[pyspiel.State], asking: Callable[[pyspiel.State], FloatArray]
    ) -> FloatArray:
        """Ask at all nodes of a state, which must agree."""
        answer, *others = [asking(node) for node in nodes]
        for other in others:
            if np.abs(answer - other).max() > _TOLERANCE:
                raise InvalidPolicy(
                    f"{where}: the policy differs between two histories of this state, {nodes[0].history()} and "
                    f"{nodes[1].history()}; unroll with a key= that tells them apart"
                )
        return answer

    def _where(self, state: int, agent: int) -> str:
        return f"policy of player {agent}, {self._named(state)}"

    def _named(self, state: int) -> str:
        return f"state {state} ({self.game.state_name(state)})"


def unroll(
    game: str | pyspiel.Game,
    *,
    time: Time = "layered",
    discount: Number | None = None,
    key: Callable[[pyspiel.State], Hashable] | None = None,
    max_states: int = 1_000_000,
) -> UnrolledGame:
    """Turn an OpenSpiel game into a Markov game.

    Parameters
    ----------
    game
        An OpenSpiel game, or what ``pyspiel.load_game`` takes. It must be one-shot and simultaneous, or of perfect
        information, with explicit chance.
    time
        With ``"layered"`` the number of decisions made so far is part of the state: the horizon is the number of
        decisions in the longest play, and nothing depends on the step. With ``"step"`` it is not part of the state:
        transitions and rewards are given for each step (OpenSpiel games may end by a move limit of their own), and
        a state that cannot be reached at a step stays where it is, with reward zero. If all steps agree exactly at
        whatever they reach, one kernel serves them all.
    discount
        A discount in [0, 1) instead: no horizon, and the number of decisions is not part of the state; ``time`` is
        ignored. A node is unrolled where it is first found, so a distant move limit is never met. One that is met at
        a node not seen otherwise cannot be told from a proper end of the game.
    key
        Function of a node that replaces ``str(state)``. Together with the player to move it identifies a state. With
        a discount it is called for terminal nodes too.
    max_states
        Most nodes to unroll, the terminal state included. For ``"step"`` a state counts at each step that reaches it.

    Raises
    ------
    UnsupportedGame
        The game is unknown, hides information or samples its chance; it has no decision or pays before the first;
        nodes with the same key differ in their legal actions or (compared for two of them) in what happens next; a
        move limit ended a discounted game.
    GameTooLarge
        ``max_states`` was reached.
    InvalidOption, InvalidHorizon
        ``time`` does not exist, ``discount`` is out of range.
    MissingDependency
        OpenSpiel is not installed.

    Examples
    --------
    >>> from mailopt.interop.openspiel import unroll
    >>> goofspiel = unroll("goofspiel(num_cards=3,imp_info=False,points_order=descending)")
    >>> goofspiel.game
    MarkovGame(2 agents with (3, 3) actions, 11 states, horizon 2, deterministic transitions)
    >>> goofspiel.game.state_name(0)
    '0: P0 hand: 1 2 3 | P1 hand: 1 2 3 | Point card sequence: 3 | Points: 0 0'
    """
    world = SpielWorld(load(game), key)
    found = enumerate_game(
        world,
        time=time,
        discount=discount,
        max_states=max_states,
        roll_outs="sample plays and use mailopt.MarkovGame.from_samples, or write a mailopt.Simulator of it",
    )
    firsts = [nodes[0] for nodes in found.states]
    alternatives = [nodes[1].position if len(nodes) > 1 else nodes[0].alternative for nodes in found.states]
    return UnrolledGame(
        found.game,
        (*(node.position for node in firsts), None),
        str(world),
        (*alternatives, None),
        world,
        found.index,
    )


def _draw(probabilities: FloatArray, rng: np.random.Generator) -> int:
    """Draw an entry of one row."""
    return int(RowSampler.dense(probabilities[None]).draw(np.zeros(1, dtype=np.int64), rng.random(1))[0])
