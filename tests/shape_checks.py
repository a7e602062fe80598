"""What jaxtyping's import hook checks with in the tests: shapes and element types, nothing else.

Other annotations are mypy's to check, and several name types that are imported for mypy alone. The
tests give wrong arguments on purpose, which must reach the library's own checks.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def where_shaped(jaxtyped: Callable[..., Any]) -> Callable[..., Any]:
    """Return jaxtyping's decorator for what speaks of shapes alone.

    It binds the arguments of whatever it decorates on every call, which takes a third of the time
    that a test solves for.
    """

    def decorator(*, typechecker: Any) -> Callable[[Any], Any]:
        def decorate(part: Any) -> Any:
            hints = getattr(part, "__annotations__", {}).values()
            shaped = any("[Tensor, " in str(hint) for hint in hints)
            return jaxtyped(part, typechecker=typechecker) if shaped else part

        return decorate

    return decorator


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the annotations of `function` that speak of shapes, on every call."""
    annotations = function.__annotations__
    shaped = {name: hint for name, hint in annotations.items() if _speaks_of_shapes(hint)}
    if not shaped:
        return function
    function.__annotations__ = {name: shaped.get(name, Any) for name in annotations}
    return beartype(function)


def _speaks_of_shapes(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(_speaks_of_shapes(part) for part in get_args(hint))
