"""Encoders and scorers as torch modules with gradients: what training works on. Serving code never imports this."""
