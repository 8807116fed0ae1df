"""`prior3d studio`: a page on this machine that makes runs, watches them and shows what they made."""
