/*
 * SPDX-License-Identifier: MIT
 *
 * timeout.c - a promise with a deadline.
 *
 * The promise returned is a reaction that passes its source's outcome on.  Its
 * drop, which comes whatever settles it, stops the timer; the timer cancels it.
 * All of it lies in nodes of the loop.
 */
#include "task.h"

#include <math.h>

struct timeout {
	uint32_t word;	       /* RAW */
	avow_promise *input;   /* waits for the timer; NULL once that came */
	avow_promise *promise; /* the one returned, pending */
	double seconds;
};

typedef char timeout_fits[sizeof(struct timeout) <= NODE_SIZE ? 1 : -1];

/* The promise has settled. */
static void timeout_end(void *arg)
{
	struct timeout *const timeout = arg;
	avow_loop *const loop = avow__slab_of(timeout)->loop;
	avow_promise *const input = timeout->input;
	avow__raw_free(loop, timeout);
	if (!input)
		return;
	avow__input_unlink(loop, input);
	avow__input_own_end(loop, input);
}

static avow_value timeout_error(const char *place, double seconds)
{
	return avow_error_at(place, &avow_core_domain, AVOW_ETIMEOUT,
			     "timed out after %g seconds", seconds);
}

/* The timer has fired, or was abandoned with its loop, as `p` is going to be.
 */
static void timeout_on_timer(void *node)
{
	avow_promise *const input = node;
	struct timeout *const timeout = input->arg;
	avow_promise *const p = timeout->promise;
	avow_loop *const loop = avow__slab_of(p)->loop;
	const double seconds = timeout->seconds;
	const bool is_over = !(input->source->word & AVOW_REJECTED);
	timeout->input = NULL;
	avow__input_end(loop, input);
	if (is_over)
		avow__cancel_with(loop, p, timeout_error(p->place, seconds));
}

/* Without a timer: `*result` says why. */
static struct timeout *timeout_new(avow_loop *loop, const char *place,
				   double seconds, avow_promise **result)
{
	struct timeout *const timeout = avow__node_alloc(loop);
	*result = loop->immortal;
	if (!timeout)
		return NULL;
	*timeout = (struct timeout){ .word = RAW, .seconds = seconds };
	avow_promise *const timer = avow_delay_at(place, loop, seconds);
	if (avow__is_settled(timer)) {
		*result = timer;
	} else {
		timeout->input = avow__input_own(loop, place, timer,
						 timeout_on_timer, timeout);
		if (timeout->input)
			return timeout;
	}
	avow__raw_free(loop, timeout);
	return NULL;
}

/* A time that is none. */
static avow_promise *timeout_refuse(avow_loop *loop, const char *place,
				    avow_promise *p, double seconds)
{
	avow_promise *const w = avow_then_at(place, p, NULL, NULL);
	if (!(w->word & IMMORTAL))
		avow__cancel_with(
			loop, w,
			avow_error_at(place, &avow_core_domain, AVOW_EINVALID,
				      "a timeout of %g seconds", seconds));
	return w;
}

avow_promise *avow_timeout_at(const char *place, avow_promise *p,
			      double seconds)
{
	avow_loop *const loop = avow__entry(p, "avow_timeout()");
	avow_promise *result;
	if (!isfinite(seconds) || seconds < 0)
		return timeout_refuse(loop, place, p, seconds);
	if (avow__is_settled(p))
		return avow_then_at(place, p, NULL, NULL);
	struct timeout *const timeout =
		timeout_new(loop, place, seconds, &result);
	if (!timeout)
		return result;
	result = avow_on_at(place, p,
			    &(const avow_handlers){ .arg = timeout,
						    .drop = timeout_end });
	avow__drops_at_once(result);
	if (!(result->word & IMMORTAL))
		timeout->promise = result;
	return result;
}

avow_promise *(avow_timeout)(avow_promise *p, double seconds)
{
	return avow_timeout_at(NULL, p, seconds);
}
