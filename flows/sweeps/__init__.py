"""Many runs out of one file: a row a run."""
