"""MVP, a listwise reranker over T5 (arXiv 2509.07485): candidates are read alone, and judged together."""
