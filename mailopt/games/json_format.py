"""Games and policies as JSON.

A number is a JSON number (a float is the dyadic rational it stores) or a string ``"n"`` or ``"n/d"`` for an exact
rational; states and actions are given by index or by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.errors import GameTooLarge, MalformedFile, MissingTransition, PolicyDistribution
from mailopt.games import storage
from mailopt.games.game import MarkovGame, flatten_joint, read_action_names, read_names, split_joint
from mailopt.games.kernels import TransitionKernel, kernel_from_entries
from mailopt.games.numbers import GAME, POLICY, Exact, FloatArray, Index, Number, as_given, nearest_double, store_number
from mailopt.games.numbers import place as name_place
from mailopt.games.policy import CorrelatedPolicy

_MAX_ENTRIES = 2**27  # of one array, 1 GiB


class Names:
    """Turns indices or names of a file into indices."""

    def __init__(
        self,
        num_states: int,
        actions: Sequence[int],
        state_names: Sequence[str] | None,
        action_names: Sequence[Sequence[str]] | None,
    ) -> None:
        self._states = {name: k for k, name in enumerate(state_names or ())}
        self._actions = [{name: k for k, name in enumerate(names)} for names in action_names or [()] * len(actions)]
        self._num_states = num_states
        self._counts = tuple(actions)

    def state(self, given: object, where: str) -> int:
        """Return the number of a state given by index or name."""
        return _index(given, self._num_states, self._states, f"{where}: state")

    def action(self, agent: int, given: object, where: str) -> int:
        """Return the number of an agent's action given by index or name."""
        return _index(given, self._counts[agent], self._actions[agent], f"{where}: action of agent {agent}")

    def joint(self, given: object, where: str) -> int:
        """Flat joint action, from a list of one action per agent."""
        if not isinstance(given, list) or len(given) != len(self._counts):
            raise MalformedFile(f"{where}: {given!r} is not a list of one action per agent ({len(self._counts)})")
        actions = [self.action(agent, action, where) for agent, action in enumerate(given)]
        return int(flatten_joint(actions, self._counts))


def _index(given: object, size: int, names: Mapping[str, int], what: str) -> int:
    if isinstance(given, str) and given in names:
        return names[given]
    if type(given) is not int:
        raise MalformedFile(f"{what} is {given!r}, which is neither an index nor a known name")
    if not 0 <= given < size:
        raise MalformedFile(f"{what} is {given}, out of range 0 to {size - 1}")
    return given


def read_game(fields: storage.JsonFields) -> MarkovGame:
    """Build the game that a file's fields describe."""
    actions = fields.take("actions", _counts)
    num_states = fields.take("states", storage.positive)
    horizon = fields.take("horizon", storage.positive, default=None)
    discount = fields.take("discount", storage.number, default=None)
    state_names = read_names(fields.take("state_names", _strings, default=None), num_states, "state names")
    agent_names = read_names(fields.take("agent_names", _strings, default=None), len(actions), "agent names")
    action_names = read_action_names(
        fields.take("action_names", lambda v, w: [_strings(names, w) for names in storage.items(v, w)], default=None),
        tuple(actions),
    )
    names = Names(num_states, actions, state_names, action_names)
    num_joint = math.prod(actions)
    legal = _legal_from_json(fields.take("legal", storage.items, default=[]), names, len(actions))
    transitions = fields.take("transitions", storage.items)
    needed = (num_states - len(legal)) * num_joint + sum(math.prod(map(len, lists)) for lists in legal.values())
    if len(transitions) < needed:  # before anything of the declared size is allocated
        state, joint = _first_missing(transitions, names, legal, actions)
        raise MissingTransition(
            f"transitions: {len(transitions)} entries for {needed} legal pairs of state and joint action; "
            f"state {state}, joint action {joint} has none. Give it a successor, or declare an action of it illegal"
        )
    require_size("game", num_states, num_joint, len(actions))
    masks = [np.ones((num_states, n), dtype=bool) for n in actions]
    for state, lists in legal.items():
        for mask, allowed in zip(masks, lists, strict=True):
            mask[state] = False
            mask[state, allowed] = True

    initial: dict[Index, Number] = {}
    for place, entry in numbered_entries(fields.take("initial", storage.items), "initial", (2,)):
        put_once(initial, (names.state(entry[0], place),), storage.number(entry[1], place), place)
    start = np.zeros(num_states, dtype=object)
    for index, value in initial.items():
        start[index] = value
    game = MarkovGame(
        _transitions_from_json(transitions, names, num_states, num_joint, horizon),
        _rewards_from_json(
            fields.take("rewards", storage.items, default=[]),
            names,
            (len(actions), num_states, num_joint),
            horizon,
        ),
        start,
        actions,
        horizon=horizon,
        discount=discount,
        legal=masks,
        state_names=state_names,
        agent_names=agent_names,
        action_names=action_names,
        estimated_from=fields.take("estimated_from", storage.positive, default=None),
    )
    fields.finish()
    return game


