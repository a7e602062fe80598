"""The problems of the paper and of its published code, with their distributions and oracles.

Classes are loaded on first use, so that importing the package costs nothing; `__init__.pyi` says
where each of them lives.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
