"""Decides how a search goes on, and carries it out: `plan` decides, `driver` has it done, `trainer` does it.

The package can be called, which is how a search is run from Python; see `jaxstage.search.result.search`:

    result = jaxstage.search(config)
"""
import os
import sys
import types


class _CallablePackage(types.ModuleType):
    def __call__(self, config, workdir: str | os.PathLike | None = None):
        from jaxstage.search.result import search

        return search(config, workdir)


# `jaxstage.search` names this package as soon as anything imports a part of it, so a function cannot have that name;
# giving a module another class is Python's documented way to make it callable.
sys.modules[__name__].__class__ = _CallablePackage
