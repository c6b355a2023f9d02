"""Check a certificate of regret with the standard library alone: no solver, no floating point, no trust in its maker.

    python checker.py CERTIFICATE GAME POLICY [EXPERT]

For every agent a certificate holds value functions V, in integer multiples of a unit: one of obedience, and one of the
best deviation of the class. With T_h the backup of the rule of play at stage h, monotone and T_h(V + c) = T_h V + gamma
c, this program computes low_h <= T_h V_{h+1} - V_h <= high_h over all states, and then

    rho V_0 + sum_h gamma^h low_h  <=  true value  <=  rho V_0 + sum_h gamma^h high_h,

the last stage of a discounted game, which repeats for ever, counting 1 / (1 - gamma) times. That holds for any V: a bad
one only widens the interval. Regret and gaps follow by interval arithmetic, and a claim stands if it contains what was
proved. A float in a file is the dyadic rational that it stores, a string "n/d" is itself, and a row p of probabilities
stands for p / sum(p).

The parts of this file: reading (nothing is believed), what agents may do, the mathematics, and the certificate. Exit
status: 0 the claim is proved, 1 it is not, 2 a file cannot be read.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from functools import cache
from itertools import islice, product
from operator import floordiv, mul
from typing import Any, NamedTuple

Number = int | float | Fraction


class Malformed(Exception):
    """A file is not what it has to be; the message says where."""


class Refuted(Exception):
    """The files are in order, and do not prove the claim."""


class Interval(NamedTuple):
    """Ends of an interval of rationals."""

    lower: Fraction
    upper: Fraction


class Verdict(NamedTuple):
    """Outcome of a check: whether the claim is proved, why not, and what is proved of the regret gap (or regret).

    ``proved`` has all intervals that follow from the files, named as in the claim, even if the claim asks for more;
    ``deviations`` is the class that they are about.
    """

    valid: bool
    reason: str
    lower: Fraction | None = None
    upper: Fraction | None = None
    proved: Mapping[str, Interval] = {}
    deviations: Mapping[str, Any] = {}

    @property
    def malformed(self) -> bool:
        """Whether a file could not be read, so that nothing was judged."""
        return self.reason.startswith("malformed")


# ---- Reading: strict, fails closed, within these limits ----

_RATIONAL = re.compile(r"-?[0-9]{1,4000}(/(?!0+$)[0-9]{1,4000})?", re.ASCII)
_MAX_BITS = 2**27  # of all weights of a row, or of the powers of a discount
_MAX_BYTES = 2**31  # of all values of a stage, side by side
_MAX_ENTRIES = 2**25  # of all tables of a certificate
_MAX_COUNT = 2**31  # of joint actions, of steps, of departures


class Row(NamedTuple):
    """Distribution: the weights, divided by their total, at the places."""

    places: tuple[int, ...]
    weights: tuple[int, ...]
    total: int


class Game(NamedTuple):
    """Markov game; joint actions are flattened in C order. What does not depend on the step has one entry."""

    actions: tuple[int, ...]
    states: int
    horizon: int | None
    discount: Fraction
    initial: Row
    kernels: list[list[dict[int, Row]]]  # stage, state, joint action
    rewards: dict[int, dict[tuple[int, int], list[Number]]]  # stage or -1 for all, (state, joint action), agent
    legal: list[list[tuple[int, ...]]]  # state, agent
    digest: str


class Policy(NamedTuple):
    """Correlated policy; steps past the last repeat it."""

    steps: list[list[Row]]  # stage, state
    digest: str


def parse(content: bytes) -> Any:
    """Read JSON: UTF-8, no duplicate keys, no NaN, no infinity."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len({key for key, _ in pairs}) == len(pairs), "a field is given twice")
        return dict(pairs)

    def constant(name: str) -> Any:
        raise Malformed(f"{name} is not a number")

    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, an integer of too many digits
        raise Malformed(
            f"not JSON in UTF-8, or truncated (an archive must be saved as .json): {error!s:.200}"
        ) from None


