"""Independent reading of certificates and of the files they speak of, and the exact truth of what they claim.

Written from the definition of the format, on plain Python and the oracles of the evaluation; nothing from the package.
:class:`Malformed` is raised where the definition says so; where it says nothing, what
has a meaning is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import isfinite, prod
from typing import Any

from tests import oracle, oracle_classes
from tests.oracle import ExactGame, Phi, Policy, Row
from tests.oracle_classes import Maps, Stage

ENDS = Fraction(1, 10**9)
MOST_DIGITS, MOST_NESTED, MOST_PAIRS, MOST_STAGES = 4300, 400, 10**5, 10**3
NOTHING_LEFT = "nothing is left"
SIMPLE = ("swap", "external", "coarse", "internal")
FIELDS = {
    *("format", "version", "claim", "deviations", "unit", "exact", "digests", "tables", "witnesses"),
    *("shown", "provenance"),
}
GAME_FIELDS = {"format", "version", "actions", "states", "initial", "transitions", "rewards", "legal"} | {
    *("horizon", "discount", "state_names", "agent_names", "action_names"),
}
NEEDED_GAME_FIELDS = {"format", "version", "actions", "states", "initial", "transitions"}


class Malformed(Exception):
    """Raised for content that is not what the format says."""


class TooLarge(Exception):
    """Raised for a game that this oracle is not for."""


def need(condition: object, what: str) -> None:
    if not condition:
        raise Malformed(what)


# JSON

_BLANK = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))((?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)")
_WORDS = {"true": True, "false": False, "null": None}


def parse_json(content: bytes) -> Any:
    """Read JSON by its grammar, in UTF-8 and with no key twice."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    value, position = _value(text, _blank(text, 0), 0)
    need(position == len(text), "something follows")
    return value


