"""Search by words: BM25 postings, languages, and the part of a text that matched."""
