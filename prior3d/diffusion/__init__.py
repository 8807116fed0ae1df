"""Frozen diffusion models as priors: loading, text embedding, guidance."""
