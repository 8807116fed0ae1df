"""Stages that cost nothing."""
