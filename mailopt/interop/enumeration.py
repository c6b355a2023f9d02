"""Games of other frameworks made into Markov games by enumeration, breadth first, up to a limit.

A :class:`World` says what can be done with one position of a game: the game is any framework's. Positions with the
same key, player to move and (if time is part of the state) depth are one decision node; nodes are states of the Markov
game, and one absorbing state stands for all ends.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from mailopt.errors import GameTooLarge, InvalidHorizon, InvalidOption, UnsupportedGame
from mailopt.games.game import MarkovGame, combine_legal
from mailopt.games.numbers import IntArray, Number
from mailopt.games.sampling import read_count
from mailopt.interop.enumeration_table import Table

Time = Literal["layered", "step"]
Outcomes = list[tuple[float, Any]]  # probabilities and positions, ends included

_TIMES = ("layered", "step")
_TOLERANCE = 1e-9
_TERMINAL = -1
_MOST_NUMBERS = 2**28  # entries of an array of rewards: 2 GiB
_Identity = tuple[Hashable, int, int]  # key, player to move, number of decisions before it (0 if that is no part)
_Row = tuple[tuple[int, ...], list[tuple[float, "_Identity | None", Any]], list[float]]  # joint action, what follows


class World(Protocol):
    """A game of another framework, one position at a time. Its text is the name of the game."""

    num_players: int
    num_actions: list[int]  # actions that each player has at least, legal or not

    def starts(self) -> Outcomes:
        """Positions before the first decision."""

    def follow(self, position: Any, actions: tuple[int, ...]) -> tuple[Outcomes, list[float]]:
        """Positions after one action of each player (0 without a choice), and what each of them expects to be paid."""

    def is_over(self, position: Any) -> bool:
        """Whether nobody has a decision left."""

    def is_cut_off(self, position: Any) -> bool | None:
        """Whether an end is a move limit rather than an end of its own, None if that is not known; of ends only."""

    def key(self, position: Any) -> Hashable:
        """Return what identifies the position, together with the player to move."""

    def label(self, position: Any) -> str:
        """Name of the position, for people."""

    def mover(self, position: Any) -> int:
        """Player to move, negative if all move at once."""

    def legal(self, position: Any) -> tuple[tuple[int, ...], ...]:
        """Legal actions of each player, none for a player without a choice."""

    def action_name(self, position: Any, player: int, action: int) -> str:
        """Name of a legal action, for people."""

    def history(self, position: Any) -> object:
        """How the position was reached, for people."""

    def keep(self, position: Any) -> None:
        """Take notice that the position will be followed later."""

    def release(self, position: Any) -> None:
        """Take notice that the position was followed, and will seldom be needed again."""


@dataclass
class Node:
    """A decision node: the first position found with its identity."""

    index: int
    key: Hashable
    mover: int
    depth: int
    legal: tuple[tuple[int, ...], ...]
    label: str
    position: Any
    alternative: Any = None  # a position that was reached along another history
    agrees: bool = False  # whether the same was found to happen next there

    @property
    def name(self) -> str:
        """Readable name, in one line."""
        mover = f" (player {self.mover} to move)" if self.mover >= 0 else ""
        return self.label + mover


class Tree:
    """Decision nodes of a game, breadth first, and what every joint action at each of them leads to."""

    def __init__(self, world: World, max_states: int, *, layered: bool, horizon: int | None, advice: str) -> None:
        self.world = world
        self.max_states = max_states
        self.layered = layered
        self.horizon = horizon  # most decisions of a play
        self.advice = advice  # what to do about a game that is too large
        self.nodes: list[Node] = []
        self.initial: list[tuple[int, float]] = []
        self._found: dict[_Identity, Node] = {}
        self._ends: set[Hashable] = set()  # keys of ends that may be move limits, where time is no part of the state
        self._names: list[dict[int, str]] = [{} for _ in range(world.num_players)]
        # Flat columns. Rows: node, joint action, rewards. Entries: row, node that follows (-1: terminal), probability.
        self._row_node, self._row_action, self._row_reward = array("q"), array("q"), array("d")
        self._entry_row, self._entry_node, self._entry_probability = array("q"), array("q"), array("d")

    def grow(self) -> None:
        """Enumerate the game."""
        for probability, identity, position in self._identified(self.world.starts(), 0):
            self.initial.append((self._arrive(identity, position), probability))
        for node in self.nodes:  # which grows meanwhile: breadth first
            self._note_names(node)
            self.require_room(len(self._row_reward) + len(node.legal) * math.prod(map(len, node.legal)))
            rows = self._rows(node, node.position)
            if node.alternative is not None:
                self._require_agreement(node, rows)
            for actions, outcomes, rewards in rows:
                row = len(self._row_node)
                self._row_node.append(node.index)
                self._row_action.extend(actions)
                self._row_reward.extend(rewards)
                for probability, identity, position in outcomes:
                    self._entry_row.append(row)
                    self._entry_node.append(self._arrive(identity, position))
                    self._entry_probability.append(probability)
        if not self.nodes:
            raise UnsupportedGame(f"{self.world} has no decision to make")
        self._require_no_limit()
        for node in self.nodes:
            if node.alternative is not None and not node.agrees:
                self._require_agreement(node, self._rows(node, node.position))

    def by_key(self) -> list[list[Node]]:
        """Group the nodes that differ in their depth alone."""
        groups: dict[tuple[Hashable, int], list[Node]] = {}
        for node in self.nodes:
            groups.setdefault((node.key, node.mover), []).append(node)
        for first, *others in groups.values():
            for node in others:
                if node.legal != first.legal:
                    raise self._differ(first, node.position, "their legal actions")
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
        """For each player a name for each action number up to the largest that there is."""
        result = []
        for player, (known, least) in enumerate(zip(self._names, self.world.num_actions, strict=True)):
            if least > 1:  # their names do not depend on where they are legal
                known |= {k: self.world.action_name(self.nodes[0].position, player, k) for k in range(least)}
            count = 1 + max(known, default=0)
            names = [known.get(k, str(k) if k else "no-op") for k in range(count)]
            result.append(names if len(set(names)) == count else [str(k) for k in range(count)])
        return result

    def _note_names(self, node: Node) -> None:
        for player, (known, actions) in enumerate(zip(self._names, self.world.legal(node.position), strict=True)):
            for action in actions:
                name = self.world.action_name(node.position, player, action)
                if known.setdefault(action, name) != name:
                    known[action] = str(action)

    def _arrive(self, identity: _Identity | None, position: Any) -> int:
        """Index of the node with this identity, new or known; -1 for an end."""
        if identity is None:
            return _TERMINAL
        legal = tuple(actions or (0,) for actions in self.world.legal(position))
        node = self._found.get(identity)
        if node is None:
            if len(self.nodes) + 2 > self.max_states:
                raise self._too_large(identity[2])
            key, mover, depth = identity
            node = Node(len(self.nodes), key, mover, depth, legal, self.world.label(position), position)
            self._found[identity] = node
            self.nodes.append(node)
            self.world.keep(position)
        else:
            if node.legal != legal:
                raise self._differ(node, position, "their legal actions")
            if node.alternative is None:
                node.alternative = position
                self.world.release(position)
        return node.index

    def _too_large(self, depth: int) -> GameTooLarge:
        expanded = self._row_node[-1] if len(self._row_node) else 0
        where = f", after {depth} decisions" if self.layered else ""
        return GameTooLarge(
            f"{self.world} has more than max_states={self.max_states} states: {len(self.nodes) + 1} were found (the "
            f"end included) when another came{where}, and {len(self.nodes) - expanded} of them were not yet expanded. "
            f"Raise max_states; or {self.advice}"
        )

    def require_room(self, numbers: int) -> None:
        """Raise if an array of so many rewards is too large."""
        if numbers > _MOST_NUMBERS:
            raise GameTooLarge(
                f"{self.world}: {len(self.nodes) + 1} states (the end included) were found; their rewards are "
                f"{numbers} numbers or more, the limit is {_MOST_NUMBERS}: {self.advice}"
            )

    def _identified(self, outcomes: Outcomes, depth: int) -> list[tuple[float, _Identity | None, Any]]:
        """Say of each outcome which node it is, None for an end."""
        result: list[tuple[float, _Identity | None, Any]] = []
        for probability, position in outcomes:
            if self.world.is_over(position):
                cut_off = False if self.layered else self.world.is_cut_off(position)
                if cut_off:
                    raise self._limit_met(self.world.label(position))
                if cut_off is None:
                    self._ends.add(self.world.key(position))
                result.append((probability, None, position))
            elif depth == self.horizon:
                result.append((probability, None, position))
            else:
                level = depth if self.layered else 0
                result.append((probability, (self.world.key(position), self.world.mover(position), level), position))
        return result

    def _rows(self, node: Node, position: Any) -> list[_Row]:
        """For each legal joint action at one of the node's positions: what comes next, and expected rewards."""
        result: list[_Row] = []
        for actions in itertools.product(*node.legal):
            outcomes, rewards = self.world.follow(position, actions)
            result.append((actions, self._identified(outcomes, node.depth + 1), rewards))
        self.world.release(position)
        return result

    def _require_agreement(self, node: Node, rows: list[_Row]) -> None:
        """Raise unless what happens next at the node's alternative is in these rows."""
        node.agrees = True
        found: list[dict[Hashable, float]] = [defaultdict(float), defaultdict(float)]
        for summary, some in zip(found, (rows, self._rows(node, node.alternative)), strict=True):
            for actions, outcomes, rewards in some:
                for probability, identity, _ in outcomes:
                    summary[actions, identity] += probability
                for player, reward in enumerate(rewards):
                    summary[actions, player] = reward
        one, other = found
        if any(abs(one[k] - other[k]) > _TOLERANCE for k in {*one, *other}):
            self._require_no_limit()
            raise self._differ(node, node.alternative, "what happens next")

    def _require_no_limit(self) -> None:
        """Raise if an end that may be a move limit looks like a node."""
        for node in self.nodes:
            if node.key in self._ends:
                raise self._limit_met(node.name)

    def _limit_met(self, where: str) -> UnsupportedGame:
        return UnsupportedGame(
            f"{self.world} ends at {where!r}, from where it also goes on: a move limit was met while unrolling. Raise "
            "the limit, or give no discount"
        )

    def _differ(self, node: Node, position: Any, what: str) -> UnsupportedGame:
        return UnsupportedGame(
            f"{self.world}: the key merges states that differ in {what}; give key=, unless hidden chance made the "
            f"difference. Key {node.name!r}, "
            f"histories {self.world.history(node.position)} and {self.world.history(position)}"
        )


