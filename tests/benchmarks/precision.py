"""What bfloat16 costs: error of latents, share of equal codes, change of AUROC. Ten minutes."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch

import store
from eval.__main__ import main as evaluate
from extract.__main__ import main as extract
from extract.braincodec.checkpoint import load_checkpoint
from extract.demo import main as make_demo
from extract.encoders.shipped import WEIGHTS
from heads.train import main as train
from store import Store
from tests.helpers.paths import REAL

CLIPS = REAL / "chbmit-clips"
SEEDS = (0, 1, 2)


def compare(exact: Store, rough: Store) -> tuple[float, float]:
    """Relative L2 error of the latents of all recordings, and the share of codes that stay."""
    quantizer = load_checkpoint(WEIGHTS).model.quantizer
    error = size = same = codes = 0.0
    for info in exact.recordings:
        both = [opened.latents(info) for opened in (exact, rough)]
        error += np.square(both[0] - both[1]).sum(dtype=np.float64)
        size += np.square(both[0]).sum(dtype=np.float64)
        pair = [quantizer.quantize(torch.from_numpy(x).permute(0, 2, 3, 1).flatten(0, 1)) for x in both]
        same += float((pair[0] == pair[1]).sum())
        codes += pair[0].numel()
    return float(np.sqrt(error / size)), same / codes


def main() -> None:
    """Print the errors, and the AUROC of each seed with either precision."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bids = CLIPS
        if not CLIPS.is_dir():
            bids = folder / "bids"
            make_demo([str(bids)])
        auroc: dict[str, list[dict[str, float]]] = {}
        for precision in ("float32", "bfloat16"):
            target = str(folder / precision)
            extract(["--bids", str(bids), "--store", target, "--precision", precision])
            auroc[precision] = []
            for seed in SEEDS:
                run = folder / f"{precision}-{seed}"
                train(["--store", target, "--fold", "all", "--out", str(run), "--seed", str(seed)])
                evaluate([str(run), "--no-report"])
                persons = json.loads((run / "metrics.json").read_text())["persons"]
                auroc[precision].append({person: scores["auroc"] for person, scores in persons.items()})
        error, same = compare(*(store.open(folder / precision) for precision in auroc))
        print(f"latents in bfloat16: relative error {error:.2%}; codes that stay {same:.1%}")
        means = {p: [np.mean(list(by_person.values())) for by_person in seeds] for p, seeds in auroc.items()}
        for precision, seed_means in means.items():
            print(f"AUROC, mean over persons, {precision}: {', '.join(f'{value:.4f}' for value in seed_means)}")
        change = np.subtract(means["bfloat16"], means["float32"])
        print(
            f"change {change.mean():+.4f}; sd over seeds of float32 alone {np.std(means['float32'], ddof=1):.4f}"
        )


if __name__ == "__main__":
    main()
