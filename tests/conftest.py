from postgres import postgres

__all__ = ["postgres"]
