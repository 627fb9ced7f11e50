/*
 * SPDX-License-Identifier: MIT
 *
 * chain.h - what chain.c and cancel.c ask of each other.
 */
#ifndef AVOW_SRC_CHAIN_H
#define AVOW_SRC_CHAIN_H

#include "promise.h"

/*
 * `p`, a finally, was cancelled in its own handler, which then gave `result`.
 * Wait for it, or tell its error, in a node of its own that takes over what
 * `p` was to drop.  False when there is nothing to go on with.
 */
bool avow__finally_goes_on(avow_loop *loop, avow_promise *p,
			   avow_promise *source, avow_value result);

#endif
