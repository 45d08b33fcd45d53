"""Kernels are interpreted in a process of their own.

Triton decides when it is imported whether its functions are interpreted; set here, the variable
would reach all other tests of this process. ``test_interpreter.py`` runs the rest.
"""

import os

INTERPRETED = [
    "test_benchmark.py",
    "test_compiling.py",
    "test_gate.py",
    "test_joint.py",
    "test_training.py",
]
OTHERS = ["test_choice.py", "test_gpu.py", "test_kept.py", "test_machine_code.py"]

collect_ignore = OTHERS if os.environ.get("TRITON_INTERPRET") == "1" else INTERPRETED
