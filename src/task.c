/*
 * SPDX-License-Identifier: MIT
 *
 * task.c - promises with a state behind them, and what they wait for.
 */
#include "task.h"

#include <string.h>

/* ------------------------------------------------------------------ Tasks */

static void task_free(avow_loop *loop, struct avow__task *task)
{
	if (task->size <= NODE_SIZE)
		avow__raw_free(loop, task);
	else
		avow__free(task);
}

/* The cancel hook.  A loop that ends abandons each promise by itself, and locks
 * it first: nothing is to be given up there. */
static void task_cancel(void *arg)
{
	struct avow__task *task = arg;
	task->is_cancelled = !(task->promise->word & LOCKED);
}

/* The drop: the promise has settled. */
static void task_end(void *arg)
{
	struct avow__task *task = arg;
	avow_loop *const loop = avow__task_loop(task);
	task->end(task, task->is_cancelled);
	task_free(loop, task);
}

void *avow__task_open(avow_loop *loop, const char *place, const char *call,
		      size_t size, avow__end_fn *end, avow_promise **result)
{
	bool is_open;
	avow__loop_entry(loop, call);
	avow_promise *const p = avow__root_open(loop, place, SEALED, &is_open);
	*result = p;
	if (!is_open)
		return NULL;
	struct avow__task *task = size <= NODE_SIZE ? avow__node_alloc(loop)
						    : avow__alloc(size);
	struct avow__extra *const extra = task ? avow__extra_of(loop, p) : NULL;
	if (!extra) {
		if (task) {
			task->word = RAW;
			task->size = (uint16_t)size;
			task_free(loop, task);
		}
		avow__resolve_root(loop, p, avow_errno(ENOMEM));
		return NULL;
	}
	memset(task, 0, size);
	task->word = RAW;
	task->size = (uint16_t)size;
	task->promise = p;
	task->end = end;
	extra->job = task_cancel;
	extra->drop = task_end;
	extra->arg = task;
	p->arg = task;
	return task;
}

void avow__task_settle(struct avow__task *task, avow_value value)
{
	avow__resolve_root(avow__task_loop(task), task->promise, value);
}

void avow__task_settle_as(struct avow__task *task, avow_promise *input)
{
	avow_loop *const loop = avow__task_loop(task);
	avow_promise *const source = input->source;
	avow__node_free(loop, input);
	avow__settle_alias(loop, task->promise, source, false);
}

void avow__task_settle_like(struct avow__task *task, avow_promise *source)
{
	avow_loop *const loop = avow__task_loop(task);
	avow__enter(loop);
	const bool was = avow__call_begin(loop);
	source->uses++;
	source->word |= HANDLED;
	avow__settle_alias(loop, task->promise, source, false);
	avow__call_end(loop, was);
	avow__leave(loop);
}

/* ----------------------------------------------------------------- Inputs */

/* Somebody else may read it: a box that both have a share of drops it. */
static avow_value task_share(avow_loop *loop, avow_promise *owner)
{
	const avow_value value = owner->value;
	/* The library's own containers are counted already. */
	if (value.type->copy == avow__container_copy)
		return value.type->copy(value);
	struct avow__extra *const extra =
		owner->word & IMMORTAL ? NULL : avow__extra_of(loop, owner);
	struct avow__shared *shared = extra ? avow__shared_of(extra) : NULL;
	if (extra && !shared) {
		shared = avow__shared_new(value, NULL);
		if (shared) {
			extra->word |= ALIAS;
			extra->shared = shared;
		}
	}
	if (!shared)
		return avow_errno(ENOMEM);
	return avow__container_copy(avow_own(shared, &avow__shared_type));
}

static avow_value task_take(avow_loop *loop, const avow_promise *source)
{
	avow_promise *const owner = avow__owner(source);
	const avow_value value = owner->value;
	if (!value.type || !value.type->drop || !value.as.ptr)
		return value;
	if (!avow__is_sole(loop, source))
		return task_share(loop, owner);
	owner->value = avow__none;
	return value;
}

/* The value may point into memory of the call that `p` is of, which is there as
 * long as `p`: a box keeps it as long as the value. */
static avow_value task_keep_memory(const avow_promise *p, avow_value value)
{
	struct avow__memory *const memory =
		(p->word & (ROOT | EXTRA)) == (ROOT | EXTRA) ? p->extra->memory
							     : NULL;
	if (!memory || !value.type)
		return value;
	struct avow__shared *const shared = avow__shared_new(value, memory);
	if (shared)
		return avow_own(shared, &avow__shared_type);
	avow__value_drop(value); /* not moved, with an extra block: not last */
	return avow_errno(ENOMEM);
}

avow_value avow__use_take(avow_loop *loop, avow_promise *source)
{
	const avow_promise *const owner = avow__owner(source);
	const avow_value value = task_take(loop, source);
	if (LIKELY(!((source->word | owner->word) & EXTRA)))
		return value;
	const avow_value kept = task_keep_memory(source, value);
	return owner == source ? kept : task_keep_memory(owner, kept);
}

void avow__input_leave(avow_loop *loop, avow_promise *input)
{
	avow_promise *const source = input->source;
	avow__node_free(loop, input);
	avow__unuse_in_call(loop, source);
}

avow_promise *avow__input_own(avow_loop *loop, const char *place,
			      avow_promise *lap, avow_job_fn *fn, void *arg)
{
	avow_promise *const input = avow__input(loop, place, lap, fn, arg);
	avow__unseen(lap);
	if (!input)
		avow_cancel(lap);
	return input;
}

void avow__input_own_end(avow_loop *loop, avow_promise *input)
{
	if (avow__is_closing(loop) && input->source->word & FOLLOWING)
		avow__input_leave(loop, input);
	else
		avow__input_give_up(loop, input);
}

/* A node that stands in no ring. */
avow_promise *avow__doom_new(avow_loop *loop)
{
	avow_promise *const doom = avow__node_alloc(loop);
	if (doom)
		doom->word = RAW;
	return doom;
}

void avow__doom(avow_loop *loop, avow_promise *doom, avow_promise *p)
{
	doom->source = p;
	p->uses++;
	avow__give_up(loop, doom, true);
}
