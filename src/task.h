/*
 * SPDX-License-Identifier: MIT
 *
 * task.h - what the toolbox is built of: tasks, and the inputs they wait for.
 *
 * A task is a promise of the library's with a state behind it.  The state is
 * there exactly as long as its promise is pending: whatever settles the promise
 * (the tool, a cancellation, the end of the loop) ends the state, once, by the
 * same function.  So a tool has one place in which it lets go of everything.
 *
 * An input is a task's place in the ring of a promise that it waits for: a node
 * like a reaction, but nobody can attach to it, and it leaves the ring in O(1).
 *
 * Above the chain and cancelling; the tools are above this, and not above each
 * other.
 */
#ifndef AVOW_SRC_TASK_H
#define AVOW_SRC_TASK_H

#include "chain.h"

struct avow__task;

/*
 * The promise has settled.  Let go of what the state holds: inputs, places in
 * lists, memory.  With `is_cancelled` nobody wants the work any more, and what
 * nobody else waits for is given up (avow__input_give_up).  The state's own
 * memory is freed afterwards.
 */
typedef void avow__end_fn(struct avow__task *task, bool is_cancelled);

/* The first member of each tool's state. */
struct avow__task {
	uint32_t word; /* RAW: it may stand in a node */
	uint16_t size;
	bool is_cancelled;     /* known from the cancel hook on */
	avow_promise *promise; /* pending */
	avow__end_fn *end;
};

/*
 * A new task whose state has `size` bytes, zeroed but for its head; NULL when
 * `*result`, which is then rejected, is all that can be had (out of memory, or
 * the loop is being freed).  `call` names the function in messages.
 */
void *avow__task_open(avow_loop *loop, const char *place, const char *call,
		      size_t size, avow__end_fn *end, avow_promise **result);

static inline avow_loop *avow__task_loop(const struct avow__task *task)
{
	return avow__slab_of(task->promise)->loop;
}

/* All settle the task's promise, so that the task is gone when they return.
 * The second takes over `input`, in its job, and gives its outcome. */
void avow__task_settle(struct avow__task *task, avow_value value);
void avow__task_settle_as(struct avow__task *task, avow_promise *input);
/* The same with the outcome of a settled promise that stays. */
void avow__task_settle_like(struct avow__task *task, avow_promise *source);

/* Misuse unless `source` is there, and of this loop. */
static inline void avow__source_check(const avow_loop *loop,
				      const avow_promise *source,
				      const char *place)
{
	CHECK(source, place, "a NULL promise to wait for");
	CHECK(!(source->word & (DEAD | RAW | POST)), avow__dead_place(source),
	      "waiting at %s for a stale handle: the promise is gone, hold it",
	      place ? place : "a place that was not recorded");
	CHECK(avow__slab_of(source)->loop == loop, source->place,
	      "waiting at %s for a promise of another loop",
	      place ? place : "a place that was not recorded");
}

/*
 * Wait for `source`: call `fn(input)` in a job of its own once it has settled.
 * It counts as a consumer, and as handling a rejection.  NULL when out of
 * memory.
 */
static inline avow_promise *avow__input(avow_loop *loop, const char *place,
					avow_promise *source, avow_job_fn *fn,
					void *arg)
{
	avow_promise *const input = avow__node_alloc(loop);
	if (UNLIKELY(!input))
		return NULL;
	input->word = loop->birth | INPUT;
	input->uses = 0;
	input->source = source;
	input->job = fn;
	input->arg = arg;
	input->place = place;
	input->tail = NULL;
	source->uses++;
	source->word |= HANDLED;
	if (avow__is_settled(source))
		avow__job_append(loop, input);
	else
		avow__ring_append(&source->tail, input);
	promise_check(loop, source);
	return input;
}

/*
 * Nobody has a handle of `p`, nor ever gets one: what it holds may move however
 * deep the loop is nested by then.  A tool that is begun outside and waited for
 * by avow_wait() has its first promises from further out.
 */
static inline void avow__unseen(avow_promise *p)
{
	p->word = (p->word & ((1u << DEPTH_SHIFT) - 1)) |
		  (uint32_t)DEPTH_MAX << DEPTH_SHIFT;
}

/* What has come, in `fn`; borrowed.  An error when it was rejected. */
static inline avow_value avow__input_value(const avow_promise *input)
{
	return avow__owner(input->source)->value;
}
/*
 * The value of a promise that the caller has a use of, as a value of its own:
 * moved where nobody else can read it, and shared where somebody can, with the
 * memory of avow_alloc() that it may point into.  The program's code does not
 * run.  Only the items of a list may be shared values
 * (value.h).  Out of memory gives an error.
 */
avow_value avow__use_take(avow_loop *loop, avow_promise *source);
static inline avow_value avow__input_take(avow_loop *loop, avow_promise *input)
{
	return avow__use_take(loop, input->source);
}
/* In `fn`: the input is over.  Drops may run, and end the task. */
static inline void avow__input_end(avow_loop *loop, avow_promise *input)
{
	avow_promise *const source = input->source;
	avow__node_free(loop, input);
	avow__unuse_short(loop, source);
}

/*
 * Before its job has run: take it out of the ring.  Nothing of the program's
 * runs in this one, and it must be followed by one of the two that end it:
 * leave the source alone, or give it up, which runs cancel hooks and drops.
 */
static inline void avow__input_unlink(avow_loop *loop, avow_promise *input)
{
	avow__unlink(loop, input);
}
void avow__input_leave(avow_loop *loop, avow_promise *input);
static inline void avow__input_give_up(avow_loop *loop, avow_promise *input)
{
	avow__give_up(loop, input, false);
}
/* The same, but the source is cancelled even if somebody else waits for it, as
 * by avow_cancel(). */
static inline void avow__input_cancel(avow_loop *loop, avow_promise *input)
{
	avow__give_up(loop, input, true);
}

/*
 * A node set aside for a cancellation that must not fail, and what makes use of
 * it: `p` is cancelled, whoever waits for it.  NULL when out of memory.
 */
avow_promise *avow__doom_new(avow_loop *loop);
void avow__doom(avow_loop *loop, avow_promise *doom, avow_promise *p);

/*
 * The same for a promise that the tool has made and nobody else knows, a lap:
 * out of memory cancels it, and ending the input always gives it up, lest a
 * function of the program's runs for a task that is gone.  Only what the
 * program itself has begun is left to be abandoned with its loop.
 */
avow_promise *avow__input_own(avow_loop *loop, const char *place,
			      avow_promise *lap, avow_job_fn *fn, void *arg);
void avow__input_own_end(avow_loop *loop, avow_promise *input);

/*
 * Supplied by abort.c: what a tool returns, avow_abortable_at() of the promise
 * of its task.  Out of memory ends the task too: it must not go on unseen,
 * calling functions with what the program has ended upon the rejection.  A tool
 * that takes something at once calls it before; where what this returns is
 * settled the task is gone, and `result` may be.
 */
avow_promise *avow__task_abortable(const char *place, avow_promise *result,
				   avow_signal *signal);

/* Misuse unless there is such a loop, and it is this thread's. */
static inline void avow__loop_entry(const avow_loop *loop, const char *call)
{
	CHECK(loop, NULL, "%s with a NULL loop", call);
	CHECK(loop->thread == avow__self(), NULL,
	      "%s from another thread than the loop's", call);
}

#endif
