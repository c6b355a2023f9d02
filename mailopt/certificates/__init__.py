"""Portable certificates of regret, and the checker that needs neither a solver nor this package.

Nothing is imported here, so that ``python -m mailopt.certificates.checker`` loads the checker once, as what it runs.
"""
