"""Making and checking certificates."""

from __future__ import annotations

import math
import platform
from fractions import Fraction
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from mailopt.certificates import checker
from mailopt.certificates.certificate import Certificate
from mailopt.certificates.content import class_content
from mailopt.certificates.exact import ExactWitnesses
from mailopt.certificates.tables import Tables
from mailopt.certificates.witnesses import Witness, witnesses
from mailopt.deviations import DeviationClass, Swap, check_deviations
from mailopt.errors import InvalidOption, NotCertifiable
from mailopt.evaluation.deviating import problem_of
from mailopt.evaluation.regret import Regret, regret
from mailopt.games.files import game_content, policy_content
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.policy import CorrelatedPolicy, check_policy

_SHOWN = 20  # departures in words
_SHARES = 2**80  # shares of a budget are multiples of its inverse


def certify(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    expert: CorrelatedPolicy | None = None,
    *,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    exact: bool = False,
) -> Certificate:
    """Prove values and regret of a policy, and the gaps to an expert, in a form that anyone can check.

    The certificate holds value functions of obedience and of the best deviation. For any value functions V and the
    backup T_h of the rule of play, rho V_0 + sum_h min_s (T_h V_{h+1} - V_h)(s) <= true value <= the same with the
    maximum (discounted: the last stage counts 1 / (1 - gamma) times); the checker computes that in integers. Nothing
    else needs to be trusted: see docs/certificates.md.

    Parameters
    ----------
    game, policy
        What is certified.
    expert
        The policy to compare with; None: regret alone.
    deviations
        Swap, External, Coarse, Internal, Partition, Restricted, Limited, Budget or Finite.
    exact
        Compute in fractions, so that every interval is a single number. For small games: numbers grow with each stage.
        Discounted games need the ``exact`` extra.

    Returns
    -------
    Certificate
        Its claim is exactly what the checker proves (rounded outwards to the certificate's unit unless ``exact``).

    Raises
    ------
    NotCertifiable
        Exact numbers outgrow what a file can hold, or the game has numbers that the checker does not read.
    InvalidDeviation
        Stationary, or a class of one's own.
    InvalidOption
        ``exact`` is neither True nor False.
    InvalidPolicy, InvalidNumber, NotConverged, SolverError
        As for :func:`mailopt.regret`.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.covered_chain(4, coverage=0.25, error=0.125)
    >>> certificate = mo.certify(chain.game, chain.learner, chain.expert)
    >>> certificate
    Certificate(swap: regret gap 1.125, width 8e-17)
    >>> mo.verify(certificate, chain.game, chain.learner, chain.expert).valid
    True
    """
    return Certifier(game, expert, deviations=deviations, exact=exact).certify(policy)


def verify(
    certificate: Certificate,
    game: MarkovGame,
    policy: CorrelatedPolicy,
    expert: CorrelatedPolicy | None = None,
) -> checker.Verdict:
    """Check a certificate against a game and its policies.

    The checker reads what the files of these objects would hold. To trust nothing but the checker, run it on the files:
    ``python -m mailopt.certificates.checker CERTIFICATE GAME POLICY [EXPERT]``.

    Returns
    -------
    Verdict
        ``.valid``, the ``.reason``, the proved interval ``.lower``, ``.upper`` of the regret gap (without an expert of
        the regret), and all ``.proved`` intervals by name. A certificate that proves less than it claims, or is about
        another game or policy of the same size, is not valid; nothing is raised for it.

    Raises
    ------
    InvalidGame, InvalidPolicy, InvalidOption
        Something else was given, or a policy that does not fit the game.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> certificate = mo.certify(chain.game, chain.learner, chain.expert)
    >>> mo.verify(certificate, chain.game, chain.expert, chain.expert).reason
    'this is not the policy that the certificate is about: their digests differ'
    """
    if not isinstance(certificate, Certificate):
        raise InvalidOption(
            f"the certificate is a {type(certificate).__name__}; give a Certificate, such as mo.Certificate.load(path)"
        )
    check_policy(game, policy)
    if expert is not None:
        check_policy(game, expert)
    contents = [None if p is None else policy_content(p, game) for p in (policy, expert)]
    return checker.verify(dict(certificate.content), game_content(game), *contents)


