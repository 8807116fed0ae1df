"""The stages that train the embedded priors."""
