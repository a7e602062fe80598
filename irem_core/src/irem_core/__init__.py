"""Learned iterative reasoning by energy minimisation.

Names are loaded on first use, so that importing the package costs nothing; `__init__.pyi` says
where each of them lives.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__.append("__version__")
