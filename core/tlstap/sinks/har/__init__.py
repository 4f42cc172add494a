"""HAR 1.2 (HTTP Archive): http://www.softwareishard.com/blog/har-12-spec/."""
