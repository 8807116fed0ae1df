"""A run while it trains: what it has come to, and a view of it in the browser."""
