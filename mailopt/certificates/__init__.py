"""Portable certificates of regret, and the checker that needs neither a solver nor this package."""

from mailopt.certificates.certificate import Certificate
from mailopt.certificates.certify import Certifier, certify, verify
from mailopt.certificates.checker import Interval, Verdict

__all__ = ["Certificate", "Certifier", "Interval", "Verdict", "certify", "verify"]
