"""Parts of one's own for irem; irem finds them through the entry points in pyproject.toml."""