def parsed(content: Any) -> Any:
    """Parse what is not parsed yet."""
    return parse(content) if isinstance(content, bytes) else content


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Say which file is malformed."""
    try:
        yield
    except Malformed as error:
        raise Malformed(f"the {what} file: {error}") from None


def need(condition: bool, message: str) -> None:
    """Raise unless a file is as it must be."""
    if not condition:
        raise Malformed(message)


def fields(content: Any, required: str, optional: str = "") -> dict[str, Any]:
    """Return an object with all of some keys, and no others but optional ones, which become None."""
    if type(content) is not dict:
        raise Malformed(f"expected an object, got {_brief(content)}")
    for key in required.split():
        need(key in content, f"field {key!a} is missing")
    for key in content:
        need(key in (*required.split(), *optional.split()), f"unknown field {key!a:.80}")
        need(key not in optional.split() or content[key] is not None, f"field {key!a:.80} is null")
    return {**dict.fromkeys(optional.split()), **content}


def _brief(content: Any) -> str:
    """Show what was found, in few ASCII characters."""
    return f"{content!a:.80}" if isinstance(content, str | int | float | None) else f"a {type(content).__name__}"


def items(content: Any, *lengths: int) -> list[Any]:
    """Return a list, of one of the lengths if any are given."""
    if type(content) is not list or (lengths and len(content) not in lengths):
        size = f" of {' or '.join(map(str, lengths))}" if lengths else ""
        raise Malformed(f"expected a list{size}, got {_brief(content)}")
    return content


def integer(content: Any, least: int, below: int | None = None) -> int:
    """Return an integer of a range; booleans and floats are none."""
    if type(content) is not int or content < least or (below is not None and content >= below):
        raise Malformed(
            f"expected an integer from {least} to {'any' if below is None else below - 1}, got {_brief(content)}"
        )
    return content


def number(content: Any, least: int | None = None) -> Number:
    """Return a JSON number, or what a string "n" or "n/d" says, of at least a minimum."""
    found = content
    if type(content) is str and _RATIONAL.fullmatch(content):
        found = Fraction(content)
    elif not (type(content) is int or (type(content) is float and math.isfinite(content))):
        raise Malformed(f"expected a number or a string such as '1/3', got {_brief(content)}")
    if least is not None and found < least:
        raise Malformed(f"{_brief(content)} is less than {least}")
    return found  # type: ignore[no-any-return]


def distribution(found: Mapping[int, Number], where: str) -> Row:
    """Put a row over a common denominator; its sum must be within 1e-9 of one."""
    ratios = [(place, *found[place].as_integer_ratio()) for place in sorted(found) if found[place]]
    common = 1
    for _, _, denominator in ratios:
        common = math.lcm(common, denominator)
        if common.bit_length() * len(ratios) > _MAX_BITS:
            raise Malformed(f"{where}: the common denominator has too many digits")
    weights = tuple(n * (common // denominator) for _, n, denominator in ratios)
    total = sum(weights)
    need(abs(total - common) * 10**9 <= common, f"{where}: the probabilities do not sum to 1")
    return Row(tuple(place for place, _, _ in ratios), weights, total)


def canonical(*parts: Any) -> str:
    """Digest of values: numbers as reduced n/d, so that 0.5 and "1/2" are the same."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Mapping):
            for key in sorted(part):
                values = part[key] if type(part[key]) is list else [part[key]]
                if any(values):
                    ratios = (v.as_integer_ratio() for v in values)
                    digest.update(f"{key}:{','.join(f'{n:x}/{d:x}' for n, d in ratios)};".encode())
            digest.update(b".")
        else:
            digest.update(f"{part!a}|".encode())
    return digest.hexdigest()


def by_step(entries: Any, steps: int | None, length: int, *, complete: bool = False) -> dict[int, list[list[Any]]]:
    """Group entries by their optional last item, a step; all have one, or none has: then the step is -1.

    Without a number of steps, each step up to the last must have entries, so that there are no more steps than those.
    """
    found: dict[int, list[list[Any]]] = {}
    below = len(items(entries)) if steps is None else steps
    for entry in items(entries):
        items(entry, length, length + 1)
        found.setdefault(integer(entry[length], 0, below) if len(entry) > length else -1, []).append(entry)
    need(-1 not in found or len(found) == 1, "some entries have a step and some have none")
    if complete and -1 not in found:
        need(len(found) == (1 + max(found, default=0) if steps is None else steps), "a step has no entries")
    return found or {-1: []}


def numbered(names: Any, count: int) -> dict[str, int]:
    """Give names their numbers; they must be strings that differ."""
    need(all(type(name) is str for name in items(names, count)), "names must be strings")
    need(len(set(names)) == count, "a name is given twice")
    return {name: k for k, name in enumerate(names)}


class Names:
    """Turns the states and actions of a file, indices or names, into indices."""

    def __init__(self, counts: Sequence[int], states: int, state_names: Any, action_names: Any) -> None:
        self.counts, self.states = counts, states
        self.state_names = {} if state_names is None else numbered(state_names, states)
        given = [[]] * len(counts) if action_names is None else items(action_names, len(counts))
        self.action_names = [
            {} if action_names is None else numbered(names, n) for names, n in zip(given, counts, strict=True)
        ]

    def state(self, given: Any) -> int:
        """Return the index of a state."""
        return (
            self.state_names[given]
            if type(given) is str and given in self.state_names
            else integer(given, 0, self.states)
        )

    def action(self, agent: int, given: Any) -> int:
        """Return the index of an action."""
        names = self.action_names[agent]
        return names[given] if type(given) is str and given in names else integer(given, 0, self.counts[agent])

    def joint(self, given: Any) -> int:
        """Return the flat index of a joint action."""
        index = 0
        for agent, action in enumerate(items(given, len(self.counts))):
            index = index * self.counts[agent] + self.action(agent, action)
        return index


def header(content: Any, name: str, required: str, optional: str = "") -> dict[str, Any]:
    """Return the fields of a file of a format."""
    if type(content) is dict and content.get("format") != name:
        raise Malformed(f"format is {_brief(content.get('format'))}, expected {name!a}")
    given = fields(content, "format version " + required, optional)
    need(type(given["version"]) is int and given["version"] == 1, "only version 1 of the format can be read")
    return given


