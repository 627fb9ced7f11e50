/*
 * SPDX-License-Identifier: MIT
 *
 * loops.c - what a lap of a loop costs that is written with promises: once as
 * `for (...) await x` would be compiled, and once as a handler that returns
 * the promise of the laps that remain.  Both must run in constant memory;
 * memory.c looks at that.
 */
#include "bench.h"

/* A settled promise, and the rest of the loop as its handler: one `await`. */
static avow_value await_lap(avow_value value, void *arg)
{
	struct bench *b = arg;
	avow_value next = avow_int(avow_int_get(value) + 1);

	if (++b->done < b->steps)
		avow_then(avow_resolved(b->loop, next), await_lap, b);
	return avow_none();
}

void await_loop(struct bench *b)
{
	avow_then(avow_resolved(b->loop, avow_int(0)), await_lap, b);
	ev_run(b->ev, 0);
}

static avow_value recursive_lap(avow_value value, void *arg)
{
	struct bench *b = arg;
	avow_value next = avow_int(avow_int_get(value) + 1);

	if (++b->done == b->steps)
		return next;
	return avow_await(avow_then(avow_resolved(b->loop, next),
				    recursive_lap, b));
}

/* What comes out at the end went through all the laps. */
static avow_value recursive_end(avow_value value, void *arg)
{
	struct bench *b = arg;

	if (avow_int_get(value) != (int64_t)b->steps)
		bench_fail("a recursive loop of %zu laps gave %lld", b->steps,
			   (long long)avow_int_get(value));
	return avow_none();
}

void recursive_loop(struct bench *b)
{
	avow_promise *p = avow_resolved(b->loop, avow_int(0));

	avow_then(avow_then(p, recursive_lap, b), recursive_end, b);
	ev_run(b->ev, 0);
}
