/*
 * SPDX-License-Identifier: MIT
 *
 * turns.c - what a promise per turn of the libev loop costs beside a bare idle
 * watcher, which is the cheapest way to be called once a turn.
 */
#include "bench.h"

static avow_value turn_next(avow_value value, void *arg)
{
	struct bench *b = arg;

	(void)value;
	if (++b->done < b->steps)
		avow_then(avow_immediate(b->loop), turn_next, b);
	return avow_none();
}

void turn_promised(struct bench *b)
{
	avow_then(avow_immediate(b->loop), turn_next, b);
	ev_run(b->ev, 0);
}

static void turn_floor(struct bench *b,
		       void (*turn)(struct ev_loop *, ev_idle *, int))
{
	ev_idle_init(&b->idle, turn);
	b->idle.data = b;
	ev_idle_start(b->ev, &b->idle);
	ev_run(b->ev, 0);
}

static void bare_turn(struct ev_loop *ev, ev_idle *idle, int revents)
{
	struct bench *b = idle->data;

	(void)revents;
	if (++b->done == b->steps)
		ev_idle_stop(ev, idle);
}

void turn_bare(struct bench *b)
{
	turn_floor(b, bare_turn);
}

/* The two others count in what they queue, which runs in the same turn. */
static void fifo_turn(struct ev_loop *ev, ev_idle *idle, int revents)
{
	struct bench *b = idle->data;

	(void)revents;
	fifo_post(b, fifo_node(b, fifo_count));
	if (b->done + 1 == b->steps)
		ev_idle_stop(ev, idle);
}

void turn_fifo(struct bench *b)
{
	turn_floor(b, fifo_turn);
}

static void feed_turn(struct ev_loop *ev, ev_idle *idle, int revents)
{
	struct bench *b = idle->data;

	(void)revents;
	feed_post(b, feed_node(b, feed_count));
	if (b->done + 1 == b->steps)
		ev_idle_stop(ev, idle);
}

void turn_feed(struct bench *b)
{
	turn_floor(b, feed_turn);
}