def read_game(content: Any) -> tuple[Game, Names]:
    """Read a game file."""
    optional = "horizon discount rewards legal state_names agent_names action_names"
    given = header(content, "mailopt.game", "actions states initial transitions", optional)
    counts = tuple(integer(n, 1) for n in items(given["actions"]))
    need(len(counts) > 0, "a game needs an agent")
    need(math.prod(counts) < _MAX_COUNT, f"a game has fewer than {_MAX_COUNT} joint actions")
    states = integer(given["states"], 1)
    names = Names(counts, states, given["state_names"], given["action_names"])
    if given["agent_names"] is not None:
        numbered(given["agent_names"], len(counts))
    need((given["horizon"] is None) != (given["discount"] is None), "give either a horizon or a discount")
    horizon = None if given["horizon"] is None else integer(given["horizon"], 1, _MAX_COUNT)
    discount = Fraction(1 if given["discount"] is None else number(given["discount"], 0))
    need(horizon is not None or discount < 1, "the discount must be less than 1")
    steps = horizon or 0  # nothing depends on the step of a discounted game
    legal = _legal([] if given["legal"] is None else given["legal"], len(items(given["transitions"])), names)
    initial: dict[int, Number] = {}
    for entry in items(given["initial"]):
        _put(initial, names.state(items(entry, 2)[0]), number(entry[1], 0))
    kernels, digests = [], []
    for _, entries in sorted(by_step(given["transitions"], steps, 4, complete=True).items()):
        kernel, digest = _kernel(entries, names, legal)
        kernels.append(kernel)
        digests.append(digest)
    rewards: dict[int, dict[tuple[int, int], list[Number]]] = {}
    for step, entries in by_step([] if given["rewards"] is None else given["rewards"], steps, 3).items():
        rewards[step] = {}
        for entry in entries:
            values = [number(value) for value in items(entry[2], len(counts))]
            _put(rewards[step], (names.state(entry[0]), names.joint(entry[1])), values)
    paid = [(step, canonical(table)) for step, table in sorted(rewards.items()) if any(map(any, table.values()))]
    if len(paid) == (1 if -1 in rewards else horizon):
        paid = [(-1, digest) for digest in _once([digest for _, digest in paid])]
    digest = canonical(counts, states, horizon, str(discount), legal, initial, *_once(digests), "rewards", paid)
    start = distribution(initial, "initial distribution")
    return Game(counts, states, horizon, discount, start, kernels, rewards, legal, digest), names


def _legal(content: Any, transitions: int, names: Names) -> list[list[tuple[int, ...]]]:
    """Legal actions of each agent in each state; before they are listed there must be transitions enough."""
    found: dict[int, list[tuple[int, ...]]] = {}
    for entry in items(content):
        state, lists = names.state(items(entry, 2)[0]), items(entry[1], len(names.counts))
        allowed = [tuple(sorted(names.action(i, action) for action in items(row))) for i, row in enumerate(lists)]
        need(all(len(set(row)) == len(row) > 0 for row in allowed), "legal actions are missing, or given twice")
        _put(found, state, allowed)
    free = names.states - len(found)
    needed = free * math.prod(names.counts) + sum(math.prod(map(len, allowed)) for allowed in found.values())
    need(transitions >= needed, f"{transitions} transitions for {needed} legal pairs of state and joint action")
    everything = [tuple(range(n)) for n in names.counts] if free else []
    return [found.get(state, everything) for state in range(names.states)]


def _kernel(
    entries: list[list[Any]], names: Names, legal: Sequence[Sequence[tuple[int, ...]]]
) -> tuple[list[dict[int, Row]], str]:
    """Rows of each state by joint action, and their digest."""
    found: list[dict[int, dict[int, Number]]] = [{} for _ in legal]
    for entry in entries:
        _put(
            found[names.state(entry[0])].setdefault(names.joint(entry[1]), {}),
            names.state(entry[2]),
            number(entry[3], 0),
        )
    kernel = []
    for state, rows in enumerate(found):
        needed = set(joint_actions(names.counts, legal[state]))
        if missing := needed - rows.keys():
            raise Malformed(f"state {state}, joint action {min(missing)}: there is no transition")
        given = {joint: row for joint, row in rows.items() if joint in needed or any(row.values())}
        kernel.append(
            {joint: distribution(row, f"state {state}, joint action {joint}") for joint, row in given.items()}
        )
    return kernel, canonical(*({(j, to): p for j, row in rows.items() for to, p in row.items()} for rows in found))


def _put(found: dict[Any, Any], place: Any, value: Any) -> None:
    """Put a value where none is yet."""
    if place in found:
        raise Malformed(f"the entry of {place} is given twice")
    found[place] = value


def read_policy(content: Any, game: Game, names: Names) -> Policy:
    """Read a policy file for a game."""
    given = header(content, "mailopt.policy", "rows")
    steps, digests = [], []
    allowed = [set(joint_actions(game.actions, legal)) for legal in game.legal]
    for step, entries in sorted(by_step(given["rows"], game.horizon, 3, complete=True).items()):
        found: list[dict[int, Number]] = [{} for _ in range(game.states)]
        for entry in entries:
            _put(found[names.state(entry[0])], names.joint(entry[1]), number(entry[2], 0))
        for state, row in enumerate(found):
            if any(p and joint not in allowed[state] for joint, p in row.items()):
                raise Malformed(f"policy, state {state}: an illegal joint action has probability")
        steps.append([distribution(row, f"policy, step {step}, state {s}") for s, row in enumerate(found)])
        digests.append(canonical(*found))
    # the steps of a policy are stages of a discounted game, even if they are all the same
    return Policy(steps, canonical(*(digests if game.horizon is None else _once(digests))))


