"""A stage that does nothing, to measure what running one costs."""
