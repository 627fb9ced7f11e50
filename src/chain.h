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

/* avow_cancel() with a reason of the caller's for `p` itself, which is taken
 * over; sources are cancelled as always. */
void avow__cancel_with(avow_loop *loop, avow_promise *p, avow_value reason);

/*
 * End the use that `input` has of its source, and the input, which is linked
 * nowhere; cancel the source when nobody else wants it, or whoever does.  What
 * stands on each other to any depth is given up in a loop: right inside a
 * cancellation of the library's own this only queues.
 */
void avow__give_up(avow_loop *loop, avow_promise *input, bool whoever_wants);
/*
 * What a cancellation leaves to be done: handlers of avow_finally() that run
 * as jobs, and may wait, and releases.  What was attached further from the work
 * is dropped when all of it has ended, for it may be used there.
 *
 * For a tool that is given up: its cleanup goes on until avow__cleanup_done().
 * NULL, which is taken back, where there is no cancellation or no memory.
 */
struct avow__cleanup *avow__cleanup_begin(avow_loop *loop);
void avow__cleanup_done(avow_loop *loop, struct avow__cleanup *cleanup);
/* The loop ends, and no handler runs any more: drop what still waits. */
void avow__cleanups_end(avow_loop *loop);

/* What `p`, just attached, is to drop is the library's own: its place in some
 * list, that goes with it whatever is behind it. */
static inline void avow__drops_at_once(avow_promise *p)
{
	if (!(p->word & IMMORTAL))
		p->extra->word |= SEALED;
}

/* Would it only queue?  Then the loop is entered already, and entering it once
 * more would look like the program's code. */
static inline bool avow__is_giving_up(const avow_loop *loop)
{
	return loop->doomed && loop->doomed->busy == loop->busy;
}

#endif
