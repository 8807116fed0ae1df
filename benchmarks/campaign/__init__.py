"""The parts of `benchmarks/faults.py`: fuzzed readers, kills, damaged files, full disks, power cuts."""
