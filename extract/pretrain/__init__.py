"""Train a BrainCodec on EEG: data, losses, quantizer, discriminator and the loop."""
