"""The BrainCodec network, its checkpoints and its compiled forms."""
