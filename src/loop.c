/*
 * SPDX-License-Identifier: MIT
 *
 * loop.c - the life of a loop, without knowing which event loop carries it:
 * its settings, its counters, and its end.
 */
#include "lifecycle.h"

#include "chain.h"
#include "settler.h"

bool avow__loop_open(avow_loop *loop, const struct avow__driver *driver)
{
	loop->driver = driver;
	loop->thread = avow__self();
	loop->birth = (uint32_t)DEPTH_BASE << DEPTH_SHIFT;
	loop->depth = DEPTH_BASE;
	loop->depth_word = loop->birth;
	loop->budget_jobs = 65536;
	loop->budget_ns = 1000000;
	loop->spare_max = 64;
	loop->nesting_max = 32;
	loop->report = avow_report_print;
	if (!avow__slabs_open(loop))
		return false;
	if (!avow__calls_open(loop)) {
		avow__slabs_close(loop);
		return false;
	}
	avow_promise *p = avow__root(loop, NULL, IMMORTAL | HANDLED);
	p->value = avow_errno(ENOMEM);
	p->word |= AVOW_REJECTED;
	loop->immortal = p;
	avow__thread.home = loop->seat;
	return true;
}

/* ---------------------------------------------------------------- Settings */

void avow_loop_adopt(avow_loop *loop)
{
	CHECK(loop, NULL, "avow_loop_adopt(NULL)");
	CHECK(loop->busy == 0, NULL, "avow_loop_adopt() of a running loop");
	loop->thread = avow__self();
	avow__calls_adopt(loop);
}

void avow_loop_nesting_max(avow_loop *loop, unsigned nesting_max)
{
	CHECK(loop, NULL, "avow_loop_nesting_max() with a NULL loop");
	/* Depths beyond DEPTH_MAX share one list; stay well below. */
	loop->nesting_max = nesting_max < 48 ? nesting_max : 48;
}

void avow_loop_spare_max(avow_loop *loop, size_t bytes)
{
	CHECK(loop, NULL, "avow_loop_spare_max() with a NULL loop");
	loop->spare_max = bytes / SLAB_SIZE;
	avow__slabs_trim(loop);
}

void avow_loop_stats(const avow_loop *loop, avow_stats *out)
{
	CHECK(loop, NULL, "avow_loop_stats() with a NULL loop");
	*out = (avow_stats){ .jobs = loop->tick + loop->nested_ticks -
				     loop->drains,
			     .ignored = loop->ignored,
			     .late = loop->late,
			     .promise_count = avow__slabs_used(loop) - 1,
			     .promise_size = NODE_SIZE,
			     .slab_bytes = loop->slab_count * SLAB_SIZE };
	avow__calls_stats(loop, out);
}

avow_loop *avow_loop_current(void)
{
	return avow__thread.current;
}

void avow_tidy(avow_loop *loop)
{
	CHECK(loop, NULL, "avow_tidy() with a NULL loop");
	CHECK(loop->thread == avow__self(), NULL,
	      "avow_tidy() from another thread than the loop's");
	avow__enter(loop);
	const bool was = loop->is_draining;
	const unsigned depth = loop->depth;
	loop->is_draining = true;
	loop->depth = avow__depth_now(loop);
	avow__reap(loop, loop->depth);
	loop->depth = depth;
	loop->is_draining = was;
	avow__leave(loop);
}

/* ------------------------------------------------------------------ The end */

static bool loop_is_promise(const avow_promise *p)
{
	return !(p->word & (RAW | DEAD | POST | IMMORTAL));
}