def joint_actions(counts: Sequence[int], legal: Sequence[Sequence[int]]) -> Iterator[int]:
    """Flat indices of all legal joint actions of a state."""
    strides = [math.prod(counts[i + 1 :]) for i in range(len(counts))]
    for actions in product(*legal):
        yield sum(map(mul, actions, strides))


def _once(digests: list[str]) -> list[str]:
    """Keep one of digests that are the same at all steps."""
    return digests[:1] if len(set(digests)) == 1 else digests


# ---- What agents may do instead of obeying ----

Pair = tuple[int, int, int]  # told, played, weight
Groups = list[list[list[Pair]]]  # in each group one of its atoms is picked, a list of pairs
Options = Callable[[int, int, int], tuple[list[Groups], int]]  # stage, state, layer: alternatives, total of the weights


class Phi(NamedTuple):
    """A class of deviations: its kind, the steps on which it depends, and its parts."""

    kind: str
    steps: int
    groups: Callable[[int, int, int], Groups]  # agent, stage, state
    layers: int = 1
    kappa: Fraction = Fraction(0)
    listed: Sequence[tuple[int, Options]] = ()


def obeying(game: Game, agent: int) -> Options:
    """Obedience: told a, play a."""
    return playing(game, agent, {})


def playing(game: Game, agent: int, played: Mapping[tuple[int, int, int], int]) -> Options:
    """Play as told but at some (stage, state, told)."""

    def options(stage: int, state: int, layer: int) -> tuple[list[Groups], int]:
        return [[[[(a, played.get((stage, state, a), a), 1) for a in game.legal[state][agent]]]]], 1

    return options


def deviating(game: Game, agent: int, phi: Phi) -> Options:
    """Deviate at will within a class; where departures are limited and in layer 0 none is left, obey."""
    obey = obeying(game, agent)

    def options(stage: int, state: int, layer: int) -> tuple[list[Groups], int]:
        groups = phi.groups(agent, stage, state)
        if phi.kind != "limited":
            return [groups], 1
        return [*obey(stage, state, layer)[0], *([groups] if layer else [])], 1

    return options


def read_class(content: Any, game: Game, names: Names) -> Phi:
    """Read a class of deviations."""
    kind = _kind(content)
    if kind == "limited":
        given = fields(content, "class k inner")
        (groups, steps), k = _stagewise(given["inner"], game), integer(given["k"], 0, _MAX_COUNT)
        return Phi("limited", steps, groups, 1 + (k if game.horizon is None else min(k, game.horizon)))
    if kind == "budget":
        kappa = Fraction(number(fields(content, "class kappa")["kappa"], 0))
        return Phi("budget", 1, _stagewise({"class": "swap"}, game)[0], kappa=kappa)
    if kind == "finite":
        members = items(fields(content, "class deviations")["deviations"])
        need(len(members) > 0, "the list of deviations is empty")
        read = [_deviation(member, game, names) for member in members]
        return Phi(
            "finite",
            max(steps for steps, _, _ in read),
            _stagewise({"class": "swap"}, game)[0],
            listed=[m[1:] for m in read],
        )
    groups, steps = _stagewise(content, game)
    return Phi("stagewise", steps, groups)


def _kind(content: Any) -> str:
    need(type(content) is dict and type(content.get("class")) is str, "a class of deviations needs a field 'class'")
    return str(content["class"])


def _stagewise(content: Any, game: Game) -> tuple[Callable[[int, int, int], Groups], int]:
    """Read a class as the groups of atoms at (agent, stage, state), and the number of steps on which they depend."""
    kind = _kind(content)
    if kind == "restricted":
        given = fields(content, "class allowed inner")
        inner, steps = _stagewise(given["inner"], game)
        masks = [_mask(mask, game, agent) for agent, mask in enumerate(items(given["allowed"], len(game.actions)))]

        def restricted(agent: int, stage: int, state: int) -> Groups:
            mask, groups = masks[agent], inner(agent, stage, state)
            if mask is None:
                return groups
            here = mask[min(stage, len(mask) - 1)]
            allowed = here[state if len(here) > 1 else 0]
            left = [[atom for atom in group if all(a == b or allowed[a][b] for a, b, _ in atom)] for group in groups]
            need(all(left), f"the class leaves agent {agent} nothing to play in state {state} at step {stage}")
            return left

        return restricted, max([steps, *(len(mask) for mask in masks if mask is not None)])
    fields(content, "class", "cells" if kind == "partition" else "")
    if kind == "partition":
        rows = items(content.get("cells"), len(game.actions))
        cells = [[integer(k, 0, n) for k in items(row, n)] for row, n in zip(rows, game.actions, strict=True)]
    need(
        kind in ("swap", "external", "coarse", "internal", "partition"),
        f"unknown class {kind!a:.80} of deviations that choose freely at each stage",
    )

    @cache
    def groups(agent: int, legal: tuple[int, ...]) -> Groups:
        def cell(members: Sequence[int]) -> list[list[Pair]]:
            return [[(a, b, 1) for a in members] for b in legal]

        identity: list[Pair] = [(a, a, 1) for a in legal]
        if kind == "swap":
            return [cell([a]) for a in legal]
        if kind == "external":
            return [cell(legal)]
        if kind == "coarse":
            return [[identity, *cell(legal)]]
        if kind == "internal":
            changes: list[list[Pair]] = [[(a, b, 1), (a, a, -1)] for a in legal for b in legal if a != b]
            return [[identity], [[], *changes]]
        labels = cells[agent]
        return [cell([a for a in legal if labels[a] == label]) for label in sorted({labels[a] for a in legal})]

    return lambda agent, stage, state: groups(agent, game.legal[state][agent]), 1


