/*
 * SPDX-License-Identifier: MIT
 *
 * queue.c - bounded queues of values: a ring of what is in, a line of pushes
 * that wait for room, and a line of pops that wait for values.
 *
 * Pops wait only while nothing is in, and pushes only while no more fits; so
 * not both wait.  The queue owns the values in it, and a push that waits its
 * own.  Nothing here touches the loop unless somebody waits.
 */
#include "line.h"

#include <string.h>

struct avow_queue {
	size_t uses; /* the owner, and frames on the stack */
	avow_loop *loop;
	size_t capacity;
	avow_value *ring; /* of `size` places, `count` from `head` on in use */
	size_t size, head, count;
	struct avow__line pushes, pops;
	bool is_closed;
};

struct push {
	struct avow__waiter waiter;
	avow_value value; /* until it has entered */
};

typedef char push_fits[sizeof(struct push) <= NODE_SIZE ? 1 : -1];

/* ----------------------------------------------------------------- The ring */

/* (No memory holds so many that their size would overflow.) */
static bool queue_grow(avow_queue *queue)
{
	const size_t size = queue->size ? queue->size : 4;
	size_t wanted = queue->size ? 2 * size : size;
	if (wanted > queue->capacity)
		wanted = queue->capacity;
	avow_value *const ring = avow__alloc(wanted * sizeof(*ring));
	if (!ring)
		return false;
	for (size_t i = 0; i < queue->count; i++)
		ring[i] = queue->ring[(queue->head + i) % size];
	if (queue->ring)
		avow__free(queue->ring);
	queue->ring = ring;
	queue->size = wanted;
	queue->head = 0;
	return true;
}

/* There is room. */
static void queue_put(avow_queue *queue, avow_value value)
{
	queue->ring[(queue->head + queue->count) % queue->size] = value;
	queue->count++;
}

/* There is one. */
static avow_value queue_get(avow_queue *queue)
{
	const avow_value value = queue->ring[queue->head];
	queue->head = (queue->head + 1) % queue->size;
	queue->count--;
	return value;
}

/* ------------------------------------------------------------------- Pushes */

static void push_end(struct avow__task *task, bool is_cancelled)
{
	struct push *const push = (struct push *)task;
	(void)is_cancelled;
	avow__line_leave(&push->waiter);
	avow__value_drop(push->value);
}

/* It enters, or goes to whoever pops it. */
static avow_value push_take(struct push *push)
{
	const avow_value value = push->value;
	push->value = avow__none;
	avow__task_settle(&push->waiter.task, avow__none);
	return value;
}

static void queue_push(avow_queue *queue, struct push *push)
{
	struct avow__task *const task = &push->waiter.task;
	struct avow__waiter *pop;
	if (queue->is_closed) {
		avow__task_settle(task, avow__core_error(AVOW_ECLOSED));
	} else if (avow__value_is_error(push->value)) {
		const avow_value error = push->value;
		push->value = avow__none;
		avow__task_settle(task, error);
	} else if ((pop = avow__line_take(&queue->pops)) != NULL) {
		avow__task_settle(&pop->task, push_take(push));
	} else if (queue->count == queue->capacity) {
		avow__line_join(&queue->pushes, &push->waiter);
	} else if (queue->count == queue->size && !queue_grow(queue)) {
		avow__task_settle(task, avow_errno(ENOMEM));
	} else {
		queue_put(queue, push_take(push));
	}
}

avow_promise *avow_queue_push_at(const char *place, avow_queue *queue,
				 const avow_queue_item *item)
{
	CHECK(queue, place, "avow_queue_push() to a NULL queue");
	CHECK(item->value.type != &avow_promise_type, place,
	      "avow_queue_push() of a promise: push what it gives");
	avow__given_check(item->value);
	avow_loop *const loop = queue->loop;
	avow_promise *result;
	struct push *const push =
		avow__task_open(loop, place, "avow_queue_push()", sizeof(*push),
				push_end, &result);
	avow_promise *seen = result;
	if (push)
		seen = avow__task_abortable(place, result, item->signal);
	/* Where it does not enter its drop may free the queue, and the loop. */
	avow__enter(loop);
	if (avow__is_settled(seen)) {
		avow__value_drop(item->value);
	} else {
		push->value = item->value;
		queue_push(queue, push);
	}
	avow__leave(loop);
	return seen;
}

