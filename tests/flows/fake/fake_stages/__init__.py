"""Stages that count and write text files: what the engine's tests run."""
