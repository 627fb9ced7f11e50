/*
 * SPDX-License-Identifier: MIT
 *
 * Types that two files share: declared here, defined once in types.c, read in
 * test_value.c.  What is proved with them is that a type has one identity in
 * the whole program, however many files make and read its values.
 */
#ifndef TEST_TYPES_H
#define TEST_TYPES_H

#include <avow.h>

/* A counted object; `picture_live` says how many of them exist. */
typedef struct picture {
	int size;
	int refs;
} picture;

extern int picture_live;

picture *picture_new(int size);
void picture_free(picture *x);
picture *picture_ref(picture *x);

/* A struct that travels by value and owns nothing. */
typedef struct spot {
	double x;
	double y;
} spot;

AVOW_TYPE_DECLARE(picture, picture *);
AVOW_STRUCT_DECLARE(spot, spot);
AVOW_DOMAIN_DECLARE(studio);

/* Made and read in types.c, whatever file calls them. */
AVOW_MUST_USE avow_value picture_from_elsewhere(int size);
int picture_size_elsewhere(avow_value value);
AVOW_MUST_USE avow_value spot_from_elsewhere(double x, double y);
double spot_sum_elsewhere(avow_value value);
AVOW_MUST_USE avow_value studio_error_elsewhere(int code);

#endif