def _legal_from_json(rows: Sequence[object], names: Names, num_agents: int) -> dict[int, list[list[int]]]:
    """Legal actions per agent, for the states that have an entry."""
    found: dict[int, list[list[int]]] = {}
    for place, (given, lists) in numbered_entries(rows, "legal", (2,)):
        state = names.state(given, place)
        if state in found or not isinstance(lists, list) or len(lists) != num_agents:
            raise MalformedFile(f"{place}: expected one list of actions per agent, once for each state")
        found[state] = [
            [names.action(agent, action, place) for action in storage.items(allowed, place)]
            for agent, allowed in enumerate(lists)
        ]
        if any(len(set(allowed)) != len(allowed) for allowed in found[state]):
            raise MalformedFile(f"{place}: an action is given twice")
    return found


def _first_missing(
    transitions: Sequence[object], names: Names, legal: Mapping[int, list[list[int]]], actions: Sequence[int]
) -> tuple[int, tuple[int, ...]]:
    """First legal pair of state and joint action without a transition, if there are too few transitions."""
    given: dict[int, set[int]] = {}
    for place, entry in numbered_entries(transitions, "transitions", (4, 5)):
        given.setdefault(names.state(entry[0], place), set()).add(names.joint(entry[1], place))
    everything = [range(n) for n in actions]
    state = 0
    while len(given.get(state, ())) >= math.prod(map(len, legal.get(state, everything))):
        state += 1
    lists, k = legal.get(state, everything), 0
    while True:  # joint actions in C order; ends after as many as are given
        positions = split_joint(k, tuple(map(len, lists)))
        joint = tuple(allowed[position] for allowed, position in zip(lists, positions, strict=True))
        if flatten_joint(joint, actions) not in given.get(state, ()):
            return state, joint
        k += 1


def _transitions_from_json(
    rows: Sequence[object], names: Names, num_states: int, num_joint: int, horizon: int | None
) -> TransitionKernel | list[TransitionKernel]:
    per_step: dict[int | None, list[tuple[int, int, int, Number]]] = {}
    seen: set[tuple[int | None, int, int, int]] = set()
    for place, entry in numbered_entries(rows, "transitions", (4, 5)):
        step = read_step(entry[4:], horizon, place)
        s, a, t = names.state(entry[0], place), names.joint(entry[1], place), names.state(entry[2], place)
        if (step, s, a, t) in seen:
            raise MalformedFile(f"{place}: this transition is given twice")
        seen.add((step, s, a, t))
        per_step.setdefault(step, []).append((s, a, t, storage.number(entry[3], place)))
    all_or_none(per_step, "transitions")
    kernels = {step: kernel_from_entries(found, num_states, num_joint) for step, found in per_step.items()}
    if None in kernels:
        return kernels[None]
    if horizon is None:
        raise MalformedFile("transitions: a discounted game must not depend on the step")
    if len(kernels) < horizon:
        missing = next(h for h in range(horizon) if h not in kernels)
        raise MissingTransition(f"transitions: step {missing} has none; give each step its transitions, or no steps")
    return [kernels[h] for h in range(horizon)]


