/*
 * SPDX-License-Identifier: MIT
 *
 * chains.c - what a `then` costs: long chains on a settled and on a pending
 * promise, short chains that stay in the cache, handlers that return a
 * promise, many reactions on one promise, a rejection that passes by.
 *
 * The handlers read their value and make the next one, as a program would, by
 * the functions of the library; so a step holds two of its small calls too.
 */
#include "bench.h"

static avow_value chain_step(avow_value value, void *arg)
{
	struct bench *b = arg;

	b->done++;
	return avow_int(avow_int_get(value) + 1);
}

/* The last step of a chain: the value says how many there were before it. */
static avow_value chain_last(avow_value value, void *arg)
{
	struct bench *b = arg;

	b->done++;
	if (avow_int_get(value) != (int64_t)b->steps - 1)
		bench_fail("a chain of %zu steps gave %lld", b->steps,
			   (long long)avow_int_get(value) + 1);
	return avow_none();
}

static void attach_steps(struct bench *b, avow_promise *p)
{
	size_t i;

	for (i = 1; i < b->steps; i++)
		p = avow_then(p, chain_step, b);
	avow_then(p, chain_last, b);
}

void ready_chain(struct bench *b)
{
	attach_steps(b, avow_resolved(b->loop, avow_int(0)));
	ev_run(b->ev, 0);
}

void pending_chain(struct bench *b)
{
	avow_promise *p = avow_pending(b->loop);

	attach_steps(b, p);
	avow_resolve(p, avow_int(0));
	ev_run(b->ev, 0);
}

/* Pending chains of SHORT_STEPS; the last step of one makes the next, so that
 * the loop is entered once and not once a chain. */
static void short_chain(struct bench *b);

static avow_value short_last(avow_value value, void *arg)
{
	struct bench *b = arg;

	b->done++;
	if (avow_int_get(value) != SHORT_STEPS - 1)
		bench_fail("a short chain gave %lld",
			   (long long)avow_int_get(value) + 1);
	if (b->done < b->steps)
		short_chain(b);
	return avow_none();
}

static void short_chain(struct bench *b)
{
	avow_promise *first = avow_pending(b->loop);
	avow_promise *p = first;
	size_t i;

	for (i = 1; i < SHORT_STEPS; i++)
		p = avow_then(p, chain_step, b);
	avow_then(p, short_last, b);
	avow_resolve(first, avow_int(0));
}

void short_chains(struct bench *b)
{
	short_chain(b);
	ev_run(b->ev, 0);
}

static avow_value returning_step(avow_value value, void *arg)
{
	struct bench *b = arg;
	avow_value next = avow_int(avow_int_get(value) + 1);

	b->done++;
	return avow_await(avow_resolved(b->loop, next));
}

void returning_chain(struct bench *b)
{
	avow_promise *p = avow_resolved(b->loop, avow_int(0));
	size_t i;

	for (i = 1; i < b->steps; i++)
		p = avow_then(p, returning_step, b);
	avow_then(p, chain_last, b);
	ev_run(b->ev, 0);
}

void many_reactions(struct bench *b)
{
	avow_promise *p = avow_pending(b->loop);
	size_t i;

	for (i = 0; i < b->steps; i++)
		avow_then(p, chain_step, b);
	avow_resolve(p, avow_int(0));
	ev_run(b->ev, 0);
}

static avow_value rejected_never(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	bench_fail("a rejection ran a handler of avow_then()");
	return avow_none();
}

/* The handlers on the way count nothing, so arriving counts them all. */
static avow_value rejected_end(avow_value error, void *arg)
{
	struct bench *b = arg;

	if (avow_code(error) == 5)
		b->done += b->steps;
	return avow_none();
}

void rejected_chain(struct bench *b)
{
	avow_promise *p = avow_rejected(b->loop, avow_errno(5));
	size_t i;

	for (i = 0; i < b->steps; i++)
		p = avow_then(p, rejected_never, b);
	avow_catch(p, rejected_end, b);
	ev_run(b->ev, 0);
}