def _mask(content: Any, game: Game, agent: int) -> list[list[list[list[bool]]]] | None:
    """Which b may be played when told a, [stage][state or one for all][a][b]."""
    if content is None:
        return None
    n = game.actions[agent]
    need(len(items(content)) > 0, "a mask is empty")
    for step in content:
        for table in items(step, 1, game.states):
            need(
                all(type(allowed) is bool for row in items(table, n) for allowed in items(row, n)),
                "a mask must hold booleans",
            )
    return content  # type: ignore[no-any-return]


def _deviation(content: Any, game: Game, names: Names) -> tuple[int, int, Options]:
    """Read steps, agent and options of one listed deviation, which may be random."""
    given = fields(content, "agent rows")
    agent = integer(given["agent"], 0, len(game.actions))
    steps: list[list[tuple[list[Groups], int]]] = []
    for step, listed in sorted(by_step(given["rows"], game.horizon, 4, complete=True).items()):
        found: list[dict[int, dict[int, Number]]] = [{} for _ in range(game.states)]
        for entry in listed:
            state, told, played = names.state(entry[0]), names.action(agent, entry[1]), names.action(agent, entry[2])
            row = found[state].setdefault(told, {})
            need(
                played not in row and played in game.legal[state][agent],
                "a deviation plays an illegal action, or one twice",
            )
            row[played] = number(entry[3], 0)
        steps.append([])
        for state, rows in enumerate(found):
            read = {
                a: distribution(rows.get(a, {}), f"deviation, step {step}, state {state}, told {a}")
                for a in game.legal[state][agent]
            }
            common = math.lcm(*(row.total for row in read.values()))
            need(
                common.bit_length() * len(read) <= _MAX_BITS, "a deviation has a common denominator of too many digits"
            )
            pairs = [
                (a, b, w * (common // row.total))
                for a, row in read.items()
                for b, w in zip(row.places, row.weights, strict=True)
            ]
            steps[-1].append(([[[pairs]]], common))
    return len(steps), agent, lambda stage, state, layer: steps[min(stage, len(steps) - 1)][state]


# ---- The mathematics ----

Table = list[list[int]]  # value function in units: stage, state


class Task(NamedTuple):
    """One rule of play: whose values, what may be done, and a witness for each layer, of departures that are left."""

    policy: Policy
    agent: int
    options: Options
    tables: Sequence[Table]
    toll: int | Fraction = 0  # of each departure, in units
    paid: bool = True  # whether rewards count


class Plan(NamedTuple):
    """Tasks of one agent, obedience first; of a budget the price of a departure, and (weight, whether it departs)."""

    tasks: list[Task]
    price: Fraction
    parts: list[tuple[Fraction, bool]]


def residuals(game: Game, tasks: Sequence[Task], unit: int, exact: bool) -> list[tuple[list[Any], list[Any]]]:
    """Bounds of T_h V_{h+1} - V_h, over all states and layers, at each stage of each task, in units.

    Without ``exact`` quotients are rounded down: then rewards and expectations are each less than 1 too small, what is
    weighted by a distribution less than 2, and its own quotient less than 3.
    """
    divide, slack = (Fraction, 0) if exact else (floordiv, 3)
    found: list[tuple[list[Any], list[Any]]] = [
        ([None] * len(task.tables[0]), [None] * len(task.tables[0])) for task in tasks
    ]
    rewards = {
        h: {
            place: [divide(n * unit, d) for n, d in (value.as_integer_ratio() for value in given)]
            for place, given in table.items()
        }
        for h, table in game.rewards.items()
    }
    for k, kernel in enumerate(game.kernels):
        stages = range(max(len(task.tables[0]) for task in tasks)) if len(game.kernels) == 1 else range(k, k + 1)
        columns: dict[int, int] = {}  # of the values that follow, by identity, in ``values``
        values: list[list[int]] = []
        for after in (following(game, table, h) for task in tasks for table in task.tables for h in stages):
            if after is not None and id(after) not in columns:
                columns[id(after)] = len(values)
                values.append(after)
        for s, expected in enumerate(expectations(game, kernel, values, divide)):
            for task, (lows, highs) in zip(tasks, found, strict=True):
                for h in stages[: len(task.tables[0])]:
                    paid = at_stage(rewards, h) if task.paid else {}
                    places = [columns.get(id(following(game, table, h))) for table in task.tables]
                    for layer, table in enumerate(task.tables):
                        change = backup(game, task, h, layer, s, expected, places, paid, divide) - table[h][s]
                        lows[h] = change if lows[h] is None else min(change, lows[h])
                        highs[h] = change + slack if highs[h] is None else max(change + slack, highs[h])
    return found


def at_stage(rewards: Mapping[int, Mapping[Any, Any]], stage: int) -> Mapping[Any, Any]:
    """Return what is paid at a stage: that of step -1, which stands for all, or its own."""
    return rewards.get(-1) or rewards.get(stage, {})


def following(game: Game, table: Table, stage: int) -> list[int] | None:
    """Values after a stage; None: nothing. The last stage of a discounted game follows itself."""
    last = len(table) - 1
    return table[min(stage + 1, last)] if stage < last or game.horizon is None else None


def expectations(
    game: Game, kernel: Sequence[Mapping[int, Row]], values: Sequence[Sequence[int]], divide: Callable[[int, int], Any]
) -> Iterator[dict[int, list[Any]]]:
    """Yield gamma E[V(s') | s, a] of all V, state by state: side by side in one integer, they take one product."""
    n, d = game.discount.as_integer_ratio()
    low = [min(column) for column in values]
    largest = max((max(column) - least for column, least in zip(values, low, strict=True)), default=0)
    width = (largest * max(row.total for rows in kernel for row in rows.values())).bit_length() // 8 + 1
    need(game.states * len(values) * width <= _MAX_BYTES, "the tables hold integers that are too long")
    packed = [
        int.from_bytes(
            b"".join((v - least).to_bytes(width, "little") for v, least in zip(at, low, strict=True)), "little"
        )
        for at in (zip(*values, strict=True) if values else [()] * game.states)
    ]
    ends = [(c * width, (c + 1) * width, least) for c, least in enumerate(low)]
    for rows in kernel:
        expected = {}
        for joint, row in rows.items():
            total = sum(map(mul, row.weights, map(packed.__getitem__, row.places))).to_bytes(width * len(low), "little")
            expected[joint] = [
                divide(n * (int.from_bytes(total[start:end], "little") + row.total * least), d * row.total)
                for start, end, least in ends
            ]
        yield expected


def backup(
    game: Game,
    task: Task,
    stage: int,
    layer: int,
    state: int,
    expected: Mapping[int, Sequence[Any]],
    places: Sequence[int | None],
    paid: Mapping[tuple[int, int], Sequence[Any]],
    divide: Callable[[Any, int], Any],
) -> Any:
    """T V(s): max over alternatives of the sum over groups of max over atoms of what their (told, played) are worth."""
    agent, n = task.agent, game.actions[task.agent]
    stride = math.prod(game.actions[agent + 1 :])
    row = task.policy.steps[min(stage, len(task.policy.steps) - 1)][state]
    told: dict[int, list[tuple[int, int]]] = {}
    for joint, weight in zip(row.places, row.weights, strict=True):
        told.setdefault(joint // stride % n, []).append((joint, weight))
    alternatives, common = task.options(stage, state, layer)

    def worth(a: int, b: int, times: int) -> Any:
        place = places[layer - (a != b) if len(places) > 1 else layer]
        total: Any = 0
        for joint, weight in told.get(a, ()):
            played = joint + (b - a) * stride
            reward = paid[state, played][agent] if (state, played) in paid else 0
            ahead = 0 if place is None else expected[played][place]
            total += weight * (reward + ahead - (task.toll if a != b else 0))
        return times * total

    def best(groups: Groups) -> Any:
        return sum(max(sum(worth(*pair) for pair in atom) for atom in group) for group in groups)

    return divide(max(map(best, alternatives)), common * row.total)


def enclose(game: Game, task: Task, found: tuple[Sequence[Any], Sequence[Any]], unit: int) -> Interval:
    """Enclose a value: rho V_0 + sum_h gamma^h (residual of h); the last of a discounted game repeats for ever."""
    first = task.tables[-1][0]
    start = Fraction(
        sum(w * first[s] for s, w in zip(game.initial.places, game.initial.weights, strict=True)), game.initial.total
    )
    ends = []
    for *changes, last in found:
        total = Fraction(last) / (1 - game.discount) if game.horizon is None else Fraction(last)
        for change in reversed(changes):
            total = change + game.discount * total
        ends.append((start + total) / unit)
    return Interval(*ends)


def combine(phi: Phi, plan: Plan, found: Sequence[Interval]) -> Interval | None:
    """Enclose the value of an agent's best deviation, given those of the tasks after obedience; None: it has none."""
    if not found:
        return None
    if phi.kind != "budget":
        return Interval(max(i.lower for i in found), max(i.upper for i in found))
    charged, *others = found
    rest, spent, lower = iter(others), Fraction(0), Fraction(0)
    for weight, departs in plan.parts:
        lower += weight * next(rest).lower
        spent += weight * next(rest).upper if departs else 0
    if spent > phi.kappa:
        raise Refuted("the deviations that are given may cost more than the budget")
    return Interval(lower, charged.upper + plan.price * phi.kappa)


def claims(sides: Mapping[str, Sequence[tuple[Interval, Interval | None]]]) -> dict[str, Interval]:
    """Values, regrets and gaps that follow from what obedience and the best deviation are worth to each agent."""
    proved = {}
    for side, agents in sides.items():
        for agent, (obedience, _) in enumerate(agents):
            proved[f"{side}.value.{agent}"] = obedience
        gains = [minus(best, obedience) for obedience, best in agents if best is not None]
        proved[f"{side}.regret"] = Interval(max(i.lower for i in gains), max(i.upper for i in gains))
    if "expert" in sides:
        losses = [minus(theirs, ours) for (theirs, _), (ours, _) in zip(sides["expert"], sides["policy"], strict=True)]
        proved["value_gap"] = Interval(max(i.lower for i in losses), max(i.upper for i in losses))
        proved["regret_gap"] = minus(proved["policy.regret"], proved["expert.regret"])
    return proved


def minus(one: Interval, other: Interval) -> Interval:
    """Return the interval of differences."""
    return Interval(one.lower - other.upper, one.upper - other.lower)


# ---- The certificate ----


class Files(NamedTuple):
    """What was read besides the certificate."""

    game: Game
    names: Names
    policies: Mapping[str, Policy]  # "policy" and perhaps "expert"

    def digests(self) -> dict[str, str]:
        """Return the digests of the game and its policies."""
        return {"game": self.game.digest, **{side: policy.digest for side, policy in self.policies.items()}}


def read_files(game: Any, policy: Any, expert: Any = None) -> Files:
    """Read the game and its policies."""
    with reading("game"):
        read, names = read_game(parsed(game))
    policies = {}
    for side, content in {"policy": policy, "expert": expert}.items():
        if side == "policy" or content is not None:
            with reading(side):
                policies[side] = read_policy(parsed(content), read, names)
    return Files(read, names, policies)


def read_witness(
    content: Any, files: Files, policy: Policy, agent: int, phi: Phi, tables: Sequence[Table], unit: int
) -> Plan:
    """Read what a certificate says of one agent under one policy."""
    game = files.game
    stages = game.horizon or max(len(policy.steps), phi.steps)

    def table(index: Any) -> Table:
        found = tables[integer(index, 0, len(tables))]
        need(len(found) == stages, f"a table has {len(found)} stages, expected {stages}")
        return found

    need(stages * game.discount.denominator.bit_length() <= _MAX_BITS >> 7, "the powers of the discount are too long")
    known = {"stagewise": "deviate", "limited": "deviate", "finite": "follow", "budget": "charged price mixture"}
    given = fields(content, "obey " + known[phi.kind])
    tasks, price = [Task(policy, agent, obeying(game, agent), [table(given["obey"])])], 0
    parts: list[tuple[Fraction, bool]] = []
    if phi.kind in ("stagewise", "limited"):
        layers = items(given["deviate"], phi.layers) if phi.kind == "limited" else [given["deviate"]]
        tasks.append(Task(policy, agent, deviating(game, agent, phi), [table(index) for index in layers]))
    elif phi.kind == "finite":
        options = [found for owner, found in phi.listed if owner == agent]
        indices = items(given["follow"], len(options))
        tasks += [Task(policy, agent, found, [table(k)]) for found, k in zip(options, indices, strict=True)]
    else:
        price = integer(given["price"], 0)
        tasks.append(Task(policy, agent, deviating(game, agent, phi), [table(given["charged"])], toll=price))
        need(len(items(given["mixture"])) <= 64, "a mixture of more deviations than can be needed")
        for part in given["mixture"]:
            read = fields(part, "weight departures value cost")
            played = _departures(read["departures"], files, agent, stages)
            follow, departs = playing(game, agent, played), bool(played)
            parts.append((Fraction(number(read["weight"], 0)), departs))
            tasks.append(Task(policy, agent, follow, [table(read["value"])]))
            if departs:
                tasks.append(Task(policy, agent, follow, [table(read["cost"])], toll=-unit, paid=False))
            need(departs or read["cost"] is None, "obedience costs nothing, and needs no table of costs")
        need(sum(weight for weight, _ in parts) == 1, "the weights of the deviations do not sum to 1")
    return Plan(tasks, Fraction(price, unit), parts)


def _departures(content: Any, files: Files, agent: int, stages: int) -> dict[tuple[int, int, int], int]:
    """Read where a deviation disobeys: [stage, state, told, played]."""
    played: dict[tuple[int, int, int], int] = {}
    for entry in items(content):
        stage, state = integer(items(entry, 4)[0], 0, stages), files.names.state(entry[1])
        told, action = files.names.action(agent, entry[2]), files.names.action(agent, entry[3])
        need(action in files.game.legal[state][agent], "a departure is illegal")
        _put(played, (stage, state, told), action)
    return played


class Proof(NamedTuple):
    """Witnesses of a certificate, as they were read."""

    unit: int
    exact: bool
    phi: Phi
    plans: Mapping[str, Sequence[Plan]]  # of each side, agent by agent


def read_proof(content: Any, files: Files) -> Proof:
    """Read the witnesses of a certificate."""
    game, unit = files.game, read_unit(content["unit"])
    need(type(content["exact"]) is bool, "'exact' must be true or false")
    phi, tables = read_class(content["deviations"], game, files.names), read_tables(content["tables"], game.states)
    given = fields(content["witnesses"], " ".join(files.policies))
    plans = {
        side: [
            read_witness(witness, files, policy, agent, phi, tables, unit)
            for agent, witness in enumerate(items(given[side], len(game.actions)))
        ]
        for side, policy in files.policies.items()
    }
    return Proof(unit, content["exact"], phi, plans)


def prove(proof: Proof, game: Game) -> dict[str, Interval]:
    """Prove what the witnesses prove: all claims, by name."""
    tasks = [task for side in proof.plans.values() for plan in side for task in plan.tasks]
    found = zip(tasks, residuals(game, tasks, proof.unit, proof.exact), strict=True)
    known = iter([enclose(game, task, changes, proof.unit) for task, changes in found])
    sides: dict[str, list[tuple[Interval, Interval | None]]] = {side: [] for side in proof.plans}
    for side, agents in proof.plans.items():
        for plan in agents:
            obedience, *others = islice(known, len(plan.tasks))
            sides[side].append((obedience, combine(proof.phi, plan, others)))
    return claims(sides)


def read_unit(content: Any) -> int:
    """Read the unit 1/D and return D."""
    unit = Fraction(number(content, 0))
    need(unit.numerator == 1, "the unit must be one over an integer")
    return unit.denominator


def read_tables(content: Any, states: int) -> list[Table]:
    """Read value functions: for each stage a list over states, or one integer for all of them."""
    tables, size = [], 0
    for table in items(content):
        need(len(items(table)) > 0, "a table is empty")
        size += states * len(table)  # a constant row is one integer in the file
        need(size <= _MAX_ENTRIES, f"the tables have more than {_MAX_ENTRIES} entries")
        tables.append([[row] * states if type(row) is int else items(row, states) for row in table])
        need(all(type(value) is int for row in tables[-1] for value in row), "a table must hold integers")
    return tables


def check(certificate: Any, files: Files) -> Verdict:
    """Judge the claim of a certificate that was parsed."""
    content = header(certificate, "mailopt.certificate", CONTENT)
    need(type(content["shown"]) is dict and type(content["provenance"]) is dict, "expected an object")
    need(type(content["claim"]) is dict, "the claim is no object")
    claim = {what: [Fraction(number(end)) for end in items(ends, 2)] for what, ends in content["claim"].items()}
    given = fields(content["digests"], "game policy", "expert")
    if given["expert"] is not None and "expert" not in files.policies:
        raise Refuted("the certificate compares with an expert: give its file as well")
    if given["expert"] is None and "expert" in files.policies:
        raise Refuted("the certificate compares with no expert, and one was given")
    for what, digest in files.digests().items():
        if given[what] != digest:
            raise Refuted(f"this is not the {what} that the certificate is about: their digests differ")
    proved = prove(read_proof(content, files), files.game)
    fields(claim, " ".join(proved))
    headline = proved["regret_gap" if "expert" in files.policies else "policy.regret"]
    for what, interval in proved.items():
        lower, upper = claim[what]
        if not lower <= interval.lower <= interval.upper <= upper:
            reason = f"{what}: the claim does not contain the interval that is proved"
            return Verdict(False, reason, *headline, proved, content["deviations"])
    return Verdict(True, "every claim is proved", *headline, proved, content["deviations"])


CONTENT = "claim deviations unit exact digests tables witnesses shown provenance"


def verify(certificate: Any, game: Any, policy: Any, expert: Any = None) -> Verdict:
    """Judge a certificate by the contents of its files, bytes or parsed; never raises, whatever they hold."""
    try:
        files = read_files(game, policy, expert)
        with reading("certificate"):
            return check(parsed(certificate), files)
    except Malformed as error:
        return Verdict(False, f"malformed: {error}")
    except Refuted as error:
        return Verdict(False, str(error))
    except (RecursionError, MemoryError, OverflowError, ValueError) as error:  # fail closed, whatever was overlooked
        return Verdict(False, f"malformed: beyond what can be checked ({type(error).__name__})")


def described(deviations: Any) -> str:
    """Say in one line which deviations a certificate is about."""
    if type(deviations) is not dict:
        return "?"
    kind = f"{deviations.get('class')}"
    if kind == "finite":
        return "finite (a list in the certificate)"
    details = [f"{key} = {deviations[key]}" for key in ("k", "kappa", "cells") if key in deviations]
    inner = f" of {described(deviations['inner'])}" if "inner" in deviations else ""
    return f"{kind} ({details[0]:.80}){inner}" if details else kind + inner


def written(interval: Interval) -> list[str]:
    """Write the ends of an interval: short fractions as they are, others as decimals that are rounded outwards."""
    if interval.lower == interval.upper and max(map(abs, interval.lower.as_integer_ratio())) < 10**20:
        return [str(interval.lower)] * 2
    ends = []
    for end, rounding in zip(interval, (ROUND_FLOOR, ROUND_CEILING), strict=True):
        decimal = Context(prec=17, rounding=rounding, Emax=MAX_EMAX, Emin=MIN_EMIN).divide(
            *map(Decimal, end.as_integer_ratio())
        )
        ends.append(str(end if max(map(abs, end.as_integer_ratio())) < 10**6 else decimal))
    return ends


def main(arguments: Sequence[str]) -> int:
    """Check the files that are named; print what is proved."""
    if len(arguments) not in (3, 4):
        print("usage: checker.py CERTIFICATE GAME POLICY [EXPERT], all of them JSON files", file=sys.stderr)
        print("exit status: 0 the claim is proved, 1 it is not, 2 a file cannot be read", file=sys.stderr)
        return 2
    contents = []
    for path in arguments:
        try:
            with open(path, "rb") as file:
                contents.append(file.read())
        except OSError as error:
            print(f"error: {path}: {error.strerror}", file=sys.stderr)
            return 2
    verdict = verify(*contents)
    for what, interval in verdict.proved.items():
        print(f"{what:<16} in [{', '.join(written(interval))}]")
    if verdict.proved:
        print(f"Deviations: {described(verdict.deviations)}")
    print(f"{'PROVED' if verdict.valid else 'NOT CHECKED' if verdict.malformed else 'NOT PROVED'}: {verdict.reason}")
    return 0 if verdict.valid else 2 if verdict.malformed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
