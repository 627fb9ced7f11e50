/*
 * SPDX-License-Identifier: MIT
 *
 * Every point in the life of something that takes many jobs: cancelled there,
 * its loop freed there, out of memory there.
 *
 *     static avow_promise *make(avow_loop *loop)
 *     {
 *             return avow_each(loop, 5, work, NULL, .limit = 2);
 *     }
 *     points_try_all(make);
 *
 * The functions that `make` hands over begin with points_call(): none may be
 * called once the promise has settled.  They wait by points_later(), which is
 * over after so many jobs and needs no libev.  Afterwards no box and no block
 * may be left.
 */
#ifndef AVOW_TEST_POINTS_H
#define AVOW_TEST_POINTS_H

#include "fixture.h"

typedef avow_promise *points_make_fn(avow_loop *loop);

/* All below; each returns at how many points something was done. */
void points_try_all(points_make_fn *make);

/* Cancel what `make` made after 0, 1, 2, ... jobs. */
size_t points_cancel(points_make_fn *make);
/* Free the loop there. */
size_t points_free(points_make_fn *make);
/* Abort `points_signal`, which `make` is to pass on. */
size_t points_abort(points_make_fn *make);
/* Let allocations fail: it ends well, or for want of memory. */
size_t points_sweep(points_make_fn *make);
/* The same with no memory but for 0, 1, 2, ... promises more, first until
 * `make` has returned and then to the end. */
size_t points_scarce(points_make_fn *make);

/* NULL where nothing is aborted. */
extern avow_signal *points_signal;

void points_call(void);
/* A promise that gives `value` after `jobs` jobs. */
avow_promise *points_later(avow_loop *loop, int jobs, avow_value value);

#endif /* AVOW_TEST_POINTS_H */
