"""The API's errors, in the shape `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """An answer other than success. Source: the description's `ErrorResponse`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.type, self.param, self.code = type, param, code

    @property
    def body(self) -> Json:
        """The body that the API sends with it."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


def not_found(what: str, id: str) -> ApiError:
    """404 for an id that this project does not have."""
    return ApiError(404, f"{what} with id '{id}' not found.")


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """400 for a request that cannot be read."""
    return ApiError(400, message, param=param, code=code)


def unknown_path(method: str, path: str) -> ApiError:
    """404 for a path that the API does not have."""
    return ApiError(404, f"Invalid URL ({method} {path})")


def not_allowed(method: str, path: str) -> ApiError:
    """405 for a path that has other methods only."""
    return ApiError(405, f"Not allowed to {method} on {path}.", code="method_not_supported")


def unauthorized(key: str | None) -> ApiError:
    """401 for a missing or a wrong key; the key itself is never repeated."""
    if key is None:
        return ApiError(401, "You didn't provide an API key in an Authorization header.")
    return ApiError(401, "Incorrect API key provided.", code="invalid_api_key")


def beta_required(beta: str) -> ApiError:
    """400 for a beta API called without its header."""
    message = f"You must set the header 'OpenAI-Beta: {beta}' to use this API."
    return invalid(message, code="invalid_beta")


def conversation_locked(id: str) -> ApiError:
    """400 for a write to a conversation that a response is being written to."""
    message = f"Another process is currently operating on this conversation: {id}."
    return invalid(message, code="conversation_locked")


def thread_locked(id: str) -> ApiError:
    """409 for a write to a ChatKit thread that takes no input."""
    return ApiError(409, f"ChatKit thread {id} is locked.", code="thread_locked")


def session_running(id: str) -> ApiError:
    """409 for a write to an agent session that must be idle."""
    return ApiError(409, f"Session '{id}' is running; cancel its execution first.")


def run_active(thread: str, run: str) -> ApiError:
    """400 for a write to a thread while a run is active."""
    return invalid(f"Can't add messages to {thread} while a run {run} is active.")
