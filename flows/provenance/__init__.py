"""Where a file came from: written into files that leave a project, read back, and made again to compare."""
