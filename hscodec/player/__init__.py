"""Playing a `.hsnd` file while it is decoded: a queue that a thread fills, and the audio device that empties it."""
