"""From what is due to what was done: plan, sweep, apply, one path for all three.

Terms in docs/glossary.md: candidate, look, missing, outcome, plan, review, settlement, sweep.
"""
