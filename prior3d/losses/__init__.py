"""Losses of renders, fields and images."""
