"""What records say, as styled, escaped words: the pieces of which the formats for people are made."""
