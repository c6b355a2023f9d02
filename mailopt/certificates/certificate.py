"""A certificate: what is claimed of a policy, and what proves it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from mailopt.certificates import checker
from mailopt.certificates.checker import Interval
from mailopt.errors import MalformedFile
from mailopt_solvers.files import replacing

_WIDTH = 118  # of a line


@dataclass(frozen=True, eq=False, repr=False)
class Certificate:
    """A proof of regret that anyone can check without a solver; made by :func:`mailopt.certify`.

    Attributes
    ----------
    content
        The JSON object that a certificate file holds.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(6)
    >>> certificate = mo.certify(chain.game, chain.learner, chain.expert, exact=True)
    >>> certificate.regret_gap
    Interval(lower=Fraction(5, 1), upper=Fraction(5, 1))
    """

    content: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Require the fields of a certificate; what they hold is judged by :func:`mailopt.verify`."""
        if not isinstance(self.content, Mapping):
            raise MalformedFile(
                f"the content of a certificate is a {type(self.content).__name__}; read files with mo.Certificate.load"
            )
        try:
            checker.header(dict(self.content), "mailopt.certificate", checker.CONTENT)
            for key in ("claim", "deviations", "shown"):
                checker.need(type(self.content[key]) is dict, f"field {key!r} is no object")
            checker.need(type(self.content["deviations"].get("class")) is str, "the class of deviations has no name")
            words = self.content["shown"].get("worst_deviation", [])
            checker.need(
                type(words) is list and all(type(w) is str for w in words), "'worst_deviation' is no list of words"
            )
            checker.need("policy.regret" in self.claim, "the claim says nothing of the regret")
        except checker.Malformed as error:
            raise MalformedFile(f"this is no certificate: {error}") from None

    @cached_property
    def claim(self) -> dict[str, Interval]:
        """All claims by name: ``"policy.value.0"``, .., ``"policy.regret"``, and with an expert the gaps."""
        claims = checker.items(list(self.content["claim"].items()))
        return {
            name: Interval(*(Fraction(checker.number(end)) for end in checker.items(ends, 2))) for name, ends in claims
        }

    @property
    def regret(self) -> Interval:
        """Interval that contains the regret of the policy."""
        return self.claim["policy.regret"]

    @property
    def regret_gap(self) -> Interval | None:
        """Interval that contains the regret gap; None without an expert."""
        return self.claim.get("regret_gap")

    @property
    def value_gap(self) -> Interval | None:
        """Interval that contains the value gap; None without an expert."""
        return self.claim.get("value_gap")

    @property
    def lower(self) -> Fraction:
        """Lower end of the regret gap; without an expert of the regret."""
        return (self.regret_gap or self.regret).lower

    @property
    def upper(self) -> Fraction:
        """Upper end of the regret gap; without an expert of the regret."""
        return (self.regret_gap or self.regret).upper

    @property
    def deviations(self) -> Mapping[str, Any]:
        """The class of deviations, as the file says it."""
        return dict(self.content["deviations"])

    @property
    def worst_deviation(self) -> list[str]:
        """What the deviating agent does, in words; shown, and not part of what is proved."""
        return list(self.content["shown"].get("worst_deviation", []))

    def save(self, path: str | Path) -> None:
        """Write one ``.json`` file, whole or not at all."""
        if Path(path).suffix.lower() != ".json":
            raise MalformedFile(f"{path}: the suffix must be .json")
        with replacing(path) as file:
            file.write((_layout(dict(self.content), 0) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> Certificate:
        """Read a certificate file.

        Raises
        ------
        MalformedFile
            It is not one. Whether it proves its claim is for :func:`mailopt.verify` to say.
        OSError
            The file cannot be opened.
        """
        try:
            return cls(checker.parse(Path(path).read_bytes()))
        except (checker.Malformed, MalformedFile) as error:
            raise MalformedFile(f"{path}: {error}") from None

    def __repr__(self) -> str:
        """Class and headline in one line."""
        what = "regret" if self.regret_gap is None else "regret gap"
        width = "exact" if self.upper == self.lower else f"width {float(self.upper - self.lower):.1g}"
        about = checker.described(self.deviations)
        return f"Certificate({about}: {what} {middle(self.regret_gap or self.regret):.10g}, {width})"


def middle(interval: Interval) -> float:
    """Return the middle of an interval for people to read: 0 if the interval contains it."""
    return 0.0 if interval.lower <= 0 <= interval.upper else float((interval.lower + interval.upper) / 2)


def _layout(value: Any, indent: int) -> str:
    """JSON that people can read: a list of numbers on a line, everything else broken where it is too long."""
    text = json.dumps(value, allow_nan=False)
    if len(text) + indent <= _WIDTH or not isinstance(value, dict | list):
        return text
    if isinstance(value, list):
        if not any(isinstance(item, dict | list) for item in value):
            return text
        opening, closing, parts = "[", "]", [_layout(item, indent + 1) for item in value]
    else:
        opening, closing = "{", "}"
        parts = [f"{json.dumps(key)}: {_layout(item, indent + 1)}" for key, item in value.items()]
    space = "\n" + " " * (indent + 1)
    return f"{opening}{space}{(',' + space).join(parts)}\n{' ' * indent}{closing}"
