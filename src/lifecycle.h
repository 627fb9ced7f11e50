/*
 * SPDX-License-Identifier: MIT
 *
 * lifecycle.h - how a driver makes a loop.  The tests make one that way, with
 * no event loop at all.
 */
#ifndef AVOW_SRC_LIFECYCLE_H
#define AVOW_SRC_LIFECYCLE_H

#include "promise.h"

/* Fill in a zeroed loop; false when out of memory, and nothing is left. */
bool avow__loop_open(avow_loop *loop, const struct avow__driver *driver);

#endif
