"""Models of images and texts that learn: towers, their token-wise similarities, selection of tokens, prompts."""
