"""OpenSpiel games as Markov games, and OpenSpiel policies as correlated policies.

A game of perfect information, simultaneous or turn-based, is unrolled breadth first. Its decision nodes become
states, identified by their printed form and the player to move; chance is expanded into the initial distribution
and the transition probabilities; one absorbing state stands for all ends of the game. The reward of a joint action
is the expected difference of ``returns()`` between a decision node and the next node.
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from mailopt.errors import (
    GameTooLarge,
    IllegalAction,
    InvalidHorizon,
    InvalidOption,
    InvalidPolicy,
    MissingDependency,
    PolicyDistribution,
    PolicyNumber,
    PolicyShape,
    UnsupportedGame,
)
from mailopt.games.game import MarkovGame
from mailopt.games.kernels import DeterministicKernel, SparseKernel, TransitionKernel
from mailopt.games.numbers import BoolArray, FloatArray, IntArray, Number
from mailopt.games.policy import CorrelatedPolicy

if TYPE_CHECKING:
    import pyspiel

_TIMES = ("layered", "step")
_TOLERANCE = 1e-9
_TERMINAL = -1
_Identity = tuple[Hashable, int, int]  # key, player to move, number of decisions before it (0 if that is no part)
_Outcome = tuple[float, "_Identity | None", Any]  # probability, identity (None: the game is over), node
_Row = tuple[tuple[int, ...], list[_Outcome], list[float]]  # joint action, outcomes, expected rewards


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
        num_agents = self.game.num_agents
        players = list(policy) if isinstance(policy, list | tuple) else [policy] * num_agents
        if len(players) != num_agents:
            raise PolicyShape(f"{len(players)} policies are given for {num_agents} players")
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
    time: Literal["layered", "step"] = "layered",
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
    if time not in _TIMES:
        raise InvalidOption(f"time is {time!r}; it must be one of {', '.join(map(repr, _TIMES))}")
    if discount is not None and not 0 <= discount < 1:
        raise InvalidHorizon(f"discount is {discount}; it must be in [0, 1). Without one the game has a horizon")
    loaded = _load(game)
    _require_markov(loaded)
    tree = _Tree(loaded, key, max_states, layered=discount is None)
    tree.grow()

    per_step = discount is None and time == "step"
    states = tree.by_key() if per_step else [[node] for node in tree.nodes]
    num_states = len(states) + 1
    state_of = np.full(len(tree.nodes) + 1, num_states - 1)  # of each node; the last entry is the terminal state
    for s, nodes in enumerate(states):
        state_of[[node.position for node in nodes]] = s
    names = tree.action_names()
    legal = [np.zeros((num_states, len(of_agent)), dtype=bool) for of_agent in names]
    joint_legal = np.ones((num_states, 1), dtype=bool)
    for agent, mask in enumerate(legal):
        for s, nodes in enumerate(states):
            mask[s, list(nodes[0].legal[agent])] = True
        mask[-1, 0] = True
        joint_legal = (joint_legal[:, :, None] & mask[:, None, :]).reshape(num_states, -1)
    initial = np.zeros(num_states)
    for position, probability in tree.initial:
        initial[state_of[position]] += probability
    table = tree.table(state_of, [mask.shape[1] for mask in legal])
    kernels, rewards = table.by_step(joint_legal) if per_step else table.at_once(joint_legal)
    markov = MarkovGame(
        kernels,
        rewards,
        initial,
        [mask.shape[1] for mask in legal],
        horizon=tree.nodes[-1].depth + 1 if discount is None else None,
        discount=discount,
        legal=legal,
        state_names=_state_names([nodes[0] for nodes in states], layered=discount is None and not per_step),
        action_names=names,
    )
    alternatives = [nodes[1].state if len(nodes) > 1 else nodes[0].alternative for nodes in states]
    return UnrolledGame(markov, (*(nodes[0].state for nodes in states), None), str(loaded), (*alternatives, None))


@dataclass
class _Node:
    """A decision node: the first one found with its identity."""

    position: int
    key: Hashable
    mover: int
    depth: int
    legal: tuple[tuple[int, ...], ...]
    state: Any
    alternative: Any = None  # reached along another history

    @property
    def name(self) -> str:
        """Readable name, in one line."""
        mover = f" (player {self.mover} to move)" if self.mover >= 0 else ""
        return " | ".join(line.rstrip() for line in str(self.key).splitlines()) + mover


class _Tree:
    """Decision nodes of a game, breadth first, and what every joint action at each of them leads to."""

    def __init__(self, game: Any, key: Callable[[Any], Hashable] | None, max_states: int, *, layered: bool) -> None:
        self.game = game
        self.key: Callable[[Any], Hashable] = str if key is None else key
        self.max_states = max_states
        self.layered = layered
        self.nodes: list[_Node] = []
        self.initial: list[tuple[int, float]] = []
        self._found: dict[_Identity, _Node] = {}
        self._ends: set[Hashable] = set()  # keys of terminal nodes, if there is a discount
        self._names: list[dict[int, str]] = [{} for _ in range(game.num_players())]
        # Flat columns. Rows: node, joint action, rewards. Entries: row, node that follows (-1: terminal), probability.
        self._row_node, self._row_action, self._row_reward = array("q"), array("q"), array("d")
        self._entry_row, self._entry_node, self._entry_probability = array("q"), array("q"), array("d")

    def grow(self) -> None:
        """Unroll the game."""
        for probability, identity, state in self._outcomes(self.game.new_initial_state(), 0, 1.0):
            if any(state.returns()):
                raise UnsupportedGame(f"{self.game} pays before the first decision: {state.returns()}")
            self.initial.append((self._arrive(identity, state), probability))
        for node in self.nodes:  # which grows meanwhile: breadth first
            self._note_names(node)
            for actions, outcomes, rewards in self._rows(node, node.state):
                row = len(self._row_node)
                self._row_node.append(node.position)
                self._row_action.extend(actions)
                self._row_reward.extend(rewards)
                for probability, identity, state in outcomes:
                    self._entry_row.append(row)
                    self._entry_node.append(self._arrive(identity, state))
                    self._entry_probability.append(probability)
        if not self.nodes:
            raise UnsupportedGame(f"{self.game} has no decision to make")
        for node in self.nodes:
            if node.key in self._ends:
                raise UnsupportedGame(
                    f"{self.game} ends at {node.name!r}, from where it also goes on: a move limit was met while "
                    "unrolling. Raise the limit, or give no discount"
                )
        for node in self.nodes:
            self._require_agreement(node)

    def by_key(self) -> list[list[_Node]]:
        """Group the nodes that differ in their depth alone."""
        groups: dict[tuple[Hashable, int], list[_Node]] = {}
        for node in self.nodes:
            groups.setdefault((node.key, node.mover), []).append(node)
        for first, *others in groups.values():
            for node in others:
                if node.legal != first.legal:
                    raise self._differ(first, node.state, "their legal actions")
        return list(groups.values())

    def table(self, state_of: IntArray, actions: Sequence[int]) -> _Table:
        """Return what was found as arrays, with nodes replaced by states."""
        m = len(actions)
        row_node = np.array(self._row_node)
        return _Table(
            step=np.array([node.depth for node in self.nodes])[row_node],
            state=state_of[row_node],
            joint=np.ravel_multi_index(tuple(np.array(self._row_action).reshape(-1, m).T), tuple(actions)),
            rewards=np.array(self._row_reward).reshape(-1, m).T,
            row=np.array(self._entry_row),
            target=state_of[np.array(self._entry_node)],
            probability=np.array(self._entry_probability),
        )

    def action_names(self) -> list[list[str]]:
        """For each player a name for each action number up to the largest that is ever legal."""
        result = []
        for known in self._names:
            count = 1 + max(known, default=0)
            names = [known.get(k, str(k) if k else "no-op") for k in range(count)]
            result.append(names if len(set(names)) == count else [str(k) for k in range(count)])
        return result

    def _note_names(self, node: _Node) -> None:
        for player, known in enumerate(self._names):
            for action in node.state.legal_actions(player):
                name = node.state.action_to_string(player, action)
                if known.setdefault(action, name) != name:
                    known[action] = str(action)

    def _arrive(self, identity: _Identity | None, state: Any) -> int:
        """Position of the node with this identity, new or known; -1 for a terminal node."""
        if identity is None:
            return _TERMINAL
        legal = _legal(state)
        node = self._found.get(identity)
        if node is None:
            if len(self.nodes) + 2 > self.max_states:
                raise GameTooLarge(f"{self.game} has more than max_states={self.max_states} states")
            key, mover, depth = identity
            node = _Node(len(self.nodes), key, mover, depth, legal, state)
            self._found[identity] = node
            self.nodes.append(node)
        else:
            if node.legal != legal:
                raise self._differ(node, state, "their legal actions")
            if node.alternative is None:
                node.alternative = state
        return node.position

    def _outcomes(self, state: Any, depth: int, probability: float) -> Iterator[_Outcome]:
        """Decision and terminal nodes that chance leads to from here, and their probabilities."""
        if state.is_chance_node():
            for outcome, share in state.chance_outcomes():
                if share > 0:
                    yield from self._outcomes(state.child(outcome), depth, probability * share)
        elif state.is_terminal():
            if not self.layered:
                self._ends.add(self.key(state))
            yield probability, None, state
        else:
            yield probability, (self.key(state), state.current_player(), depth), state

    def _rows(self, node: _Node, state: Any) -> Iterator[_Row]:
        """For each legal joint action at one of the node's histories: what comes next, and expected rewards."""
        depth = node.depth + 1 if self.layered else 0
        before = state.returns()
        for actions in itertools.product(*node.legal):
            child = state.clone()
            if state.is_simultaneous_node():
                child.apply_actions(list(actions))
            else:
                child.apply_action(actions[node.mover])
            outcomes = list(self._outcomes(child, depth, 1.0))
            rewards = [0.0] * len(before)
            for probability, _, after in outcomes:
                for player, (new, old) in enumerate(zip(after.returns(), before, strict=True)):
                    rewards[player] += probability * (new - old)
            yield actions, outcomes, rewards

    def _require_agreement(self, node: _Node) -> None:
        """Raise unless the same happens next at the node's two known histories."""
        if node.alternative is None:
            return
        found: list[dict[Hashable, float]] = [defaultdict(float), defaultdict(float)]
        for summary, state in zip(found, (node.state, node.alternative), strict=True):
            for actions, outcomes, rewards in self._rows(node, state):
                for probability, identity, _ in outcomes:
                    summary[actions, identity] += probability
                for player, reward in enumerate(rewards):
                    summary[actions, player] = reward
        one, other = found
        if any(abs(one[k] - other[k]) > _TOLERANCE for k in {*one, *other}):
            raise self._differ(node, node.alternative, "what happens next")

    def _differ(self, node: _Node, state: Any, what: str) -> UnsupportedGame:
        return UnsupportedGame(
            f"{self.game}: the key merges states that differ in {what}; give key=. Key {node.name!r}, "
            f"histories {node.state.history()} and {state.history()}"
        )


