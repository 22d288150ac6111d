"""Validate a codec on held-out persons."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from extract.braincodec.network import BrainCodec
from extract.pretrain.data import TrainingSignal, by_person, cut_windows
from extract.pretrain.folding import BATCH_ENCODED, UNIT_UV
from extract.pretrain.losses import prd
from extract.pretrain.quantizer import perplexity


@torch.inference_mode()
def validate(model: BrainCodec, signals: Sequence[TrainingSignal], most: int = 512) -> dict[str, dict[str, Any]]:
    """Figures of each person: mean PRD of windows with and without quantization, codes in effective use.

    Codes are those of the quantizers that code by default.

    The model is in its unit of training. Windows that are all zero have no PRD and are left out; of the others
    at most so many count, evenly spaced.
    """
    figures, device = {}, model.encoder.first.weight.device
    for person, recordings in by_person(signals).items():
        windows = torch.cat([cut_windows(signal, model.config) for signal in recordings]) / UNIT_UV
        windows = windows[windows.abs().amax((1, 2)) > 0]
        windows = windows[:: math.ceil(len(windows) / most)].to(device)
        plain, quantized, codes = [], [], []
        for part in torch.split(windows, BATCH_ENCODED):
            latents = model.encode(part)
            plain.append(prd(part, model.decode(latents)))
            if model.quantizer.codebooks[0].trained:
                codes.append(model.quantize(latents, model.config.default_quantizers))
                quantized.append(prd(part, model.decode(model.dequantize(codes[-1]))))
        figures[str(person)] = {
            "windows": len(windows),
            "autoencoder_prd": float(torch.cat(plain).mean()),
            "prd": float(torch.cat(quantized or plain).mean()),
            "perplexity": perplexity(torch.cat(codes), model.config.codebook_size).tolist() if codes else [],
        }
    return figures