def _blank(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    assert found
    return found.end()


def _string(text: str, position: int) -> tuple[str, int]:
    found = _STRING.match(text, position)
    if not found:
        raise Malformed("no string")
    token = found.group()
    return json.loads(token) if "\\" in token else token[1:-1], _blank(text, found.end())


def _value(text: str, position: int, depth: int) -> tuple[Any, int]:
    """Read the value at a position, and what blanks follow."""
    need(depth < MOST_NESTED, "nested too deeply")
    first = text[position : position + 1]
    if first == "[":
        return _array(text, position + 1, depth)
    if first == "{":
        return _object(text, position + 1, depth)
    if first == '"':
        return _string(text, position)
    for word, meaning in _WORDS.items():
        if text.startswith(word, position):
            return meaning, _blank(text, position + len(word))
    found = _NUMBER.match(text, position)
    if not found:
        raise Malformed("no value")
    whole, rest = found.groups()
    if rest:
        return float(whole + rest), _blank(text, found.end())
    need(len(whole.lstrip("-")) <= MOST_DIGITS, "an integer too long")
    return int(whole), _blank(text, found.end())


def _array(text: str, position: int, depth: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    position = _blank(text, position)
    if text.startswith("]", position):
        return items, _blank(text, position + 1)
    while True:
        value, position = _value(text, position, depth + 1)
        items.append(value)
        if text.startswith("]", position):
            return items, _blank(text, position + 1)
        need(text.startswith(",", position), "no comma")
        position = _blank(text, position + 1)


def _object(text: str, position: int, depth: int) -> tuple[dict[str, Any], int]:
    fields: dict[str, Any] = {}
    position = _blank(text, position)
    if text.startswith("}", position):
        return fields, _blank(text, position + 1)
    while True:
        key, position = _string(text, position)
        need(text.startswith(":", position), "no colon")
        value, position = _value(text, _blank(text, position + 1), depth + 1)
        need(key not in fields, "a key twice")
        fields[key] = value
        if text.startswith("}", position):
            return fields, _blank(text, position + 1)
        need(text.startswith(",", position), "no comma")
        position = _blank(text, position + 1)


# Pieces

_RATIONAL = re.compile(r"-?[0-9]{1,4000}(/[0-9]{1,4000})?", re.ASCII)


def number(given: Any) -> Fraction:
    if isinstance(given, str):
        need(_RATIONAL.fullmatch(given), "not a number")
        top, _, bottom = given.partition("/")
        need(not bottom or int(bottom), "denominator 0")
        return Fraction(int(top), int(bottom or 1))
    need(type(given) is int or (type(given) is float and isfinite(given)), "not a number")
    return Fraction(given)


def natural(given: Any, below: int | None = None, least: int = 0) -> int:
    need(type(given) is int and given >= least and (below is None or given < below), "not an index")
    return int(given)


def items(given: Any, *lengths: int) -> list[Any]:
    need(isinstance(given, list) and (not lengths or len(given) in lengths), "not such a list")
    return list(given)


def fields(given: Any, names: Iterable[str]) -> dict[str, Any]:
    need(isinstance(given, dict) and set(given) == set(names), "not such fields")
    return dict(given)


def header(given: Any, name: str) -> None:
    need(isinstance(given, dict), "not an object")
    need(isinstance(given.get("format"), str) and given["format"] == name, "format")
    need(type(given.get("version")) is int and given["version"] == 1, "version")


def distribution(row: Row) -> Row:
    need(all(p >= 0 for p in row) and abs(sum(row, Fraction(0)) - 1) <= ENDS, "not a distribution")
    return oracle.normalised(row)


@dataclass(frozen=True)
class Names:
    """What states and actions are called beside their numbers."""

    states: tuple[str, ...]
    actions: tuple[tuple[str, ...], ...]
    num_states: int
    counts: tuple[int, ...]

    def state(self, given: Any) -> int:
        return self.states.index(given) if given in self.states else natural(given, self.num_states)

    def joint(self, given: Any) -> int:
        flat = 0
        for i, action in enumerate(items(given, len(self.counts))):
            flat = flat * self.counts[i] + self.action(i, action)
        return flat

    def action(self, agent: int, given: Any) -> int:
        names = self.actions[agent]
        return names.index(given) if given in names else natural(given, self.counts[agent])


def strings(given: Any, length: int) -> tuple[str, ...]:
    found = items(given, length)
    need(all(isinstance(name, str) for name in found) and len(set(found)) == length, "not such names")
    return tuple(found)


Key = tuple[int, ...]


def by_step(entries: list[Any], lengths: tuple[int, int], horizon: int | None) -> dict[int | None, list[list[Any]]]:
    """Entries by their step, the last item if there is one; all have one or none."""
    found: dict[int | None, list[list[Any]]] = {}
    for given in entries:
        entry = items(given, *lengths)
        step = natural(entry.pop(), horizon) if len(entry) == lengths[1] else None
        found.setdefault(step, []).append(entry)
    need(None not in found or len(found) == 1, "steps for some")
    return found


# Games and policies


@dataclass(frozen=True)
class Setting:
    """A game and what things are called in it."""

    game: ExactGame
    names: Names

    def legal(self, state: int, joint: int) -> bool:
        parts = self.game.joint_actions[joint]
        return all(b in self.game.legal[i][state] for i, b in enumerate(parts))


def read_game(given: Any) -> Setting:
    header(given, "mailopt.game")
    need(NEEDED_GAME_FIELDS <= set(given) <= GAME_FIELDS, "fields of a game")
    counts = tuple(natural(n, least=1) for n in items(given["actions"]))
    need(counts, "no agents")
    n_states, n_joint = natural(given["states"], least=1), prod(counts)
    need(("horizon" in given) != ("discount" in given), "horizon or discount")
    horizon = natural(given["horizon"], least=1) if "horizon" in given else None
    discount = number(given["discount"]) if "discount" in given else Fraction(1)
    need(horizon is not None or 0 <= discount < 1, "discount")
    need((horizon or 1) <= MOST_STAGES, "more stages than there are tables for")
    if n_states * n_joint > MOST_PAIRS:
        raise TooLarge
    state_names = strings(given["state_names"], n_states) if "state_names" in given else ()
    if "agent_names" in given:
        need(all(isinstance(name, str) for name in items(given["agent_names"], len(counts))), "agent names")
    action_names: tuple[tuple[str, ...], ...] = ((),) * len(counts)
    if "action_names" in given:
        lists = items(given["action_names"], len(counts))
        action_names = tuple(strings(names, n) for names, n in zip(lists, counts, strict=True))
    names = Names(state_names, action_names, n_states, counts)
    legal = [[list(range(n)) for _ in range(n_states)] for n in counts]
    seen = set()
    for entry in items(given.get("legal", [])):
        state = names.state(items(entry, 2)[0])
        need(state not in seen, "legal twice")
        seen.add(state)
        for i, allowed in enumerate(items(entry[1], len(counts))):
            found = [names.action(i, b) for b in items(allowed)]
            need(found and len(set(found)) == len(found), "legal actions")
            legal[i][state] = sorted(found)
    start = [Fraction(0)] * n_states
    seen = set()
    for entry in items(given["initial"]):
        state = names.state(items(entry, 2)[0])
        need(state not in seen, "initial twice")
        seen.add(state)
        start[state] = number(entry[1])
    blank = ExactGame(counts, [], [], distribution(start), legal, horizon, discount)
    setting = Setting(blank, names)
    game = ExactGame(
        counts,
        _kernels(setting, items(given["transitions"]), n_joint),
        _rewards(setting, items(given.get("rewards", [])), n_joint),
        blank.initial,
        legal,
        horizon,
        discount,
    )
    return Setting(game, names)


def _steps(found: Iterable[int | None], horizon: int | None) -> list[int | None]:
    """All the steps that there are: none given, or 0, 1, .. without a hole, to the horizon if there is one."""
    given = set(found)
    if not given or None in given:
        return [None]
    last = horizon if horizon is not None else 1 + max(h for h in given if h is not None)
    need(len(given) == last, "a step without entries")
    return list(range(last))


def _kernels(setting: Setting, rows: list[Any], n_joint: int) -> list[list[list[Row]]]:
    game, names = setting.game, setting.names
    per_step = by_step(rows, (4, 5), game.horizon)
    need(game.horizon is not None or set(per_step) <= {None}, "steps in a discounted game")
    kernels = []
    for h in _steps(per_step, game.horizon):
        found: dict[Key, Fraction] = {}
        for s, joint, t, p in per_step.get(h, []):
            key = names.state(s), names.joint(joint), names.state(t)
            need(key not in found, "a transition twice")
            found[key] = number(p)
        kernel = [
            [[found.get((s, a, t), Fraction(0)) for t in game.states] for a in range(n_joint)] for s in game.states
        ]
        for s, of_state in enumerate(kernel):
            for a, row in enumerate(of_state):
                if any(row) or setting.legal(s, a):
                    of_state[a] = distribution(row)
        kernels.append(kernel)
    return kernels


def _rewards(setting: Setting, rows: list[Any], n_joint: int) -> list[list[list[Row]]]:
    game, names = setting.game, setting.names
    per_step = by_step(rows, (3, 4), game.horizon)
    need(game.horizon is not None or set(per_step) <= {None}, "steps in a discounted game")
    varying = bool(per_step) and None not in per_step
    result = []
    for h in range(game.horizon) if varying and game.horizon is not None else [None]:
        table = [[[Fraction(0)] * n_joint for _ in game.states] for _ in game.agents]
        seen = set()
        for s, joint, values in per_step.get(h, []):
            state, flat = names.state(s), names.joint(joint)
            need((state, flat) not in seen, "a reward twice")
            seen.add((state, flat))
            for i, r in enumerate(items(values, len(game.actions))):
                table[i][state][flat] = number(r)
        result.append(table)
    return result


def read_policy(given: Any, setting: Setting) -> Policy:
    game, names = setting.game, setting.names
    header(given, "mailopt.policy")
    fields(given, ("format", "version", "rows"))
    per_step = by_step(items(given["rows"]), (3, 4), game.horizon)
    policy = []
    for h in _steps(per_step, game.horizon):
        table = [[Fraction(0)] * len(game.joint_actions) for _ in game.states]
        seen = set()
        for s, joint, p in per_step.get(h, []):
            state, flat = names.state(s), names.joint(joint)
            need((state, flat) not in seen, "a row twice")
            seen.add((state, flat))
            table[state][flat] = number(p)
            need(not table[state][flat] or setting.legal(state, flat), "an illegal action")
        policy.append([distribution(row) for row in table])
    return policy


# Classes of deviations


@dataclass(frozen=True)
class Deviations:
    """What the agents may do, and after how many steps nothing about it changes."""

    kind: str
    steps: int
    maps: Maps | None = None
    k: int = 0
    kappa: Fraction = Fraction(0)
    listed: Mapping[int, list[Phi]] | None = None


def read_deviations(given: Any, setting: Setting) -> Deviations:
    need(isinstance(given, dict) and isinstance(given.get("class"), str), "deviations")
    if given["class"] == "limited":
        fields(given, ("class", "k", "inner"))
        maps, steps = read_stagewise(given["inner"], setting)
        return Deviations("limited", steps, maps, natural(given["k"]))
    if given["class"] == "budget":
        kappa = number(fields(given, ("class", "kappa"))["kappa"])
        need(kappa >= 0, "kappa")
        return Deviations("budget", 1, kappa=kappa)
    if given["class"] == "finite":
        listed: dict[int, list[Phi]] = {}
        for phi in items(fields(given, ("class", "deviations"))["deviations"]):
            agent = natural(fields(phi, ("agent", "rows"))["agent"], len(setting.game.actions))
            listed.setdefault(agent, []).append(read_phi(items(phi["rows"]), setting.game, agent))
        need(listed, "no deviations")
        return Deviations("finite", max(len(phi) for found in listed.values() for phi in found), listed=listed)
    maps, steps = read_stagewise(given, setting)
    return Deviations("stagewise", steps, maps)


def read_phi(rows: list[Any], game: ExactGame, agent: int) -> Phi:
    per_step = by_step(rows, (4, 5), game.horizon)
    n, phi = game.actions[agent], []
    for h in _steps(per_step, game.horizon):
        table: list[list[dict[int, Fraction]]] = [[{} for _ in range(n)] for _ in game.states]
        for s, a, b, p in per_step.get(h, []):
            state, told, played = natural(s, len(game.initial)), natural(a, n), natural(b, n)
            need(played not in table[state][told], "a row twice")
            table[state][told][played] = number(p)
            need(not table[state][told][played] or played in game.legal[agent][state], "an illegal action")
        for s in game.states:
            for a in game.legal[agent][s]:
                plays = table[s][a]
                shares = distribution(list(plays.values()))
                table[s][a] = {b: p for b, p in zip(plays, shares, strict=True) if p}
        phi.append(table)
    return phi


def read_stagewise(given: Any, setting: Setting) -> tuple[Maps, int]:
    """Stages that a class permits, and the steps of its masks."""
    game = setting.game
    masks: list[list[Any]] = []
    while isinstance(given, dict) and given.get("class") == "restricted":
        allowed = items(fields(given, ("class", "allowed", "inner"))["allowed"], len(game.actions))
        for i, mask in enumerate(allowed):
            need(mask is None or items(mask), "no steps")
            for rows in (matrix for step in mask or [] for matrix in items(step, 1, len(game.initial))):
                for row in items(rows, game.actions[i]):
                    need(all(type(ok) is bool for ok in items(row, game.actions[i])), "not booleans")
        masks.append(allowed)
        given = given["inner"]
    need(isinstance(given, dict) and isinstance(given.get("class"), str), "class")
    kind, cells = given["class"], None
    if kind == "partition":
        cells = items(fields(given, ("class", "cells"))["cells"], len(game.actions))
        for labels, n in zip(cells, game.actions, strict=True):
            for label in items(labels, n):
                natural(label)
    else:
        need(kind in SIMPLE and len(given) == 1, "class")

    def allowed_at(agent: int, step: int, state: int) -> list[list[bool]]:
        n = game.actions[agent]
        table = [[True] * n for _ in range(n)]
        for layer in masks:
            if layer[agent] is not None:
                here = oracle.at(layer[agent], step)
                rows = here[state if len(here) > 1 else 0]
                table = [[x and y for x, y in zip(p, q, strict=True)] for p, q in zip(table, rows, strict=True)]
        return table

    known: dict[Key, list[Stage]] = {}

    def maps(_: ExactGame, agent: int, step: int, state: int) -> list[Stage]:
        key = agent, min(step, steps - 1), state
        if key not in known:
            labels = cells[agent] if cells else None
            known[key] = oracle_classes.one_stage_maps(
                game,
                agent,
                state,
                kind,
                cells=labels,
                allowed=allowed_at(*key),
            )
        return known[key]

    steps = max((len(mask) for layer in masks for mask in layer if mask is not None), default=1)
    for agent, state, step in product(game.agents, game.states, range(min(steps, game.horizon or steps))):
        need(maps(game, agent, step, state), NOTHING_LEFT)
    return maps, steps


# Certificates


@dataclass(frozen=True)
class Contents:
    """A well-formed certificate with its game and policies; policies are as long as their tables."""

    game: ExactGame
    policies: Mapping[str, Policy]
    deviations: Deviations
    claim: Mapping[str, tuple[Fraction, Fraction]]


def claim_names(agents: int, *, expert: bool) -> list[str]:
    who = ("policy", "expert") if expert else ("policy",)
    names = [f"{name}.value.{i}" for name in who for i in range(agents)] + [f"{name}.regret" for name in who]
    return [*names, "value_gap", "regret_gap"] if expert else names


def stages_of(game: ExactGame, policy: Policy, deviations: Deviations) -> int:
    return game.horizon or max(len(policy), deviations.steps)


def longer(policy: Policy, length: int) -> Policy:
    return [*policy, *[policy[-1]] * (length - len(policy))]


@dataclass(frozen=True)
class Problem:
    """A game, its policies and a class of deviations."""

    game: ExactGame
    policies: Mapping[str, Policy]
    deviations: Deviations


def read_problem(deviations: Any, game: Any, policy: Any, expert: Any = None) -> Problem:
    """Read what a truth depends on, all already parsed."""
    setting = read_game(game)
    policies = {"policy": read_policy(policy, setting)}
    if expert is not None:
        policies["expert"] = read_policy(expert, setting)
    allowed = read_deviations(deviations, setting)
    stages = {name: stages_of(setting.game, sigma, allowed) for name, sigma in policies.items()}
    return Problem(setting.game, {name: longer(sigma, stages[name]) for name, sigma in policies.items()}, allowed)


def same_meaning(one: Problem, other: Problem) -> bool:
    """Whether two problems have the same game and the same policies, however long their lists over steps are."""
    a, b = one.game, other.game
    if replace(a, transitions=[], rewards=[]) != replace(b, transitions=[], rewards=[]):
        return False
    if set(one.policies) != set(other.policies):
        return False
    pairs: list[tuple[list[Any], list[Any]]] = [(a.transitions, b.transitions), (a.rewards, b.rewards)]
    pairs += [(one.policies[name], other.policies[name]) for name in one.policies]
    return all(oracle.at(x, h) == oracle.at(y, h) for x, y in pairs for h in range(max(len(x), len(y))))


def read_claim(given: Any, problem: Problem) -> dict[str, tuple[Fraction, Fraction]]:
    names = claim_names(len(problem.game.actions), expert="expert" in problem.policies)
    return {
        name: (number(items(interval, 2)[0]), number(interval[1])) for name, interval in fields(given, names).items()
    }


def check_witnesses(certificate: Mapping[str, Any], problem: Problem) -> None:
    """Require that the tables that witnesses name exist and have the right sizes."""
    fields(certificate, FIELDS)
    header(certificate, "mailopt.certificate")
    unit = number(certificate["unit"])
    need(unit > 0 and unit.numerator == 1, "unit")
    need(type(certificate["exact"]) is bool, "exact")
    need(isinstance(certificate["shown"], dict) and isinstance(certificate["provenance"], dict), "objects")
    digests = fields(certificate["digests"], ("game", *problem.policies))
    need(all(isinstance(digest, str) for digest in digests.values()), "digests")
    tables = items(certificate["tables"])
    game, deviations = problem.game, problem.deviations
    for name, witnesses in fields(certificate["witnesses"], problem.policies).items():
        stages = len(problem.policies[name])

        def table(k: Any, stages: int = stages) -> None:
            for stage in items(tables[natural(k, len(tables))], stages):
                if type(stage) is not int:
                    need(all(type(v) is int for v in items(stage, len(game.initial))), "a table")

        for agent, witness in enumerate(items(witnesses, len(game.actions))):
            _check_witness(witness, agent, deviations, game, stages, table)


def _check_witness(given: Any, agent: int, deviations: Deviations, game: ExactGame, stages: int, table: Any) -> None:
    if deviations.kind == "budget":
        fields(given, ("obey", "charged", "price", "mixture"))
        table(given["charged"])
        natural(given["price"])
        for part in items(given["mixture"]):
            fields(part, ("weight", "departures", "value", "cost"))
            need(number(part["weight"]) >= 0, "a negative weight")
            table(part["value"])
            n, seen = game.actions[agent], set()
            for place in items(part["departures"]):
                limits = stages, len(game.initial), n, n
                h, s, a, b = (natural(k, below) for k, below in zip(items(place, 4), limits, strict=True))
                need(b in game.legal[agent][s], "an illegal action")
                need((h, s, a) not in seen, "a departure twice")
                seen.add((h, s, a))
            if part["departures"]:
                table(part["cost"])
            else:
                need(part["cost"] is None, "obedience costs nothing")
        need(sum((number(part["weight"]) for part in given["mixture"]), Fraction(0)) == 1, "weights")
    elif deviations.kind == "limited":
        layers = 1 + (deviations.k if game.horizon is None else min(deviations.k, game.horizon))
        for k in items(fields(given, ("obey", "deviate"))["deviate"], layers):
            table(k)
    elif deviations.kind == "finite":
        assert deviations.listed is not None
        for k in items(fields(given, ("obey", "follow"))["follow"], len(deviations.listed.get(agent, []))):
            table(k)
    else:
        table(fields(given, ("obey", "deviate"))["deviate"])
    table(given["obey"])


def read(certificate: bytes, game: bytes, policy: bytes, expert: bytes | None = None) -> Contents:
    """Read all files."""
    parsed = parse_json(certificate)
    need(isinstance(parsed, dict) and "deviations" in parsed and "claim" in parsed, "not a certificate")
    others = [None if content is None else parse_json(content) for content in (game, policy, expert)]
    need(expert is None or others[2] is not None, "not a policy")
    problem = read_problem(parsed["deviations"], *others)
    claim = read_claim(parsed["claim"], problem)
    check_witnesses(parsed, problem)
    return Contents(problem.game, problem.policies, problem.deviations, claim)


# Truth


def best_value(problem: Problem, sigma: Policy, agent: int) -> Fraction | None:
    """Value of the best deviation of the class; None if the agent has none."""
    game, deviations = problem.game, problem.deviations
    if deviations.kind == "budget":
        vertices = oracle_classes.budget_vertices_by_recursion(game, sigma, agent)
        return oracle_classes.budget_value(vertices, deviations.kappa)
    if deviations.kind == "finite":
        assert deviations.listed is not None
        listed = deviations.listed.get(agent, [])
        return oracle_classes.finite_value(game, sigma, agent, listed) if listed else None
    assert deviations.maps is not None
    if deviations.kind == "limited":
        return oracle_classes.limited_value(game, sigma, agent, deviations.k, deviations.maps)
    return oracle_classes.class_value(game, sigma, agent, deviations.maps)


def truth(problem: Problem) -> dict[str, Fraction]:
    """Exact numbers by the names of claims."""
    found: dict[str, Fraction] = {}
    agents = problem.game.agents
    for name, sigma in problem.policies.items():
        obeyed = [oracle.value(problem.game, sigma, i) for i in agents]
        found |= {f"{name}.value.{i}": obeyed[i] for i in agents}
        best = [best_value(problem, sigma, i) for i in agents]
        found[f"{name}.regret"] = max(b - obeyed[i] for i, b in enumerate(best) if b is not None)
    if "expert" in problem.policies:
        found["value_gap"] = max(found[f"expert.value.{i}"] - found[f"policy.value.{i}"] for i in agents)
        found["regret_gap"] = found["policy.regret"] - found["expert.regret"]
    return found


# Value functions that make good witnesses

ValueTable = Sequence[Row]


def obey_table(problem: Problem, sigma: Policy, agent: int) -> ValueTable:
    return oracle.state_values(problem.game, sigma, agent)[: len(sigma)]


def deviate_tables(problem: Problem, sigma: Policy, agent: int) -> list[ValueTable]:
    """V of the best deviation, for each layer if departures are limited, for each deviation of a list."""
    game, deviations = problem.game, problem.deviations
    if deviations.kind == "finite":
        assert deviations.listed is not None
        followed = [oracle.deviate(game, sigma, agent, phi) for phi in deviations.listed.get(agent, [])]
        return [obey_table(problem, followed_, agent) for followed_ in followed]
    assert deviations.maps is not None
    if deviations.kind == "stagewise":
        return [oracle_classes.layer(game, sigma, agent, deviations.maps)[0][: len(sigma)]]
    values, _ = oracle_classes.layer(game, sigma, agent, oracle_classes.obedient)
    found = [values]
    free = oracle_classes.or_obey(deviations.maps)
    for _ in range(deviations.k if game.horizon is None else min(deviations.k, game.horizon)):
        found.append(oracle_classes.layer(game, sigma, agent, free, below=found[-1])[0])
    return [table[: len(sigma)] for table in found]


@dataclass(frozen=True)
class Part:
    """A deviation of a mixture: where it departs, its values and expected departures from each (step, state)."""

    weight: Fraction
    departures: list[list[int]]
    value: ValueTable
    cost: ValueTable


@dataclass(frozen=True)
class BudgetWitness:
    """A price of departures, the values at that price, and a best mixture within the budget."""

    price: Fraction
    charged: ValueTable
    mixture: list[Part]


def budget_witness(problem: Problem, sigma: Policy, agent: int) -> BudgetWitness:
    """Search the price at which the best deviation goes from within the budget to beyond it."""
    game, kappa = problem.game, problem.deviations.kappa
    swap, steps = oracle_classes.stages("swap"), len(sigma)

    def evaluated(chosen: Sequence[Sequence[Stage]]) -> Part:
        phi = oracle_classes.as_phi(game, agent, chosen)
        followed = longer(oracle.deviate(game, sigma, agent, phi), steps)
        places = [
            [h, s, a, b]
            for h, row in enumerate(chosen)
            for s, stage in enumerate(row)
            for a, b in stage.items()
            if a != b
        ]
        departing = [
            [
                sum(
                    (
                        w
                        for w, joint in zip(sigma[h][s], game.joint_actions, strict=True)
                        if chosen[h][s].get(joint[agent], joint[agent]) != joint[agent]
                    ),
                    Fraction(0),
                )
                for s in game.states
            ]
            for h in range(steps)
        ]
        counting = oracle_classes.with_state_rewards(game, departing)
        values, costs = (oracle.state_values(paid, followed, agent) for paid in (game, counting))
        return Part(Fraction(1), places, values, costs)

    def at_price(price: Fraction) -> tuple[ValueTable, Part]:
        values, chosen = oracle_classes.layer(game, sigma, agent, swap, charge=price)
        return values[:steps], evaluated(chosen)

    def point(part: Part) -> tuple[Fraction, Fraction]:
        return oracle.dot(game.initial, part.cost[0]), oracle.dot(game.initial, part.value[0])

    low = evaluated([[oracle_classes.obedience(game, agent, s) for s in game.states]] * steps)
    charged, high = at_price(Fraction(0))
    if point(high)[0] <= kappa or point(high)[1] == point(low)[1]:
        return BudgetWitness(Fraction(0), charged, [high if point(high)[0] <= kappa else low])
    while True:
        left, right = point(low), point(high)
        price = (right[1] - left[1]) / (right[0] - left[0])
        charged, middle = at_price(price)
        cost, gain = point(middle)
        if gain - price * cost == left[1] - price * left[0]:
            break
        low, high = (middle, high) if cost <= kappa else (low, middle)
    share = (kappa - left[0]) / (right[0] - left[0])
    parts = [(1 - share, low), (share, high)]
    mixture = [Part(weight, part.departures, part.value, part.cost) for weight, part in parts if weight]
    return BudgetWitness(price, charged, mixture)
