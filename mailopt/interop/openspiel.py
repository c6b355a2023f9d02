"""OpenSpiel games as Markov games, and OpenSpiel policies as correlated policies.

A game of perfect information, simultaneous or turn-based, is unrolled breadth first. Its decision nodes become
states, identified by their printed form and the player to move; chance is expanded into the initial distribution
and the transition probabilities; one absorbing state stands for all ends of the game. The reward of a joint action
is the expected difference of ``returns()`` between a decision node and the next node.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mailopt.errors import (
    IllegalAction,
    ImpossibleTransition,
    InvalidPolicy,
    MissingDependency,
    PolicyDistribution,
    PolicyNumber,
    PolicyShape,
    UnsupportedGame,
)
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, IntArray, Number
from mailopt.games.policy import CorrelatedPolicy
from mailopt.games.sampling import RowSampler, random_generator, read_count, read_steps
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.interop.enumeration import Outcomes, Time, enumerate_game

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
    _key: Callable[[pyspiel.State], Hashable] = field(repr=False)
    _index: Mapping[tuple[Hashable, int, int], int] = field(repr=False)  # of (key, player to move, depth)

    def tabulate(self, policy: Any) -> CorrelatedPolicy:
        """Tabulate a policy of independent players: sigma(a|s) = prod_i pi_i(a_i | states[s]); stationary.

        Players without a choice, and everybody in the terminal state, play action 0.

        The table holds what the policy does at ``states[s]``. A policy that depends on more of the history than the
        state does is not reproduced by it. That is detected only in part: where a state was reached along several
        histories, the policy is asked at two of them and must give the same probabilities to within 1e-9.

        Parameters
        ----------
        policy
            An ``open_spiel.python.policy.Policy`` (anything with ``action_probabilities(state, player)``), a
            ``pyspiel.Policy``, or a list of these, one for each player.

        Raises
        ------
        InvalidPolicy
            The policy knows nothing of a state, or depends on more of the history than the state does.
        PolicyShape, PolicyNumber, PolicyDistribution, IllegalAction
            All of them :class:`~mailopt.errors.InvalidPolicy`: not one policy for each player, or probabilities that
            are no numbers, do not sum to one within 1e-9, or fall on illegal actions. The message names the state.
        """
        players = self._players(policy)
        factors = [np.zeros((self.game.num_states, n)) for n in self.game.actions]
        for agent, player in enumerate(players):
            for s, (node, other) in enumerate(zip(self.states, self._alternatives, strict=True)):
                if node is None or not node.legal_actions(agent):
                    factors[agent][s, 0] = 1.0
                    continue
                factors[agent][s] = self._probabilities(player, s, agent, node)
                if other is None:
                    continue
                if np.abs(factors[agent][s] - self._probabilities(player, s, agent, other)).max() > _TOLERANCE:
                    raise InvalidPolicy(
                        f"{self._where(s, agent)}: the policy differs between two histories of this state, "
                        f"{node.history()} and {other.history()}; unroll with a key= that tells them apart"
                    )
        return CorrelatedPolicy.product(factors)

    def play_outs(
        self, policy: Any, episodes: int, *, seed: int | np.random.Generator, steps: int | None = None
    ) -> Demonstrations:
        """Play the OpenSpiel game itself and record it in the states of the Markov game.

        Chance is sampled. An episode that ends early stays in the terminal state, with joint action 0.

        Parameters
        ----------
        policy
            A policy of independent players, as for :meth:`tabulate`, asked at every node that is met; or a
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

    def _state_of(self, node: pyspiel.State, step: int) -> int:
        """State of a decision node, -1 if unrolling did not find it."""
        depth = step if self.game.discount is None else 0
        return self._index.get((self._key(node), node.current_player(), depth), -1)

    def _chooser(self, policy: Any, rng: np.random.Generator) -> _Choose:
        """Return a function of (step, state, node) that draws a joint action."""
        if isinstance(policy, CorrelatedPolicy):
            policy.check(self.game)
            return lambda step, state, node: int(policy.sample(step, np.array([state]), rng.random(1))[0])
        players = self._players(policy)

        def independent(step: int, state: int, node: pyspiel.State) -> int:
            actions = [
                _draw(self._probabilities(player, state, agent, node), rng) if node.legal_actions(agent) else 0
                for agent, player in enumerate(players)
            ]
            return self.game.joint_index(actions)

        return independent

    def _players(self, policy: Any) -> list[Any]:
        players = list(policy) if isinstance(policy, list | tuple) else [policy] * self.game.num_agents
        if len(players) != self.game.num_agents:
            raise PolicyShape(f"{len(players)} policies are given for {self.game.num_agents} players")
        return players

    def _probabilities(self, policy: Any, state: int, agent: int, node: pyspiel.State) -> FloatArray:
        """Ask a policy for its probabilities at a node of this state, shape (n_i,)."""
        pyspiel = _import_pyspiel()
        try:
            if isinstance(policy, pyspiel.Policy):
                given = pyspiel.Policy.get_state_policy(policy, node, agent)  # TabularPolicy hides this overload
            elif hasattr(policy, "action_probabilities"):
                given = policy.action_probabilities(node, agent).items()
            else:
                raise InvalidPolicy(f"a {type(policy).__name__} is no OpenSpiel policy; it has no action_probabilities")
        except (LookupError, pyspiel.SpielError) as error:
            raise InvalidPolicy(f"{self._where(state, agent)}: the policy has no answer ({error!r})") from error
        row = np.zeros(self.game.actions[agent])
        for action, p in given:
            if not 0 <= p < np.inf:
                raise PolicyNumber(f"{self._where(state, agent)}, action {action}: {p} is no probability")
            if 0 <= action < row.size and self.game.legal[agent][state, action]:
                row[action] = p
            elif p > 0:
                raise IllegalAction(
                    f"{self._where(state, agent)}: action {action} is illegal there but has probability {p}"
                )
        if abs(row.sum() - 1.0) > _TOLERANCE:
            raise PolicyDistribution(
                f"{self._where(state, agent)}: the probabilities sum to {float(row.sum())!r}; "
                f"they must sum to 1 within {_TOLERANCE:g}"
            )
        return row

    def _where(self, state: int, agent: int) -> str:
        return f"policy of player {agent}, state {state} ({self.game.state_name(state)})"


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
    world = _SpielWorld(_load(game), key)
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
        world.key,
        found.index,
    )


