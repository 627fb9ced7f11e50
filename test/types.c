/*
 * SPDX-License-Identifier: MIT
 *
 * The one definition of the types that types.h declares, and functions that
 * make and read their values in a file other than the test's own.
 */
#include "types.h"

#include <stdlib.h>

int picture_live;

static const char *studio_explain(int code)
{
	return code == 7 ? "out of film" : NULL;
}

AVOW_TYPE(picture, picture *, picture_free, picture_ref);
AVOW_STRUCT(spot, spot);
AVOW_DOMAIN(studio, studio_explain);

picture *picture_new(int size)
{
	picture *x = malloc(sizeof(*x));

	if (!x)
		abort();
	x->size = size;
	x->refs = 1;
	picture_live++;
	return x;
}

void picture_free(picture *x)
{
	if (--x->refs > 0)
		return;
	picture_live--;
	free(x);
}

picture *picture_ref(picture *x)
{
	x->refs++;
	return x;
}

avow_value picture_from_elsewhere(int size)
{
	return picture_value(picture_new(size));
}

int picture_size_elsewhere(avow_value value)
{
	return picture_get(value)->size;
}

avow_value spot_from_elsewhere(double x, double y)
{
	return spot_value((spot){ x, y });
}

double spot_sum_elsewhere(avow_value value)
{
	const spot *s = spot_get(value);

	return s->x + s->y;
}

avow_value studio_error_elsewhere(int code)
{
	return avow_domain_error(&studio_domain, code);
}
