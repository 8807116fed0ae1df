"""Images: files, colours, masks, backgrounds, photographs and their augmentation."""
