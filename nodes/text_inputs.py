"""How the nodes' texts come in: each through craft's `text_door`, when a graph is queued and again when it runs.

A text on a widget is refused before anything runs; a text that comes over a link is known only when the node runs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

from ..craft.text_door import checked_lines, checked_text


def takes_text(*texts: str, lines: tuple[str, ...] = ()) -> Callable[[type], type]:
    """Class decorator of a node: the names of its STRING inputs. `lines`: those with one line a picture.

    Adds to the node's own VALIDATE_INPUTS and to the method that runs it; both see checked texts only.
    """
    checks = {name: checked_text for name in texts} | {name: checked_lines for name in lines}

    def guarded(cls):
        setattr(cls, cls.FUNCTION, _running(cls.__dict__[cls.FUNCTION], checks))
        cls.VALIDATE_INPUTS = _validation(cls.__dict__.get("VALIDATE_INPUTS"), checks)
        return cls

    return guarded


def _running(execute, checks):
    signature = inspect.signature(execute)

    @functools.wraps(execute)
    def checked(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        for name, check in checks.items():
            if name in given:
                check(given[name], name)
        return execute(*args, **kwargs)

    return checked


def _validation(own, checks):
    """The host hands over the inputs that the signature names, and skips its own checks of those alone."""
    own_names = list(inspect.signature(own.__func__).parameters)[1:] if own else []

    def VALIDATE_INPUTS(cls, **given):
        try:
            for name, check in checks.items():
                if given.get(name) is not None:  # None: it comes over a link
                    check(given[name], name)
        except ValueError as problem:
            return str(problem)
        return own.__func__(cls, **{name: given[name] for name in own_names if name in given}) if own else True

    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = dict.fromkeys([*own_names, *checks])
    VALIDATE_INPUTS.__signature__ = inspect.Signature(
        [inspect.Parameter("cls", keyword), *(inspect.Parameter(name, keyword, default=None) for name in names)]
    )
    return classmethod(VALIDATE_INPUTS)