@dataclass(frozen=True)
class Enumeration:
    """A Markov game and the nodes that its states stand for.

    Attributes
    ----------
    game
        The game; its last state is the end of all plays.
    states
        For each state but the last the nodes that it stands for; several if time is no part of it.
    index
        State of a (key, player to move, depth); depth is 0 with a discount.
    """

    game: MarkovGame
    states: list[list[Node]]
    index: dict[_Identity, int]


def enumerate_game(
    world: World,
    *,
    time: Time,
    discount: Number | None,
    max_states: int,
    roll_outs: str,
    horizon: int | None = None,
    agent_names: Sequence[str] | None = None,
) -> Enumeration:
    """Make a Markov game from a world.

    Parameters
    ----------
    world
        The game.
    time, discount, max_states, horizon
        As for the functions of the frameworks that call this.
    roll_outs
        How a game of this framework is played without enumerating it, for the message when it is too large.
    agent_names
        Optional names.

    Raises
    ------
    UnsupportedGame, GameTooLarge, InvalidOption, InvalidHorizon
        As those functions say.
    """
    if time not in _TIMES:
        raise InvalidOption(f"time is {time!r}; it must be one of {', '.join(map(repr, _TIMES))}")
    if discount is not None and not 0 <= discount < 1:
        raise InvalidHorizon(f"discount is {discount}; it must be in [0, 1). Without one the game has a horizon")
    if discount is not None and horizon is not None:
        raise InvalidHorizon("a horizon and a discount are given; give one of the two")
    most = None if horizon is None else read_count(horizon, "horizon")
    layered, per_step = discount is None, discount is None and time == "step"
    untimed = "cut it off (a horizon), leave the time out of the state (a discount), " if layered else ""
    advice = f"{untimed}choose smaller parameters, or play it without enumerating it: {roll_outs}"
    tree = Tree(world, read_count(max_states, "max_states"), layered=layered, horizon=most, advice=advice)
    tree.grow()

    states = tree.by_key() if per_step else [[node] for node in tree.nodes]
    num_states = len(states) + 1
    state_of = np.full(len(tree.nodes) + 1, num_states - 1)  # of each node; the last entry is the end
    for s, nodes in enumerate(states):
        state_of[[node.index for node in nodes]] = s
    names = tree.action_names()
    actions = [len(of_agent) for of_agent in names]
    tree.require_room(len(actions) * num_states * math.prod(actions))
    legal = [np.zeros((num_states, n), dtype=bool) for n in actions]
    for agent, mask in enumerate(legal):
        for s, nodes in enumerate(states):
            mask[s, list(nodes[0].legal[agent])] = True
        mask[-1, 0] = True
    joint_legal = combine_legal(legal)
    initial = np.zeros(num_states)
    for node, probability in tree.initial:
        initial[state_of[node]] += probability
    table = tree.table(state_of, actions)
    kernels, rewards = table.by_step(joint_legal, tree.require_room) if per_step else table.at_once(joint_legal)
    game = MarkovGame(
        kernels,
        rewards,
        initial,
        actions,
        horizon=tree.nodes[-1].depth + 1 if layered else None,
        discount=discount,
        legal=legal,
        state_names=_state_names([nodes[0] for nodes in states], layered=layered and not per_step),
        agent_names=agent_names,
        action_names=names,
    )
    index = {(node.key, node.mover, node.depth): s for s, nodes in enumerate(states) for node in nodes}
    return Enumeration(game, states, index)


def _state_names(nodes: list[Node], *, layered: bool) -> list[str]:
    """Distinct names, the terminal state's last."""
    names = [f"{node.depth}: {node.name}" if layered else node.name for node in nodes] + ["terminal"]
    seen: Counter[str] = Counter()
    for s, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[s] = f"{name} #{seen[name]}"
    return names
