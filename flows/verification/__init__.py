"""Reads everything that a run rests on, names what is damaged, and puts back what can be put back."""
