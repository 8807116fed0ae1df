"""Score distillation, and what it needs: views to draw, texts that name them, a frozen prior's opinion."""