def _rewards_from_json(
    rows: Sequence[object], names: Names, one_step: tuple[int, int, int], horizon: int | None
) -> npt.NDArray[Any]:
    parsed: dict[int | None, list[tuple[str, int, int, list[Number]]]] = {}
    for place, entry in numbered_entries(rows, "rewards", (3, 4)):
        step = read_step(entry[3:], horizon, place)
        values = [storage.number(value, place) for value in storage.items(entry[2], place)]
        if len(values) != one_step[0]:
            raise MalformedFile(f"{place}: {len(values)} rewards, expected one per agent ({one_step[0]})")
        parsed.setdefault(step, []).append((place, names.state(entry[0], place), names.joint(entry[1], place), values))
    all_or_none(parsed, "rewards")
    if horizon is None and parsed and None not in parsed:
        raise MalformedFile("rewards: a discounted game must not depend on the step")
    shape = one_step if None in parsed or not parsed else (horizon or 0, *one_step)
    require_size("rewards", *shape)
    doubles, exact = np.zeros(shape), dict[Index, Fraction]()
    given = np.zeros((*shape[:-3], *shape[-2:]), dtype=bool)
    for step, found in parsed.items():
        lead = () if step is None else (step,)
        for place, s, a, values in found:
            if given[(*lead, s, a)]:
                raise MalformedFile(f"{place}: this reward is given twice")
            given[(*lead, s, a)] = True
            for agent, value in enumerate(values):
                store_number(doubles, exact, (*lead, agent, s, a), nearest_double(value, GAME, place))
    return as_given(doubles, exact)


def read_policy(fields: storage.JsonFields, game: MarkovGame) -> CorrelatedPolicy:
    """Build the policy that a file's fields describe."""
    names = Names(game.num_states, game.actions, game.state_names, game.action_names)
    found: dict[int | None, dict[Index, Number]] = {}
    for place, entry in numbered_entries(fields.take("rows", storage.items), "rows", (3, 4)):
        step = read_step(entry[3:], game.horizon, place)
        row = found.setdefault(step, {})
        index: Index = (names.state(entry[0], place), names.joint(entry[1], place))
        put_once(row, index, storage.number(entry[2], place), place)
    fields.finish()
    all_or_none(found, "rows")
    one_step = (game.num_states, game.num_joint_actions)
    shape: tuple[int, ...] = one_step
    if found and None not in found:
        shape = (game.horizon or 1 + max(step for step in found if step is not None), *one_step)
    require_size("policy", *shape)
    doubles, exact = np.zeros(shape), dict[Index, Fraction]()
    for step, row in found.items():
        for index, value in row.items():
            where: Index = index if step is None else (step, *index)
            store_number(doubles, exact, where, nearest_double(value, POLICY, "rows", ("state",), index[:1]))
    empty = np.argwhere(~(doubles != 0).any(axis=-1))
    if empty.size:
        raise PolicyDistribution(
            f"policy, {name_place(('step', 'state'), empty[0])}: no probability is given; the game has "
            f"{game.num_states} states, and each needs a row that sums to 1. Is this the policy of another game?"
        )
    return CorrelatedPolicy(as_given(doubles, exact))


