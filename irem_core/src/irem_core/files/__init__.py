"""Files: arrays in the formats that users have, atomic writes, and locks."""

from irem_core.files import storage

__all__ = ["storage"]
