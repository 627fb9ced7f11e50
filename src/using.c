/*
 * SPDX-License-Identifier: MIT
 *
 * using.c - acquire, use, release in reverse order, whatever happens.
 *
 * The promise that the program gets is the front of a run.  When it is
 * cancelled it settles at once, but the run goes on behind it until all is
 * released.  A run is one step after another: a handler of the program, and a
 * reaction behind it that takes the next step.  Steps are promises of the
 * chain, because those run their handlers also while their loop is being freed.
 */
#include "task.h"

#include <string.h>

enum using_stage { ACQUIRE, USE, RELEASE };

struct using_one {
	avow_resource resource;
	avow_promise *acquired; /* held until its release has begun */
};

struct using_run {
	size_t uses; /* the front, the step, frames on the stack */
	avow_loop *loop;
	const char *place;
	struct using_front *front; /* NULL: nobody wants the outcome */
	enum using_stage stage;
	avow_promise *step;    /* held: what the handler is to settle */
	avow_promise *outcome; /* held: of the use, or what went wrong */
	avow_promise *doom;    /* to cancel a step with */
	struct avow__cleanup *cleanup; /* of a cancellation that waits for the
					  releases, or NULL */
	avow_handler_fn *use;
	void *arg;
	size_t acquired, count;
	struct using_one list[];
};

struct using_front {
	struct avow__task task;
	struct using_run *run;
};

/* ---------------------------------------------------------------- Lifetime */

/* A loop that is being freed ends its promises by itself. */
static void using_free(struct using_run *run)
{
	avow_loop *const loop = run->loop;
	struct avow__cleanup *const cleanup = run->cleanup;
	if (!avow__is_closing(loop)) {
		avow_release(run->outcome);
		if (run->doom)
			avow__raw_free(loop, run->doom);
	}
	avow__free(run);
	avow__cleanup_done(loop, cleanup);
}

/* The drop of a step's reaction. */
static void using_unuse(void *arg)
{
	struct using_run *const run = arg;
	if (--run->uses == 0)
		using_free(run);
}

/* ------------------------------------------------------------------- Steps */

static avow_value using_next(avow_value value, void *arg);

/* Call `fn` with the value of `source`, and go on when what it gives has
 * settled.  False when out of memory: `fn` will not be called. */
static bool using_step(struct using_run *run, avow_promise *source,
		       avow_handler_fn *fn, void *arg)
{
	avow_promise *const step = avow_then_at(run->place, source, fn, arg);
	if (step->word & IMMORTAL)
		return false;
	avow_hold(step);
	avow__unseen(step); /* so that a release can take its value */
	run->step = step;
	run->uses += 2;
	avow_promise *const next =
		avow_on_at(run->place, step,
			   &(const avow_handlers){ .fulfilled = using_next,
						   .rejected = using_next,
						   .arg = run,
						   .drop = using_unuse });
	avow__drops_at_once(next);
	run->uses--;
	if (!(next->word & IMMORTAL))
		return true;
	run->step = NULL;
	avow_cancel(step);
	avow_release(step);
	return false;
}

/*
 * The handler of an acquire.  One that cancels what it is acquired for is not
 * cancelled itself, so that what it returns is known and released; a promise
 * that it returns is not waited for.  When the loop has ended first nothing is
 * begun any more.
 */
static avow_value using_acquire_one(avow_value value, void *arg)
{
	struct using_run *const run = arg;
	const avow_resource *const resource =
		&run->list[run->acquired].resource;
	if (!run->front)
		return avow__core_error(AVOW_EABANDONED);
	const avow_value result = resource->acquire(value, resource->arg);
	avow_promise *const p = result.as.ptr;
	if (!run->front && result.type == &avow_promise_type && p->uses == 0)
		avow_cancel(p);
	return result;
}

static avow_value using_use(avow_value value, void *arg)
{
	struct using_run *const run = arg;
	return run->front ? run->use(value, run->arg)
			  : avow__core_error(AVOW_EABANDONED);
}

static avow_promise *using_source(struct using_run *run)
{
	if (run->acquired)
		return run->list[run->acquired - 1].acquired;
	return avow_resolved_at(run->place, run->loop, avow__none);
}

/* Forwards: the next acquire, or the use. */
static bool using_forward(struct using_run *run)
{
	avow_promise *const source = using_source(run);
	if (run->acquired < run->count) {
		run->stage = ACQUIRE;
		return using_step(run, source, using_acquire_one, run);
	}
	run->stage = USE;
	return using_step(run, source, using_use, run);
}

/* Nobody is left to be told of an error. */
static void using_report(struct using_run *run, avow_value error)
{
	(void)avow_rejected_at(run->place, run->loop, error);
}

/* There is no memory to call it from the loop, and to wait for it. */
static void using_release_now(struct using_run *run, avow_promise *acquired,
			      const avow_resource *resource)
{
	const avow_value value = avow__owner(acquired)->value;
	const avow_value result = resource->release(value, resource->arg);
	if (result.type == &avow_promise_type ||
	    avow__value_same(result, value))
		return;
	if (avow__value_is_error(result))
		using_report(run, result);
	else
		avow__value_drop(result);
}

