"""The policy language's meaning: pure decisions over frozen facts."""
