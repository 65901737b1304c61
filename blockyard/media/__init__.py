"""Files of pictures, sounds and videos: from bytes to arrays, and what is wrong with them; no Lightning."""
