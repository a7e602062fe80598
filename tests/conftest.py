"""Settings of all tests: one thread, and shapes checked wherever the packages annotate them."""

import os
import pkgutil

# Test processes run side by side and must not compete for cores; subprocesses inherit this.
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from jaxtyping import install_import_hook

import irem_core

torch.set_num_threads(1)

# The hook works anew on every function that is defined inside another, which these make in loops.
NESTED = {"trees", "minimization", "backprop"}
MODULES = {module.name for module in pkgutil.iter_modules(irem_core.__path__)} - NESTED

# Before anything imports the modules; subprocesses run without these checks.
install_import_hook(
    [*(f"irem_core.{name}" for name in sorted(MODULES)), "irem_tasks", "irem_baselines"],
    "shape_checks.checked",
)
