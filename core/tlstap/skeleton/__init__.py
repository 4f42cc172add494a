"""Templates of what `tlstap plugins new` writes: $-words are replaced, see cli/plugins/new.py."""
