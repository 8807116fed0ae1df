"""Images that a prior replaces while a field or a texture is fitted to them."""
