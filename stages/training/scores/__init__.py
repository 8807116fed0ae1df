"""How good the priors are, on held-out objects: for cards, `priors check` and benchmarks."""