class _SpielWorld:
    """An OpenSpiel game to enumerate. Positions are nodes that are no chance nodes.

    Chance nodes are never identified, only expanded through: their printed form omits the joint action that led to
    them.
    """

    def __init__(self, game: Any, key: Callable[[pyspiel.State], Hashable] | None) -> None:
        _require_markov(game)
        self._game = game
        self._key: Callable[[Any], Hashable] = str if key is None else key
        self.num_players = game.num_players()

    def __str__(self) -> str:
        return str(self._game)

    def starts(self) -> Outcomes:
        outcomes = list(_past_chance(self._game.new_initial_state(), 1.0))
        for _, state in outcomes:
            if any(state.returns()):
                raise UnsupportedGame(f"{self} pays before the first decision: {state.returns()}")
        return outcomes

    def follow(self, position: Any, actions: tuple[int, ...]) -> tuple[Outcomes, list[float]]:
        child = position.clone()
        if position.is_simultaneous_node():
            child.apply_actions(list(actions))
        else:
            child.apply_action(actions[position.current_player()])
        outcomes, before = list(_past_chance(child, 1.0)), position.returns()
        rewards = [0.0] * len(before)
        for probability, after in outcomes:
            for player, (new, old) in enumerate(zip(after.returns(), before, strict=True)):
                rewards[player] += probability * (new - old)
        return outcomes, rewards

    def is_over(self, position: Any) -> bool:
        return bool(position.is_terminal())

    def is_cut_off(self, position: Any) -> bool:  # OpenSpiel does not tell
        return True

    def key(self, position: Any) -> Hashable:
        return self._key(position)

    def label(self, position: Any) -> str:
        return " | ".join(line.rstrip() for line in str(self._key(position)).splitlines())

    def mover(self, position: Any) -> int:
        return int(position.current_player())

    def legal(self, position: Any) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(position.legal_actions(p)) for p in range(self.num_players))

    def action_name(self, position: Any, player: int, action: int) -> str:
        return str(position.action_to_string(player, action)).removeprefix(f"[P{player}]")

    def history(self, position: Any) -> object:
        return position.history()

    def release(self, position: Any) -> None:
        """Nothing to do: OpenSpiel's states are small, and asked again when policies are tabulated."""


def _past_chance(state: Any, probability: float) -> Iterator[tuple[float, Any]]:
    """Decision and terminal nodes that chance leads to from here, and their probabilities."""
    if state.is_chance_node():
        for outcome, share in state.chance_outcomes():
            if share > 0:
                yield from _past_chance(state.child(outcome), probability * share)
    else:
        yield probability, state


def _draw(probabilities: FloatArray, rng: np.random.Generator) -> int:
    """Draw an entry of one row."""
    return int(RowSampler.dense(probabilities[None]).draw(np.zeros(1, dtype=np.int64), rng.random(1))[0])


def _load(game: Any) -> Any:
    pyspiel = _import_pyspiel()
    if not isinstance(game, str):
        return game
    name = game.split("(")[0].strip()
    if name not in pyspiel.registered_names():
        raise UnsupportedGame(f"OpenSpiel has no game {name!r}; pyspiel.registered_names() lists those it has")
    try:
        return pyspiel.load_game(game)
    except pyspiel.SpielError as error:
        raise UnsupportedGame(f"OpenSpiel cannot load {game!r}: {error}") from error


def _require_markov(game: Any) -> None:
    """Raise unless every player knows the state when it acts, and chance is explicit."""
    kind = game.get_type()
    one_shot = kind.information == kind.Information.ONE_SHOT and kind.dynamics == kind.Dynamics.SIMULTANEOUS
    if kind.dynamics == kind.Dynamics.MEAN_FIELD:
        raise UnsupportedGame(f"{game} is a mean field game, which has no finite number of agents")
    if kind.information != kind.Information.PERFECT_INFORMATION and not one_shot:
        raise UnsupportedGame(
            f"{game} has imperfect information; players of a Markov game know the state. Some games have a parameter "
            "for that, such as imp_info=False"
        )
    if kind.chance_mode == kind.ChanceMode.SAMPLED_STOCHASTIC:
        raise UnsupportedGame(f"{game} samples its chance moves and does not state their probabilities")


def _import_pyspiel() -> Any:
    try:
        import pyspiel  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependency("OpenSpiel is not installed: pip install open_spiel") from error
    return pyspiel
