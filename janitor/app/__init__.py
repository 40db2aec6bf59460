"""What joins the rooms into a run: composition, everything around a run, and the service.

Terms in docs/glossary.md: run, hold, plan, replica, stop.
"""