class Certifier:
    """Certifies policies of one game.

    Parameters
    ----------
    game, expert, deviations, exact
        As for :func:`certify`.

    Attributes
    ----------
    described
        The class of deviations as a certificate holds it.
    """

    def __init__(
        self, game: MarkovGame, expert: CorrelatedPolicy | None, *, deviations: DeviationClass, exact: bool
    ) -> None:
        check_game(game)
        if game.estimated_from is not None:
            raise NotCertifiable(
                f"the game was estimated from {game.estimated_from} transitions: what is proved of it is not proved of "
                "the true game; see mo.estimated_regret"
            )
        if not isinstance(exact, bool):
            raise InvalidOption(f"exact is {exact!r}; it must be True or False")
        if expert is not None:
            check_policy(game, expert)
        self.game, self.expert, self.deviations, self.exact = game, expert, deviations, exact
        check_deviations(deviations, game)
        self.described = class_content(deviations, game)
        self._game: tuple[checker.Game, checker.Names] = _read(checker.read_game, game_content(game))
        self._phi: checker.Phi = _read(checker.read_class, self.described, *self._game)
        self._expert: checker.Policy | None = None if expert is None else self._policy(expert)

    def digests(self, policy: CorrelatedPolicy) -> dict[str, str]:
        """Return the digests of the game, a policy, and the expert."""
        check_policy(self.game, policy)
        return self._files(policy).digests()

    def certifies(self, certificate: Certificate, policy: CorrelatedPolicy) -> bool:
        """Whether a certificate is about the same, by digests and class, and no less exact."""
        content = certificate.content
        same = content["deviations"] == self.described and content["digests"] == self.digests(policy)
        return same and (content["exact"] is True or not self.exact)

    def certify(self, policy: CorrelatedPolicy) -> Certificate:
        """See :func:`certify`."""
        check_policy(self.game, policy)
        found = regret(self.game, policy, self.deviations)
        files = self._files(policy)
        sides = {"policy": self._witnesses(policy, files.policies["policy"])}
        if self.expert is not None:
            sides["expert"] = self._theirs
        tables = Tables(self.exact, [w for side in sides.values() for w in side])
        content: dict[str, Any] = {
            "format": "mailopt.certificate",
            "version": 1,
            "claim": {},
            "deviations": self.described,
            "unit": str(Fraction(1, tables.unit)),
            "exact": self.exact,
            "digests": files.digests(),
            "shown": {"worst_deviation": _in_words(self.game, policy, found)},
            "provenance": {
                "mailopt": version("mailopt"),
                "python": platform.python_version(),
                "numpy": np.__version__,
                "witness": "fractions" if self.exact else f"doubles ({found.method})",
            },
            "witnesses": {side: [tables.numbered(w, self._phi.kind) for w in agents] for side, agents in sides.items()},
            "tables": tables.rows,
        }
        if self._phi.kind == "budget":
            _spend(content, files, self._phi)
        try:
            proved = checker.prove(checker.read_proof(content, files), files.game)
        except (checker.Malformed, checker.Refuted) as error:
            raise NotCertifiable(f"the checker cannot read what would be certified: {error}") from None
        unit = None if self.exact else tables.unit
        content["claim"] = {what: _rounded(interval, unit) for what, interval in proved.items()}
        return Certificate(content)

    def _files(self, policy: CorrelatedPolicy) -> checker.Files:
        policies = {"policy": self._policy(policy)}
        if self._expert is not None:
            policies["expert"] = self._expert
        return checker.Files(*self._game, policies)

    def _policy(self, policy: CorrelatedPolicy) -> checker.Policy:
        read: checker.Policy = _read(checker.read_policy, policy_content(policy, self.game), *self._game)
        return read

    @cached_property
    def _theirs(self) -> list[Witness]:
        """Witnesses of the expert, the same for every policy."""
        assert self.expert is not None
        assert self._expert is not None
        return self._witnesses(self.expert, self._expert)

    def _witnesses(self, policy: CorrelatedPolicy, read: checker.Policy) -> list[Witness]:
        if not self.exact:
            return witnesses(problem_of(self.game, policy, self.deviations), self.deviations)
        exact = ExactWitnesses(self._game[0], read, self._phi)
        return [exact.of(agent) for agent in range(self.game.num_agents)]


def _spend(content: dict[str, Any], files: checker.Files, phi: checker.Phi) -> None:
    """Weigh the deviations that a budget is spent on by costs that the checker proves."""
    game, unit, exact = files.game, checker.read_unit(content["unit"]), content["exact"]
    tables = checker.read_tables(content["tables"], game.states)
    for side, policy in files.policies.items():
        for agent, witness in enumerate(content["witnesses"][side]):
            plan = checker.read_witness(witness, files, policy, agent, phi, tables, unit)
            tasks = [task for task in plan.tasks if not task.paid]
            changes = checker.residuals(game, tasks, unit, exact) if tasks else []
            proved = iter([checker.enclose(game, *given, unit).upper for given in zip(tasks, changes, strict=True)])
            costs = [next(proved) if departs else Fraction(0) for _, departs in plan.parts]
            k = max(k for k, cost in enumerate(costs) if cost <= phi.kappa)
            shares = {k: Fraction(1)}
            if k + 1 < len(costs):
                share = (phi.kappa - costs[k]) / (costs[k + 1] - costs[k])
                share = share if exact else Fraction(math.floor(share * _SHARES), _SHARES)
                shares = {k: 1 - share, k + 1: share}
            mixture = witness["mixture"]
            witness["mixture"] = [{**mixture[j], "weight": str(share)} for j, share in shares.items() if share]


def _rounded(interval: checker.Interval, unit: int | None) -> list[str]:
    """Write the ends of an interval, rounded outwards to a unit if there is one."""
    if unit is None:
        return [str(end) for end in interval]
    ends = math.floor(interval.lower * unit), math.ceil(interval.upper * unit)
    return [str(Fraction(end, unit)) for end in ends]


def _in_words(game: MarkovGame, policy: CorrelatedPolicy, found: Regret) -> list[str]:
    """Say what the agent that gains most does, likeliest departures first."""
    name, best = game.agent_name(found.agent), found.best
    departures = best.departures(game, policy)
    outcome = f"gains {best.gain:.10g}" if best.gain >= 0 else f"loses {-best.gain:.10g}"
    if not departures:
        return [f"{name} {outcome} and never disobeys"]
    weight = "probability" if game.horizon is not None else "discounted frequency"
    staged = best.occupancy.ndim == 4
    words = [f"{name} {outcome} by disobeying in {len(departures)} place{'s' * (len(departures) > 1)}"]
    for d in departures[:_SHOWN]:
        told, plays = (game.action_name(found.agent, action) for action in (d.recommended, d.played))
        step = f"step {d.step}, " if staged else ""
        words.append(f"{step}{game.state_name(d.state)}: told {told}, plays {plays} ({weight} {d.probability:.6g})")
    return words


def _read(read: Any, *content: Any) -> Any:
    """Read something as the checker does."""
    try:
        return read(*content)
    except checker.Malformed as error:
        raise NotCertifiable(f"the checker does not read this: {error}") from None
