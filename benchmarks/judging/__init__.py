"""What benchmarks judge results by."""
