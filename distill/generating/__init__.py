"""Questions written by a decoder, word by word, kept to the words of their text by copying (LargePiG)."""
