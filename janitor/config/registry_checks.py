"""What the registry keeps of metadata, and what policies ask of it."""

from __future__ import annotations

from collections.abc import Iterator

from janitor.config.document import DocumentPath
from janitor.config.examine import Draft
from janitor.config.forms import RegistryForm
from janitor.config.policy_forms import PER, PolicyForm, SelectorForm, TestForm
from janitor.config.problems import Problem
from janitor.policy.matching import RESERVED


def registry_problems(draft: Draft) -> Iterator[Problem]:
    """What is wrong between `registry` and the policies, which must match by what is stored."""
    registry: RegistryForm | None = draft.sections.get("registry")
    if registry is None:
        return
    yield from _hash(registry)
    for index, policy in {**draft.policies, **draft.damaged}.items():
        yield from _policy(registry, policy, ("policies", index))


def _hash(registry: RegistryForm) -> Iterator[Problem]:
    for index, key in enumerate(registry.hash):
        if not _keeps(registry, key):
            message = f"`keys` leaves `{key}` out, so that nothing is left to hash: add it there, "
            yield Problem(("registry", "hash", index), message + "or remove it here")
    if registry.hash and registry.hash_key is None:
        message = "a hash without a key can be guessed: add hash_key: {env: NAME} or {file: PATH}"
        yield Problem(("registry", "hash"), message, at_key=True)
    if registry.hash_key is not None and not registry.hash:
        message = "`hash_key` is of no use without `hash`; remove it"
        yield Problem(("registry", "hash_key"), message, at_key=True)


def _keeps(registry: RegistryForm, key: str) -> bool:
    return registry.keys == "all" or key in registry.keys or key.startswith(RESERVED)


def _policy(registry: RegistryForm, policy: PolicyForm, at: DocumentPath) -> Iterator[Problem]:
    for name, selector in (("match", policy.match), ("except", policy.except_)):
        if selector is not None:
            yield from _selector(registry, selector, (*at, name, "metadata"))
    per = policy.keep_last and policy.keep_last.per
    if per and not _keeps(registry, per.removeprefix(PER)):
        yield Problem((*at, "keep_last", "per"), _not_stored(per.removeprefix(PER)))


def _selector(
    registry: RegistryForm, selector: SelectorForm, at: DocumentPath
) -> Iterator[Problem]:
    for key, test in selector.metadata.items():
        if not _keeps(registry, key):
            yield Problem((*at, key), _not_stored(key), at_key=True)
        elif key in registry.hash and isinstance(test, TestForm) and test.glob is not None:
            message = f"`registry.hash` hides `{key}`, and no pattern fits a hash: write values"
            yield Problem((*at, key), message)


def _not_stored(key: str) -> str:
    return f"`registry.keys` does not keep `{key}`, so that this would match nothing: add it there"
