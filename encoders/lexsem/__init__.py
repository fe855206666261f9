"""LexSemBridge: a query's vector, weighed number by number by the words of the query (arXiv 2508.17858)."""
