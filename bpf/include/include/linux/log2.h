/* BCC's helpers.h includes this and defines its own logarithms. */
