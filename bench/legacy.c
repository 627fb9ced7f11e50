/*
 * SPDX-License-Identifier: MIT
 *
 * legacy.c - somebody else's library, with error-first callbacks and no idea
 * of promises.  A file of its own, so that no compiler makes a call cheaper
 * than it would be in a program.
 */
#include "bench.h"

int number_now(number_fn *callback, void *context)
{
	callback(0, NUMBER, context);
	return 0;
}

struct request {
	ev_timer timer;
	struct bench *b;
	number_fn *callback;
	void *context;
};

const size_t request_size = sizeof(struct request);

static void request_done(struct ev_loop *ev, ev_timer *timer, int revents)
{
	struct request *r = timer->data;

	(void)ev;
	(void)revents;
	r->callback(0, NUMBER, r->context);
	pool_give(&r->b->timers, r);
}

int number_later(struct bench *b, number_fn *callback, void *context)
{
	struct request *r = pool_take(&b->timers);

	r->b = b;
	r->callback = callback;
	r->context = context;
	ev_timer_init(&r->timer, request_done, 0., 0.);
	r->timer.data = r;
	ev_timer_start(b->ev, &r->timer);
	return 0;
}