def game_fields(game: MarkovGame) -> dict[str, object]:
    """Return what a game file holds beside its header."""
    joints = [list(game.joint_action(a)) for a in range(game.num_joint_actions)]
    fields: dict[str, object] = {"actions": list(game.actions), "states": game.num_states}
    if game.horizon is not None:
        fields["horizon"] = game.horizon
    else:
        fields["discount"] = game.exact_discount if game.exact_discount is not None else game.discount
    for key, names in (
        ("state_names", game.state_names),
        ("agent_names", game.agent_names),
        ("action_names", game.action_names),
    ):
        if names is not None:
            fields[key] = [list(name) if isinstance(name, tuple) else name for name in names]
    fields["initial"] = [
        [int(s), _given(game.initial, game.exact_initial, (int(s),))] for s in np.flatnonzero(game.initial)
    ]
    fields["transitions"] = [
        [s, joints[a], t, p, *([step] if len(game.kernels) > 1 else [])]
        for step, kernel in enumerate(game.kernels)
        for s, a, t, p in kernel.entries()
    ]
    rewards: list[list[object]] = []
    for lead in np.ndindex(game.rewards.shape[:-3]):
        table = game.rewards[lead]
        for s, a in np.argwhere((table != 0).any(axis=0)):
            values = [
                _given(game.rewards, game.exact_rewards, (*lead, i, int(s), int(a))) for i in range(game.num_agents)
            ]
            rewards.append([int(s), joints[a], values, *lead])
    fields["rewards"] = rewards
    if not game.joint_legal.all():
        fields["legal"] = [
            [s, [[int(a) for a in np.flatnonzero(mask[s])] for mask in game.legal]]
            for s in range(game.num_states)
            if not game.joint_legal[s].all()
        ]
    if game.estimated_from is not None:
        fields["estimated_from"] = game.estimated_from
    return fields


def policy_fields(policy: CorrelatedPolicy, game: MarkovGame) -> dict[str, object]:
    """Return what a policy file holds beside its header."""
    rows: list[list[object]] = []
    for found in np.argwhere(policy.probabilities > 0):
        index = tuple(int(k) for k in found)
        probability = _given(policy.probabilities, policy.exact, index)
        rows.append([index[-2], list(game.joint_action(index[-1])), probability, *index[:-2]])
    return {"rows": rows}


def _given(doubles: FloatArray, exact: Exact, index: Index) -> Number:
    return exact.get(index, float(doubles[index]))


def numbered_entries(rows: Sequence[object], section: str, lengths: tuple[int, ...]) -> list[tuple[str, list[Any]]]:
    """Entries of a section with their places, each a list of one of the lengths."""
    result = []
    for k, entry in enumerate(rows):
        place = f"{section}, entry {k}"
        if not isinstance(entry, list) or len(entry) not in lengths:
            raise MalformedFile(
                f"{place}: expected a list of {' or '.join(map(str, lengths))} items, got {entry!r:.80}"
            )
        result.append((place, entry))
    return result


def read_step(given: Sequence[object], horizon: int | None, place: str) -> int | None:
    """Read the optional step at the end of an entry."""
    if not given:
        return None
    if type(given[0]) is not int or given[0] < 0 or (horizon is not None and given[0] >= horizon):
        allowed = "" if horizon is None else f" 0 to {horizon - 1}"
        raise MalformedFile(f"{place}: step is {given[0]!r}, out of range{allowed}")
    return given[0]


def all_or_none(per_step: Mapping[int | None, object], section: str) -> None:
    """Raise if some entries have a step and some have none."""
    if None in per_step and len(per_step) > 1:
        raise MalformedFile(f"{section}: some entries have a step and some have none; give all of them one, or none")


def put_once(found: dict[Index, Number], index: Index, value: Number, place: str) -> None:
    """Put a number where none is yet."""
    if index in found:
        raise MalformedFile(f"{place}: this entry is given twice")
    found[index] = value


def _counts(value: object, where: str) -> list[int]:
    counts = [storage.positive(n, where) for n in storage.items(value, where)]
    if not counts:
        raise MalformedFile(f"{where}: at least one agent is needed")
    return counts


def _strings(value: object, where: str) -> list[str]:
    strings = storage.items(value, where)
    if not all(isinstance(s, str) for s in strings):
        raise MalformedFile(f"{where}: expected strings")
    return [str(s) for s in strings]


def require_size(what: str, *shape: int) -> None:
    """Raise before an array beyond the limit is allocated."""
    if math.prod(shape) > _MAX_ENTRIES:
        raise GameTooLarge(f"{what}: an array of shape {shape} exceeds the limit of {_MAX_ENTRIES} entries")
