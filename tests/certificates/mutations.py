"""Random problems with their certificates, and what someone might do to them."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

from mailopt.certificates import checker
from tests.certificates import certificate_oracle as truths
from tests.certificates.certificate_oracle import Malformed, Problem

CLASSES = ("swap", "external", "coarse", "internal", "partition", "restricted", "limited", "budget", "finite")
STAGEWISE = CLASSES[:6]
ACTIONS: list[tuple[int, ...]] = [(1,), (2,), (3,), (2, 2), (2, 2), (2, 3), (1, 2), (3, 2), (2, 1, 2), (2, 2, 2)]
DISCOUNTS = [0, 0.5, "1/3", "9/10", 0.75]
MOST_DIGITS, BESIDE = 2000, 10**12  # of the unit of exact values; used in its place if it is longer


@dataclass(frozen=True)
class Files:
    """Contents of the files, as JSON holds them."""

    certificate: Any
    game: Any
    policy: Any
    expert: Any = None


Raw = tuple[bytes, bytes, bytes, bytes | None]
Witness = str  # "exact", "rounded" or "random"


# Problems


def share(rng: Random, count: int, style: str) -> list[Any]:
    """Positive numbers with sum 1, as a file may hold them."""
    if count == 1:
        return [rng.choice([1, 1.0, "1", "3/3"])]
    if style == "doubles":
        weights = [rng.random() + 0.01 for _ in range(count)]
        off = 1 + rng.choice([0, 0, 9e-10, -9e-10])
        return [w / sum(weights) * off for w in weights]
    whole = [rng.randint(1, 3) for _ in range(count)]
    if style == "eighths":
        whole = [1] * (count - 1) + [8 - (count - 1)]
        rng.shuffle(whole)
    return [written(rng, Fraction(w, sum(whole))) for w in whole]


def written(rng: Random, exact: Fraction) -> Any:
    """Write a number as one of the forms that stand for it."""
    forms: list[Any] = [str(exact), f"{exact.numerator * 2}/{exact.denominator * 2}"]
    if Fraction(float(exact)) == exact:
        forms += [float(exact)] * 2
    if exact.denominator == 1:
        forms += [int(exact)] * 2
    return rng.choice(forms)


def some(rng: Random, given: Iterable[Any]) -> list[Any]:
    """Pick a non-empty subset, in random order."""
    found = list(given)
    return rng.sample(found, rng.randint(1, min(3, len(found))))


def random_problem(rng: Random, kind: str, *, most_states: int = 3) -> Files:
    """Draw a game, a policy and perhaps an expert; in place of the certificate stand the deviations."""
    counts = rng.choice(ACTIONS)
    states = rng.randint(1, 2 if math.prod(counts) > 6 else most_states)
    style = rng.choice(["eighths", "fractions", "fractions", "doubles"]) if states < 3 else "eighths"
    horizon = rng.randint(1, 3) if rng.random() < 0.6 else None
    named = rng.random() < 0.3
    state_names, action_names = [f"s{k}" for k in range(states)], [[f"a{k}" for k in range(n)] for n in counts]
    if named and states > 1:
        state_names[:2] = ["1", "0"]
    some_legal = [
        [some(rng, range(n)) if rng.random() < 0.3 else list(range(n)) for n in counts] for _ in range(states)
    ]

    def state(s: int) -> Any:
        return state_names[s] if named and rng.random() < 0.5 else s

    def joint(parts: Sequence[int]) -> list[Any]:
        return [action_names[i][b] if named and rng.random() < 0.5 else b for i, b in enumerate(parts)]

    def stepped(entries: Callable[[], list[list[Any]]], steps: int | None) -> list[list[Any]]:
        found = entries() if steps is None else [[*entry, h] for h in range(steps) for entry in entries()]
        rng.shuffle(found)
        return found

    def transitions() -> list[list[Any]]:
        found = []
        for s, parts in product(range(states), product(*map(range, counts))):
            if all(b in some_legal[s][i] for i, b in enumerate(parts)) or rng.random() < 0.3:
                following = some(rng, range(states))
                probabilities = share(rng, len(following), style)
                found += [[state(s), joint(parts), state(t), p] for t, p in zip(following, probabilities, strict=True)]
        return found

    def rewards() -> list[list[Any]]:
        every = product(range(states), product(*map(range, counts)))
        return [
            [
                state(s),
                joint(parts),
                [written(rng, Fraction(rng.randint(-8, 8), rng.choice([1, 2, 3]))) for _ in counts],
            ]
            for s, parts in every
            if rng.random() < 0.8
        ]

    def rows() -> list[list[Any]]:
        found = []
        for s in range(states):
            legal = list(product(*some_legal[s]))
            chosen = some(rng, legal)
            found += [[state(s), joint(a), p] for a, p in zip(chosen, share(rng, len(chosen), style), strict=True)]
            rest = [a for a in legal if a not in chosen]
            if rest and rng.random() < 0.3:
                found.append([state(s), joint(rng.choice(rest)), rng.choice([0, 0.0, -0.0, "0/3"])])
        return found

    def policy() -> dict[str, Any]:
        steps = rng.choice([None, horizon or rng.randint(1, 3)])
        return {"format": "mailopt.policy", "version": 1, "rows": stepped(rows, steps)}

    varying = horizon if rng.random() < 0.4 else None
    started = some(rng, range(states))
    game: dict[str, Any] = {
        "format": "mailopt.game",
        "version": 1,
        "actions": list(counts),
        "states": states,
        **({"horizon": horizon} if horizon else {"discount": rng.choice(DISCOUNTS)}),
        **({"state_names": state_names, "action_names": action_names} if named else {}),
        "initial": [[state(s), p] for s, p in zip(started, share(rng, len(started), style), strict=True)],
        "transitions": stepped(transitions, varying),
        "rewards": stepped(rewards, varying if rng.random() < 0.7 else None),
        "legal": [[state(s), some_legal[s]] for s in range(states)],
    }
    return Files(
        random_class(rng, kind, counts, some_legal, horizon), game, policy(), policy() if rng.random() < 0.4 else None
    )


def random_class(
    rng: Random, kind: str, counts: Sequence[int], legal: list[list[list[int]]], horizon: int | None
) -> dict[str, Any]:
    """Draw deviations of a kind."""
    states = len(legal)
    if kind == "partition":
        return {"class": kind, "cells": [[rng.randrange(n) for _ in range(n)] for n in counts]}
    if kind == "restricted":
        inner = random_class(rng, rng.choice(STAGEWISE), counts, legal, horizon)
        steps = rng.choice([1, horizon or 2])

        def mask(n: int) -> Any:
            rows = [rng.random() < 0.8 for _ in range(n * n)]
            return [rows[k : k + n] for k in range(0, n * n, n)]

        def masks(n: int) -> Any:
            return (
                None
                if rng.random() < 0.2
                else [[mask(n) for _ in range(rng.choice([1, states]))] for _ in range(steps)]
            )

        return {"class": kind, "allowed": [masks(n) for n in counts], "inner": inner}
    if kind == "limited":
        inner = random_class(rng, rng.choice(STAGEWISE), counts, legal, horizon)
        return {"class": kind, "k": rng.choice([0, 1, 1, 2, 5 if horizon else 3]), "inner": inner}
    if kind == "budget":
        return {"class": kind, "kappa": rng.choice([0, 0.25, "1/3", 0.5, "3/4", 1, 2])}
    if kind == "finite":

        def rows(agent: int) -> list[list[Any]]:
            found: list[list[Any]] = []
            for s in range(states):
                for told in legal[s][agent]:
                    chosen = some(rng, legal[s][agent])
                    found += [
                        [s, told, b, p] for b, p in zip(chosen, share(rng, len(chosen), "fractions"), strict=True)
                    ]
            return found

        def phi() -> dict[str, Any]:
            agent = rng.randrange(len(counts))
            steps = rng.choice([None, horizon or rng.randint(1, 3)])
            entries = rows(agent) if steps is None else [[*row, h] for h in range(steps) for row in rows(agent)]
            rng.shuffle(entries)
            return {"agent": agent, "rows": entries}

        return {"class": kind, "deviations": [phi() for _ in range(rng.randint(1, 3))]}
    return {"class": kind}


# Certificates


class Tables:
    """Tables of a certificate, the witnesses being made of exact value functions in a unit."""

    def __init__(self, rng: Random, scale: int, witness: Witness) -> None:
        self._rng, self._scale, self._witness = rng, scale, witness
        self.written: list[Any] = []

    def add(self, values: truths.ValueTable) -> int:
        found = [self._stage(row) for row in values]
        if found not in self.written:
            self.written.append(found)
        return self.written.index(found)

    def _stage(self, row: Sequence[Fraction]) -> Any:
        if self._witness == "random":
            size = 3 * self._scale + 3
            values = [self._rng.randint(-size, size) for _ in row]
        else:
            values = [math.floor(v * self._scale) for v in row]
        return values[0] if len(set(values)) == 1 and self._rng.random() < 0.5 else values


def exact_values(problem: Problem) -> list[Any]:
    """Value functions of all witnesses, by policy and agent: obedience, and what the class needs."""
    return [
        (
            name,
            i,
            truths.obey_table(problem, sigma, i),
            truths.budget_witness(problem, sigma, i)
            if problem.deviations.kind == "budget"
            else truths.deviate_tables(problem, sigma, i),
        )
        for name, sigma in problem.policies.items()
        for i in problem.game.agents
    ]


def least_scale(values: Any) -> int:
    """Least D for which all the values are whole numbers of 1/D."""
    if isinstance(values, Fraction):
        return values.denominator
    if isinstance(values, truths.BudgetWitness):
        parts = [[part.value, part.cost] for part in values.mixture]
        return least_scale([values.price, values.charged, parts])
    return math.lcm(*map(least_scale, values)) if isinstance(values, list | tuple) else 1


def write_certificate(rng: Random, files: Files, problem: Problem, witness: Witness, *, exact: bool) -> dict[str, Any]:
    """Write the certificate of a problem; it claims nothing that could be false as yet."""
    found = exact_values(problem)
    scale = least_scale(found) if witness == "exact" else rng.choice([1, 2, 3, 10, 1000, 2**20, 10**9, 2**60])
    if len(str(scale)) > MOST_DIGITS:
        scale, witness = BESIDE, "rounded"
    tables = Tables(rng, scale, witness)
    witnesses: dict[str, list[Any]] = {name: [] for name in problem.policies}
    for name, _, obeyed, best in found:
        entry: dict[str, Any] = {"obey": tables.add(obeyed)}
        if isinstance(best, truths.BudgetWitness):
            parts = best.mixture if witness == "exact" else with_room(problem, best.mixture)
            entry |= {
                "charged": tables.add(best.charged),
                "price": math.ceil(best.price * scale),
                "mixture": [
                    {
                        "weight": written(rng, part.weight),
                        "departures": part.departures,
                        "value": tables.add(part.value),
                        "cost": tables.add(part.cost) if part.departures else None,
                    }
                    for part in parts
                ],
            }
        else:
            numbers = [tables.add(table) for table in best]
            kind = problem.deviations.kind
            entry |= {"follow": numbers} if kind == "finite" else {"deviate": numbers}
            if kind == "stagewise":
                entry["deviate"] = numbers[0]
        witnesses[name].append(entry)
    digests = digests_of(files)
    assert digests is not None
    return {
        "format": "mailopt.certificate",
        "version": 1,
        "claim": {
            name: [0, 0] for name in truths.claim_names(len(problem.game.actions), expert=files.expert is not None)
        },
        "deviations": files.certificate,
        "unit": f"1/{scale}",
        "exact": exact,
        "digests": digests,
        "tables": tables.written,
        "witnesses": witnesses,
        "shown": {"by": "hand"},
        "provenance": {},
    }


def with_room(problem: Problem, mixture: Sequence[truths.Part]) -> list[truths.Part]:
    """Mix a little obedience in, since costs that are rounded cannot be proved to be exactly the budget."""
    if not problem.deviations.kappa or not any(part.departures for part in mixture):
        return list(mixture)
    little = Fraction(1, 1000)
    rest = [replace(part, weight=part.weight * (1 - little)) for part in mixture]
    return [*rest, replace(mixture[0], weight=little, departures=[])]


def digests_of(files: Files) -> dict[str, str] | None:
    """What anyone who has the checker can find out of the files; None if they are not well-formed."""
    try:
        read = checker.read_files(*copy.deepcopy((files.game, files.policy, files.expert)))
    except checker.Malformed:
        return None
    return {"game": read.game.digest, **{name: sigma.digest for name, sigma in read.policies.items()}}


def random_files(
    rng: Random, kind: str, witness: Witness = "exact", *, exact: bool = True, most_states: int = 3
) -> tuple[Files, Problem]:
    """Draw a problem with a certificate of it; its claims are [0, 0] throughout."""
    files, problem = None, None
    while files is None or problem is None:
        files = random_problem(rng, kind, most_states=most_states)
        problem = readable(files)
    return replace(files, certificate=write_certificate(rng, files, problem, witness, exact=exact)), problem


def readable(files: Files) -> Problem | None:
    """Read the problem; None if masks leave nothing to play."""
    try:
        return truths.read_problem(files.certificate, files.game, files.policy, files.expert)
    except Malformed as error:
        if str(error) == truths.NOTHING_LEFT:
            return None
        raise


def claiming(files: Files, intervals: Any) -> Files:
    """Claim these intervals, a mapping from names to pairs of numbers."""
    claim = {name: [str(Fraction(lo)), str(Fraction(hi))] for name, (lo, hi) in intervals.items()}
    return replace(files, certificate=files.certificate | {"claim": claim})


# Writing


@dataclass(frozen=True)
class Verbatim:
    """Text in place of a value."""

    text: str


def as_bytes(files: Files) -> Raw:
    """Files as bytes, verbatim pieces put in."""

    def encoded(content: Any) -> bytes:
        texts: list[str] = []

        def default(value: Verbatim) -> str:
            texts.append(value.text)
            return f"@@{len(texts) - 1}@@"

        text = json.dumps(content, default=default)
        for k, piece in enumerate(texts):
            text = text.replace(f'"@@{k}@@"', piece)
        return text.encode()

    expert = None if files.expert is None else encoded(files.expert)
    return encoded(files.certificate), encoded(files.game), encoded(files.policy), expert


# Mutations of parsed contents; each changes a deep copy in place


Place = tuple[Any, Any]  # a list or an object, and an index or a key of it


def places(content: Any) -> list[Place]:
    """Every place below."""
    found: list[Place] = []
    keys: Iterable[Any] = ()
    if isinstance(content, dict):
        keys = content
    elif isinstance(content, list):
        keys = range(len(content))
    for key in keys:
        found.append((content, key))
        found += places(content[key])
    return found


ODD: list[Any] = [
    *(
        True,
        False,
        None,
        [],
        {},
        "",
        "x",
        -1,
        0,
        1,
        2,
        0.0,
        1.0,
        -0.0,
        0.5,
        10**30,
        "1",
        "0",
        "1/2",
        "1_0",
        "1/0",
        "１",
    ),
    *("٣", " 1", "1 ", "+1", "0x1", "1e3", "nan", "1/-2", "1/2/3", "½", "s0", "a0", "-1", [0], [[0]], {"0": 0}),
]
VERBATIM = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-0", "1E0", "01", "+1", ".5", "1.", "1_0", "１", "0x1"]
VERBATIM += ["'1'", "1" * 4301, '"' + "1" * 4001 + '"', "tru", "nul", "[" * 30, "1,", "", "[1,]", '{"a":1,}', "//"]
VERBATIM += [
    '{"a": 1, "a": 1}',
    '{"a": 1, "\\u0061": 1}',
    "[" * 5000 + "]" * 5000,
    '"\t"',
    '"\\ud800"',
    '"\\x"',
    "1e-999",
]


def number_near(rng: Random, given: Any) -> Any:
    """Another number that could stand in place of a number."""
    try:
        exact = truths.number(given)
    except Malformed:
        return rng.choice(ODD)
    if type(given) is int:
        step = rng.choice([1, -1, 2, -given, 10, rng.randint(-(10**6), 10**6), 10**40])
        return given + step
    size = rng.choice([Fraction(1, 8), Fraction(1, 3), Fraction(1, 10**9), Fraction(1, 10**30), exact, Fraction(1)])
    return str(exact + rng.choice([-1, 1]) * size)


def mutate_place(rng: Random, found: list[Place]) -> None:
    """Change something anywhere: another number, an odd value, something missing, twice or swapped."""
    node, key = rng.choice(found)
    how = rng.choice(["near", "near", "odd", "verbatim", "delete", "twice", "swap", "copy", "key", "doubled"])
    if how == "near":
        leaves = [(n, k) for n, k in found if not isinstance(n[k], dict | list | bool | None)]
        if leaves:
            node, key = rng.choice(leaves)
            node[key] = number_near(rng, node[key])
    elif how == "odd":
        node[key] = copy.deepcopy(rng.choice(ODD))
    elif how == "verbatim":
        node[key] = Verbatim(rng.choice(VERBATIM))
    elif how == "delete":
        del node[key]
    elif how == "twice" and isinstance(node, list):
        node.insert(rng.randrange(len(node) + 1), copy.deepcopy(node[key]))
    elif how == "doubled" and isinstance(node[key], dict):
        inside = [(json.dumps(k), json.dumps(v, default=str)) for k, v in node[key].items()]
        if inside:
            inside.append(rng.choice(inside))
            node[key] = Verbatim("{" + ", ".join(f"{k}: {v}" for k, v in inside) + "}")
    elif how == "key" and isinstance(node, dict):
        node[str(key) + rng.choice([" ", "x", "\u0000"])] = node.pop(key) if rng.random() < 0.5 else 0
    elif how == "swap":
        others = [k for k in (node if isinstance(node, dict) else range(len(node))) if k != key]
        if others:
            other = rng.choice(others)
            node[key], node[other] = node[other], node[key]
    else:
        other_node, other_key = rng.choice(found)
        node[key] = copy.deepcopy(other_node[other_key])


def mutate_tables(rng: Random, files: Files) -> None:
    tables = files.certificate["tables"]
    t = rng.randrange(len(tables))
    table = tables[t]
    h = rng.randrange(len(table))
    states = files.game["states"]
    unit = truths.number(files.certificate["unit"]).denominator
    if type(table[h]) is int and rng.random() < 0.5:
        table[h] = [table[h]] * states
    size = rng.choice([1, 1, 2, unit, 10 * unit, 10**25])
    how = rng.randrange(9)
    if how < 3 and isinstance(table[h], list):
        table[h][rng.randrange(states)] += rng.choice([-1, 1]) * size
    elif how < 4:
        table[h] = table[h] + size if type(table[h]) is int else [v - size for v in table[h]]
    elif how < 5:
        tables[t] = [v - size if type(v) is int else [w - size for w in v] for v in table]
    elif how < 6:
        tables[t] = rng.choice(tables)
    elif how < 7:
        tables[t] = [rng.randint(-3 * size, 3 * size) for _ in table]
    elif how < 8:
        tables[t] = [[rng.randint(-3 * size, 3 * size) for _ in range(states)] for _ in table]
    else:
        mutate_place(rng, places(tables))


def mutate_witnesses(rng: Random, files: Files) -> None:
    found = places(files.certificate["witnesses"])
    numbers = [(node, key) for node, key in found if type(node[key]) is int]
    if rng.random() < 0.6 and numbers:
        node, key = rng.choice(numbers)
        node[key] = rng.randrange(len(files.certificate["tables"]) + (rng.random() < 0.1))
    else:
        mutate_place(rng, found)


def mutate_unit(rng: Random, files: Files) -> None:
    certificate = files.certificate
    scale = truths.number(certificate["unit"]).denominator
    if rng.random() < 0.3:
        certificate["exact"] = rng.choice([not certificate["exact"], not certificate["exact"], 1, 0, None, "true"])
    if rng.random() < 0.8:
        scales = [f"1/{scale + 1}", f"1/{scale * 2}", f"2/{scale * 2}", f"2/{scale}", f"-1/{scale}", scale, 0, "0/1", 1]
        scales += [f"1/{max(scale // 2, 1)}", f"1/{max(scale - 1, 1)}", 0.5, 0.1, 2.0**-60, f"1/{10**100}", True, "1/3"]
        certificate["unit"] = rng.choice(scales)


def mutate_claim(rng: Random, files: Files) -> None:
    claim = files.certificate["claim"]
    unit = truths.number(files.certificate["unit"])
    name = rng.choice(list(claim))
    lo, hi = map(truths.number, claim[name])
    size = rng.choice([unit, unit, unit / 2, unit * 4, Fraction(1, 10**40), Fraction(1), hi - lo])
    how = rng.randrange(10)
    if how < 3:
        lo, hi = rng.choice([(lo + size, hi), (lo, hi - size), (lo + size, hi + size), (lo - size, hi - size)])
    elif how < 6:
        lo, hi = rng.choice([(lo - size, hi), (lo, hi + size), (lo - size, hi + size)])
    elif how == 6:
        lo, hi = hi, lo
    elif how == 7:
        lo = hi = rng.choice([lo, hi, Fraction(0), (lo + hi) / 2])
    elif how == 8:
        other = rng.choice(list(claim))
        claim[name], claim[other] = claim[other], claim[name]
        return
    else:
        mutate_place(rng, places({"claim": claim}))
        return
    claim[name] = [str(lo), str(hi)]


def mutate_deviations(rng: Random, files: Files) -> None:
    certificate, counts = files.certificate, files.game["actions"]
    found = places({"deviations": certificate["deviations"]})
    leaves = [(node, key) for node, key in found if type(node[key]) is bool]
    numbers = [(node, key) for node, key in found if type(node[key]) in {int, float}]
    how = rng.randrange(5)
    if how < 2 and leaves:
        node, key = rng.choice(leaves)
        node[key] = not node[key]
    elif how < 2 and numbers:
        node, key = rng.choice(numbers)
        node[key] = rng.choice([0, 1, 2, node[key] + 1, 0.5])
    elif how < 4:
        legal = [[list(range(n)) for n in counts] for _ in range(files.game["states"])]
        kinds = STAGEWISE if certificate["deviations"]["class"] in STAGEWISE else CLASSES
        certificate["deviations"] = random_class(rng, rng.choice(kinds), counts, legal, files.game.get("horizon"))
    else:
        holder = {"deviations": certificate["deviations"]}
        mutate_place(rng, places(holder))
        certificate.pop("deviations")
        certificate |= holder


def mutate_budget(rng: Random, files: Files) -> None:
    """Change price, weights, departures and tables of a mixture."""
    certificate = files.certificate
    witness = rng.choice(rng.choice(list(certificate["witnesses"].values())))
    mixture = witness["mixture"]
    part = rng.choice(mixture)
    how = rng.randrange(10)
    if how == 0:
        witness["price"] += rng.choice([-1, 1, 10**6])
    elif how == 1:
        part["weight"] = number_near(rng, part["weight"])
    elif how == 2 and len(mixture) > 1:
        shift = Fraction(rng.randint(-3, 3), rng.choice([8, 1, 10**9]))
        for sign, k in ((1, 0), (-1, 1)):
            mixture[k]["weight"] = str(truths.number(mixture[k]["weight"]) + sign * shift)
    elif how == 3:
        part["departures"] = rng.choice([[], part["departures"][1:], *[p["departures"] for p in mixture]])
    elif how == 4:
        mixture.remove(part)
    elif how == 5:
        doubled = part | {"weight": str(rng.choice([Fraction(1, 2), Fraction(-1), 1 - truths.number(part["weight"])]))}
        part["weight"] = str(truths.number(part["weight"]) - truths.number(doubled["weight"]))
        mixture.append(doubled)
    elif how == 6 and part["departures"]:
        place = rng.choice(part["departures"])
        place[rng.randrange(4)] = rng.choice([0, 1, 2, -1, True, 0.0])
    elif how == 7:
        part["cost"] = rng.choice([None, *range(len(certificate["tables"]))])
        part["departures"] = part["departures"] if part["cost"] is not None else []
    elif how == 8:
        part["value"] = rng.randrange(len(certificate["tables"]))
    else:
        mutate_place(rng, places(witness))


def _mutate_row(rng: Random, rows: list[Any], item: int, same: Sequence[int]) -> None:
    """Move probability between two entries of a distribution, or change a single one."""
    entry = rng.choice(rows)
    fellows = [
        e for e in rows if e is not entry and all(e[k] == entry[k] for k in same) and e[item + 1 :] == entry[item + 1 :]
    ]
    if fellows and rng.random() < 0.8:
        other = rng.choice(fellows)
        p, q = truths.number(entry[item]), truths.number(other[item])
        moved = rng.choice([p, p / 2, p / 3, q - p, min(p, Fraction(1, 10**12))])
        entry[item], other[item] = str(p - moved), str(q + moved)
    else:
        entry[item] = number_near(rng, entry[item])


def mutate_game(rng: Random, files: Files) -> None:
    game = files.game
    how = rng.randrange(10)
    if how < 3 and game["rewards"]:
        entry = rng.choice(game["rewards"])
        k = rng.randrange(len(entry[2]))
        entry[2][k] = number_near(rng, entry[2][k])
    elif how < 5:
        _mutate_row(rng, game["transitions"], 3, (0, 1))
    elif how < 6:
        _mutate_row(rng, game["initial"], 1, ())
    elif how < 7:
        if "discount" in game:
            game["discount"] = rng.choice([*DISCOUNTS, "99/100", 1, "4/3", -0.5, number_near(rng, game["discount"])])
        else:
            game["horizon"] = max(1, game["horizon"] + rng.choice([-1, 1]))
    elif how < 8:
        entry = rng.choice(game["transitions"])
        entry[2] = rng.randrange(game["states"])
    elif how < 9:
        _, lists = rng.choice(game["legal"])
        allowed = rng.choice(lists)
        allowed[:] = [b for b in allowed if b != allowed[-1]] if rng.random() < 0.6 else [*allowed, 0]
    else:
        mutate_place(rng, places(game))


def mutate_policy(rng: Random, files: Files) -> None:
    policy = files.policy if files.expert is None or rng.random() < 0.5 else files.expert
    rows = policy["rows"]
    if rng.random() < 0.6:
        _mutate_row(rng, rows, 2, (0,))
    elif rng.random() < 0.6:
        entry = rng.choice(rows)
        i = rng.randrange(len(entry[1]))
        entry[1][i] = rng.randrange(files.game["actions"][i])
    else:
        mutate_place(rng, places(policy))


def mutate_anywhere(rng: Random, files: Files) -> None:
    content = rng.choice([files.certificate, files.certificate, files.game, files.policy, files.expert or files.policy])
    for _ in range(rng.choice([1, 1, 2])):
        mutate_place(rng, places(content))


Mutator = Callable[[Random, Files], None]
MUTATORS: dict[str, Mutator] = {
    "tables": mutate_tables,
    "witnesses": mutate_witnesses,
    "unit": mutate_unit,
    "claim": mutate_claim,
    "deviations": mutate_deviations,
    "budget": mutate_budget,
    "game": mutate_game,
    "policy": mutate_policy,
    "anywhere": mutate_anywhere,
}
KINDS = (*MUTATORS, "text")


def mutated(rng: Random, files: Files, kind: str, *, digests: bool = True) -> Files:
    """Return a changed copy; with digests of what it then speaks of, if they can be had."""
    changed = copy.deepcopy(files)
    MUTATORS[kind](rng, changed)
    return with_digests(changed) if digests else changed


def with_digests(files: Files) -> Files:
    found = digests_of(files) if isinstance(files.certificate, dict) else None
    return files if found is None else replace(files, certificate=files.certificate | {"digests": found})


def mutated_text(rng: Random, raw: Raw) -> Raw:
    """Change bytes of one file."""
    contents = list(raw)
    k = rng.choice([0, 0, 1, 2, 3 if raw[3] is not None else 2])
    content = bytearray(contents[k] or b"")
    position = rng.randrange(len(content))
    tokens = [
        b"true",
        b"NaN",
        b"1e999",
        b"-0.0",
        b"0.0",
        b'"1_0"',
        '"１"'.encode(),
        b"9" * 4400,
        b"null",
        b"[]",
        b"1.0",
    ]
    how = rng.randrange(10)
    if how < 2:
        content[position] ^= 1 << rng.randrange(8)
    elif how < 3:
        content[position] = rng.choice(b'0123456789-+.eE"[]{},: \n\x00\xff')
    elif how < 4:
        del content[position:]
    elif how < 5:
        del content[position : position + rng.randint(1, 3)]
    elif how < 6:
        content[position:position] = rng.choice(
            [b" ", b"\n", b"0", b"1", b",", b"-", b"\xef\xbb\xbf", b"\xc0\x80", b"[", b"/"]
        )
    else:
        digits = [p for p in range(len(content)) if content[p : p + 1].isdigit()]
        start = rng.choice(digits)
        end = start
        while content[end : end + 1].isdigit():
            end += 1
        new = rng.choice(tokens) if rng.random() < 0.5 else str(rng.randrange(12)).encode()
        content[start:end] = new
    contents[k] = bytes(content)
    return contents[0] or b"", contents[1] or b"", contents[2] or b"", contents[3]
