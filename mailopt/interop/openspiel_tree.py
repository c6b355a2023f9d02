"""The decision nodes of an OpenSpiel game, breadth first, and the arrays that they make.

Chance nodes are never identified, only expanded through: their printed form omits the joint action that led to them.
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from mailopt.errors import GameTooLarge, UnsupportedGame
from mailopt.games.kernels import DeterministicKernel, SparseKernel, TransitionKernel
from mailopt.games.numbers import BoolArray, FloatArray, IntArray

_TOLERANCE = 1e-9
_TERMINAL = -1
_Identity = tuple[Hashable, int, int]  # key, player to move, number of decisions before it (0 if that is no part)
_Outcome = tuple[float, "_Identity | None", Any]  # probability, identity (None: the game is over), node
_Row = tuple[tuple[int, ...], list[_Outcome], list[float]]  # joint action, outcomes, expected rewards


@dataclass
class Node:
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


class Tree:
    """Decision nodes of a game, breadth first, and what every joint action at each of them leads to."""

    def __init__(self, game: Any, key: Callable[[Any], Hashable] | None, max_states: int, *, layered: bool) -> None:
        self.game = game
        self.key: Callable[[Any], Hashable] = str if key is None else key
        self.max_states = max_states
        self.layered = layered
        self.nodes: list[Node] = []
        self.initial: list[tuple[int, float]] = []
        self._found: dict[_Identity, Node] = {}
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

    def by_key(self) -> list[list[Node]]:
        """Group the nodes that differ in their depth alone."""
        groups: dict[tuple[Hashable, int], list[Node]] = {}
        for node in self.nodes:
            groups.setdefault((node.key, node.mover), []).append(node)
        for first, *others in groups.values():
            for node in others:
                if node.legal != first.legal:
                    raise self._differ(first, node.state, "their legal actions")
        return list(groups.values())

    def table(self, state_of: IntArray, actions: Sequence[int]) -> Table:
        """Return what was found as arrays, with nodes replaced by states."""
        m = len(actions)
        row_node = np.array(self._row_node)
        return Table(
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

    def _note_names(self, node: Node) -> None:
        for player, known in enumerate(self._names):
            for action in node.state.legal_actions(player):
                name = node.state.action_to_string(player, action).removeprefix(f"[P{player}]")
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
            node = Node(len(self.nodes), key, mover, depth, legal, state)
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

    def _rows(self, node: Node, state: Any) -> Iterator[_Row]:
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

    def _require_agreement(self, node: Node) -> None:
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

    def _differ(self, node: Node, state: Any, what: str) -> UnsupportedGame:
        return UnsupportedGame(
            f"{self.game}: the key merges states that differ in {what}; give key=. Key {node.name!r}, "
            f"histories {node.state.history()} and {state.history()}"
        )


@dataclass(frozen=True)
class Table:
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


def state_names(nodes: list[Node], *, layered: bool) -> list[str]:
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
