"""Fields fitted to a few posed images: rays, targets, mirror planes."""
