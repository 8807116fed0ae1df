"""What benchmarks/distillation.py is made of: objects made by each loss, and the figures of them."""
