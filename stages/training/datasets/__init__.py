"""What the trainings draw from: renders, edits, captions, latents, masks and posed scenes."""
