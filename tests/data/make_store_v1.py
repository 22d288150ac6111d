"""Record of how ``store-v1/`` was made: the stores of format version 1 that every version must read.

It ran once, ``python tests/data/make_store_v1.py DIR``, when format 1 was the newest. Today it writes the
same content in today's format. The files are never written again.
"""

import sys
from pathlib import Path

import numpy as np

from store import Event, FeatureSpec, RecordingInfo
from store.writer import write_file


def main(folder: Path) -> None:
    """Two recordings of one person, one electrode missing in the second, as latents and as codes."""
    for features, dtype, dims in (("latents", "float16", 5), ("codes", "uint8", 2)):
        spec = FeatureSpec(
            encoder="fixture",
            weights_sha256="f" * 64,
            features=features,
            dtype=dtype,
            sample_rate_hz=512,
            window_s=4,
            stride_s=4,
            hop=256,
            frames=8,
            dims=dims,
            channels=("FP1-F3", "F3-C3", "C3-P3"),
            resampling="linear, each window",
            precision="float32",
        )
        first = RecordingInfo(
            name="sub-07_ses-01_task-szMonitoring_run-00",
            subject="07",
            person="07",
            first_window=0,
            windows=3,
            first_second=0,
            seconds=10,
            duration_s=9.5,
            start="2026-01-02T03:04:05",
            channel_mask=(True, True, True),
            events=(Event(2.25, 3.5, "sz_foc"),),
        )
        second = RecordingInfo(
            name="sub-07_ses-02_task-szMonitoring_run-00",
            subject="07",
            person="07",
            first_window=3,
            windows=1,
            first_second=10,
            seconds=4,
            duration_s=4.0,
            start="",
            channel_mask=(True, False, True),
            events=(),
        )
        values = np.arange(4 * np.prod(spec.shape)).reshape(4, *spec.shape)
        codebooks = np.arange(2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5) / 8 if features == "codes" else None
        values = values % 4 if features == "codes" else (values % 97) / 8
        labels = np.array([0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0], np.uint8)
        provenance = {"encoder": {"name": "fixture", "persons_seen": ["07", "08"]}, "versions": {}}
        blocks = iter([values[:3].astype(np.float32), values[3:].astype(np.float32)])
        path = folder / features / "sub-07.h5"
        write_file(path, spec, [first, second], labels, blocks, provenance, codebooks)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