/* A root that was never settled: tell the program, tell the work, reject. */
static void loop_abandon(avow_loop *loop, avow_promise *p)
{
	if (p->word & CALL) {
		avow_report report = { .kind = AVOW_REPORT_ABANDONED,
				       .call = avow__call_name(p) };
		if (p->place)
			report.place[report.place_count++] = p->place;
		p->word |= RUNNING;
		avow__report(loop, &report);
		p->word &= ~(uint32_t)RUNNING;
		if (avow__is_settled(p) || p->word & (LOCKED | FOLLOWING))
			return; /* the hook has settled it */
	}
	if (p->word & QUEUED)
		avow__queue_unlink(loop, p);
	avow_job_fn **const at = p->word & EXTRA ? &p->extra->job : &p->job;
	avow_job_fn *const hook = *at;
	void *const arg = p->arg;
	*at = NULL;
	p->word |= RUNNING | LOCKED;
	if (hook && p->word & CALL)
		avow__call_hook(loop, p, hook, arg);
	else if (hook)
		hook(arg);
	else if (p->word & CALL)
		avow__call_over(loop, p);
	p->word &= ~(uint32_t)RUNNING;
	if (!avow__is_settled(p))
		avow__settle(loop, p, avow__core_error(AVOW_EABANDONED),
			     AVOW_REJECTED, NULL);
	else
		avow__finish_late(loop, p);
}

static void loop_visit_roots(avow_loop *loop, void *node, void *arg)
{
	avow_promise *p = node;
	(void)arg;
	if (loop_is_promise(p) && !avow__is_settled(p) && p->word & ROOT &&
	    !(p->word & FOLLOWING))
		loop_abandon(loop, p);
}

/* Promises that wait for each other in a circle have no root. */
static void loop_visit_circles(avow_loop *loop, void *node, void *arg)
{
	avow_promise *p = node;
	bool *const is_any = arg;
	if (!loop_is_promise(p) || avow__is_settled(p) ||
	    !(p->word & FOLLOWING) || avow__is_settled(p->source))
		return;
	avow_promise *const q = p->source;
	avow_promise *const original = p->word & KEEP ? p->original : NULL;
	avow__unlink(loop, p);
	p->word &= ~(uint32_t)FOLLOWING;
	avow__settle(loop, p, avow__core_error(AVOW_EABANDONED), AVOW_REJECTED,
		     NULL);
	avow__unuse_in_call(loop, q);
	if (original)
		avow__unuse_in_call(loop, original);
	*is_any = true;
}

/*
 * Past all handlers only drops are left to do, in rounds, because each runs the
 * program's code, which may look at what the next ends: rejections that nobody
 * handled are told; slots and what was attached go; values go; then promises.
 */
static bool loop_is_unhandled(const avow_promise *p)
{
	return (p->word & (AVOW_REJECTED | HANDLED)) == AVOW_REJECTED;
}

static void loop_visit_unhandled(avow_loop *loop, void *node, void *arg)
{
	avow_promise *p = node;
	(void)arg;
	if (!loop_is_promise(p) || !loop_is_unhandled(p))
		return;
	/* Its error may have gone in an earlier round. */
	if (avow__owner(p)->value.type)
		avow__unhandled(loop, p);
	p->word |= HANDLED;
}

static void loop_visit_extras(avow_loop *loop, void *node, void *arg)
{
	avow_promise *p = node;
	(void)arg;
	if (!loop_is_promise(p) || !(p->word & EXTRA))
		return;
	avow__slots_clear(loop, p->extra);
	avow__extra_finish(loop, p);
}

static void loop_visit_values(avow_loop *loop, void *node, void *arg)
{
	avow_promise *p = node;
	(void)loop;
	(void)arg;
	if (!loop_is_promise(p) || !avow__is_settled(p) || p->word & ALIAS)
		return;
	if (loop_is_unhandled(p))
		return; /* made by a drop of this round */
	avow_value value = p->value;
	if (p->word & EXTRA && avow__shared_of(p->extra)) {
		value = avow_own(p->extra->shared, &avow__shared_type);
		p->extra->word = RAW;
	}
	p->value = avow__none;
	avow__value_drop(value);
}

