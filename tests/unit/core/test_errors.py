"""How failures read, and that they survive a process boundary."""

from __future__ import annotations

import pickle

import pytest

from optimizer.core import errors
from optimizer.core.errors import OptimizerError

CHILDREN = OptimizerError.__subclasses__()


@pytest.mark.parametrize("kind", CHILDREN)
def test_error_tells_offender_seen_allowed_and_fix(kind: type[OptimizerError]) -> None:
    error = kind("data.path", seen="nothing", allowed="a file", fix="set data.path=x")
    assert str(error) == "data.path: got nothing. Allowed: a file. Fix: set data.path=x."


@pytest.mark.parametrize("kind", CHILDREN)
def test_error_pickled_keeps_type_and_parts(kind: type[OptimizerError]) -> None:
    error = kind("data.path", seen=3, allowed="a file", fix="look")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


def test_error_every_child_is_in_the_drawing() -> None:
    assert len(CHILDREN) == 9
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in CHILDREN)


def test_error_is_not_made_without_its_four_parts() -> None:
    with pytest.raises(TypeError, match="fix"):
        OptimizerError("data.path", seen=1, allowed="2")  # type: ignore[call-arg]
