"""Every error raised on purpose. One base, one type for each thing that can be wrong.

Two questions are answered by the type: *what object* is wrong (:class:`InvalidGame`, :class:`InvalidPolicy`,
:class:`InvalidDeviation`) and *what is wrong with it* (:class:`WrongShape`, :class:`InvalidNumber`,
:class:`NotADistribution`, ...). The message says where and how to fix it.
"""

from mailopt_solvers import (
    InvalidOption,
    MailoptError,
    MissingDependency,
    SolverError,
    SolverFailed,
    SolverNotInstalled,
)


class WrongShape(MailoptError, ValueError):
    """An array whose shape does not fit the game."""


class InvalidNumber(MailoptError, ValueError):
    """A NaN, an infinity, a negative probability, or something that is not a number."""


class NotADistribution(MailoptError, ValueError):
    """A row of probabilities whose sum is further than 1e-9 from one."""


class InvalidGame(MailoptError, ValueError):
    """A game that does not make sense."""


class GameShape(InvalidGame, WrongShape):
    """Transitions, rewards, initial distribution, legal actions or names of a shape that does not fit."""


class GameNumber(InvalidGame, InvalidNumber):
    """A transition probability, reward or discount that is no proper number."""


class GameDistribution(InvalidGame, NotADistribution):
    """A transition row or the initial distribution does not sum to one."""


class MissingTransition(InvalidGame):
    """A legal joint action has no successor."""


class InvalidHorizon(InvalidGame):
    """Horizon and discount both given, neither given, or out of range."""


class InvalidPolicy(MailoptError, ValueError):
    """A correlated policy that does not make sense, by itself or on the game at hand."""


class PolicyShape(InvalidPolicy, WrongShape):
    """A policy whose shape does not fit the game."""


class PolicyNumber(InvalidPolicy, InvalidNumber):
    """A policy entry that is no probability."""


class PolicyDistribution(InvalidPolicy, NotADistribution):
    """A policy row that does not sum to one."""


class IllegalAction(InvalidPolicy):
    """A policy that gives probability to a joint action that is illegal in its state."""


class InvalidDeviation(MailoptError, ValueError):
    """A deviation or deviation class that does not fit the game."""


class DeviationShape(InvalidDeviation, WrongShape):
    """A deviation whose shape does not fit the game."""


class DeviationNumber(InvalidDeviation, InvalidNumber):
    """A deviation entry that is no probability."""


class DeviationDistribution(InvalidDeviation, NotADistribution):
    """A deviation row that does not sum to one."""


class InvalidDemonstrations(MailoptError, ValueError):
    """Demonstrations that do not make sense, by themselves or in the game at hand."""


class DemonstrationShape(InvalidDemonstrations, WrongShape):
    """Demonstrations whose shape, type or horizon does not fit the game."""


class DemonstrationNumber(InvalidDemonstrations, InvalidNumber):
    """A weight or count that is negative, not finite, or no number."""


class IllegalDemonstration(InvalidDemonstrations):
    """A demonstrated joint action that is illegal in its state."""


class ImpossibleTransition(InvalidDemonstrations):
    """A demonstrated start or transition that has probability 0 in the game."""


class EmptyDemonstrations(InvalidDemonstrations):
    """No demonstrations at all, or none of some step."""


class InvalidPolicyClass(MailoptError, ValueError):
    """A class of policies that does not fit the game, or that a learner cannot optimise over."""


class InfeasibleClass(MailoptError, ValueError):
    """A class that holds no policy; the message names constraints that exclude each other."""


class ExpertFailed(MailoptError):
    """An expert that was asked for its recommendations raised an error."""


class SimulatorFailed(MailoptError):
    """A simulator raised an error, or returned something that is no state."""


class CoverageError(MailoptError, ValueError):
    """Something that must be known is not: the message names the steps and states."""


class NoEquilibrium(MailoptError, ValueError):
    """No policy has a regret as small as asked for; the message says where, and what the least is."""


class UnknownAgent(MailoptError, ValueError):
    """An agent that the game does not have."""


class InvalidFile(MailoptError, ValueError):
    """A file that cannot be read as what it should be."""


class MalformedFile(InvalidFile):
    """Truncated, not JSON or NPZ, of another format, or with missing, unknown or ill-typed fields."""


class UnsupportedVersion(InvalidFile):
    """A file of a version that this release does not read."""


class NotConverged(MailoptError):
    """A discounted evaluation could not reach its promised accuracy."""


class UnsupportedGame(MailoptError, ValueError):
    """A game of another framework that is not a Markov game of the kind asked for."""


class GameTooLarge(MailoptError, ValueError):
    """A limit on the number of states or variables was reached."""


class NotCertifiable(MailoptError, ValueError):
    """What a certificate cannot hold: numbers that are too long, or that the checker does not read."""


__all__ = [
    "CoverageError",
    "DemonstrationNumber",
    "DemonstrationShape",
    "DeviationDistribution",
    "DeviationNumber",
    "DeviationShape",
    "EmptyDemonstrations",
    "ExpertFailed",
    "GameDistribution",
    "GameNumber",
    "GameShape",
    "GameTooLarge",
    "IllegalAction",
    "IllegalDemonstration",
    "ImpossibleTransition",
    "InfeasibleClass",
    "InvalidDemonstrations",
    "InvalidDeviation",
    "InvalidFile",
    "InvalidGame",
    "InvalidHorizon",
    "InvalidNumber",
    "InvalidOption",
    "InvalidPolicy",
    "InvalidPolicyClass",
    "MailoptError",
    "MalformedFile",
    "MissingDependency",
    "MissingTransition",
    "NoEquilibrium",
    "NotADistribution",
    "NotCertifiable",
    "NotConverged",
    "PolicyDistribution",
    "PolicyNumber",
    "PolicyShape",
    "SimulatorFailed",
    "SolverError",
    "SolverFailed",
    "SolverNotInstalled",
    "UnknownAgent",
    "UnsupportedGame",
    "UnsupportedVersion",
    "WrongShape",
]