/* Drops may have made more, which has something to drop as well: tell `arg`. */
static void loop_visit_left(avow_loop *loop, void *node, void *arg)
{
	const avow_promise *const p = node;
	bool *const is_any = arg;
	(void)loop;
	if (!loop_is_promise(p))
		return;
	*is_any |= loop_is_unhandled(p);
	if (p->word & EXTRA)
		*is_any |= p->extra->drop || p->extra->copy_size ||
			   p->extra->slots || avow__shared_of(p->extra);
	if (avow__is_settled(p) && !(p->word & ALIAS))
		*is_any |= p->value.type && p->value.type->drop &&
			   p->value.as.ptr;
}

/* Nobody looks any more. */
static void loop_visit_last(avow_loop *loop, void *node, void *arg)
{
	avow_promise *p = node;
	(void)arg;
	if (!loop_is_promise(p))
		return;
	if (p->word & EXTRA) {
		if (p->word & ROOT)
			avow__memory_free(p->extra->memory);
		avow__raw_free(loop, p->extra);
	}
	p->word = DEAD;
}

/* Run what is queued, and reap; false when `budget` is used up. */
static bool loop_run(avow_loop *loop, size_t *budget)
{
	while (loop->jobs) {
		if (!*budget)
			return false;
		--*budget;
		loop->tick++;
		avow__run(loop, avow__ring_pop(&loop->jobs));
		avow__reap(loop, DEPTH_BASE);
	}
	avow__reap(loop, DEPTH_BASE);
	return true;
}

/* Reject whatever can be and let handlers see it.  Each handler that was
 * attached may run, and as many again that are attached meanwhile. */
static void loop_settle_all(avow_loop *loop)
{
	const size_t jobs_each = loop->is_ecmascript ? 3 : 1;
	size_t budget = 2 * jobs_each * avow__slabs_used(loop) + 1024;
	bool is_any = true;
	while (is_any) {
		is_any = false;
		loop->is_draining = false;
		avow__slabs_each(loop, loop_visit_roots, NULL);
		loop->is_draining = true;
		if (!loop_run(loop, &budget))
			return;
		loop->is_draining = false;
		avow__slabs_each(loop, loop_visit_circles, &is_any);
		loop->is_draining = true;
	}
}

void avow__loop_finish(avow_loop *loop)
{
	struct avow__thread *thread = &avow__thread;
	avow_loop *const current = thread->current;
	loop->is_finishing = true;
	loop->is_fed = true;	    /* nobody needs to be woken */
	loop->spare_max = SIZE_MAX; /* no slab may go while it is visited */
	avow__depth_set(loop, DEPTH_BASE);
	thread->current = loop;
	loop->running = NULL;

	if (loop->immediates) {
		avow_promise *const tail = loop->immediates;
		loop->immediates = NULL;
		avow__ring_splice(&loop->jobs, tail, false);
	}
	avow__mail(loop); /* what other threads have settled is not abandoned */
	loop_settle_all(loop);
	/* Drops may make new promises; a bound, for those that always do. */
	bool is_any = true;
	loop->is_draining = false;
	for (int i = 0; i < 16 && is_any; i++) {
		is_any = false;
		avow__cleanups_end(loop);
		avow__slabs_each(loop, loop_visit_unhandled, NULL);
		avow__slabs_each(loop, loop_visit_extras, NULL);
		avow__slabs_each(loop, loop_visit_values, NULL);
		avow__slabs_each(loop, loop_visit_left, &is_any);
	}
	avow__slabs_each(loop, loop_visit_last, NULL);

	thread->current = current == loop ? NULL : current;
	avow__calls_close(loop);
	loop->driver->close(loop);
	avow__blocks_trim(loop);
	avow__slabs_close(loop);
	loop->driver->free(loop);
}

void avow_loop_free(avow_loop *loop)
{
	if (!loop || avow__is_closing(loop))
		return;
	CHECK(loop->thread == avow__self(), NULL,
	      "avow_loop_free() from another thread than the loop's");
	loop->attention |= ATTEND_CLOSING;
	if (loop->busy == 0)
		avow__loop_finish(loop);
}
