"""Published limits of GPUs, by what torch calls them."""

from dataclasses import dataclass

FLOAT32, TF32, BFLOAT16 = "float32", "tf32", "bfloat16"


@dataclass(frozen=True)
class Peaks:
    """Dense TFLOP/s by arithmetic, as the maker's data sheets give them."""

    float32: float
    tf32: float | None  # None where there is no such arithmetic
    bfloat16: float | None

    def of(self, arithmetic: str) -> float | None:
        """TFLOP/s of one arithmetic."""
        peak: float | None = getattr(self, arithmetic)
        return peak


# the first whose words are all in the name counts
KNOWN = {
    ("H200",): Peaks(67, 494, 989),
    ("H100", "NVL"): Peaks(60, 417, 835),
    ("H100", "PCIe"): Peaks(51, 378, 756),
    ("H100",): Peaks(67, 494, 989),
    ("A100",): Peaks(19.5, 156, 312),
    ("L40S",): Peaks(91.6, 183, 362),
    ("L4",): Peaks(30.3, 60, 121),
    ("A10",): Peaks(31.2, 62.5, 125),
    ("V100",): Peaks(15.7, None, None),
    ("T4",): Peaks(8.1, None, None),
}


def find_peaks(name: str) -> Peaks | None:
    """Limits of a GPU; None if it is not in the table.

    >>> find_peaks("NVIDIA H100 80GB HBM3").bfloat16, find_peaks("NVIDIA H100 PCIe").bfloat16
    (989, 756)
    >>> find_peaks("Some GPU"), find_peaks("NVIDIA L40"), find_peaks("NVIDIA A1000")
    (None, None, None)
    """
    words = set(name.replace("-", " ").split())
    return next((peaks for needed, peaks in KNOWN.items() if words.issuperset(needed)), None)
