"""A run while it trains: its state, its newest field, and a viewer in the browser."""
