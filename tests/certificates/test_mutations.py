"""Whatever is done to a certificate or to the files it speaks of, the checker accepts only what is true.

Each mutant is judged twice: by the checker, and by an oracle with a reader and an evaluation of its own.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.certificates import checker
from tests.certificates import certificate_oracle as truths
from tests.certificates.certificate_oracle import Malformed, Problem, TooLarge
from tests.certificates.mutations import (
    BESIDE,
    CLASSES,
    KINDS,
    MUTATORS,
    Files,
    Raw,
    as_bytes,
    claiming,
    digests_of,
    mutated,
    mutated_text,
    places,
    random_files,
)

SHARDS, BASES, MUTANTS = 4, 18, 14  # of each of the ten kinds: more than ten thousand mutants in all
# at least so many of each kind in a shard: a test of refusals needs false claims, and one of acceptance true ones
LEAST = {"accepted": 50, "refused": 8, "malformed": 5, "claims what is proved": 80, "lies": 30}
LEAST_OF = {
    "tables": {"refused": 30},
    "claim": {"refused": 50, "false": 50},
    "deviations": {"refused": 2, "truth changed": 8},
    "game": {"refused": 15, "truth changed": 30, "false": 8, "of other files": 3},
    "policy": {"refused": 15, "truth changed": 30, "false": 8, "of other files": 3},
    "anywhere": {"accepted": 15, "refused": 5, "malformed": 100, "claims what is proved": 20, "lies": 5},
    "text": {"accepted": 8, "refused": 10, "malformed": 100, "claims what is proved": 0, "lies": 0},
}
Truth = Mapping[str, Fraction]
Interval = tuple[Fraction, Fraction]
Key = tuple[str, bytes, bytes, bytes | None]


@lru_cache(maxsize=64)
def parsed(content: bytes) -> Any:
    return truths.parse_json(content)


@lru_cache(maxsize=256)
def problem_of(deviations: str, game: bytes, policy: bytes, expert: bytes | None) -> Problem:
    contents = [None if content is None else parsed(content) for content in (game, policy, expert)]
    truths.need(expert is None or contents[2] is not None, "not a policy")
    return truths.read_problem(json.loads(deviations), *contents)


@lru_cache(maxsize=256)
def truth_of(deviations: str, game: bytes, policy: bytes, expert: bytes | None) -> Truth:
    return truths.truth(problem_of(deviations, game, policy, expert))


@dataclass(frozen=True)
class Outcome:
    """What the checker says, and what the oracle reads in the files, if it can."""

    verdict: Any
    problem: Problem | None = None
    truth: Truth = field(default_factory=dict)
    claim: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def malformed(self) -> bool:
        return str(self.verdict.reason).startswith("malformed")

    @property
    def proved(self) -> dict[str, Interval]:
        return {name: (interval.lower, interval.upper) for name, interval in self.verdict.proved.items()}

    @property
    def complete(self) -> bool:
        """Whether something is proved about all that is claimed."""
        return self.problem is not None and set(self.proved) == set(self.claim)

    @property
    def false_claims(self) -> list[str]:
        return [name for name, (lo, hi) in self.claim.items() if not lo <= self.truth[name] <= hi]


def judge(raw: Raw) -> Outcome:
    """Verify, and hold the verdict against the truth."""
    verdict = checker.verify(*raw)
    assert verdict.reason
    assert verdict.reason.isascii()
    assert verdict.reason.isprintable()
    try:
        key, problem, written = read(raw)
    except TooLarge:
        return Outcome(verdict)
    except Malformed:
        # a certificate of other files is refused as such, even if its tables do not fit these
        refused = verdict.reason.startswith("malformed") or are_others(raw)
        assert (refused, verdict.valid, dict(verdict.proved)) == (True, False, {}), (verdict, raw)
        return Outcome(verdict)
    truth = truth_of(*key)
    for name, interval in verdict.proved.items():
        assert interval.lower <= truth[name] <= interval.upper, (name, raw)
    if verdict.lower is not None and verdict.upper is not None:
        assert verdict.lower <= truth["policy.regret" if raw[3] is None else "regret_gap"] <= verdict.upper, raw
    try:
        claim = truths.read_claim(written, problem)
    except Malformed:
        assert not verdict.valid, raw
        return Outcome(verdict)
    outcome = Outcome(verdict, problem, truth, claim)
    if verdict.valid:
        assert not outcome.false_claims, (outcome.false_claims, raw)
        assert outcome.complete, raw
        assert all(
            lo <= outcome.proved[name][0] and outcome.proved[name][1] <= hi for name, (lo, hi) in claim.items()
        ), raw
    return outcome


def read(raw: Raw) -> tuple[Key, Problem, Any]:
    """Read all but the claim, which is returned as it is written."""
    certificate = truths.parse_json(raw[0])
    truths.need(isinstance(certificate, dict) and "deviations" in certificate, "not a certificate")
    key = json.dumps(certificate["deviations"]), *raw[1:]
    problem = problem_of(*key)
    truths.check_witnesses(certificate, problem)
    return key, problem, certificate["claim"]


def are_others(raw: Raw) -> bool:
    """Whether all can be read, but the certificate is about other files."""
    try:
        certificate, *others = (None if content is None else truths.parse_json(content) for content in raw)
    except Malformed:
        return False
    digests = digests_of(Files(certificate, *others))
    return isinstance(certificate, dict) and digests is not None and digests != certificate.get("digests")


def drawn(rng: Random, kind: str) -> Files:
    """Draw a certificate whose witness may be good or bad, and which claims what it proves, or somewhat less."""
    while True:
        witness = rng.choice(["exact", "rounded", "rounded", "random"])
        files, _ = random_files(rng, kind, witness, exact=rng.random() < 0.5)
        outcome = judge(as_bytes(files))
        assert not outcome.malformed, outcome.verdict.reason
        if outcome.complete:
            room = rng.choice([Fraction(0), truths.number(files.certificate["unit"]), Fraction(1, 10), Fraction(20)])
            return claiming(files, {n: (lo - room, hi + room) for n, (lo, hi) in outcome.proved.items()})


def lie(rng: Random, outcome: Outcome, unit: Fraction) -> dict[str, Interval]:
    """Claim what is proved, but for one name an interval close to the truth that does not contain it."""
    name = rng.choice(list(outcome.claim))
    little = rng.choice([Fraction(1, 10**60), unit, unit / 2, Fraction(1, 100)])
    truth, (lo, hi) = outcome.truth[name], outcome.proved[name]
    false = rng.choice([(lo - 9, truth - little), (truth + little, hi + 9), (truth + little, truth - little)])
    return outcome.proved | {name: false}


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("kind", KINDS)
def test_mutants(kind: str, shard: int) -> None:
    rng, counts = Random(f"{kind} {shard}"), Counter[str]()
    for b in range(BASES):
        files = drawn(rng, "budget" if kind == "budget" else CLASSES[b % len(CLASSES)])
        base = judge(as_bytes(files))
        assert base.verdict.valid
        assert base.problem
        for _ in range(MUTANTS):
            fresh = kind != "text" and rng.random() < 0.85
            changed = None if kind == "text" else mutated(rng, files, kind, digests=fresh)
            raw = mutated_text(rng, as_bytes(files)) if changed is None else as_bytes(changed)
            outcome = judge(raw)
            counts["mutants"] += 1
            if outcome.problem is None:
                counts["malformed"] += 1
                continue
            counts["too strict"] += outcome.malformed
            counts["accepted"] += outcome.verdict.valid
            counts["refused"] += not outcome.verdict.valid
            counts["truth changed"] += outcome.truth != base.truth
            counts["false"] += bool(outcome.false_claims)
            if not fresh and not truths.same_meaning(outcome.problem, base.problem):
                assert not outcome.verdict.valid, raw
                counts["of other files"] += 1
            if changed is None or not outcome.complete:
                continue
            assert judge(as_bytes(claiming(changed, outcome.proved))).verdict.valid, raw
            counts["claims what is proved"] += 1
            if rng.random() < 0.5:
                false = claiming(changed, lie(rng, outcome, truths.number(changed.certificate["unit"])))
                assert judge(as_bytes(false)).false_claims
                counts["lies"] += 1
    print(kind, shard, dict(counts))
    least = LEAST | LEAST_OF.get(kind, {})
    assert counts["mutants"] == BASES * MUTANTS
    assert all(counts[what] >= number for what, number in least.items()), (counts, least)


# Exactness


@pytest.mark.parametrize("kind", CLASSES)
def test_good_witnesses_leave_no_doubt(kind: str) -> None:
    """Exact value functions, in fractions, prove intervals of width zero, and nothing else can then be claimed."""
    rng, tight = Random(f"good {kind}"), 0
    for _ in range(30):
        files, problem = random_files(rng, kind, "exact", exact=True)
        if files.certificate["unit"] == f"1/{BESIDE}":
            continue
        truth = truths.truth(problem)
        outcome = judge(as_bytes(claiming(files, {name: (t, t) for name, t in truth.items()})))
        assert outcome.verdict.valid, (outcome.verdict.reason, files)
        for name, t in rng.sample(list(truth.items()), 2):
            little = rng.choice([Fraction(1, 10**99), truths.number(files.certificate["unit"])])
            lo, hi = rng.choice([(t, t - little), (t + little, t), (t - 1, t - little), (t + little, t + 1)])
            refused = judge(as_bytes(claiming(files, {n: (x, x) for n, x in truth.items()} | {name: (lo, hi)})))
            assert not refused.verdict.valid
            assert not refused.malformed
        tight += 1
    assert tight >= 25


@pytest.mark.parametrize("kind", CLASSES)
def test_claims_at_the_proved_bounds(kind: str) -> None:
    """What is proved may be claimed, and nothing narrower by a unit, or by anything, at any end."""
    rng = Random(f"bounds {kind}")
    for _ in range(25):
        files = drawn(rng, kind)
        unit = truths.number(files.certificate["unit"])
        proved = judge(as_bytes(files)).proved
        assert judge(as_bytes(claiming(files, proved))).verdict.valid
        for name, (lo, hi) in proved.items():
            size = rng.choice([unit, unit, Fraction(1, 10**90)])
            for narrower in ((lo + size, hi), (lo, hi - size)):
                outcome = judge(as_bytes(claiming(files, proved | {name: narrower})))
                assert not outcome.verdict.valid
                assert outcome.proved == proved


@pytest.mark.parametrize("kind", CLASSES)
def test_arbitrary_witnesses(kind: str) -> None:
    """Any value functions prove something true, in coarse units too, where all is rounding."""
    rng, complete = Random(f"arbitrary {kind}"), 0
    for k in range(50):
        witness = rng.choice(["random", "rounded"])
        files, _ = random_files(rng, kind, witness, exact=k % 2 == 0, most_states=4)
        scale = rng.choice([1, 1, 2, 3, 7, 10**6])
        files = replace(files, certificate=files.certificate | {"unit": f"1/{scale}"})
        complete += judge(as_bytes(files)).complete
    assert complete >= (15 if kind == "budget" else 50)


def test_witnesses_that_are_not_what_they_say() -> None:
    """Tables of an agent, a policy or a purpose in place of those of another: worse, but not unsound."""
    rng, worse = Random("places"), 0
    for k in range(90):
        files, _ = random_files(rng, CLASSES[k % len(CLASSES)], "exact", exact=k % 2 == 0)
        proved = judge(as_bytes(files)).proved
        changed = copy.deepcopy(files)
        for _ in range(3):
            mutate_index(rng, changed)
        outcome = judge(as_bytes(changed))
        worse += outcome.complete and outcome.proved != proved
    assert worse >= 20


def mutate_index(rng: Random, files: Files) -> None:
    """Name another table."""
    found = [
        (node, key)
        for node, key in places(files.certificate["witnesses"])
        if type(node[key]) is int and (isinstance(node, list) or key in {"obey", "deviate", "charged", "value", "cost"})
    ]
    node, key = rng.choice([(node, key) for node, key in found if not (isinstance(node, list) and len(node) == 4)])
    node[key] = rng.randrange(len(files.certificate["tables"]))


# Certificates that the package writes


def library_class(given: dict[str, Any], counts: Sequence[int], states: int) -> Any:
    """The deviations of a file as the package has them."""
    name = given["class"]
    simple: dict[str, Any] = {"swap": mo.Swap, "external": mo.External, "coarse": mo.Coarse, "internal": mo.Internal}
    if name in simple:
        return simple[name]()
    if name == "partition":
        return mo.Partition(given["cells"])
    if name == "restricted":
        masks = [
            None if mask is None else np.array([step * (states // len(step)) for step in mask])
            for mask in given["allowed"]
        ]
        masks = [None if mask is None else mask[0] if len(mask) == 1 else mask for mask in masks]
        return mo.Restricted(masks, library_class(given["inner"], counts, states))
    if name == "limited":
        return mo.Limited(given["k"], library_class(given["inner"], counts, states))
    if name == "budget":
        return mo.Budget(float(truths.number(given["kappa"])))
    return mo.Finite([library_deviation(phi, counts, states) for phi in given["deviations"]])


def library_deviation(given: dict[str, Any], counts: Sequence[int], states: int) -> mo.Deviation:
    n = counts[given["agent"]]
    steps = 1 + max((row[4] for row in given["rows"] if len(row) == 5), default=0)
    table = np.zeros((steps, states, n, n))
    for s, told, played, p, *step in given["rows"]:
        table[step[0] if step else 0, s, told, played] = float(truths.number(p))
    for rows in table.reshape(-1, n, n):
        legal = int(rows.any(axis=0).argmax())
        rows[~rows.any(axis=1), legal] = 1.0
    stepped = len(given["rows"][0]) == 5
    return mo.Deviation(given["agent"], table if stepped else table[0])


def loaded(files: Files, folder: Path) -> tuple[mo.MarkovGame, mo.CorrelatedPolicy, mo.CorrelatedPolicy | None]:
    paths = [folder / f"{name}.json" for name in ("game", "policy", "expert")]
    for path, content in zip(paths, as_bytes(files)[1:], strict=True):
        if content is not None:
            path.write_bytes(content)
    game = mo.load_game(paths[0])
    expert = None if files.expert is None else mo.load_policy(paths[2], game)
    return game, mo.load_policy(paths[1], game), expert


def saved(
    folder: Path, game: mo.MarkovGame, policy: mo.CorrelatedPolicy, expert: mo.CorrelatedPolicy | None
) -> list[bytes | None]:
    """The files as the package writes them."""
    paths = [folder / f"saved_{name}.json" for name in ("game", "policy", "expert")]
    game.save(paths[0])
    policy.save(paths[1], game)
    if expert is not None:
        expert.save(paths[2], game)
    return [path.read_bytes() if path != paths[2] or expert is not None else None for path in paths]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", CLASSES)
def test_certificates_of_the_package(kind: str, exact: bool, tmp_path: Path) -> None:
    rng = Random(f"certify {kind} {exact}")
    for _ in range(12):
        files, _ = random_files(rng, kind, "random", exact=exact)
        game, policy, expert = loaded(files, tmp_path)
        deviations = library_class(files.certificate["deviations"], files.game["actions"], files.game["states"])
        certificate = mo.certify(game, policy, expert, deviations=deviations, exact=exact)
        certificate.save(tmp_path / "certificate.json")
        raw = ((tmp_path / "certificate.json").read_bytes(), *as_bytes(files)[1:])
        outcome = judge(raw)
        assert outcome.verdict.valid, outcome.verdict.reason
        verdict = mo.verify(mo.Certificate.load(tmp_path / "certificate.json"), game, policy, expert)
        assert verdict.valid
        assert verdict.proved == outcome.verdict.proved
        for name, (lo, hi) in outcome.claim.items():
            width = 0 if exact else Fraction(1, 10**8)
            assert hi - lo <= width, (name, float(hi - lo))
        assert checker.verify(raw[0], *saved(tmp_path, game, policy, expert)).valid
        parsed = Files(truths.parse_json(raw[0]), files.game, files.policy, files.expert)
        for _ in range(12):
            changed = mutated(rng, parsed, rng.choice([k for k in MUTATORS if k != "budget" or kind == "budget"]))
            mutant = judge(as_bytes(changed))
            if mutant.complete:
                assert judge(as_bytes(claiming(changed, mutant.proved))).verdict.valid
