"""Certificates of random games against exact rationals: nothing false is claimed, and nothing more than is proved."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest

import mailopt as mo
from mailopt.certificates import checker
from mailopt.certificates.certify import Certifier
from tests import exact_classes, oracle
from tests.exact_classes import Paired
from tests.exact_games import Case
from tests.hostile_games import Hazard, hostile_case, scale

HAZARDS: tuple[Hazard, ...] = ("plain", "rows", "offset", "huge", "subnormal")


def classes(seed: int, case: Case, count: int) -> list[Paired]:
    rng = Random(seed)
    budget = exact_classes.budget(rng.choice((0.0, 0.125, 0.5, 1.0, 3.0, 3 * rng.random())))
    return [*rng.sample(exact_classes.every_class(seed, case.exact_game), count), budget]


def truth(case: Case, policies: dict[str, oracle.Policy], paired: Paired) -> dict[str, Fraction]:
    game, found = case.exact_game, dict[str, Fraction]()
    values = {side: [oracle.value(game, sigma, i) for i in game.agents] for side, sigma in policies.items()}
    for side, sigma in policies.items():
        found |= {f"{side}.value.{i}": value for i, value in enumerate(values[side])}
        found[f"{side}.regret"] = paired.regret(game, sigma)
    if "expert" in policies:
        found["value_gap"] = max(e - p for e, p in zip(values["expert"], values["policy"], strict=True))
        found["regret_gap"] = found["policy.regret"] - found["expert.regret"]
    return found


@pytest.mark.parametrize("seed", range(120))
def test_claims_contain_the_truth_and_are_proved(seed: int) -> None:
    case = hostile_case(seed, HAZARDS[seed % len(HAZARDS)])
    expert, exact_expert = exact_classes.other_policy(case, seed)
    for paired in classes(seed, case, 3):
        certificate = mo.certify(case.game, case.sigma, expert, deviations=paired.library)
        verdict = mo.verify(certificate, case.game, case.sigma, expert)
        assert verdict.valid, verdict.reason
        true = truth(case, {"policy": case.exact_sigma, "expert": exact_expert}, paired)
        assert certificate.claim.keys() == true.keys()
        for what, (lower, upper) in certificate.claim.items():
            assert lower <= true[what] <= upper, (what, paired.library)
            assert upper - lower <= 1e-9 * scale(case), (what, paired.library)


@pytest.mark.parametrize("seed", range(80))
def test_exact_certificates_have_width_zero(seed: int) -> None:
    case = exact_classes.any_case(seed, most_states=3)
    expert, exact_expert = exact_classes.other_policy(case, seed)
    for paired in classes(seed, case, 3):
        certificate = mo.certify(case.game, case.sigma, expert, deviations=paired.library, exact=True)
        true = truth(case, {"policy": case.exact_sigma, "expert": exact_expert}, paired)
        assert certificate.claim == {what: (value, value) for what, value in true.items()}, paired.library
        assert mo.verify(certificate, case.game, case.sigma, expert).valid


def test_a_file_is_what_was_saved(tmp_path: Path) -> None:
    chain = mo.scenarios.covered_chain(5, coverage=0.25, error=0.125)
    for exact in (False, True):
        certificate = mo.certify(chain.game, chain.learner, chain.expert, exact=exact)
        certificate.save(tmp_path / "c.json")
        loaded = mo.Certificate.load(tmp_path / "c.json")
        assert loaded.content == certificate.content
        assert loaded.regret_gap is not None
        assert loaded.regret_gap.lower <= Fraction(chain.regret_gap) <= loaded.regret_gap.upper
        assert loaded.lower == loaded.regret_gap.lower
        assert mo.verify(loaded, chain.game, chain.learner, chain.expert).valid
        assert "disobeying" in loaded.worst_deviation[0]


def test_what_is_no_certificate_is_malformed(tmp_path: Path) -> None:
    chain = mo.scenarios.unvisited_chain(3)
    path = tmp_path / "game.json"
    chain.game.save(path)
    with pytest.raises(mo.errors.MalformedFile, match=r"game\.json"):
        mo.Certificate.load(path)
    path.write_text('{"format": "mailopt.certificate"')
    with pytest.raises(mo.errors.MalformedFile, match="truncated"):
        mo.Certificate.load(path)


def test_another_policy_game_or_expert_is_refused() -> None:
    chain, longer = mo.scenarios.unvisited_chain(4), mo.scenarios.unvisited_chain(5)
    certificate = mo.certify(chain.game, chain.learner, chain.expert)
    for game, policy, expert, what in (
        (chain.game, chain.expert, chain.expert, "not the policy"),
        (chain.game, chain.learner, chain.learner, "not the expert"),
        (chain.game.with_rewards(2 * chain.game.rewards), chain.learner, chain.expert, "not the game"),
        (longer.game, longer.learner, longer.expert, "not the game"),
    ):
        verdict = mo.verify(certificate, game, policy, expert)
        assert not verdict.valid
        assert what in verdict.reason
    assert "expert" in mo.verify(certificate, chain.game, chain.learner).reason
    alone = mo.certify(chain.game, chain.learner)
    assert alone.regret_gap is None
    assert alone.regret.lower <= 3 <= alone.upper
    assert mo.verify(alone, chain.game, chain.learner).valid


def test_classes_without_certificates_say_so() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    with pytest.raises(mo.errors.InvalidDeviation, match=r"Swap\(\) contains"):
        mo.certify(chain.game, chain.learner, deviations=mo.Stationary())

    class Own(mo.Swap):
        pass

    with pytest.raises(mo.errors.InvalidDeviation, match="cannot be certified"):
        mo.certify(chain.game, chain.learner, deviations=mo.Limited(1, Own()))


def test_exact_numbers_that_outgrow_a_file_say_so() -> None:
    rng = np.random.default_rng(0)
    rows, size = rng.dirichlet(np.ones(6), size=(6, 4)), 6
    game = mo.MarkovGame(rows, rng.normal(size=(2, size, 4)), np.full(size, 1 / size), (2, 2), horizon=12)
    with pytest.raises(mo.errors.NotCertifiable, match="exact=False"):
        mo.certify(game, mo.CorrelatedPolicy(rng.dirichlet(np.ones(4), size=size)), exact=True)


def test_a_budget_at_its_breakpoints_is_proved_tight() -> None:
    case = exact_classes.any_case(3, discounted=False, most_states=3)
    curve = mo.budget_curve(case.game, case.sigma)
    for kappa in curve.kappas.tolist():
        certificate = mo.certify(case.game, case.sigma, deviations=mo.Budget(kappa))
        true = exact_classes.budget(kappa).regret(case.exact_game, case.exact_sigma)
        assert certificate.lower <= true <= certificate.upper
        assert certificate.upper - certificate.lower <= 1e-11


def test_the_certifier_recognises_its_certificates() -> None:
    chain = mo.scenarios.unvisited_chain(4)
    certifier = Certifier(chain.game, chain.expert, deviations=mo.Swap(), exact=False)
    certificate = certifier.certify(chain.learner)
    assert certifier.certifies(certificate, chain.learner)
    assert not certifier.certifies(certificate, chain.expert)
    assert not Certifier(chain.game, chain.expert, deviations=mo.External(), exact=False).certifies(
        certificate, chain.learner
    )


def test_digests_are_of_values_and_not_of_their_form() -> None:
    probabilities = np.array([[[0.5, 0.5], [0.25, 0.75]]] * 2)
    rewards = np.arange(4.0).reshape(1, 2, 2)
    ways = [
        mo.MarkovGame(rows, r, [0.5, 0.5], (2,), horizon=2)
        for rows in (probabilities, [probabilities] * 2, mo.SparseKernel(_csr(probabilities)))
        for r in (rewards, np.stack([rewards] * 2), [[[Fraction(int(v)) for v in row] for row in rewards[0]]])
    ]
    policy = mo.CorrelatedPolicy.uniform(ways[0])
    digests = {Certifier(game, None, deviations=mo.Swap(), exact=False).digests(policy)["game"] for game in ways}
    assert len(digests) == 1
    other = mo.MarkovGame(probabilities, rewards, [0.5, 0.5], (2,), horizon=3)
    assert Certifier(other, None, deviations=mo.Swap(), exact=False).digests(policy)["game"] not in digests


def _csr(rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> object:
    from scipy import sparse  # noqa: PLC0415

    return sparse.csr_array(rows.reshape(-1, rows.shape[-1]))


def test_rules_of_the_checker_are_what_the_evaluation_does() -> None:
    """The width of a certificate in doubles is that of rounding, so the checker's backups are those of the library."""
    case = exact_classes.any_case(11, discounted=True)
    certificate = mo.certify(case.game, case.sigma, deviations=mo.Limited(2))
    proved = checker.verify(dict(certificate.content), *(_content(case, what) for what in ("game", "policy")))
    assert proved.valid
    assert proved.lower is not None
    assert abs(float(proved.lower) - mo.regret(case.game, case.sigma, mo.Limited(2)).value) < 1e-10


def _content(case: Case, what: str) -> object:
    from mailopt.games.files import game_content, policy_content  # noqa: PLC0415

    return game_content(case.game) if what == "game" else policy_content(case.sigma, case.game)


def test_slips_are_typed_errors() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    certificate = mo.certify(chain.game, chain.learner)
    with pytest.raises(mo.errors.InvalidGame, match="give a MarkovGame"):
        mo.certify(chain, chain.learner)  # type: ignore[arg-type]
    with pytest.raises(mo.errors.InvalidPolicy):
        mo.certify(chain.game, chain.learner, chain)  # type: ignore[arg-type]
    with pytest.raises(mo.errors.InvalidOption, match=r"Certificate\.load"):
        mo.verify("certificate.json", chain.game, chain.learner)  # type: ignore[arg-type]
    with pytest.raises(mo.errors.InvalidPolicy):
        mo.verify(certificate, chain.game, chain.game)  # type: ignore[arg-type]
