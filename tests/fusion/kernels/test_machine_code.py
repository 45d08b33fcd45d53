"""What Triton makes of the kernels for GPUs; it compiles without one.

The interpreter knows nothing of registers, shared memory and tensor cores; a GPU does.
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton", reason="triton is not installed")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from grjca.fusion.kernels import gate_kernels, joint_kernels, row_kernels  # noqa: E402
from grjca.fusion.kernels.tiles import TERM_BYTES  # noqa: E402

pytestmark = pytest.mark.slow

# Shared memory that a program may have on compute capability 8.6, the least from 8.0 on.
SHARED = 99 * 1024

PRODUCTS = ("correlate", "attend", "value_gradient", "correlation_gradient")
ROWS = ("add", "added_gradient", "input_gradient")
WHOLE = {
    "batch", "length", "width", "visual_width", "audio_width", "rows", "joint_width", "first",
    "stream", "tiles",
}  # fmt: skip
REAL = {"dropout", "factor", "temperature"}
FEATURES = {"scale", "x", "score", "bias", "weights"}
SIZES: dict[str, Any] = {
    "DROP": True, "GIVEN": True, "COUNT": 3, "P": 4, "M": 64, "N": 64, "R": 8, "C": 256,
}  # fmt: skip
TERMS = {"fp32": TERM_BYTES // 4, "bf16": TERM_BYTES // 2}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def compiled(
    kernel: Any, dtype: str, precision: str, capability: int, *, ones: bool = False
) -> Any:
    """The kernel for tensors of a dtype whose addresses and widths are multiples of 16.

    With ``ones`` all sizes are 1, which Triton makes constants of.
    """
    signature: dict[str, Any] = {}
    constants, attributes = {}, {}
    fixed = {**SIZES, "PRECISION": precision, "K": TERMS[dtype]}
    for number, name in enumerate(kernel.arg_names):
        if name in fixed:
            signature[name] = "constexpr"
            constants[(number,)] = fixed[name]
        elif ones and name in WHOLE - {"first"}:
            signature[name] = "constexpr"
            constants[(number,)] = 1
        elif name in WHOLE:
            signature[name] = "i32"
            if "width" in name:
                attributes[(number,)] = [["tt.divisibility", 16]]
        elif name in REAL:
            signature[name] = "fp32"
        elif name.startswith("candidate"):
            signature[name] = (f"*{dtype}",) * SIZES["COUNT"]
            attributes |= {(number, i): [["tt.divisibility", 16]] for i in range(SIZES["COUNT"])}
        else:
            kinds = {"seed": "i64", "real": "i1", "through": "i1"}
            kind = kinds.get(name, "fp32" if name in FEATURES else dtype)
            signature[name] = f"*{kind}"
            attributes[(number,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32))


def check(kernel: Any) -> None:
    assert kernel.metadata.shared <= SHARED
    cubin = Path(triton.knobs.cache.dir) / "checked.cubin"
    cubin.write_bytes(kernel.asm["cubin"])
    told = subprocess.run(
        [triton.knobs.nvidia.cuobjdump.path, "-res-usage", cubin],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    usage = re.search(r"REG:(\d+) STACK:(\d+)", told.stdout + told.stderr)
    assert usage is not None
    # A stack means registers that were spilled to memory.
    assert usage[2] == "0", usage[0]


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(
    ("capability", "dtype", "precision", "instruction"),
    [
        (80, "fp32", "tf32x3", r"mma.*\.tf32\.tf32"),
        (80, "bf16", "ieee", r"mma.*\.bf16\.bf16"),
        (90, "bf16", "ieee", r"mma.*\.bf16\.bf16"),
    ],
)
def test_products_use_tensor_cores_and_whole_loads(
    name: str, capability: int, dtype: str, precision: str, instruction: str
) -> None:
    kernel = compiled(getattr(joint_kernels, name), dtype, precision, capability)
    check(kernel)
    assert re.search(instruction, kernel.asm["ptx"])
    # 16 bytes at a time, into shared memory, while the last ones are being multiplied.
    assert re.search(r"cp\.async\.cg\.shared\.global .*0x10", kernel.asm["ptx"])


@pytest.mark.parametrize("name", ROWS)
def test_passes_over_rows(name: str) -> None:
    kernel = compiled(getattr(row_kernels, name), "bf16", "", 80)
    check(kernel)
    assert re.search(r"ld\.global\.v[24]", kernel.asm["ptx"])


@pytest.mark.parametrize("name", ["choose", "choose_gradient"])
def test_the_gate(name: str) -> None:
    kernel = compiled(getattr(gate_kernels, name), "fp32", "", 80)
    check(kernel)
    assert re.search(r"ld\.global\.v4", kernel.asm["ptx"])


@pytest.mark.parametrize(
    ("kernels", "name"),
    [
        *((joint_kernels, name) for name in PRODUCTS),
        *((row_kernels, name) for name in ROWS),
        *((gate_kernels, name) for name in ("choose", "choose_gradient")),
    ],
)
def test_sizes_of_one(kernels: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for size, value in (("M", 32), ("N", 32), ("C", 4), ("COUNT", 1), ("P", 1)):
        monkeypatch.setitem(SIZES, size, value)
    check(compiled(getattr(kernels, name), "fp32", "tf32", 80, ones=True))
