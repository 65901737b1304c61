"""One label a sample, or several: images, videos and sounds."""
