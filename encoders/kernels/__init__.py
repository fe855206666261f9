"""A transformer's forward pass in C++, for processors that 8-bit products are fast on; optional, with a numpy twin."""