avow_promise *(avow_queue_push)(avow_queue *queue, avow_value value)
{
	return avow_queue_push_at(NULL, queue,
				  &(avow_queue_item){ .value = value });
}

/* --------------------------------------------------------------------- Pops */

static void pop_end(struct avow__task *task, bool is_cancelled)
{
	(void)is_cancelled;
	avow__line_leave((struct avow__waiter *)task);
}

/* The first push that waits, or NULL.  A queue that is being closed rejects
 * them, even if a drop of theirs pops. */
static struct push *queue_next_push(avow_queue *queue)
{
	return queue->is_closed
		       ? NULL
		       : (struct push *)avow__line_take(&queue->pushes);
}

static void queue_pop(avow_queue *queue, struct avow__waiter *pop)
{
	struct push *push;
	if (queue->count) {
		const avow_value value = queue_get(queue);
		push = queue_next_push(queue);
		if (push)
			queue_put(queue, push_take(push));
		avow__task_settle(&pop->task, value);
		return;
	}
	push = queue_next_push(queue);
	if (push)
		avow__task_settle(&pop->task, push_take(push));
	else if (queue->is_closed)
		avow__task_settle(&pop->task, avow__core_error(AVOW_ECLOSED));
	else
		avow__line_join(&queue->pops, pop);
}

avow_promise *avow_queue_pop_at(const char *place,
				const avow_queue_wait *options)
{
	avow_queue *const queue = options->queue;
	avow_promise *result;
	CHECK(queue, place, "avow_queue_pop() of a NULL queue");
	struct avow__waiter *const pop =
		avow__task_open(queue->loop, place, "avow_queue_pop()",
				sizeof(*pop), pop_end, &result);
	if (!pop)
		return result;
	avow_promise *const seen =
		avow__task_abortable(place, result, options->signal);
	if (!avow__is_settled(seen))
		queue_pop(queue, pop);
	return seen;
}

avow_promise *(avow_queue_pop)(avow_queue *queue)
{
	return avow_queue_pop_at(NULL, &(avow_queue_wait){ .queue = queue });
}

/* ------------------------------------------------------------------- Queues */

avow_queue *avow_queue_new(avow_loop *loop, size_t capacity)
{
	avow__loop_entry(loop, "avow_queue_new()");
	avow_queue *const queue = avow__alloc(sizeof(*queue));
	if (!queue)
		return NULL;
	memset(queue, 0, sizeof(*queue));
	queue->uses = 1;
	queue->loop = loop;
	queue->capacity = capacity;
	return queue;
}

static void queue_unuse(avow_queue *queue)
{
	if (--queue->uses > 0)
		return;
	if (queue->ring)
		avow__free(queue->ring);
	avow__free(queue);
}

/* The values of pushes that waited are dropped, by code of the program's. */
static void queue_close(avow_queue *queue)
{
	const avow_value error = avow__core_error(AVOW_ECLOSED);
	queue->is_closed = true;
	queue->uses++;
	avow__line_reject(&queue->pushes, error);
	avow__line_reject(&queue->pops, error);
	queue_unuse(queue);
}

void avow_queue_close(avow_queue *queue)
{
	CHECK(queue, NULL, "avow_queue_close(NULL)");
	queue_close(queue);
}

void avow_queue_free(avow_queue *queue)
{
	if (!queue)
		return;
	queue_close(queue);
	while (queue->count)
		avow__value_drop(queue_get(queue));
	queue_unuse(queue);
}

size_t avow_queue_count(const avow_queue *queue)
{
	CHECK(queue, NULL, "avow_queue_count(NULL)");
	return queue->count;
}
