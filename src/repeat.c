/*
 * SPDX-License-Identifier: MIT
 *
 * repeat.c - loops, one lap after the other: repeat, until it is done, and
 * reduce, over items; and the value that says done.
 *
 * Each lap is a reaction of the one before it, so what that gave is the value
 * of the next.  There are never more than two at a time.
 */
#include "task.h"

#include <stdio.h>

/* -------------------------------------------------------------------- Done */

static void done_describe(avow_value value, char *text, size_t size);

/* The payload is NULL where there is no result, or a box. */
static const avow_type done_type = { .name = "done",
				     .drop = avow__container_drop,
				     .copy = avow__container_copy,
				     .describe = done_describe };

static void done_describe(avow_value value, char *text, size_t size)
{
	(void)value;
	snprintf(text, size, "done");
}

avow_value avow_done(avow_value result)
{
	if (!result.type || avow__value_is_error(result))
		return result.type ? result : avow_own(NULL, &done_type);
	avow__given_check(result);
	CHECK(result.type != &avow_promise_type, NULL,
	      "avow_done() of a promise: avow_await() one of avow_done()");
	struct avow__shared *const box = avow__shared_new(result, NULL);
	if (box)
		return avow_own(box, &done_type);
	avow__value_drop(result);
	return avow_errno(ENOMEM);
}

bool avow_is_done(avow_value value)
{
	return value.type == &done_type;
}

/* The result in what `p`, of which the caller has a use, was settled with:
 * moved out of its box where nobody else can read that. */
static avow_value done_open(const avow_loop *loop, avow_promise *p)
{
	struct avow__shared *const box = avow__owner(p)->value.as.ptr;
	if (!box)
		return avow__none;
	if (!avow__is_sole(loop, p) ||
	    __atomic_load_n(&box->head.uses, __ATOMIC_ACQUIRE) != 1)
		return avow_copy(box->value);
	const avow_value result = box->value;
	box->value = avow__none;
	return result;
}

/* -------------------------------------------------------------------- Laps */

struct laps {
	struct avow__task task;
	avow_handler_fn *fn;	 /* repeat */
	avow_reduce_fn *reducer; /* reduce */
	void *arg;
	avow_handler_fn *pull;
	void *from;
	size_t index, count;
	avow_promise *sum;   /* used: what the last lap gave, until the next
				   begins */
	avow_promise *item;  /* used: what was pulled for this lap */
	avow_promise *input; /* that waits for the lap, or for an item */
};

static const char *laps_place(const struct laps *laps)
{
	return laps->task.promise->place;
}

static void laps_end(struct avow__task *task, bool is_cancelled)
{
	struct laps *const laps = (struct laps *)task;
	avow_loop *const loop = avow__task_loop(task);
	avow_promise *const sum = laps->sum, *const item = laps->item;
	avow_promise *const input = laps->input;
	(void)is_cancelled; /* nobody else can know of the laps */
	if (input) {
		avow__input_unlink(loop, input);
		avow__input_own_end(loop, input);
	}
	if (item)
		avow__unuse_in_call(loop, item);
	if (sum)
		avow__unuse_in_call(loop, sum);
}

static void laps_no_memory(struct laps *laps)
{
	avow__task_settle(&laps->task, avow_errno(ENOMEM));
}

/* The reducer as a handler of the sum so far. */
static avow_value laps_reduce(avow_value sum, void *arg)
{
	const struct laps *const laps = arg;
	avow_promise *const item = laps->item;
	if (!item)
		return laps->reducer(sum, avow_int((int64_t)laps->index),
				     laps->arg);
	/* The reducer may end the laps, and in a loop nested in it what they
	 * let go is reaped. */
	avow_loop *const loop = avow__task_loop(&laps->task);
	const avow_value value = avow__owner(item)->value;
	item->uses++;
	avow__lend(value);
	const avow_value result = laps->reducer(sum, value, laps->arg);
	avow__unuse_in_call(loop, item);
	return result;
}

static void laps_next(struct laps *laps);

/* The sum is avow_done(): settle with its result, unless making a copy of that
 * has ended the laps already.  What is copied must stay meanwhile, for a loop
 * nested there reaps what the laps let go. */
static void laps_finish(avow_loop *loop, struct laps *laps)
{
	avow_promise *const p = laps->task.promise, *const sum = laps->sum;
	laps->sum = NULL;
	p->uses++;
	const avow_value result = done_open(loop, sum);
	if (avow__is_settled(p))
		avow__value_drop(result);
	else
		avow__task_settle(&laps->task, result);
	avow__unuse(loop, p);
	avow__unuse(loop, sum);
}

/* What `input` waited for is the sum now. */
static void laps_keep(avow_loop *loop, struct laps *laps, avow_promise *input)
{
	laps->sum = input->source;
	laps->sum->uses++;
	avow__input_end(loop, input);
}

/* A lap has ended well: it is the sum now, or the end. */
static void laps_on_sum(struct laps *laps, avow_promise *input)
{
	avow_loop *const loop = avow__slab_of(input)->loop;
	avow_promise *const item = laps->item;
	laps->item = NULL;
	laps->index++;
	laps_keep(loop, laps, input);
	if (laps->fn && avow_is_done(avow__owner(laps->sum)->value))
		laps_finish(loop, laps);
	else
		laps_next(laps);
	/* Drops are the program's code, and may end the laps. */
	if (item)
		avow__unuse(loop, item);
}

