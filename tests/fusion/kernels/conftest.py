"""Kernels are interpreted in a process of their own.

Triton decides when it is imported whether its functions are interpreted; set here, the variable
would reach all other tests of this process. ``test_interpreter.py`` runs the rest.
"""

import os

collect_ignore = (
    [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_gate.py", "test_joint.py",
    "test_training.py", "test_compiling.py"]
)  # fmt: skip
