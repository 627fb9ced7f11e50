/*
 * SPDX-License-Identifier: MIT
 *
 * Every point in the life of something; points.h says what it offers.
 *
 * A job that posts itself again stands once between any two jobs of the others,
 * and so counts them.
 */
#include "points.h"

/* FREE_SIGNAL: with a signal, that does nothing. */
enum what { CANCEL, FREE, FREE_SIGNAL, ABORT, SWEEP };

avow_signal *points_signal;

static struct points {
	enum what what;
	avow_loop *loop;
	avow_promise *p; /* until its outcome was seen */
	avow_abort *controller;
	size_t left;   /* jobs until it is done */
	bool is_done;  /* while it was pending */
	bool is_freed; /* the loop */
	bool is_over;
	bool is_value; /* what it ended by */
	int outcomes, drops;
} points;

static void ignore_report(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

void points_call(void)
{
	ck_assert_msg(!points.is_over, "called after the end");
	if (points.p)
		ck_assert_int_eq(avow_state_of(points.p), AVOW_PENDING);
}

static avow_value pass(avow_value value, void *arg)
{
	(void)arg;
	return value;
}

avow_promise *points_later(avow_loop *loop, int jobs, avow_value value)
{
	avow_promise *p = avow_resolved(loop, value);
	while (jobs--)
		p = avow_then(p, pass, NULL);
	return p;
}

static void act(void)
{
	points.is_done = avow_state_of(points.p) == AVOW_PENDING;
	points.is_over = true;
	switch (points.what) {
	case CANCEL:
		avow_cancel(points.p);
		break;
	case FREE:
	case FREE_SIGNAL:
		points.is_freed = true;
		avow_loop_free(points.loop);
		break;
	case ABORT:
		avow_abort_with(points.controller, avow_errno(ESTALE));
		break;
	case SWEEP:
		break;
	}
}

static void tick(void *arg)
{
	(void)arg;
	if (!points.p)
		return;
	if (points.left) {
		points.left--;
		ck_assert(avow_post(points.loop, tick, NULL));
	} else {
		act();
	}
}

static bool is_of_act(avow_value error)
{
	switch (points.what) {
	case CANCEL:
		return avow_is_cancelled(error);
	case FREE:
	case FREE_SIGNAL:
		return avow_error_is(error, &avow_core_domain, AVOW_EABANDONED);
	case ABORT:
		return avow_error_is(error, &avow_errno_domain, ESTALE);
	case SWEEP:
		return avow_error_is(error, &avow_errno_domain, ENOMEM);
	}
	return false;
}

static avow_value see_value(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	points.p = NULL;
	points.is_over = true;
	points.is_value = true;
	points.outcomes++;
	/* What stands behind it may have ended well already. */
	ck_assert_msg(!points.is_done || points.what == FREE_SIGNAL,
		      "ended well after the end");
	return avow_none();
}

static avow_value see_error(avow_value error, void *arg)
{
	(void)arg;
	points.p = NULL;
	points.is_over = true;
	points.outcomes++;
	ck_assert_msg(is_of_act(error), "ended by %s", avow_message(error));
	ck_assert(points.is_done || points.what == SWEEP);
	return avow_none();
}

static void count_drop(void *arg)
{
	++*(int *)arg;
}

static void watch(avow_promise *p)
{
	points.p = p;
	avow_promise *const end =
		avow_on(p, .fulfilled = see_value, .rejected = see_error,
			.arg = &points.drops, .drop = count_drop);
	/* Out of memory: nobody will hear of it. */
	if (avow_state_of(end) == AVOW_PENDING)
		return;
	points.p = NULL;
	points.is_over = true;
	points.outcomes++;
	avow_cancel(p);
}

static bool begin(enum what what, size_t jobs)
{
	points = (struct points){ .what = what, .left = jobs };
	points.loop = avow_loop_new(fx.ev);
	if (!points.loop)
		return false;
	avow_loop_on_report(points.loop, ignore_report, NULL);
	points_signal = NULL;
	if (what == ABORT || what == FREE_SIGNAL) {
		points.controller = avow_abort_new(points.loop);
		ck_assert_ptr_nonnull(points.controller);
		points_signal = avow_abort_signal(points.controller);
	}
	return true;
}

static void make_and_watch(points_make_fn *make)
{
	avow_promise *const p = make(points.loop);
	points.is_over = avow_state_of(p) != AVOW_PENDING;
	watch(p);
}

static void end(const char *how, size_t jobs)
{
	ck_assert_msg(points.outcomes == 1, "%s after %zu jobs: %d outcomes",
		      how, jobs, points.outcomes);
	if (!points.is_freed)
		avow_loop_free(points.loop);
	avow_abort_free(points.controller);
	ck_assert_msg(points.outcomes == 1, "%s after %zu jobs: %d outcomes",
		      how, jobs, points.outcomes);
	ck_assert_msg(points.drops == 1, "%s after %zu jobs: %d drops", how,
		      jobs, points.drops);
	ck_assert_msg(fx.boxes == 0, "%s after %zu jobs: %d boxes left", how,
		      jobs, fx.boxes);
}

/* Before anything has run, and then after each job, until it ends first. */
static size_t try_each(enum what what, const char *how, points_make_fn *make)
{
	ck_assert(begin(what, 0));
	make_and_watch(make);
	act();
	fx_run();
	end(how, 0);
	for (size_t jobs = 0;; jobs++) {
		const size_t blocks = fx_blocks();
		ck_assert(begin(what, jobs));
		make_and_watch(make);
		tick(NULL);
		fx_run();
		end(how, jobs);
		ck_assert_msg(fx_blocks() == blocks,
			      "%s after %zu jobs: %zu blocks before, %zu after",
			      how, jobs, blocks, fx_blocks());
		if (!points.is_done)
			return jobs;
	}
}

size_t points_cancel(points_make_fn *make)
{
	return try_each(CANCEL, "cancelled", make);
}

size_t points_free(points_make_fn *make)
{
	return try_each(FREE, "loop freed", make) +
	       try_each(FREE_SIGNAL, "loop freed (signal)", make);
}

size_t points_abort(points_make_fn *make)
{
	return try_each(ABORT, "aborted", make);
}

struct sweep {
	points_make_fn *make;
};

static void run_sweep(void *arg)
{
	const struct sweep *const sweep = arg;
	if (!begin(SWEEP, 0))
		return;
	make_and_watch(sweep->make);
	fx_run();
	end("out of memory", 0);
}

size_t points_sweep(points_make_fn *make)
{
	struct sweep sweep = { make };
	return fx_sweep(run_sweep, &sweep);
}

/* A fresh loop has memory for so many promises. */
static size_t nodes_of_a_loop(void)
{
	size_t nodes = 0;
	avow_loop *const loop = avow_loop_new(fx.ev);
	ck_assert_ptr_nonnull(loop);
	avow_loop_on_report(loop, ignore_report, NULL);
	fx_fail_from(0);
	while (avow_state_of(avow_pending(loop)) == AVOW_PENDING)
		nodes++;
	fx_fail_never();
	avow_loop_free(loop);
	return nodes;
}

/* Slabs are 64 KiB; smaller blocks are still to be had. */
static void let_slabs_fail(void)
{
	fx_fail_never();
	fx_fail_above(fx_bytes() + 32 * 1024);
}

/* True when there was enough for all of it. */
static bool run_scarce(size_t taken, size_t nodes, bool to_the_end,
		       points_make_fn *make)
{
	ck_assert(begin(SWEEP, 0));
	points.controller = avow_abort_new(points.loop);
	points_signal = avow_abort_signal(points.controller);
	fx_fail_from(0);
	for (size_t i = 0; i < taken; i++)
		(void)avow_pending(points.loop);
	let_slabs_fail();
	avow_promise *const p = make(points.loop);
	points.is_over = avow_state_of(p) != AVOW_PENDING;
	if (!to_the_end)
		fx_fail_never();
	watch(p);
	fx_run();
	fx_fail_never();
	end("with so many nodes", nodes);
	return points.is_value;
}

/* So often in a row it must end well; where an error is data, it may do so
 * before there is enough. */
#define WELL_ENOUGH 8

size_t points_scarce(points_make_fn *make)
{
	const size_t all = nodes_of_a_loop();
	size_t runs = 0;
	for (int to_the_end = 0; to_the_end < 2; to_the_end++) {
		int well = 0;
		for (size_t n = 0; well < WELL_ENOUGH; n++) {
			const size_t blocks = fx_blocks();
			ck_assert_uint_lt(n, 1000);
			well = run_scarce(all - n, n, to_the_end, make)
				       ? well + 1
				       : 0;
			ck_assert_msg(fx_blocks() == blocks,
				      "with %zu nodes: %zu blocks before, %zu "
				      "after",
				      n, blocks, fx_blocks());
			runs++;
		}
	}
	return runs;
}

void points_try_all(points_make_fn *make)
{
	ck_assert_uint_gt(points_cancel(make), 5);
	ck_assert_uint_gt(points_free(make), 5);
	ck_assert_uint_gt(points_abort(make), 5);
	ck_assert_uint_gt(points_sweep(make), 3);
	ck_assert_uint_gt(points_scarce(make), 20);
}
