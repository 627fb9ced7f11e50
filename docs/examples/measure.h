/*
 * SPDX-License-Identifier: MIT
 *
 * measure.h - the length and the depth of a C source file.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stddef.h>

struct measure {
	size_t line_count; /* without comments and blank lines */
	size_t depth;	   /* longest row of functions that name the next */
};

/*
 * Measure the file at `path`, which is formatted as the sources here are: a
 * function's name, its "{" and its "}" stand in the first column.
 * False when it cannot be read, with the reason in errno.
 */
bool measure_source(const char *path, struct measure *out);

#endif /* MEASURE_H */
