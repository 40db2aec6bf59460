"""The long-running service: a schedule, a scrape target, signals and reload."""