@dataclass(frozen=True)
class _Table:
    """What every joint action at every state (and step) leads to; R rows and E entries."""

    step: IntArray  # (R,)
    state: IntArray  # (R,)
    joint: IntArray  # (R,)
    rewards: FloatArray  # (m, R)
    row: IntArray  # (E,)
    target: IntArray  # (E,)
    probability: FloatArray  # (E,)

    def at_once(self, joint_legal: BoolArray) -> tuple[TransitionKernel, FloatArray]:
        """Make one kernel and its rewards from all rows."""
        matrix, rewards = self._assemble(np.ones(self.step.size, dtype=bool), joint_legal)
        return _kernel(matrix), rewards

    def by_step(self, joint_legal: BoolArray) -> tuple[TransitionKernel | list[TransitionKernel], FloatArray]:
        """Make a kernel and rewards for each step, or one for all if no two steps disagree where they have rows."""
        first = np.full(joint_legal.shape[0], self.step.max())
        np.minimum.at(first, self.state, self.step)
        matrix, rewards = self._assemble(self.step == first[self.state], joint_legal)
        rows = sparse.coo_array(
            (self.probability, (self.row, self.target)), shape=(self.step.size, joint_legal.shape[0])
        ).tocsr()
        if (
            np.array_equal(rewards[:, self.state, self.joint], self.rewards)
            and not (rows != matrix[self.state * joint_legal.shape[1] + self.joint]).nnz
        ):
            return _kernel(matrix), rewards
        steps = [self._assemble(self.step == h, joint_legal) for h in range(self.step.max() + 1)]
        return [_kernel(matrix) for matrix, _ in steps], np.stack([rewards for _, rewards in steps])

    def _assemble(self, chosen: BoolArray, joint_legal: BoolArray) -> tuple[sparse.csr_array, FloatArray]:
        """Transitions (S*A, S) and rewards (m, S, A) of some rows; other legal joint actions stay, for nothing."""
        num_states, num_joint = joint_legal.shape
        rewards = np.zeros((len(self.rewards), num_states, num_joint))
        rewards[:, self.state[chosen], self.joint[chosen]] = self.rewards[:, chosen]
        idle = joint_legal.copy()
        idle[self.state[chosen], self.joint[chosen]] = False
        stay = np.flatnonzero(idle)
        entries = chosen[self.row]
        place = self.state * num_joint + self.joint
        index = np.concatenate([place[self.row[entries]], stay])
        target = np.concatenate([self.target[entries], stay // num_joint])
        data = np.concatenate([self.probability[entries], np.ones(stay.size)])
        shape = (num_states * num_joint, num_states)
        return sparse.coo_array((data, (index, target)), shape=shape).tocsr(), rewards


def _kernel(matrix: sparse.csr_array) -> TransitionKernel:
    """Deterministic if no row has two successors, else sparse."""
    sizes = np.diff(matrix.indptr)
    if sizes.max() > 1 or np.abs(matrix.data - 1.0).max() > _TOLERANCE:
        return SparseKernel(matrix)
    successors = np.full(sizes.size, -1, dtype=np.int64)
    successors[sizes == 1] = matrix.indices
    return DeterministicKernel(successors.reshape(matrix.shape[1], -1))


def _state_names(nodes: list[_Node], *, layered: bool) -> list[str]:
    """Distinct names, the terminal state's last."""
    names = [f"{node.depth}: {node.name}" if layered else node.name for node in nodes] + ["terminal"]
    seen: Counter[str] = Counter()
    for s, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[s] = f"{name} #{seen[name]}"
    return names


def _legal(state: Any) -> tuple[tuple[int, ...], ...]:
    """Legal actions of every player; action 0 where a player has none."""
    return tuple(tuple(state.legal_actions(p)) or (0,) for p in range(state.num_players()))


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
        raise MissingDependency("OpenSpiel is not installed: pip install 'mailopt[games]'") from error
    return pyspiel