static void laps_on_lap(void *node)
{
	avow_promise *const input = node;
	struct laps *const laps = input->arg;
	laps->input = NULL;
	if (input->source->word & AVOW_REJECTED)
		avow__task_settle_as(&laps->task, input);
	else
		laps_on_sum(laps, input);
}

static void laps_wait(struct laps *laps, avow_promise *p, avow_job_fn *fn)
{
	laps->input = avow__input_own(avow__task_loop(&laps->task),
				      laps_place(laps), p, fn, laps);
	if (!laps->input)
		laps_no_memory(laps);
}

static void laps_begin(struct laps *laps)
{
	const char *const place = laps_place(laps);
	avow_promise *const sum = laps->sum;
	avow_promise *const lap =
		laps->fn ? avow_then_at(place, sum, laps->fn, laps->arg)
			 : avow_then_at(place, sum, laps_reduce, laps);
	laps->sum = NULL;
	/* From now on the lap alone reads it, and may take it. */
	avow__unuse_in_call(avow__task_loop(&laps->task), sum);
	laps_wait(laps, lap, laps_on_lap);
}

static void laps_on_item(void *node)
{
	avow_promise *const input = node;
	struct laps *const laps = input->arg;
	avow_loop *const loop = avow__slab_of(input)->loop;
	laps->input = NULL;
	if (input->source->word & AVOW_REJECTED) {
		avow__task_settle_as(&laps->task, input);
		return;
	}
	if (avow_is_done(avow__input_value(input))) {
		laps->count = laps->index;
		laps_next(laps);
	} else {
		laps->item = input->source;
		laps->item->uses++;
		laps_begin(laps);
	}
	avow__input_end(loop, input);
}

/* The next lap, or the end.  The laps may be gone after it. */
static void laps_next(struct laps *laps)
{
	avow_loop *const loop = avow__task_loop(&laps->task);
	const char *const place = laps_place(laps);
	if (laps->index == laps->count) {
		avow_promise *const sum = laps->sum;
		laps->sum = NULL;
		avow__task_settle_like(&laps->task, sum);
		avow__unuse_in_call(loop, sum);
	} else if (laps->pull) {
		avow_promise *const source = avow_resolved_at(
			place, loop, avow_int((int64_t)laps->index));
		laps_wait(laps,
			  avow_then_at(place, source, laps->pull, laps->from),
			  laps_on_item);
	} else {
		laps_begin(laps);
	}
}

/* `.initial` was a promise or an error, and has settled. */
static void laps_on_initial(void *node)
{
	avow_promise *const input = node;
	struct laps *const laps = input->arg;
	laps->input = NULL;
	if (input->source->word & AVOW_REJECTED) {
		avow__task_settle_as(&laps->task, input);
		return;
	}
	laps_keep(avow__slab_of(input)->loop, laps, input);
	laps_next(laps);
}

static void laps_start(avow_loop *loop, struct laps *laps, avow_value initial)
{
	avow_promise *const p =
		avow_resolved_at(laps_place(laps), loop, initial);
	const bool was = avow__call_begin(loop);
	if (p->word & AVOW_FULFILLED) {
		avow__unseen(p);
		p->uses++;
		laps->sum = p;
		laps_next(laps);
	} else {
		laps_wait(laps, p, laps_on_initial);
	}
	avow__call_end(loop, was);
}

static avow_promise *laps_open(const char *place, avow_loop *loop,
			       const char *call, const struct laps *begun,
			       const avow_walk *walk)
{
	avow_promise *result;
	CHECK(begun->fn || begun->reducer, place, "%s with a NULL function",
	      call);
	avow__given_check(walk->initial);
	struct laps *const laps = avow__task_open(
		loop, place, call, sizeof(*laps), laps_end, &result);
	if (!laps) {
		avow__enter(loop);
		result->uses++; /* the drop may run the loop */
		avow__value_drop(walk->initial);
		avow__unuse_in_call(loop, result);
		avow__leave(loop);
		return result;
	}
	laps->fn = begun->fn;
	laps->reducer = begun->reducer;
	laps->pull = begun->pull;
	laps->count = begun->count;
	laps->from = walk->from;
	laps->arg = walk->arg;
	avow__enter(loop);
	laps_start(loop, laps, walk->initial);
	result = avow__task_abortable(place, result, walk->signal);
	avow__leave(loop);
	return result;
}

avow_promise *avow_repeat_at(const char *place, avow_loop *loop,
			     avow_handler_fn *fn, const avow_walk *walk)
{
	const struct laps laps = { .fn = fn, .count = AVOW_UNTIL_DONE };
	return laps_open(place, loop, "avow_repeat()", &laps, walk);
}

avow_promise *avow_reduce_at(const char *place, avow_loop *loop, size_t count,
			     avow_reduce_fn *fn, const avow_walk *walk)
{
	const struct laps laps = { .reducer = fn,
				   .count = count,
				   .pull = walk->pull };
	return laps_open(place, loop, "avow_reduce()", &laps, walk);
}

avow_promise *(avow_repeat)(avow_loop *loop, avow_handler_fn *fn, void *arg)
{
	return avow_repeat_at(NULL, loop, fn, &(avow_walk){ .arg = arg });
}

avow_promise *(avow_reduce)(avow_loop *loop, size_t count, avow_reduce_fn *fn,
			    void *arg)
{
	return avow_reduce_at(NULL, loop, count, fn,
			      &(avow_walk){ .arg = arg });
}
