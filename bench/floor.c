/*
 * SPDX-License-Identifier: MIT
 *
 * floor.c - the same work without promises, for comparison: bare callbacks in
 * a FIFO that one fed watcher drains (an intrusive list, nodes of three words
 * from a pool), and one ev_feed_event() a step (watchers from a pool).  They
 * know no values, errors, lifetime, budget, cancellation or branching: nothing
 * that offers those can be as fast, and how near it comes is the question.
 */
#include "bench.h"

#include <stdlib.h>

/* ------------------------------------------------------------------- Pool */

/* Linked in address order and so touched: the floors are always warm. */
void pool_open(struct pool *pool, size_t item_size, size_t count)
{
	char *item;
	size_t i;

	pool->block_bytes = item_size * count;
	pool->block = malloc(pool->block_bytes);
	if (!pool->block)
		bench_fail("out of memory: %zu items of %zu bytes", count,
			   item_size);
	pool->first = NULL;
	for (i = count; i > 0; i--) {
		item = (char *)pool->block + (i - 1) * item_size;
		*(void **)(void *)item = pool->first;
		pool->first = item;
	}
}

void pool_close(struct pool *pool)
{
	free(pool->block);
	pool->block = pool->first = NULL;
	pool->block_bytes = 0;
}

/* ------------------------------------------------------------------- FIFO */

static void fifo_drain(struct ev_loop *ev, ev_prepare *w, int revents)
{
	struct bench *b = w->data;
	struct node *node;

	(void)ev;
	(void)revents;
	while ((node = b->fifo.first)) {
		b->fifo.first = node->next;
		if (!b->fifo.first)
			b->fifo.last = &b->fifo.first;
		node->fn(node, b);
		pool_give(&b->nodes, node);
	}
	b->fifo.is_fed = false;
}

void fifo_open(struct bench *b)
{
	b->fifo.first = NULL;
	b->fifo.last = &b->fifo.first;
	ev_prepare_init(&b->fifo.drain, fifo_drain);
	ev_set_priority(&b->fifo.drain, EV_MAXPRI);
	b->fifo.drain.data = b;
}

struct node *fifo_node(struct bench *b, node_fn *fn)
{
	struct node *node = pool_take(&b->nodes);

	node->then = NULL;
	node->fn = fn;
	return node;
}

void fifo_post(struct bench *b, struct node *node)
{
	if (!b->fifo.is_fed) {
		b->fifo.is_fed = true;
		ev_feed_event(b->ev, &b->fifo.drain, EV_CUSTOM);
	}
	node->next = NULL;
	*b->fifo.last = node;
	b->fifo.last = &node->next;
}

void fifo_count(struct node *node, struct bench *b)
{
	b->done++;
	if (node->then)
		fifo_post(b, node->then);
}

static void fifo_count_short(struct node *node, struct bench *b)
{
	(void)node;
	b->done++;
	if (b->done < b->steps)
		fifo_short(b);
}

static void fifo_lap(struct node *node, struct bench *b)
{
	(void)node;
	if (++b->done < b->steps)
		fifo_post(b, fifo_node(b, fifo_lap));
}

/* `count` nodes, each of which queues the next. */
static void fifo_build(struct bench *b, size_t count, node_fn *last_fn)
{
	struct node *first = fifo_node(b, count == 1 ? last_fn : fifo_count);
	struct node *node = first;
	size_t i;

	for (i = 1; i < count; i++) {
		node->then = fifo_node(b, i + 1 < count ? fifo_count : last_fn);
		node = node->then;
	}
	fifo_post(b, first);
}

void fifo_chain(struct bench *b)
{
	fifo_build(b, b->steps, fifo_count);
	ev_run(b->ev, 0);
}

void fifo_short(struct bench *b)
{
	const bool is_first = b->done == 0;

	fifo_build(b, SHORT_STEPS, fifo_count_short);
	if (is_first)
		ev_run(b->ev, 0);
}

void fifo_loop(struct bench *b)
{
	fifo_post(b, fifo_node(b, fifo_lap));
	ev_run(b->ev, 0);
}

void fifo_many(struct bench *b)
{
	size_t i;

	for (i = 0; i < b->steps; i++)
		fifo_post(b, fifo_node(b, fifo_count));
	ev_run(b->ev, 0);
}

/* ------------------------------------------------------------------- Feed */

struct fed *feed_node(struct bench *b, fed_fn *fn)
{
	struct fed *fed = pool_take(&b->nodes);

	ev_prepare_init(&fed->watcher, fn);
	fed->watcher.data = b;
	fed->then = NULL;
	return fed;
}

void feed_post(struct bench *b, struct fed *fed)
{
	ev_feed_event(b->ev, &fed->watcher, EV_CUSTOM);
}

/* The watcher is the first member, so its address is the item's. */
void feed_count(struct ev_loop *ev, ev_prepare *w, int revents)
{
	struct bench *b = w->data;
	struct fed *fed = (struct fed *)w;

	(void)ev;
	(void)revents;
	b->done++;
	if (fed->then)
		feed_post(b, fed->then);
	pool_give(&b->nodes, fed);
}

static void feed_count_short(struct ev_loop *ev, ev_prepare *w, int revents)
{
	struct bench *b = w->data;

	(void)ev;
	(void)revents;
	b->done++;
	pool_give(&b->nodes, w);
	if (b->done < b->steps)
		feed_short(b);
}

static void feed_lap(struct ev_loop *ev, ev_prepare *w, int revents)
{
	struct bench *b = w->data;

	(void)ev;
	(void)revents;
	pool_give(&b->nodes, w);
	if (++b->done < b->steps)
		feed_post(b, feed_node(b, feed_lap));
}

static void feed_build(struct bench *b, size_t count, fed_fn *last_fn)
{
	struct fed *first = feed_node(b, count == 1 ? last_fn : feed_count);
	struct fed *fed = first;
	size_t i;

	for (i = 1; i < count; i++) {
		fed->then = feed_node(b, i + 1 < count ? feed_count : last_fn);
		fed = fed->then;
	}
	feed_post(b, first);
}

void feed_chain(struct bench *b)
{
	feed_build(b, b->steps, feed_count);
	ev_run(b->ev, 0);
}

void feed_short(struct bench *b)
{
	const bool is_first = b->done == 0;

	feed_build(b, SHORT_STEPS, feed_count_short);
	if (is_first)
		ev_run(b->ev, 0);
}

void feed_loop(struct bench *b)
{
	feed_post(b, feed_node(b, feed_lap));
	ev_run(b->ev, 0);
}

void feed_many(struct bench *b)
{
	size_t i;

	for (i = 0; i < b->steps; i++)
		feed_post(b, feed_node(b, feed_count));
	ev_run(b->ev, 0);
}
