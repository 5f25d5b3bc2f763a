// A room whose code is all in headers still needs one object to be a library.
