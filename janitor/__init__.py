"""The retention daemon for OpenAI conversation state."""