/* Backwards: the next release; false when all is released. */
static bool using_back(struct using_run *run)
{
	run->stage = RELEASE;
	while (run->acquired) {
		struct using_one *const one = &run->list[--run->acquired];
		const avow_resource resource = one->resource;
		avow_promise *const acquired = one->acquired;
		bool is_begun = false;
		if (resource.release) {
			is_begun = using_step(run, acquired, resource.release,
					      resource.arg);
			if (!is_begun)
				using_release_now(run, acquired, &resource);
		}
		avow_release(acquired);
		if (is_begun)
			return true;
	}
	return false;
}

/* The caller has a use of the run. */
static void using_go_on(struct using_run *run)
{
	if (run->front && !run->outcome) {
		if (using_forward(run))
			return;
		run->outcome = run->loop->immortal;
		avow_hold(run->outcome);
	}
	if (!using_back(run) && run->front)
		avow__task_settle_like(&run->front->task, run->outcome);
}

/* A release has come to its end.  Returns what is to be told of it. */
static avow_value using_released(struct using_run *run, avow_promise *step,
				 avow_value value)
{
	if (!avow__value_is_error(value)) {
		avow_release(step);
		return avow__none;
	}
	if (!run->front || run->outcome->word & AVOW_REJECTED) {
		avow_release(step);
		return value; /* a rejection that nobody handles */
	}
	avow_release(run->outcome);
	run->outcome = step;
	return avow__none;
}

/* A step has settled. */
static avow_value using_next(avow_value value, void *arg)
{
	struct using_run *const run = arg;
	avow_promise *const step = run->step;
	avow_value told = avow__none;
	run->step = NULL;
	if (run->stage == RELEASE)
		told = using_released(run, step, value);
	else if (run->stage == ACQUIRE && !avow__value_is_error(value))
		run->list[run->acquired++].acquired = step;
	else
		run->outcome = step;
	using_go_on(run);
	return told;
}

/* --------------------------------------------------------------- Cancelling */

/* Has a step its outcome, of which only the job is missing that tells it? */
static bool using_is_decided(const avow_promise *step)
{
	while (!avow__is_settled(step) && step->word & FOLLOWING)
		step = step->source;
	return avow__is_settled(step);
}

/* Nobody wants it any more.  An acquire that has succeeded, or is just about
 * to say whether, goes on to its release; nothing else has to. */
static void using_cancel(struct using_run *run)
{
	avow_promise *const doom = run->doom, *const step = run->step;
	if (!step || run->stage == RELEASE)
		return;
	if (run->stage == ACQUIRE &&
	    (step->word & RUNNING || using_is_decided(step)))
		return;
	run->doom = NULL;
	avow__doom(run->loop, doom, step);
}

static void using_front_end(struct avow__task *task, bool is_cancelled)
{
	struct using_run *const run = ((struct using_front *)task)->run;
	if (!run)
		return;
	run->front = NULL;
	if (is_cancelled) {
		run->cleanup = avow__cleanup_begin(run->loop);
		using_cancel(run);
	}
	using_unuse(run);
}

/* ---------------------------------------------------------------- Beginning */

static struct using_run *using_new(const char *place, avow_loop *loop,
				   const avow_resource *resources, size_t count)
{
	struct using_run *run = NULL;
	if (count < (SIZE_MAX - sizeof(*run)) / sizeof(*run->list))
		run = avow__alloc(sizeof(*run) + count * sizeof(*run->list));
	if (!run)
		return NULL;
	memset(run, 0, sizeof(*run));
	run->uses = 1;
	run->loop = loop;
	run->place = place;
	run->count = count;
	for (size_t i = 0; i < count; i++) {
		CHECK(resources[i].acquire, place,
		      "avow_using() of a resource with nothing to acquire it");
		run->list[i] = (struct using_one){ .resource = resources[i] };
	}
	run->doom = avow__doom_new(loop);
	if (!run->doom) {
		avow__free(run);
		return NULL;
	}
	return run;
}

avow_promise *avow_using_at(const char *place, avow_loop *loop,
			    const avow_resource *resources, size_t count,
			    avow_handler_fn *use,
			    const avow_scope_work *options)
{
	avow_promise *result;
	CHECK(use, place, "avow_using() with nothing to do");
	struct using_front *const front =
		avow__task_open(loop, place, "avow_using()", sizeof(*front),
				using_front_end, &result);
	if (!front)
		return result;
	if (!resources && count) {
		avow__task_settle(
			&front->task,
			avow_error_at(place, &avow_core_domain, AVOW_EINVALID,
				      "%zu resources, but no list", count));
		return result;
	}
	struct using_run *const run = using_new(place, loop, resources, count);
	if (!run) {
		avow__task_settle(&front->task, avow_errno(ENOMEM));
		return result;
	}
	run->use = use;
	run->arg = options->arg;
	run->front = front;
	front->run = run;
	run->uses++;
	using_go_on(run);
	using_unuse(run);
	return avow__task_abortable(place, result, options->signal);
}

avow_promise *(avow_using)(avow_loop *loop, const avow_resource *resources,
			   size_t count, avow_handler_fn *use, void *arg)
{
	return avow_using_at(NULL, loop, resources, count, use,
			     &(avow_scope_work){ .arg = arg });
}
