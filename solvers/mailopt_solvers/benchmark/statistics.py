"""Numbers of a report, from results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mailopt_solvers.benchmark.judging import TOLERANCES
from mailopt_solvers.benchmark.results import Record, Results
from mailopt_solvers.program import FloatArray

SHIFT = 0.01
"""Seconds that shifted geometric means add to each time: what is much faster than this counts alike."""
_TIMED = 1e-3  # seconds from which on a time says something about scaling
_WRONG = ("infeasible", "unbounded")


@dataclass(frozen=True)
class Summary:
    """How a solver setting did on the instances of a track, at one tolerance set.

    Attributes
    ----------
    setting
        The setting.
    solved, count
        On how many instances its answer is true and in time, out of how many.
    mean
        Shifted geometric mean of the seconds; an instance that is not solved is charged the time limit.
    false_optima
        How often it claims an optimum that is not one.
    """

    setting: str
    solved: int
    count: int
    mean: float
    false_optima: int


def settings_of(records: Iterable[Record]) -> list[str]:
    """Names of the settings, in the order in which they came."""
    return list(dict.fromkeys(record.setting for record in records))


def track(results: Results, name: str) -> list[Record]:
    """Rows of a track."""
    return [record for record in results.records if record.track == name]


def is_solved(record: Record, tolerances: str, time_limit: float) -> bool:
    """Whether the answer is true at a tolerance set, and in time; what is claimed does not matter."""
    return record.is_true(tolerances) and record.seconds <= time_limit


def is_false_optimum(record: Record, tolerances: str) -> bool:
    """Whether an optimum is claimed and the answer is not true at a tolerance set."""
    return record.claims_optimal and not record.is_true(tolerances)


def charged_seconds(record: Record, tolerances: str, time_limit: float) -> float:
    """Seconds, or the time limit for what is not solved."""
    return record.seconds if is_solved(record, tolerances, time_limit) else time_limit


def shifted_geometric_mean(seconds: Sequence[float], shift: float = SHIFT) -> float:
    """exp(mean of log(t + shift)) - shift."""
    return math.exp(math.fsum(math.log(t + shift) for t in seconds) / len(seconds)) - shift


def summaries(records: Sequence[Record], tolerances: str, time_limit: float) -> list[Summary]:
    """Summarise each setting, best first: by shifted geometric mean."""
    found = []
    for setting in settings_of(records):
        own = [record for record in records if record.setting == setting]
        found.append(
            Summary(
                setting,
                sum(is_solved(record, tolerances, time_limit) for record in own),
                len(own),
                shifted_geometric_mean([charged_seconds(record, tolerances, time_limit) for record in own]),
                sum(is_false_optimum(record, tolerances) for record in own),
            )
        )
    return sorted(found, key=lambda summary: summary.mean)


def false_claims(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """Claims that are false, for each setting: of an optimum, by tolerance set; ``no optimum``, which all have."""
    return {
        setting: {
            **{name: sum(is_false_optimum(r, name) for r in records if r.setting == setting) for name in TOLERANCES},
            "no optimum": sum(r.status in _WRONG for r in records if r.setting == setting),
        }
        for setting in settings_of(records)
    }


def statuses(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """How runs ended, for each setting."""
    found: dict[str, dict[str, int]] = {setting: {} for setting in settings_of(records)}
    for record in records:
        counts = found[record.setting]
        counts[record.status] = counts.get(record.status, 0) + 1
    return found


def performance_profile(
    records: Sequence[Record], tolerances: str, time_limit: float
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Dolan-More profiles: for each setting ratios tau, and the share of instances that it solves within tau times
    the best time of any setting.

    Source: Dolan and More, *Benchmarking optimization software with performance profiles*, Mathematical Programming 91
    (2002).
    """  # noqa: D205 - one sentence
    instances = list(dict.fromkeys(record.instance for record in records))
    times: dict[str, dict[str, float]] = {setting: {} for setting in settings_of(records)}
    for record in records:
        if is_solved(record, tolerances, time_limit):
            times[record.setting][record.instance] = max(record.seconds, 1e-6)
    best = {i: min((own[i] for own in times.values() if i in own), default=math.inf) for i in instances}
    profiles = {}
    for setting, own in times.items():
        ratios = np.sort(np.array([t / best[i] for i, t in own.items()]))
        profiles[setting] = ratios, np.arange(1, ratios.size + 1) / len(instances)
    return profiles


def fastest(records: Sequence[Record], tolerances: str, time_limit: float) -> dict[str, list[tuple[str, float]]]:
    """For each family the settings that solve all of its instances, and their shifted geometric means, best first."""
    found = {}
    for family in dict.fromkeys(record.family for record in records):
        own = [record for record in records if record.family == family]
        ranked = summaries(own, tolerances, time_limit)
        found[family] = [(s.setting, s.mean) for s in ranked if s.solved == s.count]
    return found


def scaling_exponents(records: Sequence[Record], tolerances: str, time_limit: float) -> dict[str, dict[str, float]]:
    """For each family and setting the slope of log seconds against log nonzeros over what it solves.

    Only times of a millisecond or more count, of at least two sizes; NaN otherwise.
    """
    found: dict[str, dict[str, float]] = {}
    for family in dict.fromkeys(record.family for record in records):
        found[family] = {}
        for setting in settings_of(records):
            points = [
                (math.log(record.nonzeros), math.log(record.seconds))
                for record in records
                if (record.family, record.setting) == (family, setting)
                and is_solved(record, tolerances, time_limit)
                and record.seconds >= _TIMED
            ]
            sizes = {size for size, _ in points}
            x, y = np.array(points).reshape(-1, 2).T
            found[family][setting] = float(np.polyfit(x, y, 1)[0]) if len(sizes) > 1 else math.nan
    return found


@dataclass(frozen=True)
class WarmStart:
    """What starting from the last basis saves a setting, over the sequences that it solves on both tracks."""

    setting: str
    sequences: int
    cold_seconds: float
    warm_seconds: float
    cold_iterations: int | None
    warm_iterations: int | None


def warm_starts(results: Results, tolerances: str) -> list[WarmStart]:
    """Compare the warm track with the cold one."""
    good: Mapping[tuple[str, str, str], Record] = {
        record.key: record for record in results.records if is_solved(record, tolerances, results.time_limit)
    }
    found = []
    for setting in settings_of(track(results, "warm")):
        pairs = [
            (good[instance, setting, "cold"], good[instance, setting, "warm"])
            for instance, name, kind in good
            if (name, kind) == (setting, "warm") and (instance, setting, "cold") in good
        ]
        if pairs:
            cold, warm = zip(*pairs, strict=True)
            found.append(
                WarmStart(
                    setting,
                    len(pairs),
                    math.fsum(r.seconds for r in cold),
                    math.fsum(r.seconds for r in warm),
                    _iterations(cold),
                    _iterations(warm),
                )
            )
    return found


def _iterations(records: Sequence[Record]) -> int | None:
    """Sum the iterations; None if a solver does not tell."""
    counts = [record.iterations for record in records]
    return None if min(counts) < 0 else sum(counts)
