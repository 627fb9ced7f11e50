/*
 * SPDX-License-Identifier: MIT
 *
 * promisified.c - what a promise adds to a call with a callback: a call that
 * calls back at once, and one that calls back from a libev timer; each bare,
 * promisified with a `then`, and with its result put off by a bare queue and
 * by ev_feed_event(), which is what a program without promises would do.  The
 * calls stand in legacy.c, where the compiler cannot see through them.
 */
#include "bench.h"

static const char *number_strerror(int code)
{
	return code ? "no number" : "no error";
}

AVOW_CALLBACK(on_number, AVOW_ERR(int, number_strerror), AVOW_NUM(int),
	      AVOW_CTX(void *));

static void number_check(int number)
{
	if (number != NUMBER)
		bench_fail("a call gave %d", number);
}

static avow_value number_use(avow_value value, void *arg)
{
	struct bench *b = arg;

	b->done++;
	number_check((int)avow_int_get(value));
	return avow_none();
}

static void number_bare(int err, int number, void *context)
{
	struct bench *b = context;

	b->done += err == 0;
	number_check(number);
}

static void number_fifo(int err, int number, void *context)
{
	struct bench *b = context;

	(void)err;
	number_check(number);
	fifo_post(b, fifo_node(b, fifo_count));
}

static void number_feed(int err, int number, void *context)
{
	struct bench *b = context;

	(void)err;
	number_check(number);
	feed_post(b, feed_node(b, feed_count));
}

/* ---------------------------------------------------- Calls back at once */

void call_promisified(struct bench *b)
{
	avow_promise *p;
	size_t i;

	for (i = 0; i < b->steps; i++) {
		p = AVOW_PROMISIFY(b->loop, number_now(on_number,
						       AVOW_CONTEXT));
		avow_then(p, number_use, b);
	}
	ev_run(b->ev, 0);
}

void call_bare(struct bench *b)
{
	size_t i;

	for (i = 0; i < b->steps; i++)
		number_now(number_bare, b);
}

void call_fifo(struct bench *b)
{
	size_t i;

	for (i = 0; i < b->steps; i++)
		number_now(number_fifo, b);
	ev_run(b->ev, 0);
}

void call_feed(struct bench *b)
{
	size_t i;

	for (i = 0; i < b->steps; i++)
		number_now(number_feed, b);
	ev_run(b->ev, 0);
}

/* ------------------------------------------------- Calls back by a timer */

void timer_promisified(struct bench *b)
{
	avow_promise *p;
	size_t i;

	for (i = 0; i < b->steps; i++) {
		p = AVOW_PROMISIFY(b->loop, number_later(b, on_number,
							 AVOW_CONTEXT));
		avow_then(p, number_use, b);
	}
	ev_run(b->ev, 0);
}

static void timer_floor(struct bench *b, number_fn *callback)
{
	size_t i;

	for (i = 0; i < b->steps; i++)
		number_later(b, callback, b);
	ev_run(b->ev, 0);
}

void timer_bare(struct bench *b)
{
	timer_floor(b, number_bare);
}

void timer_fifo(struct bench *b)
{
	timer_floor(b, number_fifo);
}

void timer_feed(struct bench *b)
{
	timer_floor(b, number_feed);
}
