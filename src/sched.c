/*
 * SPDX-License-Identifier: MIT
 *
 * sched.c - draining the job queue, the budget, and avow_post().
 *
 * One drain is one callback of the event loop.  Between two jobs no code of
 * the program is on the stack at this depth, so that is where promises are
 * reaped.  A handler may run the event loop again: that one drains too, deeper,
 * so the driver is woken before a handler runs while jobs are waiting.
 */
#include "sched.h"

#include "report.h"
#include "slab.h"

#include <time.h>

/* The clock is first read after so many jobs, and then at doubling distances
 * up to CLOCK_JOBS_MAX: short drains pay nothing, and a drain of slow handlers
 * overruns its budget by its own length at most. */
#define CLOCK_JOBS_MIN 8
#define CLOCK_JOBS_MAX 256

static uint64_t sched_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A depth that no word has room for is stored as one beyond all handles: they
 * are further out, or cannot be told from those that are. */
static void sched_depth_store(avow_loop *loop, unsigned depth)
{
	const uint32_t stored = depth <= DEPTH_MAX ? depth : DEPTH_MAX + 1;
	loop->depth = depth;
	loop->depth_word = stored << DEPTH_SHIFT;
}

void avow__depth_set(avow_loop *loop, unsigned depth)
{
	sched_depth_store(loop, depth);
	if (depth == DEPTH_BASE) {
		avow__slabs_show(loop);
		loop->birth = (uint32_t)DEPTH_BASE << DEPTH_SHIFT;
	} else {
		avow__slabs_hide(loop);
	}
}

/* An allocation failed some time ago: tell, and see whether it still would. */
static void sched_on_reserve(avow_loop *loop)
{
	const avow_report report = { .kind = AVOW_REPORT_MEMORY };
	if (loop->must_tell_memory) {
		loop->must_tell_memory = false;
		avow__report(loop, &report);
	}
	avow__slabs_restock(loop);
}

/*
 * The clock is read after CLOCK_JOBS_MIN jobs, and then at doubling distances.
 * Returns at which tick to look again, or 0 when the drain is to end.
 */
static uint64_t sched_look(const avow_loop *loop, struct avow__budget *budget)
{
	const uint64_t done = loop->tick - budget->start_tick;
	if (done >= loop->budget_jobs)
		return 0;
	const uint64_t now = sched_now_ns();
	if (!budget->start_ns)
		budget->start_ns = now;
	if (now - budget->start_ns > loop->budget_ns)
		return 0;
	uint64_t next = done < CLOCK_JOBS_MAX ? done : CLOCK_JOBS_MAX;
	if (next > loop->budget_jobs - done)
		next = loop->budget_jobs - done;
	return loop->tick + next;
}

bool avow__attend(avow_loop *loop, unsigned depth)
{
	if (UNLIKELY(avow__is_nested(loop)))
		avow__depth_set(loop, depth);
	if (loop->parked_top >= depth)
		avow__reap(loop, depth);
	return !avow__is_closing(loop);
}

bool avow__budget_goes_on(const avow_loop *loop, struct avow__budget *budget)
{
	budget->next_look = sched_look(loop, budget);
	return budget->next_look != 0;
}

void avow__budget_open(const avow_loop *loop, struct avow__budget *budget)
{
	const size_t first = loop->budget_jobs < CLOCK_JOBS_MIN ?
				     loop->budget_jobs :
				     CLOCK_JOBS_MIN;
	budget->start_ns = 0;
	budget->start_tick = loop->tick;
	budget->next_look = loop->tick + first;
}

/* Parked for a frame further out?  Bounded by the depth. */
static bool sched_is_left_below(const avow_loop *loop, unsigned depth)
{
	for (unsigned i = DEPTH_BASE; i < depth && i <= DEPTH_MAX; i++) {
		if (loop->parked[i])
			return true;
	}
	return false;
}

void avow__drain(avow_loop *loop, unsigned depth)
{
	struct avow__thread *thread = &avow__thread;
	avow_loop *const current = thread->current;
	avow_promise *const running = loop->running;
	const unsigned outer_depth = loop->depth;
	const bool was_draining = loop->is_draining;

	if (UNLIKELY(loop->is_handed_over))
		return; /* a feed from before that; the turn will come */
	loop->is_fed = false;
	if (UNLIKELY(avow__is_closing(loop)))
		return;
	CHECK(loop->thread == avow__self(), NULL,
	      "loop run in another thread than its own (avow_loop_adopt)");
	avow__enter(loop);
	avow__depth_set(loop, depth);
	thread->current = loop;
	thread->home = loop->seat;
	loop->running = NULL;
	loop->is_draining = true;
	const uint64_t tick = loop->tick++;
	loop->drains++;

	if (UNLIKELY(loop->is_on_reserve))
		sched_on_reserve(loop);
	if (loop->parked_top >= depth)
		avow__reap(loop, depth);
	const bool is_left = avow__run_jobs(loop, depth);
	/* Jobs beyond the budget, or drops that go on making work. */
	if (is_left || (UNLIKELY(loop->attention & ATTEND_PARKED) &&
			loop->parked_top >= depth &&
			!avow__is_closing(loop))) {
		/* Nothing is fed until that turn: a busy loop would else drain
		 * once for each of its callbacks. */
		loop->is_handed_over = true;
		loop->is_fed = true;
		loop->driver->turn(loop);
	}

	if (UNLIKELY(depth > DEPTH_BASE)) {
		loop->nested_ticks += loop->tick - tick;
		loop->tick = tick;
		if (sched_is_left_below(loop, depth))
			loop->driver->look_again(loop);
	} else {
		loop->tick++;
		loop->drains++;
	}

	loop->is_draining = was_draining;
	loop->running = running;
	sched_depth_store(loop, outer_depth);
	thread->current = current;
	avow__leave(loop);
}

void avow__turn(avow_loop *loop, unsigned depth)
{
	loop->is_handed_over = false;
	if (loop->immediates) {
		avow_promise *const tail = loop->immediates;
		loop->immediates = NULL;
		avow__ring_splice(&loop->jobs, tail, false);
	}
	avow__drain(loop, depth);
}

bool avow_post(avow_loop *loop, avow_job_fn *fn, void *arg)
{
	CHECK(loop, NULL, "avow_post() with a NULL loop");
	CHECK(fn, NULL, "avow_post() with a NULL function");
	CHECK(loop->thread == avow__self(), NULL,
	      "avow_post() from another thread than the loop's");
	avow_promise *job =
		avow__is_closing(loop) ? NULL : avow__node_alloc(loop);
	if (!job)
		return false;
	job->word = loop->birth | POST;
	job->uses = 0;
	job->job = fn;
	job->arg = arg;
	job->place = NULL;
	avow__job_append(loop, job);
	return true;
}

void avow_loop_budget(avow_loop *loop, size_t jobs, double seconds)
{
	CHECK(loop, NULL, "avow_loop_budget() with a NULL loop");
	if (jobs)
		loop->budget_jobs = jobs;
	if (seconds > 0 && seconds < 1e9)
		loop->budget_ns = (uint64_t)(seconds * 1e9);
}

void avow_loop_ecmascript_order(avow_loop *loop, bool is_on)
{
	CHECK(loop, NULL, "avow_loop_ecmascript_order() with a NULL loop");
	loop->is_ecmascript = is_on;
}
