"""The conformance kit: subclass :class:`AdapterConformance` in a test file, name your adapter, run pytest."""

from .conformance import AdapterConformance, xfail
from .documents import changed, filled, full_view

__all__ = ["AdapterConformance", "changed", "filled", "full_view", "xfail"]
