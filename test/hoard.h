/*
 * SPDX-License-Identifier: MIT
 *
 * Memory that stays away: all nodes of fx.loop are taken, its reserve included,
 * and every allocation fails, until hoard_end().
 */
#ifndef AVOW_TEST_HOARD_H
#define AVOW_TEST_HOARD_H

#include "fixture.h"

/* Take all but `left` nodes, which are there once this callback has returned,
 * or at once outside of callbacks.  (An AVOW_DEBUG build leaves none.) */
void hoard_begin(size_t left);
/* Memory is back.  Reports of its lack are forgotten. */
void hoard_end(void);

#endif /* AVOW_TEST_HOARD_H */
