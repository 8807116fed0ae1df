"""When things run: methods, the engine, the command line."""
